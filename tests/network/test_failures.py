"""What the network stack's exceptions mean, row by row and without a socket, and what does not travel with them."""

from __future__ import annotations

import http.client
import pickle
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
import socks

from acytoo_sdk import AcytooError, APIConnectionError, APITimeoutError, InvalidRequestError, Timeout
from acytoo_sdk._network.failures import default_host_hint, origin, translate
from acytoo_sdk._network.limits import Limits
from acytoo_sdk._network.sockets import SocketScope
from acytoo_sdk._secrets import Mask
from acytoo_sdk._wire.framing import FramingError, IncompleteBodyError

URL = "https://chat.example:8443/api/completions"
PROXY = "http://user:hunter2@proxy.example:3128"

Stage = Callable[[SocketScope], None]


def connecting(scope: SocketScope) -> None:
    """No connection yet."""


def sent(scope: SocketScope) -> None:
    scope.request_sent()


def reading(scope: SocketScope) -> None:
    scope.request_sent()
    scope.head_received = True
    scope.limits.body_received()


def aborted(scope: SocketScope) -> None:
    reading(scope)
    scope.aborted = True


@dataclass(frozen=True)
class Row:
    """What came out of the stack at a stage, and the error it is."""

    name: str
    error: Exception
    stage: Stage
    says: str
    retryable: bool = True
    hint: str | None = None
    kind: type[AcytooError] = APIConnectionError
    phase: str | None = None
    proxy: str = ""
    url: str = URL
    timed_out: bool = False


def wrapped(root: BaseException) -> Exception:
    """As requests and urllib3 wrap it: in an argument, a reason and a cause."""
    inner = RuntimeError("urllib3 says", root)
    outer = RuntimeError("requests says")
    outer.__cause__ = inner
    return outer


def certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL] no")
    error.reason = reason
    return error


def rows() -> Iterator[Row]:
    reset = ConnectionResetError(104, "Connection reset by peer")
    yield Row("aborted", wrapped(reset), aborted, "The call was cancelled", retryable=False)
    yield Row("aborted beats a limit", wrapped(TimeoutError()), aborted, "The call was cancelled", retryable=False)
    for stage, phase, words in (
        (connecting, "connect", "no connection within the connect limit"),
        (sent, "first_byte", "no byte of the reply within the first_byte limit"),
        (reading, "idle", "silent for longer than the idle limit"),
    ):
        hint = f"Timeout({phase}=...) sets the limit"
        says = f"chat.example:8443: {words}"
        yield Row(phase, wrapped(TimeoutError()), stage, says, hint=hint, kind=APITimeoutError, phase=phase)
    yield Row(
        "a timeout by the stack's word alone",
        RuntimeError("late"),
        sent,
        "first_byte limit",
        hint="Timeout(first_byte=...) sets the limit",
        kind=APITimeoutError,
        phase="first_byte",
        timed_out=True,
    )
    cut = IncompleteBodyError("before the last chunk")
    yield Row("cut", wrapped(cut), reading, "chat.example:8443: the connection ended before the reply did")
    framing = FramingError("a chunk's size is not a number")
    yield Row("framing", wrapped(framing), reading, "chat.example:8443 broke the framing of its reply: a chunk")
    yield Row("in the body", wrapped(reset), reading, "chat.example:8443 broke the connection")
    yield Row("TLS in the body", wrapped(tls("BAD_MAC")), reading, "chat.example:8443 broke the connection")
    trust = "pass verify='/path/of/your/ca.pem' for an authority of your own"
    says = "The certificate of chat.example:8443 is not to be trusted: self-signed certificate"
    yield Row("untrusted", wrapped(certificate()), connecting, says, retryable=False, hint=trust)
    https = "does it speak https at this port?"
    says = "TLS with chat.example:8443 failed: wrong version number"
    yield Row("TLS", wrapped(tls("WRONG_VERSION_NUMBER")), connecting, says, retryable=False, hint=https)
    yield Row("TLS, cut", wrapped(ssl.SSLEOFError(8, "EOF")), connecting, "No connection to chat.example:8443: EOF")
    tunnel = OSError("Tunnel connection failed: 407 Proxy Authentication Required")
    credentials = "put them into the proxy's address: http://USER:PASSWORD@HOST:PORT"
    says = "The proxy proxy.example:3128 asks for credentials (HTTP 407)"
    yield Row("407", wrapped(tunnel), connecting, says, retryable=False, hint=credentials, proxy=PROXY)
    for status, again in ((403, False), (503, True)):
        tunnel = OSError(f"Tunnel connection failed: {status} No")
        says = f"The proxy proxy.example:3128 refused a connection to chat.example:8443 (HTTP {status})"
        yield Row(f"tunnel {status}", wrapped(tunnel), connecting, says, retryable=again, proxy=PROXY)
    scheme = "check the scheme and the port of base_url"
    says = "chat.example:8443 does not speak HTTP/1"
    yield Row("garbage", wrapped(http.client.BadStatusLine("\x00\x01")), sent, says, hint=scheme)
    yield Row("HTTP/2", wrapped(http.client.UnknownProtocol("HTTP/2.0")), sent, says, hint=scheme)
    early = "chat.example:8443 closed the connection before its reply was complete"
    yield Row("closed", wrapped(http.client.RemoteDisconnected("gone")), sent, early)
    yield Row("incomplete", wrapped(http.client.IncompleteRead(b"x")), sent, early)
    odd = "chat.example:8443 sent a head that is not HTTP/1: malformed header"
    yield Row("odd head", wrapped(http.client.HTTPException("malformed header")), sent, odd)
    yield Row("before the reply", wrapped(reset), sent, "chat.example:8443 broke the connection before its reply")
    through = "the proxy proxy.example:3128 of chat.example:8443 broke the connection before its reply"
    yield Row("before the reply, by a proxy", wrapped(reset), sent, through, proxy=PROXY)
    socks_proxy = "socks5h://user:hunter2@proxy.example:1080"
    says = "The proxy proxy.example:1080 made no connection to chat.example:8443: "
    for said, error in (
        ("SOCKS5 proxy server sent invalid data", socks.GeneralProxyError("SOCKS5 proxy server sent invalid data")),
        ("0x05: Connection refused", socks.SOCKS5Error("0x05: Connection refused")),
        (r"\x1b[31m***", socks.SOCKS4Error("\x1b[31mhunter2\nmore")),
    ):
        wrapping = socks.GeneralProxyError("Socket error", error)
        yield Row(f"SOCKS, {said}", wrapped(wrapping), connecting, says + said, proxy=socks_proxy)
    refused_us = socks.SOCKS5AuthError("SOCKS5 authentication failed")
    says += "SOCKS5 authentication failed"
    hint = "put credentials into the proxy's address: socks5h://USER:PASSWORD@HOST:PORT"
    yield Row(
        "SOCKS, credentials", wrapped(refused_us), connecting, says, retryable=False, hint=hint, proxy=socks_proxy
    )
    away = socks.ProxyConnectionError("Error connecting to SOCKS5 proxy", ConnectionRefusedError(111, "Refused"))
    says = "No connection to proxy.example:1080: Refused"
    yield Row("SOCKS, refused", wrapped(away), connecting, says, proxy=socks_proxy)
    unknown = socket.gaierror(-2, "Name or service not known")
    check = "check base_url, or the proxy's name"
    yield Row("no host", wrapped(unknown), connecting, "There is no host chat.example", hint=check)
    yield Row("no proxy", wrapped(unknown), connecting, "There is no host proxy.example", hint=check, proxy=PROXY)
    dead = "this public host no longer answers: pass the base_url of a server of yours"
    public = "https://chat.acytoo.com/api/completions"
    yield Row("the default host", wrapped(unknown), connecting, "There is no host", hint=dead, url=public)
    refused = ConnectionRefusedError(111, "Connection refused")
    says = "No connection to chat.example:8443: Connection refused"
    yield Row("refused", wrapped(refused), connecting, says)
    yield Row("words alone", OSError("what\nelse"), connecting, "No connection to chat.example:8443: what")
    yield Row("no words", OSError(), connecting, "No connection to chat.example:8443: OSError")


