"""What a case is, and the words to say one: the bytes that a server sends, and the kinds of ends that a call has.

The bytes are written out here, not taken from the package: the table is the wire's word against the client's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fault_server import Script, Step

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    RetryPolicy,
    StreamInterruptedError,
    Timeout,
    UnexpectedReplyError,
)
from acytoo_sdk.errors import Phase

RID = "req-17"
CALM = Timeout(connect=10, first_byte=10, idle=10, total=20)
"""Limits that a case which is not about time never meets, however busy the machine is."""
RETRY = RetryPolicy(attempts=3, wait_initial=0.01, wait_max=0.02, jitter=0)

Certificate = Literal["good", "unknown", "wrong host", "expired"]
Layer = Literal["tcp", "tls"]
PLAIN: tuple[Layer, ...] = ("tcp",)
TLS: tuple[Layer, ...] = ("tls",)
BOTH: tuple[Layer, ...] = (*PLAIN, *TLS)


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
    over: tuple[Layer, ...] = BOTH
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


STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = head("transfer-encoding: chunked")
CLOSED = head("connection: close")
END = b"0\r\n\r\n"
OK = CHUNKED + chunk("fine") + END
PAGE = "<!DOCTYPE html><html><head><title>Bad\n gateway</title></head><body>..."


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


def well(name: str, *script: Step, text: str = "fine", **more: Any) -> Case:
    """A reply that comes to its end."""
    return Case(name, (script,), text=text, **more)


def refused(name: str, *script: Step, error: type[AcytooError] = UnexpectedReplyError, **more: Any) -> Case:
    """An error that is not tried again."""
    return Case(name, (script,), error=error, retryable=False, **more)


def lost(
    name: str, *script: Step, error: type[AcytooError] = APIConnectionError, requests: int = 3, **more: Any
) -> Case:
    """A break before the first text: tried again, three times in all."""
    return Case(name, (script,), error=error, requests=requests, retryable=True, **more)


def broken(name: str, *script: Step, text: str, **more: Any) -> Case:
    """A break after the first text."""
    return Case(name, (script,), text=text, error=StreamInterruptedError, retryable=True, **more)


def timed_out(name: str, *script: Step, phase: Phase, **more: Any) -> Case:
    """A limit of its own ran out; `requests` depends on whether there was text."""
    return Case(name, (script,), error=APITimeoutError, facts={"phase": phase}, retryable=True, **more)


def ended_by_total(name: str, *script: Step, seconds: float = 0.4, **more: Any) -> Case:
    """The limit on everything ran out: the call is over, there is no further attempt."""
    return timed_out(name, *script, phase="total", timeout=after(seconds), hint="Timeout(total", **more)
