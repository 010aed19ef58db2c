"""Failures: what the stack's exceptions mean in our tree, as a table; and what must not travel with them.

The stack's exceptions differ by where a fault happened to surface, so the meaning is taken from what is found in their
chain and from how far the exchange was.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from .._secrets import Mask
from .._wire.error_bodies import proxy_credentials_error
from .._wire.framing import FramingError, IncompleteBodyError
from ..errors import AcytooError, APIConnectionError, APITimeoutError, Phase
from ..protocol import DEFAULT_BASE_URL, RETRYABLE_STATUSES
from .provenance import chain, is_foreign, was_handled_elsewhere
from .sockets import SocketScope

_PHASES: dict[Phase, str] = {
    "connect": "no connection within the connect limit",
    "first_byte": "no byte of the reply within the first_byte limit",
    "idle": "silent for longer than the idle limit",
    "total": "the total limit ran out",
}
_CARRIERS = ("request", "response", "url", "pool", "conn", "line", "partial", "version", "_message")


def translate(
    error: Exception, scope: SocketScope, *, url: str, proxy: str, mask: Mask, timed_out: bool
) -> BaseException:
    """The error of our tree that an exception stands for, with the exception, scrubbed, as its cause.

    What is not the stack's, a signal handler's exception for one, stands for itself, also where the stack wrapped it.

    Args:
        error: what came out of the stack; not being handled any more.
        scope: how far the exchange was.
        url: where the request was to go.
        proxy: the proxy it was to go through, "" for none.
        mask: applied to the exception's own words.
        timed_out: the stack calls it a timeout, whatever its root.
    """
    if isinstance(error, AcytooError):
        return error
    causes = list(chain(error))
    of_this_call = [cause for cause in causes if not was_handled_elsewhere(cause)]
    for index, cause in enumerate(of_this_call):
        if is_foreign(cause):
            for wrapper in of_this_call[:index]:
                traceback.clear_frames(wrapper.__traceback__)  # some hold the wrapper, which holds the cause
            return cause
    failure = _Failure(causes, scope, origin(url), origin(proxy), timed_out, default_host_hint(url), mask)
    translated = _meaning(failure)
    for cause in causes:
        _scrub(cause, mask)
    translated.__cause__ = error
    return translated


def origin(url: str) -> str:
    """Host and port of an address, never its credentials."""
    return urlsplit(url).netloc.rpartition("@")[2]


def default_host_hint(url: str) -> str | None:
    """What to do where the default host does not answer; None for any other host."""
    if not url.startswith(DEFAULT_BASE_URL):
        return None
    return "this public host no longer answers: pass the base_url of a server of yours"


@dataclass(frozen=True)
class _Failure:
    """What is known of a failure.

    Attributes:
        causes: the exception and all that can be reached from it.
        scope: how far the exchange was.
        server: its origin.
        proxy: its origin, "" for none.
        timed_out: the stack calls it a timeout.
        hint: of the default host, or None.
        mask: for what is quoted.
    """

    causes: list[BaseException]
    scope: SocketScope
    server: str
    proxy: str
    timed_out: bool
    hint: str | None
    mask: Mask

    @property
    def peer(self) -> str:
        """Who answered, as far as is known."""
        return f"the proxy {self.proxy} of {self.server}" if self.proxy else self.server

    @property
    def tls_peer(self) -> str:
        """With whom TLS was spoken: urllib3 says so where that was the proxy itself."""
        return self.proxy if any(type(cause).__name__ == "ProxyError" for cause in self.causes) else self.server

    def first(self, *kinds: type[BaseException]) -> BaseException | None:
        """The first cause of one of these kinds."""
        return next((cause for cause in self.causes if isinstance(cause, kinds)), None)


class _Row(NamedTuple):
    """What is found, how far the exchange was, and the error that this means."""

    found: _Found
    stage: Callable[[SocketScope], bool]
    error: Callable[[_Failure, BaseException], AcytooError]


_Found = Callable[[_Failure], "BaseException | None"]


def _meaning(failure: _Failure) -> AcytooError:
    for row in _ROWS:
        if row.stage(failure.scope) and (cause := row.found(failure)) is not None:
            return row.error(failure, cause)
    raise AssertionError("the last row of the table takes anything")


# What is found


def _anything(failure: _Failure) -> BaseException | None:
    return failure.causes[0]


def _any_of(*kinds: type[BaseException], but: tuple[type[BaseException], ...] = ()) -> _Found:
    """A cause of one of these kinds, unless it is also one of the others."""

    def found(failure: _Failure) -> BaseException | None:
        cause = failure.first(*kinds)
        return None if isinstance(cause, but) else cause

    return found


def _timeout(failure: _Failure) -> BaseException | None:
    return failure.causes[0] if failure.timed_out else failure.first(TimeoutError)


def _no_status_line(failure: _Failure) -> BaseException | None:
    if failure.first(http.client.RemoteDisconnected):
        return None
    return failure.first(http.client.BadStatusLine, http.client.UnknownProtocol)


def _refused_tunnel(failure: _Failure) -> BaseException | None:
    return next((cause for cause in failure.causes if type(cause) is OSError and _TUNNEL.search(str(cause))), None)


_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")


def _refused_by_socks(failure: _Failure) -> BaseException | None:
    """What PySocks raised first, before it wrapped that as a "Socket error"; None where the system says why."""
    by_socks = [cause for cause in failure.causes if type(cause).__module__ == "socks"]
    by_system = any(isinstance(cause, OSError) and cause.errno for cause in failure.causes)
    return by_socks[-1] if by_socks and not by_system else None


# How far the exchange was


def _at_any_time(scope: SocketScope) -> bool:
    return True


def _aborted(scope: SocketScope) -> bool:
    return scope.aborted


def _request_sent(scope: SocketScope) -> bool:
    return scope.sent


def _head_received(scope: SocketScope) -> bool:
    return scope.sent and scope.head_received


# The errors


def _cancelled(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError("The call was cancelled", retryable=False)


def _timed_out(failure: _Failure, cause: BaseException) -> AcytooError:
    limits = failure.scope.limits
    phase = limits.expired or limits.phase
    hint = f"Timeout({phase}=...) sets the limit"
    return APITimeoutError(f"{failure.peer}: {_PHASES[phase]}", phase=phase, hint=hint)


def _incomplete_body(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(f"{failure.server}: the connection ended before the reply did")


def _broken_framing(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(f"{failure.server} broke the framing of its reply: {failure.mask.quote(str(cause))}")


def _broken_body(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(f"{failure.server} broke the connection")


def _untrusted(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(
        f"The certificate of {failure.tls_peer} is not to be trusted: "
        + failure.mask.quote(getattr(cause, "verify_message", "")),
        retryable=False,
        hint="pass verify='/path/of/your/ca.pem' for an authority of your own",
    )


def _broken_tls(failure: _Failure, cause: BaseException) -> AcytooError:
    reason = (getattr(cause, "reason", None) or "unknown").replace("_", " ").lower()
    hint = "does it speak https at this port?"
    if re.search("alert.*(certificate|unknown ca|handshake failure)", reason):
        hint = "it may want to see a certificate of yours that it trusts: pass cert="
    return APIConnectionError(f"TLS with {failure.tls_peer} failed: {reason}", retryable=False, hint=hint)


def _no_tunnel(failure: _Failure, cause: BaseException) -> AcytooError:
    found = _TUNNEL.search(str(cause))
    status = int(found[1]) if found else 0
    if status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return proxy_credentials_error(f"The proxy {failure.proxy}")
    return APIConnectionError(
        f"The proxy {failure.proxy} refused a connection to {failure.server} (HTTP {status})",
        retryable=status in RETRYABLE_STATUSES,
    )


def _no_socks_connection(failure: _Failure, cause: BaseException) -> AcytooError:
    refused_us = type(cause).__name__ == "SOCKS5AuthError"
    hint = "put credentials into the proxy's address: socks5h://USER:PASSWORD@HOST:PORT" if refused_us else None
    return APIConnectionError(
        f"The proxy {failure.proxy} made no connection to {failure.server}: {failure.mask.quote(str(cause))}",
        retryable=not refused_us,
        hint=hint,
    )


def _not_http(failure: _Failure, cause: BaseException) -> AcytooError:
    hint = "check the scheme and the port of base_url"
    return APIConnectionError(f"{failure.peer} does not speak HTTP/1", hint=hint)


def _closed_early(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(f"{failure.peer} closed the connection before its reply was complete")


def _odd_head(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(f"{failure.peer} sent a head that is not HTTP/1: {failure.mask.quote(str(cause))}")


def _broken_early(failure: _Failure, cause: BaseException) -> AcytooError:
    return APIConnectionError(f"{failure.peer} broke the connection before its reply")


def _no_host(failure: _Failure, cause: BaseException) -> AcytooError:
    peer = failure.proxy or failure.server
    hint = failure.hint or "check base_url, or the proxy's name"
    return APIConnectionError(f"There is no host {peer.rpartition(':')[0] or peer}", hint=hint)


def _no_connection(failure: _Failure, cause: BaseException) -> AcytooError:
    systems_words = (each.strerror for each in failure.causes if isinstance(each, OSError) and each.errno)
    own_words = (str(each) for each in failure.causes if len(each.args) == 1 and isinstance(each.args[0], str))
    why = next(filter(None, systems_words), "") or next(own_words, type(cause).__name__)
    peer = failure.proxy or failure.server
    said = failure.mask.quote(why.splitlines()[0]) if why else ""
    return APIConnectionError(f"No connection to {peer}: {said}", hint=failure.hint)


# The table


# The first row that applies; so a row may take for granted that those above it do not.
_ROWS = (
    _Row(_anything, _aborted, _cancelled),
    _Row(_timeout, _at_any_time, _timed_out),
    _Row(_any_of(IncompleteBodyError), _at_any_time, _incomplete_body),
    _Row(_any_of(FramingError), _at_any_time, _broken_framing),
    _Row(_anything, _head_received, _broken_body),
    _Row(_any_of(ssl.SSLCertVerificationError), _at_any_time, _untrusted),
    _Row(_any_of(ssl.SSLError, but=(ssl.SSLEOFError, ssl.SSLZeroReturnError)), _at_any_time, _broken_tls),
    _Row(_refused_tunnel, _at_any_time, _no_tunnel),
    _Row(_no_status_line, _at_any_time, _not_http),
    _Row(_any_of(http.client.RemoteDisconnected, http.client.IncompleteRead), _at_any_time, _closed_early),
    _Row(_any_of(http.client.HTTPException), _at_any_time, _odd_head),
    _Row(_anything, _request_sent, _broken_early),
    _Row(_any_of(socket.gaierror), _at_any_time, _no_host),
    _Row(_refused_by_socks, _at_any_time, _no_socks_connection),
    _Row(_anything, _at_any_time, _no_connection),
)


# The exceptions themselves


def _scrub(cause: BaseException, mask: Mask) -> None:
    """Takes from an exception what carries the request, the proxy's password, or a socket; masks its words."""
    for name in _CARRIERS:
        if name in vars(cause):  # not a property: what that shows lives in another attribute
            setattr(cause, name, None)
    cause.args = tuple(mask(argument) if isinstance(argument, str) else argument for argument in cause.args)
    if isinstance(cause, http.client.BadStatusLine | http.client.UnknownProtocol | http.client.IncompleteRead):
        cause.args = ()  # the server's own bytes
    cause.__traceback__ = None  # its frames hold all of the above
