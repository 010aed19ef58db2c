"""Failures: what an exception of the network stack means in our tree, and what must not travel with it.

The stack's exceptions differ by where a fault happened to surface, so the meaning is taken from the root of their chain
and from how far the exchange got.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from ._exchange import Exchange
from ._secrets import Mask
from ._wire.framing import FramingError
from .errors import AcytooError, APIConnectionError, APITimeoutError, Phase
from .protocol import DEFAULT_BASE_URL, RETRYABLE_STATUSES, proxy_credentials_error

_PHASES: dict[Phase, str] = {
    "connect": "no connection within the connect limit",
    "first_byte": "no byte of the reply within the first_byte limit",
    "idle": "silent for longer than the idle limit",
    "total": "the total limit ran out",
}
_CARRIERS = ("request", "response", "url", "pool", "conn", "line", "partial", "version", "_message")


def translate(
    error: Exception, exchange: Exchange, *, url: str, proxy: str, mask: Mask, timed_out: bool
) -> AcytooError:
    """The error of our tree that an exception stands for, with the exception, scrubbed, as its cause.

    Args:
        error: what came out of the stack.
        exchange: how far the exchange got.
        url: where the request was to go.
        proxy: the proxy it was to go through, "" for none.
        mask: applied to the exception's own words.
        timed_out: the stack calls it a timeout, whatever its root.
    """
    if isinstance(error, AcytooError):
        return error
    causes = list(_chain(error))
    translated = _meaning(causes, exchange, _place(url), _place(proxy), url, timed_out)
    for cause in causes:
        _scrub(cause, mask)
    translated.__cause__ = error
    return translated


def _meaning(
    causes: list[BaseException], exchange: Exchange, server: str, proxy: str, url: str, timed_out: bool
) -> AcytooError:
    def found(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    peer = f"the proxy {proxy} of {server}" if proxy else server
    if exchange.aborted:
        return APIConnectionError("The call was cancelled", retryable=False)
    if timed_out or found(TimeoutError):
        phase = exchange.expired or exchange.phase
        return APITimeoutError(f"{peer}: {_PHASES[phase]}", phase=phase, hint=f"Timeout({phase}=...) sets the limit")
    if isinstance(framing := found(FramingError), FramingError):
        return APIConnectionError(f"{server} broke the framing of its reply: {framing}")
    if exchange.sent and exchange.reply is not None:
        return APIConnectionError(f"{server} broke the connection")
    if isinstance(tls := found(ssl.SSLError), ssl.SSLError) and not isinstance(
        tls, ssl.SSLEOFError | ssl.SSLZeroReturnError
    ):
        return _tls_error(tls, server)
    refusal = re.search(
        r"Tunnel connection failed: ([0-9]{3})", " ".join(str(cause) for cause in causes if type(cause) is OSError)
    )
    if refusal:
        return _tunnel_error(int(refusal[1]), proxy, server)
    if found(http.client.BadStatusLine, http.client.UnknownProtocol) and not found(http.client.RemoteDisconnected):
        return APIConnectionError(f"{peer} does not speak HTTP/1", hint="check the scheme and the port of base_url")
    if found(http.client.RemoteDisconnected, http.client.IncompleteRead):
        return APIConnectionError(f"{peer} closed the connection before its reply was complete")
    if isinstance(odd := found(http.client.HTTPException), http.client.HTTPException):
        return APIConnectionError(f"{peer} sent a head that is not HTTP/1: {odd}")
    if exchange.sent:
        return APIConnectionError(f"{peer} broke the connection before its reply")
    return _connect_error(causes, found(socket.gaierror), proxy or server, url)


def _connect_error(causes: list[BaseException], unknown: BaseException | None, peer: str, url: str) -> AcytooError:
    gone = (
        "this public host no longer answers: pass the base_url of a server of yours"
        if url.startswith(DEFAULT_BASE_URL)
        else None
    )
    if unknown is not None:
        return APIConnectionError(
            f"There is no host {peer.rpartition(':')[0] or peer}", hint=gone or "check base_url, or the proxy's name"
        )
    why = next(
        (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno and cause.strerror), ""
    )
    if not why:
        why = next(
            (str(cause) for cause in causes if len(cause.args) == 1 and isinstance(cause.args[0], str)),
            type(causes[0]).__name__,
        )
    return APIConnectionError(f"No connection to {peer}: {why.splitlines()[0] if why else ''}", hint=gone)


def _tls_error(error: ssl.SSLError, server: str) -> AcytooError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return APIConnectionError(
            f"The certificate of {server} is not to be trusted: {error.verify_message}",
            retryable=False,
            hint="pass verify='/path/of/your/ca.pem' for an authority of your own",
        )
    reason = (error.reason or "unknown").replace("_", " ").lower()
    return APIConnectionError(
        f"TLS with {server} failed: {reason}", retryable=False, hint="does it speak https at this port?"
    )


def _tunnel_error(status: int, proxy: str, server: str) -> AcytooError:
    if status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return proxy_credentials_error(f"The proxy {proxy}")
    return APIConnectionError(
        f"The proxy {proxy} refused a connection to {server} (HTTP {status})", retryable=status in RETRYABLE_STATUSES
    )


def _place(url: str) -> str:
    """Host and port of an address, never its credentials."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that can be reached from it: causes, contexts, arguments, reasons."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        reached = (
            *cause.args,
            cause.__cause__,
            cause.__context__,
            *vars(cause).values(),
            getattr(cause, "reason", None),
        )
        waiting += [one for one in reached if isinstance(one, BaseException)]


def _scrub(cause: BaseException, mask: Mask) -> None:
    """Takes from an exception what carries the request, the proxy's password, or a socket; masks its words."""
    for name in _CARRIERS:
        if name in vars(cause):  # not a property: what that shows lives in another attribute
            setattr(cause, name, None)
    cause.args = tuple(mask(argument) if isinstance(argument, str) else argument for argument in cause.args)
    if isinstance(cause, http.client.BadStatusLine | http.client.UnknownProtocol | http.client.IncompleteRead):
        cause.args = ()  # the server's own bytes
    cause.__traceback__ = None  # its frames hold all of the above