ROWS = list(rows())


def translated(row: Row, mask: Mask | None = None) -> AcytooError:
    scope = SocketScope(Limits(Timeout(), None))
    row.stage(scope)
    error = translate(row.error, scope, url=row.url, proxy=row.proxy, mask=mask or Mask(), timed_out=row.timed_out)
    assert isinstance(error, AcytooError)
    return error


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_failure_is_its_error(row: Row) -> None:
    error = translated(row, Mask(["hunter2"]))

    assert type(error) is row.kind
    assert row.says in str(error)
    assert (error.retryable, error.hint) == (row.retryable, row.hint)
    assert getattr(error, "phase", None) == row.phase
    assert error.__cause__ is row.error


def test_an_error_of_this_package_comes_out_as_itself() -> None:
    own = InvalidRequestError("verify names no bundle")
    scope = SocketScope(Limits(Timeout(), None))

    assert translate(own, scope, url=URL, proxy="", mask=Mask(), timed_out=False) is own


def test_the_limit_on_everything_is_told_where_it_ran_out() -> None:
    scope = SocketScope(Limits(Timeout(), deadline=0.0))
    with pytest.raises(TimeoutError) as late:
        scope.time_left()
    error = translate(late.value, scope, url=URL, proxy="", mask=Mask(), timed_out=False)

    assert isinstance(error, APITimeoutError)
    assert error.phase == "total"


def test_no_exception_of_the_chain_keeps_what_carries_secrets() -> None:
    root = ConnectionResetError("hunter2 was refused")
    middle = http.client.HTTPException("pool says", root)
    for name in ("request", "response", "pool", "conn", "url"):
        setattr(middle, name, f"hunter2 in {name}")
    outer = requests.RequestException("requests says hunter2")
    outer.__context__ = middle
    with pytest.raises(requests.RequestException):
        raise outer
    error = translated(Row("", outer, connecting, ""), Mask(["hunter2"]))

    assert outer.args == ("requests says ***",)
    assert root.args == ("*** was refused",)
    assert [value for value in vars(middle).values() if value is not None] == []
    assert outer.__traceback__ is None
    assert b"hunter2" not in pickle.dumps((error, outer, middle, root))


def test_the_servers_own_bytes_are_dropped() -> None:
    garbage = http.client.BadStatusLine("\x1b[31m<garbage>")
    translated(Row("", wrapped(garbage), sent, ""))

    assert garbage.args == ()
    assert "garbage" not in repr(vars(garbage))


def test_an_origin_holds_no_credentials() -> None:
    assert origin(PROXY) == "proxy.example:3128"
    assert origin(URL) == "chat.example:8443"
    assert origin("") == ""


def test_only_the_default_host_has_its_hint() -> None:
    assert default_host_hint("https://chat.acytoo.com/api") is not None
    assert default_host_hint("https://chat.example/api") is None
