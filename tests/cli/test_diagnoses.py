"""What the doctor concludes, without a server: whether a reply streams, and what to do about each failure."""

from __future__ import annotations

import socket
import ssl

import pytest

from acytoo_sdk.cli.examining.cases import Case
from acytoo_sdk.cli.examining.diagnoses import judge_arrival, mend_of
from acytoo_sdk.cli.examining.probes import ProbeError, certificate_of, duration
from acytoo_sdk.errors import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    Phase,
    RateLimitError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamInterruptedError,
    UnexpectedReplyError,
)

SPREAD = [0.5 + 0.05 * number for number in range(40)]


@pytest.mark.parametrize(
    ("arrivals", "judgement"),
    [
        pytest.param(SPREAD, "streams", id="pieces over the time of the reply"),
        pytest.param([0.2, 2.0], "streams", id="two pieces"),
        pytest.param([5.0, 5.1, 5.3, 5.6], "streams", id="a model that was loaded first, and then streams"),
        pytest.param([0.1, 0.11, 0.12, 5.0], "streams", id="a long pause in the middle"),
        pytest.param([2.0 + 0.0001 * number for number in range(40)], "buffered", id="all at the end"),
        pytest.param([0.1, *(2.0 + 0.0001 * number for number in range(39))], "buffered", id="all but a greeting"),
        pytest.param([9.99, 10.0], "buffered", id="two at the end"),
        pytest.param([0.001 * number for number in range(40)], "fast", id="over in 40 ms"),
        pytest.param([0.0499, 0.05], "fast", id="over in 50 ms"),
        pytest.param([0.0499, 0.0501], "buffered", id="a little later, that says something"),
        pytest.param([0.01], "whole", id="one piece"),
        pytest.param([7.0], "whole", id="one piece, late"),
    ],
)
def test_whether_a_reply_streams_is_told_by_when_its_pieces_arrive(arrivals: list[float], judgement: str) -> None:
    assert judge_arrival(arrivals) == judgement


@pytest.mark.parametrize("factor", [0.5, 3.0, 100.0])
def test_a_slow_machine_is_judged_as_a_fast_one(factor: float) -> None:
    """But for what is over at once, the measure is the reply's own time."""
    for arrivals in (SPREAD, [1.0, 1.001, 1.002], [0.2, 2.0]):
        assert judge_arrival([factor * arrival for arrival in arrivals]) == judge_arrival(arrivals)


def caused(cause: BaseException, error: BaseException | None = None) -> BaseException:
    error = ProbeError("seen") if error is None else error
    error.__cause__ = cause
    return error


def untrusted(code: int) -> BaseException:
    error = ssl.SSLCertVerificationError("refused")
    error.verify_code = code
    return caused(error)


def refused_by(
    kind: type[APIStatusError], status: int, *, wait: float | None = None, body: str = "", **headers: str
) -> AcytooError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return kind("refused", status_code=status, retry_after=wait, body=body, headers=named)


def limit(phase: Phase) -> AcytooError:
    return APITimeoutError("silent", phase=phase)


def case(error: BaseException, step: str = "reply", **more: object) -> Case:
    return Case(error, step, **more)  # type: ignore[arg-type]


FAR = {"base_url": "https://chat.example.com"}
PROXY = {"proxy": "proxy.example:3128", **FAR}
NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
REFUSED = ConnectionRefusedError(111, "Connection refused")
PAGE = "<!DOCTYPE html><html><title>Welcome</title>"


