"""The table of faults: what a server does, and what a call of ours must make of it. Data only; `test_faults` runs it.

The bytes are written out here, not taken from the package: the table is the wire's word against the client's.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from fault_server import Script, bye, drip, fin, flood, pause, raw, rst, stall, unread

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    DecodeError,
    EmptyReplyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ReplyTooLargeError,
    RetryPolicy,
    ServerError,
    StreamInterruptedError,
    Timeout,
    UnexpectedReplyError,
)

RID = "req-17"
CALM = Timeout(connect=10, first_byte=10, idle=10, total=20)
"""Limits that a case which is not about time never meets, however busy the machine is."""
RETRY = RetryPolicy(attempts=3, wait_initial=0.01, wait_max=0.02, jitter=0)

Certificate = Literal["good", "unknown", "wrong host", "expired"]


@dataclass(frozen=True)
class Case:
    """What a server does, and what comes of it.

    Attributes:
        name: the promise.
        scripts: one for each request, the last one for all that follow.
        text: what is delivered; where `some`, the beginning of it.
        error: how it ends; None: well.
        requests: how many the server reads; None: as many as fit into the time.
        connections: how many it accepts; None: does not matter.
        retryable: what the error says; None: what its class and status say.
        facts: further attributes of the error.
        whole: what a stream that ended well says.
        says: in the error's message.
        hint: in the error's hint; "" where none is asked for.
        request_id: what the error says; None where no head arrived.
        kept: the reply was read to its end and the connection may live on, although it is an error.
        some: a prefix of the text is enough; how much came is a matter of time.
        timeout: the limits.
        pause: of the consumer, after the first piece.
        client: further arguments of the client.
        over: which connections the case makes sense on.
        certificate: what the server shows, over TLS.
    """

    name: str
    scripts: tuple[Script, ...]
    text: str = ""
    error: type[AcytooError] | None = None
    requests: int | None = 1
    connections: int | None = None
    retryable: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    whole: bool | None = True
    says: str = ""
    hint: str = ""
    request_id: str | None = RID
    kept: bool = False
    some: bool = False
    timeout: Timeout = CALM
    pause: float = 0.0
    client: Mapping[str, Any] = field(default_factory=dict)
    over: tuple[Literal["tcp", "tls"], ...] = ("tcp", "tls")
    certificate: Certificate = "good"


# Replies


def head(*fields: str | bytes, status: str = "200 OK", kind: str | None = "text/plain", version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status}", f"x-request-id: {RID}", *fields]
    if kind is not None:
        lines.append(f"content-type: {kind}")
    return b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines) + b"\r\n"


def data(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def chunk(text: str | bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data(text)), data(text))


CHUNKED = head("transfer-encoding: chunked")
CLOSED = head("connection: close")
END = b"0\r\n\r\n"
OK = CHUNKED + chunk("fine") + END


def chunked(
    *pieces: str | bytes, end: bytes = END, kind: str | None = "text/plain", fields: Sequence[str] = ()
) -> bytes:
    return head("transfer-encoding: chunked", *fields, kind=kind) + b"".join(map(chunk, pieces)) + end


def sized(body: str | bytes, *fields: str | bytes, status: str = "200 OK", kind: str | None = "text/plain") -> bytes:
    return head(f"content-length: {len(data(body))}", *fields, status=status, kind=kind) + data(body)


def after(seconds: float = 0, **limits: float | None) -> Timeout:
    """Calm limits but for those named; a bare number is the limit on everything."""
    return replace(CALM, **({"total": seconds} if seconds else {}), **limits)


# The kinds of outcomes


def well(name: str, *script: Any, text: str = "fine", **more: Any) -> Case:
    return Case(name, (script,), text=text, **more)


def refused(name: str, *script: Any, error: type[AcytooError] = UnexpectedReplyError, **more: Any) -> Case:
    """An error that is not tried again."""
    return Case(name, (script,), error=error, retryable=more.pop("retryable", False), **more)


def lost(name: str, *script: Any, error: type[AcytooError] = APIConnectionError, **more: Any) -> Case:
    """A break before the first text: tried again, three times in all."""
    return Case(name, (script,), **{"error": error, "requests": 3, "retryable": True, **more})


def broken(name: str, *script: Any, text: str, **more: Any) -> Case:
    """A break after the first text."""
    return Case(name, (script,), text=text, **{"error": StreamInterruptedError, "retryable": True, **more})


def timed_out(name: str, *script: Any, phase: str, **more: Any) -> Case:
    """A limit of its own ran out; `requests` depends on whether there was text."""
    return Case(name, (script,), **{"error": APITimeoutError, "facts": {"phase": phase}, "retryable": True, **more})


# Connecting


def connecting() -> Iterator[Case]:
    raws: dict[str, Any] = {"requests": 0, "connections": 3, "request_id": None}
    yield lost("accept, then close", raw, fin, **raws)
    yield lost("accept, then reset", raw, rst, **raws)
    yield lost("closed as the request arrives", fin, connections=3, request_id=None)
    yield lost("reset as the request arrives", rst, connections=3, request_id=None)
    yield Case("dropped once, then answered", ((fin,), (OK,)), text="fine", requests=2, connections=2)
    yield Case("reset twice, then answered", ((rst,), (rst,), (OK,)), text="fine", requests=3, connections=3)
    tls: dict[str, Any] = {"over": ("tls",), "error": APIConnectionError, "requests": 0, "connections": 1}
    tls["request_id"] = None
    yield refused("TLS: unknown authority", OK, **tls, certificate="unknown", says="not to be trusted", hint="verify=")
    yield refused("TLS: wrong host", OK, **tls, certificate="wrong host", says="not to be trusted")
    yield refused("TLS: expired", OK, **tls, certificate="expired", says="expired")
    alert = b"\x15\x03\x01\x00\x02\x02\x28"
    yield refused("TLS: alert", raw, alert, fin, **tls, says="TLS with")
    yield refused("TLS: garbage", raw, b"\x00\xff garbage \r\n\r\n" * 9, fin, **tls, says="TLS with")
    yield refused("TLS: plain HTTP instead", raw, OK, fin, **tls, says="TLS with", hint="https")
    short = after(connect=0.1)
    stalled: dict[str, Any] = {
        **raws,
        "over": ("tls",),
        "phase": "connect",
        "timeout": short,
        "hint": "Timeout(connect",
    }
    yield timed_out("TLS: silent handshake", raw, stall, **stalled)
    yield timed_out("TLS: handshake stalls half-way", raw, b"\x16\x03\x03\x00\x7a\x02\x00", stall, **stalled)
    yield timed_out(
        "TLS: dripping handshake", raw, drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xff" + bytes(999)), **stalled
    )
    total: dict[str, Any] = {
        **stalled,
        "connections": 1,
        "phase": "total",
        "timeout": after(0.2),
        "hint": "Timeout(total",
    }
    yield timed_out("TLS: silent handshake, limit on everything", raw, stall, **total)


# Heads


def heads() -> Iterator[Case]:
    def odd(name: str, *script: Any, **more: Any) -> Case:
        return lost(name, *script, **{"request_id": None, **more})

    line = b"HTTP/1.1 200 OK\r\n"
    yield odd("FIN inside the status line", b"HTTP/1.1 20", fin)
    yield odd("FIN after the status", b"HTTP/1.1 200", fin)
    yield odd("RST inside the status line", b"HTTP/1.1 2", rst)
    yield odd("FIN after the status line", line, fin)
    yield odd("FIN inside a header", line + b"content-le", fin)
    yield odd("FIN between headers", line + b"content-length: 4\r\n", fin)
    yield odd("FIN before the empty line is whole", line + b"content-length: 4\r\n\r", fin)
    yield odd("RST inside the headers", line + b"content-length: 4\r\nx-", rst)
    yield odd("garbage", b"\x00\x01\xfe\xffgarbage\r\n\r\n", fin, says="does not speak HTTP")
    yield odd("garbage without a line end", b"\x00\x01\xfe\xff" * 99, fin)
    yield odd("HTTP/0.9", b"<p>Hello, I am text</p>\n", fin, says="does not speak HTTP")
    yield odd("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", fin, says="does not speak HTTP")
    yield odd("HTTP/2 frames", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), fin)
    yield odd("HTTP/2 status line", b"HTTP/2.0 200 OK\r\n\r\n", fin)
    yield odd("an escape sequence as the version", b"HTTP/9\x1b[31m 200 OK\r\n\r\n", fin)
    yield odd("TLS alert in plain", b"\x15\x03\x01\x00\x02\x02\x28", fin, over=("tcp",))
    yield odd("status 000", b"HTTP/1.1 000 Zero\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("status 1000", b"HTTP/1.1 1000 Much\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("status 99", b"HTTP/1.1 99 Few\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("negative status", b"HTTP/1.1 -200 Less\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("status in words", b"HTTP/1.1 OK 200\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("status line too long", b"HTTP/1.1 200 " + b"x" * 70000 + b"\r\n\r\n", fin)
    yield odd("status line without end", b"HTTP/1.1 200 ", flood(b"x"))
    yield odd("header too long", line + b"x-long: " + b"x" * 70000 + b"\r\n\r\n", fin)
    yield odd("header without end", line + b"x-long: ", flood(b"x"))
    yield odd("too many headers", line + b"".join(b"x-%d: y\r\n" % n for n in range(150)) + b"\r\n", fin)
    yield odd("headers without end", line, flood(b"x-more: y\r\n"))
    yield odd("blank in a header's name", line + b"bad name: x\r\ncontent-length: 4\r\n\r\nfine", fin, says="malformed")
    yield odd("blank before the colon", line + b"transfer-encoding : chunked\r\n\r\n" + chunk("fine") + END, fin)
    yield odd("header without a colon", line + b"no colon here\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("header without a name", line + b": x\r\ncontent-length: 4\r\n\r\nfine", fin)
    yield odd("a first header that is folded", line + b" content-length: 4\r\n\r\nfine", fin)
    folded = head("transfer-encoding:\r\n chunked") + chunk("fine") + END
    yield well("folded Transfer-Encoding", folded)
    yield well("folded Content-Length", head("content-length:\r\n\t4") + b"fine")
    yield well("names in capitals", b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n" + chunk("fine") + END)
    yield well("no reason phrase", b"HTTP/1.1 200\r\ncontent-length: 4\r\n\r\nfine")
    yield well("bare line feeds", b"HTTP/1.1 200 OK\ncontent-length: 4\n\nfine")
    yield well("latin-1 in a header", sized("fine", b"x-caf\x65: \xe9\xff"))
    yield well("head byte by byte", drip(OK[:60], 0.001), OK[60:])
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    yield well("100 before the reply", go_on, OK)
    yield well("102 before the reply", b"HTTP/1.1 102 Processing\r\n\r\n", OK)
    yield well("103 before the reply", early, OK)
    yield well("103 with a length before the reply", b"HTTP/1.1 103 Hm\r\ncontent-length: 9\r\n\r\n" + OK)
    yield well("many interim replies of all kinds", (go_on + early) * 50, pause(0.02), early, OK)
    yield odd("FIN after an interim reply", early, fin)
    yield odd("FIN inside an interim reply", early[:-2], fin)
    yield odd("malformed status after an interim reply", early, b"HTTP/1.1 1000 Much\r\n\r\n", fin)
    yield refused("101", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n", fin, request_id=None, says="101")
    yield refused(
        "status 999", sized("no", status="999 Odd"), error=APIStatusError, facts={"status_code": 999}, kept=True
    )


# Statuses

_KINDS: dict[int, type[AcytooError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: BadRequestError,
    429: RateLimitError,
}
_TRIED_AGAIN = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
_STATUSES = (*_TRIED_AGAIN, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 418, 422, 451, 501, 505, 525, 599, 600)
_HINTED = (401, 404, 413, 429)
_PAGE = "<!DOCTYPE html><html><head><title>Bad\n gateway</title></head><body>..."


def statuses() -> Iterator[Case]:
    def status(name: str, code: int, *script: Any, **more: Any) -> Case:
        kind = _KINDS.get(code, ServerError if 500 <= code < 600 else APIStatusError)
        facts = {"status_code": code, "retry_after": None, **more.pop("facts", {})}
        again = code in _TRIED_AGAIN
        named = {"error": kind, "facts": facts, "requests": 3 if again else 1, "retryable": again, **more}
        return Case(name, (script,), **named)

    for code in _STATUSES:
        body = json.dumps({"error": {"message": f"because of {code}"}})
        reply = sized(body, status=f"{code} No", kind="application/json")
        hint = " " if code in _HINTED else ""
        yield status(f"{code}", code, reply, facts={"body": body}, says=f"because of {code}", hint=hint, kept=True)

    for code in (400, 503):
        line = f"{code} No"

        def so(what: str, *script: Any, code: int = code, **more: Any) -> Case:
            return status(f"{code}, {what}", code, *script, **more)

        yield so("text", sized("out of order\nreally", status=line), says="out of order", kept=True)
        yield so("text without a label", sized("out of order", status=line, kind=None), says="out of order", kept=True)
        yield so("error in a string", sized('{"error": "tired"}', status=line), says=": tired", kept=True)
        yield so(
            "HTML", sized(_PAGE, status=line, kind="text/html"), says="Bad gateway", facts={"body": _PAGE}, kept=True
        )
        yield so("binary", sized(b"\x00\xff\x80", status=line), facts={"body": "\x00\ufffd\ufffd"}, kept=True)
        yield so("compressed", sized(gzip.compress(b"no"), "content-encoding: gzip", status=line), kept=True)
        yield so("empty", sized("", status=line), facts={"body": ""}, kept=True)
        yield so("no framing", head(status=line, kind=None), fin, facts={"body": ""}, kept=True)
        yield so("chunked", head("transfer-encoding: chunked", status=line) + chunk("no") + END, says=": no", kept=True)
        yield so("huge", sized("x" * 300_000, status=line), facts={"body": "x" * 65536})
        yield so("endless", head(status=line), flood(b"x"), facts={"body": "x" * 65536})
        yield so("endless chunks", head("transfer-encoding: chunked", status=line), flood(chunk("x" * 90)))
        yield so(
            "cut", head("content-length: 99", status=line) + b"out of", fin, says="out of", facts={"body": "out of"}
        )
        yield so("reset", head("content-length: 99", status=line) + b"out of", rst, says="out of")
        yield so("broken chunks", head("transfer-encoding: chunked", status=line) + b"zz\r\nno", fin)
        yield so("unknown framing", head("transfer-encoding: gzip", status=line) + b"no", fin, says="HTTP " + str(code))
        yield so("two lengths", head("content-length: 2", "content-length: 3", status=line) + b"no", fin)
        silent = after(first_byte=0.08, idle=0.08)
        yield so("stalled", head("content-length: 99", status=line) + b"out of", stall, says="out of", timeout=silent)
        yield so("stalled before its body", head("content-length: 99", status=line), stall, timeout=silent)
        yield so("event stream", sized("data: {}", status=line, kind="text/event-stream"), kept=True)
        yield so("secret quoted back", sized("no key hunter2-k!", status=line), client={"key": "hunter2-k!"}, kept=True)
    dripping = head("content-length: 99", status="400 No"), drip(b"out of order" * 9)
    yield status("400, dripping, limit on everything", 400, *dripping, timeout=after(0.25), says=": o")

    def asking(name: str, wait: str, seconds: float | None = None, requests: int = 3, **more: Any) -> Case:
        reply = sized("later", f"retry-after: {wait}", status="503 Later")
        facts = {"retry_after": seconds}
        return status(f"Retry-After: {name}", 503, reply, facts=facts, requests=requests, kept=True, **more)

    yield asking("none at all", "0", 0.0)
    yield asking("in the past", "Wed, 21 Oct 2015 07:28:00 GMT")
    yield asking("negative", "-5")
    yield asking("a fraction", "0.5")
    yield asking("nan", "nan")
    yield asking("inf", "inf")
    yield asking("1e999", "1e999")
    yield asking("20 digits", "9" * 20)
    yield asking("empty", "")
    yield asking("garbage", "soon \x7f;")
    yield asking("other digits", "\u0663")
    yield asking("a date that is none", "Wed, 99 Oct 2099 99:28:00 GMT")
    yield asking("two of them", "1\r\nretry-after: 2")
    yield asking("above the cap", "61", 61.0, 1)
    yield asking("ten digits", "9999999999", 9999999999.0, 1)
    yield asking("longer than the time left", "30", 30.0, 1)
    later = (datetime.now(timezone.utc) + timedelta(days=900)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    reply = sized("later", f"retry-after: {later}", status="503 Later")
    yield Case("Retry-After: a date above the cap", ((reply,),), error=ServerError, retryable=True, kept=True)
    slow = {"retry": replace(RETRY, wait_initial=30.0, wait_max=30.0)}
    yield status(
        "503, the wait is longer than the time left",
        503,
        sized("", status="503 No"),
        requests=1,
        client=slow,
        kept=True,
    )

    tired, strange = (sized("", status="503 No"),), (sized("", status="401 No"),)
    yield Case("503, then 401", (tired, strange), error=AuthenticationError, requests=2, retryable=False, kept=True)
    yield Case("503, 503, then a reply", (tired, tired, (OK,)), text="fine", requests=3)
    asked = sized("", "retry-after: 0", status="429 Slow")
    yield Case("429 with Retry-After, then a reply", ((asked,), (OK,)), text="fine", requests=2)
    cut = CHUNKED + chunk("so far"), fin
    yield Case("503, then a cut", (tired, cut), text="so far", error=StreamInterruptedError, requests=2, retryable=True)
    empty = (sized(""),)
    yield Case("empty, dropped, then a reply", (empty, (fin,), (OK,)), text="fine", requests=3)
    yield Case(
        "dropped, then 400", ((fin,), (sized("", status="400 No"),)), error=BadRequestError, requests=2, kept=True
    )
    yield refused("407", sized("", status="407 No"), error=APIConnectionError, hint="proxy")

    def redirect(name: str, code: int, *fields: str | bytes, body: Any = (b"",), hint: str = "") -> Case:
        facts = {"status_code": code, "body": ""}
        script = (
            head("content-length: 0", *fields, status=f"{code} There")
            if body == (b"",)
            else head(*fields, status=f"{code} There")
        )
        return refused(f"redirect: {name}", script, *body, error=RedirectError, facts=facts, hint=hint)

    for code in (300, 301, 302, 303, 304, 305, 307, 308, 399):
        yield redirect(f"{code}", code, "location: /elsewhere", hint="/elsewhere")
    yield redirect("to itself", 307, "location: /api/completions", hint="/api/completions")
    yield redirect("to another origin", 308, "location: https://evil.example/x", hint="https://evil.example/x")
    yield redirect("to http", 307, "location: http://127.0.0.1:9/x", hint="http://127.0.0.1:9/x")
    yield redirect("without Location", 307)
    yield redirect("a broken Location", 302, "location: http://[::1", hint="http://[::1")
    yield redirect("a Location of bytes", 302, b"location: \xff\xfe")
    yield redirect("a Location that colours terminals", 302, b"location: http://a/\x1b[31m", hint="\\x1b[31m")
    yield redirect("an endless body", 307, "location: /x", body=(flood(b"x"),))
    yield redirect("a body that stalls", 301, "location: /x", "content-length: 9", body=(stall,))
    yield redirect("an unknown framing", 301, "location: /x", "transfer-encoding: gzip", body=(b"x", fin))


# Bodies


def bodies() -> Iterator[Case]:
    text = "Привет, как дела?"
    raw_text = text.encode()
    yield well("chunked", chunked(*text), text=text)
    yield well("one chunk, dribbled", CHUNKED + b"1e\r\n", drip(raw_text, 0.001), b"\r\n" + END, text=text)
    yield well("Content-Length", sized(text), text=text)
    yield well("Content-Length, dribbled", head("content-length: 30"), drip(raw_text, 0.001), text=text)
    yield well("close", CLOSED + raw_text, fin, text=text, whole=None)
    yield well("close, dribbled", CLOSED, drip(raw_text, 0.001), fin, text=text, whole=None)
    yield well("close with close_notify", CLOSED + raw_text, bye, text=text, whole=None)
    yield well("close without saying so", head() + raw_text, fin, text=text, whole=None)
    yield well("HTTP/1.0", head(version="1.0") + raw_text, fin, text=text, whole=None)
    yield well("HTTP/1.0 with a length", head("content-length: 30", version="1.0") + raw_text, fin, text=text)
    yield well(
        "chunked, then close", head("transfer-encoding: chunked", "connection: close") + chunk("fine") + END, fin
    )
    yield well("chunk extensions", CHUNKED + b'4;a=b;c="d"\r\nfine\r\n0;x\r\n\r\n')
    yield well("sizes in capitals with zeros", CHUNKED + b"000A\r\n0123456789\r\n000\r\n\r\n", text="0123456789")
    yield well("trailers", CHUNKED + chunk("fine") + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n")
    yield well("trailers byte by byte", CHUNKED + chunk("fine"), drip(b"0\r\nx-sum: 1\r\n\r\n", 0.001))
    yield well("chunks byte by byte", CHUNKED, drip(chunk("fi") + chunk("ne") + END, 0.001))
    yield well("FIN after the last chunk's line", CHUNKED + chunk("fine") + b"0\r\n", fin)
    yield well("FIN inside the trailers", CHUNKED + chunk("fine") + b"0\r\nx-su", fin)
    yield well("a long body", sized(text * 20_000), text=text * 20_000)
    yield well("many small chunks", chunked(*"x" * 5000), text="x" * 5000)
    yield well("201", sized("fine", status="201 Created"))
    yield well("206", sized("fine", status="206 Partial Content"))
    yield well("Content-Length too short", head("content-length: 4") + b"fine, and then some")
    yield well("the same Content-Length twice", head("content-length: 4", "content-length: 4") + b"fine")
    yield well("the same Content-Length in one line", head("content-length: 4, 4") + b"fine")
    yield well(
        "Content-Length together with chunked",
        head("content-length: 2", "transfer-encoding: chunked") + chunk("fine") + END,
    )
    yield well("surplus after the last chunk", OK + b"and more")
    yield well("an unasked second reply", OK + sized("POISON"))
    yield well("Connection: upgrade", chunked("fine", fields=["connection: upgrade, keep-alive"]))

    for name, end in (("FIN", fin), ("RST", rst)):
        yield lost(f"{name} after the head, chunked", CHUNKED, end)
        yield lost(f"{name} in the first size line", CHUNKED + b"1", end)
        yield lost(f"{name} after the first size line", CHUNKED + b"4\r\n", end)
        yield lost(f"{name} after the head, length", head("content-length: 4"), end)
        yield broken(f"{name} inside a chunk", CHUNKED + b"9\r\nfin", end, text="fin")
        yield broken(f"{name} before the chunk's CRLF", CHUNKED + b"4\r\nfine", end, text="fine")
        yield broken(f"{name} inside the chunk's CRLF", CHUNKED + b"4\r\nfine\r", end, text="fine")
        yield broken(f"{name} between chunks", CHUNKED + chunk("fine"), end, text="fine")
        yield broken(f"{name} in the next size line", CHUNKED + chunk("fine") + b"1", end, text="fine")
        yield broken(f"{name} in the last size line", CHUNKED + chunk("fine") + b"0", end, text="fine")
        yield broken(f"{name} before the length", head("content-length: 9") + b"fine", end, text="fine")
        yield broken(f"{name} inside a character", head("content-length: 9") + b"fine\xd0", end, text="fine")
        yield lost(f"{name} inside the first character", head("content-length: 9") + b"\xf0\x9f", end)
        yield broken(f"{name} later on", CHUNKED + chunk("fi"), pause(0.02), chunk("ne"), pause(0.02), end, text="fine")
    yield broken("RST where the end is the end", CLOSED + b"fine", pause(0.05), rst, text="fine")
    yield broken("close inside a character", CLOSED + b"fine\xd0", fin, text="fine")
    yield lost("close inside the first character", CLOSED + b"\xd0", fin, kept=True)
    yield broken("cut with close_notify", CHUNKED + chunk("fine"), bye, text="fine")
    yield broken("chunked ends inside a character", chunked("fine", b"\xd0"), text="fine", kept=True)
    yield broken("a length that ends inside a character", sized(b"fine\xf0\x9f\xa6"), text="fine", kept=True)

    for name, value in {
        "negative": "-4",
        "with a plus": "+4",
        "not a number": "xyz",
        "hexadecimal": "0x4",
        "a fraction": "4.0",
        "endless": "9" * 30,
        "other digits": "\u0664",
        "empty": "",
        "two in one line": "4, 5",
    }.items():
        yield refused(f"Content-Length {name}", head(f"content-length: {value}") + b"fine", fin, says="framing")
    yield refused("two Content-Lengths", head("content-length: 4", "content-length: 3") + b"fine", fin, says="framing")
    for coding in (
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "xchunked",
        "",
        "chunked;q=1",
    ):
        framed = head(f"transfer-encoding: {coding}") + chunk("fine") + END
        yield refused(f"Transfer-Encoding: {coding or 'empty'}", framed, fin, says="framing")
    twice = head("transfer-encoding: chunked", "transfer-encoding: chunked") + chunk("fine") + END
    yield refused("Transfer-Encoding twice", twice, fin, says="framing")

    for name, line in {
        "negative": b"-4\r\nfine\r\n0\r\n\r\n",
        "not hexadecimal": b"zz\r\nfine\r\n0\r\n\r\n",
        "with a prefix": b"0x4\r\nfine\r\n0\r\n\r\n",
        "empty": b"\r\nfine\r\n0\r\n\r\n",
        "of seventeen digits": b"f" * 17 + b"\r\nfine",
        "without a line end": b"4" * 5000,
        "with a blank before it": b" 4\r\nfine\r\n0\r\n\r\n",
        "negative zero": b"-0\r\n\r\n",
    }.items():
        yield lost(f"first chunk size {name}", CHUNKED + line, fin, says="framing")
        if name != "without a line end":
            yield broken(f"later chunk size {name}", CHUNKED + chunk("fine") + line, fin, text="fine", says="framing")
    yield broken(
        "a framing fault is told at once", CHUNKED + chunk("fine") + b"zz\r\n", stall, text="fine", says="framing"
    )
    yield broken("huge chunk size", CHUNKED + b"7fffffffffffffff\r\nfine", fin, text="fine")
    yield broken(
        "a chunk longer than its size", CHUNKED + b"4\r\nfineXX\r\n0\r\n\r\n", fin, text="fine", says="framing"
    )
    yield broken("trailers without end", CHUNKED + chunk("fine") + b"0\r\n", flood(b"x-more: y\r\n"), text="fine")
    yield broken("a trailer without end", CHUNKED + chunk("fine") + b"0\r\n", flood(b"x"), text="fine")
    yield refused(
        "endless body",
        CLOSED,
        flood(b"x"),
        text="x" * 100_000,
        error=ReplyTooLargeError,
        client={"max_reply_bytes": 100_000},
        hint="max_reply_bytes",
    )
    yield refused(
        "endless chunks",
        CHUNKED,
        flood(chunk("x" * 9)),
        text="x" * 100_000,
        error=ReplyTooLargeError,
        client={"max_reply_bytes": 100_000},
    )
    yield refused(
        "too long inside a character",
        sized("ш" * 9),
        text="ш" * 2,
        error=ReplyTooLargeError,
        client={"max_reply_bytes": 5},
    )


# Texts


def texts() -> Iterator[Case]:
    fox = "Жж€🦊e\u0301"
    for at in range(1, len(fox.encode())):
        yield well(f"split after byte {at}", chunked(fox.encode()[:at], fox.encode()[at:]), text=fox)
    yield well("every byte a chunk", chunked(*(bytes((byte,)) for byte in fox.encode())), text=fox)
    for name, bad in {
        "invalid": b"\xff\xfe",
        "a lone continuation": b"\x80",
        "overlong": b"\xc0\xaf",
        "overlong, three bytes": b"\xe0\x80\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "a character that goes wrong": b"\xe2\x82\x28",
        "five bytes": b"\xf8\x88\x80\x80\x80",
    }.items():
        yield refused(f"UTF-8, {name}", chunked("ок", bad + b"more"), text="ок", error=DecodeError)
        yield refused(f"UTF-8, {name} at the start", sized(bad), error=DecodeError)
        yield refused(f"UTF-8, {name} in one piece", sized("fine ☃".encode() + bad), text="fine ☃", error=DecodeError)
    yield well("BOM", sized(b"\xef\xbb\xbffine"))
    yield well("BOM in parts", chunked(b"\xef", b"\xbb", b"\xbff", "ine"))
    yield well("BOM in the middle", sized("fi\ufeffne"), text="fi\ufeffne")
    yield lost("BOM alone", sized(b"\xef\xbb\xbf"), error=EmptyReplyError, kept=True)
    yield broken("part of a BOM after text", CLOSED + b"fine\xef\xbb", fin, text="fine")
    yield well(
        "control characters",
        sized("\x00a\x1b[31m\x07\x7f\x9b\u202eb\u2066\r\n"),
        text="\x00a\x1b[31m\x07\x7f\x9b\u202eb\u2066\r\n",
    )
    yield well("replacement characters of its own", sized("\ufffd"), text="\ufffd")
    yield well("blanks only", chunked(" ", "\n", "\t"), text=" \n\t")
    yield well("one line end", sized("\n"), text="\n")
    yield well("labelled latin-1, is UTF-8", sized("é", kind="text/plain; charset=iso-8859-1"), text="é")
    yield well("labelled nonsense", sized("é", kind="text/plain; charset=bogus-9"), text="é")
    yield well("no label", sized("é", kind=None), text="é")
    yield well("binary label", sized("é", kind="application/octet-stream"), text="é")
    yield refused(
        "latin-1", sized(b"caf\xe9 noir", kind="text/plain; charset=iso-8859-1"), text="caf", error=DecodeError
    )
    yield refused("UTF-16", sized("hi".encode("utf-16"), kind="text/plain; charset=utf-16"), error=DecodeError)
    yield refused("an image", sized(b"\x89PNG\r\n\x1a\n" + bytes(40), kind="image/png"), error=DecodeError)
    page = f"\n\n {_PAGE}"
    yield refused(
        "page", sized(page, kind="text/html"), says="Bad gateway", facts={"body": page}, hint="browser", kept=True
    )
    yield refused("page in parts", chunked(*page, kind="text/html; charset=utf-8"), says="Bad gateway", kept=True)
    yield refused("page without a label", sized(page, kind=None), kept=True)
    yield refused("page in capitals", sized("<HTML><BODY>no", kind="TEXT/HTML"), kept=True)
    yield refused("endless page", head(kind="text/html"), b"<html>", flood(b"x"), says="web page")
    yield refused(
        "cut page", head("content-length: 999", kind="text/html") + b"<html><title>Hm</title>", fin, says="Hm"
    )
    yield refused("challenge", sized("Just a moment", "cf-mitigated: challenge"), says="Just a moment", kept=True)
    yield refused(
        "stalled challenge",
        head("cf-mitigated: challenge", "content-length: 9") + b"Hm",
        stall,
        timeout=after(idle=0.15),
        says="Hm",
    )
    yield well("a page as plain text", sized(_PAGE), text=_PAGE)
    yield well("text labelled as a page", sized("<b>fine</b>", kind="text/html"), text="<b>fine</b>")
    yield well("nearly a page", chunked("<!doc", "uments>", kind="text/html"), text="<!documents>")
    yield broken(
        "cut where it may be a page", head("content-length: 9", kind="text/html") + b"<!doc", fin, text="<!doc"
    )
    mistake = '{"error": {"message": "no \\u043a\\u043b\\u044e\\u0447"}}'
    yield refused(
        "JSON error", sized(mistake, kind="application/json"), says="no ключ", facts={"body": mistake}, kept=True
    )
    yield refused(
        "JSON error in parts", chunked(*mistake, kind="application/json; charset=utf-8"), says="no ключ", kept=True
    )
    yield refused("JSON error, a string", sized('{"error": "tired"}', kind="application/json"), says="tired", kept=True)
    yield well("JSON error that is null", sized('{"error": null}', kind="application/json"), text='{"error": null}')
    yield well("JSON without error", sized('{"a": [1]}', kind="application/json"), text='{"a": [1]}')
    yield well("JSON that is none", sized("{fine", kind="application/json"), text="{fine")
    yield well("JSON error as plain text", sized(mistake), text=mistake)
    yield broken("cut JSON", head("content-length: 99", kind="application/json") + b'{"error"', fin, text='{"error"')
    yield refused("event stream", sized("data: {}\n\n", kind="text/event-stream; charset=utf-8"), hint="protocol")
    yield refused("endless event stream", head(kind="text/event-stream"), flood(b"data: {}\n\n"))
    yield lost("empty, length", sized(""), error=EmptyReplyError, kept=True, hint="later")
    yield lost("empty, chunked", chunked(), error=EmptyReplyError, kept=True)
    yield lost("empty, close", CLOSED, fin, error=EmptyReplyError)
    yield lost("empty, 204", head(status="204 None"), error=EmptyReplyError, kept=True)
    yield lost(
        "204 that has a length",
        head("content-length: 4", status="204 None") + b"fine",
        error=EmptyReplyError,
        kept=True,
    )
    yield lost("empty, no label", sized("", kind=None), error=EmptyReplyError, kept=True)
    packed = gzip.compress(b"fine" * 99)
    for coding in ("gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "unknown"):
        yield refused(
            f"Content-Encoding: {coding}",
            sized(packed, f"content-encoding: {coding}"),
            says="compressed",
            hint="accept-encoding",
        )
    yield refused("gzip without a label", sized(packed), error=DecodeError, text="\x1f")
    yield refused("deflate without a label", sized(zlib.compress(b"fine" * 99)), error=DecodeError, text="x")
    yield refused("a gzip bomb", head("content-encoding: gzip"), flood(gzip.compress(bytes(10**6))))
    yield well("Content-Encoding: identity", sized("fine", "content-encoding: identity"))
    yield well("Content-Encoding empty", sized("fine", "content-encoding:"))


# Time


def times() -> Iterator[Case]:
    first, idle, total, roomy = after(first_byte=0.1), after(idle=0.15), after(0.2), after(0.4)
    none: dict[str, Any] = {"request_id": None}
    tcp: dict[str, Any] = {"over": ("tcp",)}
    late: dict[str, Any] = {"phase": "first_byte", "requests": 3, "timeout": first, "hint": "Timeout(first_byte"}
    early: dict[str, Any] = {"phase": "total", "timeout": total, "hint": "Timeout(total"}
    ends: dict[str, Any] = {"phase": "total", "timeout": roomy, "hint": "Timeout(total"}
    hung: dict[str, Any] = {"phase": "idle", "timeout": idle, "hint": "Timeout(idle"}
    line = b"HTTP/1.1 200 OK\r\n"
    long = b"x" * 999

    yield timed_out("no head", stall, **late, **none)
    yield timed_out("no head, limit on everything", stall, **early, **none)
    yield timed_out("half a head", line, stall, **late, **none, **tcp)
    yield timed_out("no body", CHUNKED, stall, **late)
    yield timed_out("no body after a size line", CHUNKED + b"4\r\n", stall, **late, **tcp)
    yield timed_out("no body, length", head("content-length: 9"), stall, **late, **tcp)
    yield timed_out("interim replies do not extend it", flood(b"HTTP/1.1 103 Hm\r\n\r\n"), **late, **none, **tcp)
    yield timed_out("dripping status line, first_byte", drip(b"HTTP/1.1 200 " + long), **late, **none, **tcp)
    yield timed_out("dripping first size line, first_byte", CHUNKED, drip(b"4;" + long), **late, **tcp)
    yield timed_out("dripping status line", drip(b"HTTP/1.1 200 " + long), **early, **none)
    yield timed_out("dripping header", line + b"x-y: ", drip(long), **early, **none, **tcp)
    yield timed_out("dripping headers", line, drip(b"x: y\r\n" * 99), **early, **none, **tcp)
    yield timed_out("100-Continue flood", flood(b"HTTP/1.1 100 Continue\r\n\r\n"), **early, **none)
    yield timed_out("103 flood", flood(b"HTTP/1.1 103 Early Hints\r\n\r\n"), **early, **none, **tcp)
    yield timed_out("dripping first size line", CHUNKED, drip(b"4;" + long), **ends, **tcp)
    yield timed_out("dripping size line", CHUNKED + chunk("fine"), drip(b"4;" + long), text="fine", **ends)
    yield timed_out("dripping trailer", CHUNKED + chunk("fine") + b"0\r\nx-y: ", drip(long), text="fine", **ends)
    some: dict[str, Any] = {"text": "x" * 999, "some": True, **ends}
    yield timed_out("dripping body", CLOSED, drip(long), **some)
    yield timed_out("dripping chunk", CHUNKED + b"3e7\r\n", drip(long), **some)
    yield timed_out("dripping chunks", CHUNKED, drip(chunk("x") * 99), **some, **tcp)
    yield timed_out("dripping length", head("content-length: 999"), drip(long), **some, **tcp)
    yield timed_out(
        "text without end",
        CLOSED,
        flood(b"x", 0.002),
        **{**some, "text": "x" * 2**24},
        client={"max_reply_bytes": 2**24},
    )
    for framing, opened in {
        "chunked": CHUNKED + b"9\r\n",
        "length": head("content-length: 9"),
        "close": CLOSED,
    }.items():
        yield timed_out(f"silence after text, {framing}", opened + b"fine", stall, text="fine", **hung)
        yield timed_out(
            f"silence inside a character, {framing}", opened + b"fine\xd0", stall, text="fine", **hung, **tcp
        )
        yield timed_out(f"silence, limit on everything, {framing}", opened + b"fine", stall, text="fine", **ends, **tcp)
    yield timed_out("silence before the last chunk", CHUNKED + chunk("fine"), stall, text="fine", **hung, **tcp)
    yield timed_out(
        "silence inside the last chunk's line", CHUNKED + chunk("fine") + b"0", stall, text="fine", **hung, **tcp
    )
    page, notice = "<!doc", "fine\n\nYou can try"
    yield timed_out(
        "silence behind what may be a page", head(kind="text/html") + page.encode(), stall, text=page, **hung, **tcp
    )
    yield timed_out("silence behind what may be a notice", CLOSED + notice.encode(), stall, text=notice, **hung, **tcp)
    both = Timeout(connect=10, first_byte=0.1, idle=0.1, total=10)
    yield timed_out("first_byte among others", stall, phase="first_byte", requests=3, timeout=both, **none, **tcp)
    both = Timeout(connect=10, first_byte=10, idle=0.2, total=10)
    yield timed_out("idle among others", CLOSED + b"fine", stall, text="fine", phase="idle", timeout=both, **tcp)
    both = Timeout(connect=10, first_byte=10, idle=2, total=0.4)
    yield timed_out("total among others", CLOSED + b"fine", stall, text="fine", phase="total", timeout=both, **tcp)
    attempts = Timeout(connect=10, first_byte=0.2, idle=10, total=0.3)
    yield timed_out(
        "limit on everything, over attempts", stall, phase="total", requests=2, timeout=attempts, **none, **tcp
    )
    no_limits: dict[str, Any] = {"timeout": Timeout(connect=None, first_byte=None, idle=None, total=None)}
    yield well("no limits", CHUNKED, pause(0.02), chunk("fine"), pause(0.02), END, **no_limits)
    slow = CHUNKED + chunk("fi"), pause(1.1), chunk("ne") + END
    yield well("silent for longer than first_byte, after it", *slow, timeout=after(first_byte=1), **tcp)
    unsent: dict[str, Any] = {"requests": 0, "client": {"model": "m" * 30_000_000}, **none}
    yield timed_out("a request nobody reads", unread, stall, **{**ends, "connections": 1, **unsent})
    yield timed_out("a request nobody reads, first_byte", unread, stall, **{**late, "connections": 3, **unsent, **tcp})

    for framing, (opened, frame, end) in _FRAMINGS.items():
        script = (opened, frame("fi"), pause(0.05), frame("ne"), pause(0.05), frame(", and more"))
        arrived: dict[str, Any] = {"text": "fine, and more", "pause": 0.5}
        arrived |= tcp if framing in ("one chunk", "length") else {}
        yield timed_out(f"a consumer slower than total gets what arrived, {framing}", *script, stall, **arrived, **ends)
        arrived["text"] += "!"
        rest = (frame("!"), end, *[fin] * (framing == "close"))
        whole = None if framing == "close" else True
        yield well(
            f"a consumer slower than idle, {framing}", *script, *rest, timeout=after(idle=0.3), whole=whole, **arrived
        )
    much = "x" * 100_000
    more = CHUNKED, chunk("fi"), pause(0.05), chunk(much), stall
    yield timed_out("a consumer slower than total gets all that arrived", *more, text="fi" + much, pause=0.5, **ends)


_Frame = Callable[[str], bytes]
_FRAMINGS: dict[str, tuple[bytes, _Frame, bytes]] = {
    "chunked": (CHUNKED, chunk, END),
    "one chunk": (CHUNKED + b"f\r\n", str.encode, b"\r\n" + END),
    "length": (head("content-length: 15"), str.encode, b""),
    "close": (CLOSED, str.encode, b""),
}

CASES = [*connecting(), *heads(), *statuses(), *bodies(), *texts(), *times()]