@pytest.mark.parametrize(
    ("failure", "mend"),
    [
        # Settings
        (case(InvalidRequestError("no server: pass"), "server"), "`acytoo serve` starts one"),
        (case(InvalidRequestError("verify names no bundle"), "TLS"), "--ca takes a file of certificates in PEM"),
        (case(InvalidRequestError("--ca names no file or folder"), "server"), "--ca takes a file of certificates"),
        (case(InvalidRequestError("socks", hint="pip install it"), "proxy"), "pip install it"),
        (case(InvalidRequestError("temperature"), "server"), "mend what it names"),
        # The way there
        (case(caused(NO_NAME), "name", **PROXY), "check the proxy's name: see --proxy, the settings"),
        (case(caused(REFUSED), "connection", **PROXY), "is the proxy proxy.example:3128 running"),
        (case(caused(NO_NAME), "name", base_url="https://chat.acytoo.com"), "this public host no longer answers"),
        (case(caused(REFUSED), "connection", base_url="https://chat.acytoo.com"), "this public host no longer"),
        (
            case(caused(socket.gaierror(socket.EAI_AGAIN, "again")), "name", **FAR),
            "no name server answers: is this machine online?",
        ),
        (case(caused(TimeoutError()), "name", **FAR), "no name server answers: is this machine online, is a VPN"),
        (case(caused(NO_NAME), "name", **FAR), "check the name for a slip"),
        (
            case(caused(REFUSED), "connection"),
            "nothing listens on 127.0.0.1:8000: start a server with `acytoo serve`",
        ),
        (
            case(caused(REFUSED), "connection", base_url="http://localhost:81"),
            "start a server with `acytoo serve --port 81`",
        ),
        (case(caused(REFUSED), "connection", base_url="http://[::1]:8000"), "`acytoo serve --host ::1`"),
        (
            case(caused(REFUSED), "connection", base_url="https://localhost"),
            "`acytoo serve --port 443 --tls-cert FILE`",
        ),
        (case(caused(REFUSED), "connection", **FAR), "nothing listens on chat.example.com:443: is the server running"),
        (case(caused(TimeoutError()), "connection", **FAR), "drops what is sent to chat.example.com:443: a firewall"),
        (case(caused(OSError(101, "unreachable")), "connection", **FAR), "there is no way to chat.example.com:443"),
        # TLS
        (case(untrusted(10), "TLS", **FAR), "renew the certificate on the server"),
        (case(untrusted(9), "TLS", **FAR), "set the clock of this machine"),
        (
            case(untrusted(62), "TLS", base_url="https://a.example:8443", names=("*.example.net", "b.example")),
            "ask by a name that the certificate has: https://b.example:8443",
        ),
        (case(untrusted(64), "TLS", names=("::1",), base_url="https://127.0.0.1"), "has: https://[::1]"),
        (case(untrusted(62), "TLS", **FAR), "have the server show a certificate for chat.example.com"),
        (case(untrusted(62), "TLS", names=("*.example",), **FAR), "have the server show a certificate for"),
        (case(untrusted(18), "TLS", **FAR), "name its authority: --ca FILE"),
        (case(untrusted(20), "reply", **PROXY), "name its authority: --ca FILE"),
        (
            case(caused(ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"))),
            "it wants a certificate of yours",
        ),
        (
            case(caused(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), "TLS", **FAR),
            "chat.example.com:443 speaks plain http: --base-url http://chat.example.com",
        ),
        (
            case(caused(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), **PROXY),
            "is it https that is spoken at chat.example.com:443, and by the proxy proxy.example:3128?",
        ),
        (
            case(caused(ConnectionResetError()), "TLS", **FAR),
            "does chat.example.com:443 speak https? If not: --base-url http://",
        ),
        (
            case(APIConnectionError("broke"), speaks_tls=True, base_url="http://127.0.0.1:8443"),
            "127.0.0.1:8443 speaks https: --base-url https://127.0.0.1:8443",
        ),
        (
            case(refused_by(BadRequestError, 400, body="The plain HTTP request was sent to HTTPS port")),
            "ask it by https: https://127.0.0.1:8000",
        ),
        # Proxies
        (
            case(APIConnectionError("The proxy p asks for credentials (HTTP 407)"), **PROXY),
            "http://USER:PASSWORD@HOST:PORT",
        ),
        (
            case(APIConnectionError("The proxy p refused a connection to q (HTTP 403)"), **PROXY),
            "let chat.example.com:443 through; if none is needed to get there: NO_PROXY=chat.example.com",
        ),
        (case(APIConnectionError("The proxy p made no connection to q"), **PROXY), "have the proxy let"),
        # Limits
        (case(limit("connect"), **PROXY), "does the proxy proxy.example:3128 reach chat.example.com:443?"),
        (case(limit("connect")), "it took longer than the limit on connecting"),
        (case(limit("first_byte")), "it takes the question and then is silent"),
        (case(limit("idle")), "it began and then fell silent"),
        (case(limit("total")), "--timeout SECONDS"),
        # Statuses
        (case(refused_by(PermissionDeniedError, 403, cf_mitigated="challenge")), "asks browsers to prove themselves"),
        (case(refused_by(ServerError, 503, body="<title>Just a moment...")), "asks browsers to prove themselves"),
        (
            case(UnexpectedReplyError("page", body=PAGE), headers=(("cf-mitigated", "challenge"),)),
            "asks browsers to prove",
        ),
        (case(refused_by(AuthenticationError, 401)), "`acytoo config set key`, or the variable ACYTOO_KEY"),
        (case(refused_by(PermissionDeniedError, 403)), "`acytoo config set key`"),
        (case(refused_by(PermissionDeniedError, 403), **PROXY), "or it is the proxy proxy.example:3128 that refuses"),
        (
            case(refused_by(NotFoundError, 404), base_url="http://h/api/completions"),
            "the address holds the path already: --base-url http://h",
        ),
        (case(refused_by(NotFoundError, 404)), "nothing is served at /api/completions: name the path with --path"),
        (
            case(refused_by(NotFoundError, 404), base_url="http://h/v1"),
            "`acytoo serve --upstream http://h/v1` in front",
        ),
        (case(refused_by(APIStatusError, 405)), "/api/completions takes no POST"),
        (case(refused_by(APIStatusError, 408)), "try again"),
        (case(refused_by(APIStatusError, 413)), "this server takes hardly any text"),
        (case(refused_by(BadRequestError, 400)), "--payload ai-sdk or prompt"),
        (case(refused_by(BadRequestError, 422)), "--payload ai-sdk or prompt"),
        (case(refused_by(RateLimitError, 429, wait=7.0)), "wait 7 s, then ask again"),
        (case(refused_by(RateLimitError, 429)), "wait a while"),
        (
            case(refused_by(RedirectError, 308, location="https://u:p@new.example/api/completions")),
            "if you trust it: --base-url https://new.example",
        ),
        (case(refused_by(RedirectError, 302, location="/login?next=/")), "it leads to /login, maybe a page to log in"),
        (case(refused_by(RedirectError, 304)), "documentation says of this status"),
        (case(refused_by(ServerError, 502), **PROXY), "and whether proxy.example:3128 reaches it"),
        (case(refused_by(ServerError, 503)), "no server behind it, or an overloaded one"),
        (case(refused_by(ServerError, 522)), "does not reach the server behind it"),
        (case(refused_by(ServerError, 500)), "the server failed: see its log"),
        (case(refused_by(APIStatusError, 418)), "documentation says of this status"),
        # Replies
        (case(DecodeError("no text"), "text"), "the server must send UTF-8"),
        (case(EmptyReplyError("empty"), "text", model="m-1"), "does it know the model m-1? Another: -m NAME"),
        (case(ReplyTooLargeError("long"), "text"), "does it ever end?"),
        (case(UnexpectedReplyError("x"), headers=(("content-encoding", "gzip"),)), "not compress this endpoint"),
        (
            case(
                UnexpectedReplyError("x"),
                headers=(("content-type", "text/event-stream; charset=utf-8"),),
                base_url="http://127.0.0.1:11434",
                path="/v1/chat/completions",
            ),
            "event stream: put `acytoo serve --upstream http://127.0.0.1:11434/v1` in front of it",
        ),
        (
            case(UnexpectedReplyError("x"), headers=(("content-type", "text/event-stream"),)),
            "event stream: put `acytoo serve --upstream URL` in front of it",
        ),
        (case(UnexpectedReplyError("x", body=PAGE), **FAR), "is https://chat.example.com a web site?"),
        (case(UnexpectedReplyError("x", body="no such model"), model="m"), "is the model m known there?"),
        (
            case(UnexpectedReplyError("x"), headers=(("content-type", "application/json"),)),
            "see the server's log, and its",
        ),
        (case(UnexpectedReplyError("x")), "send plain text in chunks"),
        (case(StreamInterruptedError("cut"), "end"), "does something between end replies early"),
        (case(APIConnectionError("h does not speak HTTP/1")), "is it another service that listens on 127.0.0.1:8000?"),
        (case(APIConnectionError("h closed")), "it took the question and hung up"),
        (case(ClientClosedError("closed")), "see the server's log"),
    ],
)
def test_each_failure_has_its_mend(failure: Case, mend: str) -> None:
    assert mend in mend_of(failure)


def test_a_mend_quotes_what_the_server_said_and_obeys_none_of_it() -> None:
    moved = refused_by(RedirectError, 307, location="https://h/{0.error}\x1b[2J" + "x" * 500)
    mend = mend_of(case(moved))
    assert "{0.error}\\x1b[2J" in mend
    assert len(mend) < 300


def test_a_certificate_is_read_in_short() -> None:
    certificate = certificate_of(
        {
            "subject": ((("countryName", "DE"),), (("commonName", "h.example"),)),
            "issuer": ((("organizationName", "O"),), (("commonName", "CA"),)),
            "subjectAltName": (("DNS", "h.example"), ("URI", "spiffe://x"), ("IP Address", "127.0.0.1")),
            "notBefore": "Jan  1 00:00:00 1970 GMT",
            "notAfter": "Jan  2 00:00:00 1970 GMT",
        }
    )
    assert (certificate.subject, certificate.issuer) == ("h.example", "CA, O")
    assert certificate.names == ("h.example", "127.0.0.1")
    assert (certificate.begins, certificate.ends) == (0, 86400)


def test_times_are_told_as_people_read_them() -> None:
    assert [duration(seconds) for seconds in (0.00031, 0.25, 12.6)] == ["0.3 ms", "0.25 s", "13 s"]
