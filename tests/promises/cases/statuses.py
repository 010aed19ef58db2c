"""Every error status, what its body says, how long it asks to wait, what follows it, and redirects."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from fault_server import Step, drip, fin, flood, rst, stall

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ServerError,
    StreamInterruptedError,
)

from .case import CHUNKED, END, OK, PAGE, RETRY, Case, after, chunk, head, refused, sized

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


def statuses() -> Iterator[Case]:
    yield from _all()
    yield from _bodies_of(400)
    yield from _bodies_of(503)
    dripping = head("content-length: 99", status="400 No"), drip(b"out of order" * 9)
    yield with_body(400, "dripping, limit on everything", *dripping, timeout=after(0.25), says=": o")
    yield from _waits()
    yield from _sequences()
    yield refused("407", sized("", status="407 No"), error=APIConnectionError, hint="proxy")
    yield from _redirects()


def status(
    name: str,
    code: int,
    *script: Step,
    body: str | None = None,
    retry_after: float | None = None,
    requests: int | None = None,
    **more: Any,
) -> Case:
    """An error of the status' class, tried again or not, as the status says unless `requests` does."""
    again = code in _TRIED_AGAIN
    facts: dict[str, Any] = {"status_code": code, "retry_after": retry_after}
    return Case(
        name,
        (script,),
        error=_KINDS.get(code, ServerError if 500 <= code < 600 else APIStatusError),
        facts=facts if body is None else {**facts, "body": body},
        requests=requests or (3 if again else 1),
        retryable=again,
        **more,
    )


def with_body(code: int, what: str, *script: Step, **more: Any) -> Case:
    """An error status with such a body."""
    return status(f"{code}, {what}", code, *script, **more)


def asking(name: str, wait: str, *, seconds: float | None = None, requests: int = 3) -> Case:
    """A 503 whose Retry-After is `wait`, which means so many seconds, or nothing."""
    reply = sized("later", f"retry-after: {wait}", status="503 Later")
    return status(f"Retry-After: {name}", 503, reply, retry_after=seconds, requests=requests, kept=True)


def redirect(name: str, code: int, *fields: str | bytes, hint: str = "") -> Case:
    """A redirect without a body."""
    return redirect_with(name, code, head("content-length: 0", *fields, status=f"{code} There"), b"", hint=hint)


def redirect_with(name: str, code: int, *script: Step, hint: str = "") -> Case:
    """A redirect, which is an error: neither followed, nor its body read, nor tried again."""
    facts = {"status_code": code, "body": ""}
    return refused(f"redirect: {name}", *script, error=RedirectError, facts=facts, hint=hint)


def _all() -> Iterator[Case]:
    for code in _STATUSES:
        body = json.dumps({"error": {"message": f"because of {code}"}})
        reply = sized(body, status=f"{code} No", kind="application/json")
        hint = " " if code in _HINTED else ""
        yield status(f"{code}", code, reply, body=body, says=f"because of {code}", hint=hint, kept=True)


def _bodies_of(code: int) -> Iterator[Case]:
    line = f"{code} No"
    length = head("content-length: 99", status=line)
    chunked = head("transfer-encoding: chunked", status=line)

    text = "out of order"
    yield with_body(code, "text", sized(f"{text}\nreally", status=line), says=text, kept=True)
    yield with_body(code, "text without a label", sized(text, status=line, kind=None), says=text, kept=True)
    yield with_body(code, "error in a string", sized('{"error": "tired"}', status=line), says=": tired", kept=True)
    page = sized(PAGE, status=line, kind="text/html")
    yield with_body(code, "HTML", page, says="Bad gateway", body=PAGE, kept=True)
    yield with_body(code, "binary", sized(b"\x00\xff\x80", status=line), body="\x00\ufffd\ufffd", kept=True)
    packed = sized(gzip.compress(b"no"), "content-encoding: gzip", status=line)
    yield with_body(code, "compressed", packed, kept=True)
    yield with_body(code, "empty", sized("", status=line), body="", kept=True)
    yield with_body(code, "no framing", head(status=line, kind=None), fin, body="", kept=True)
    yield with_body(code, "chunked", chunked + chunk("no") + END, says=": no", kept=True)
    yield with_body(code, "huge", sized("x" * 300_000, status=line), body="x" * 65536)
    yield with_body(code, "endless", head(status=line), flood(b"x"), body="x" * 65536)
    yield with_body(code, "endless chunks", chunked, flood(chunk("x" * 90)))
    yield with_body(code, "cut", length + b"out of", fin, says="out of", body="out of")
    yield with_body(code, "reset", length + b"out of", rst, says="out of")
    yield with_body(code, "broken chunks", chunked + b"zz\r\nno", fin)
    unknown = head("transfer-encoding: gzip", status=line) + b"no"
    yield with_body(code, "unknown framing", unknown, fin, says=f"HTTP {code}")
    yield with_body(code, "two lengths", head("content-length: 2", "content-length: 3", status=line) + b"no", fin)
    silent = after(first_byte=0.08, idle=0.08)
    yield with_body(code, "stalled", length + b"out of", stall, says="out of", timeout=silent)
    yield with_body(code, "stalled before its body", length, stall, timeout=silent)
    yield with_body(code, "event stream", sized("data: {}", status=line, kind="text/event-stream"), kept=True)
    echo = sized("no key hunter2-k!", status=line)
    yield with_body(code, "secret quoted back", echo, client={"key": "hunter2-k!"}, kept=True)


def _waits() -> Iterator[Case]:
    yield asking("none at all", "0", seconds=0.0)
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
    yield asking("above the cap", "61", seconds=61.0, requests=1)
    yield asking("ten digits", "9999999999", seconds=9999999999.0, requests=1)
    yield asking("longer than the time left", "30", seconds=30.0, requests=1)
    later = (datetime.now(timezone.utc) + timedelta(days=900)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    reply = sized("later", f"retry-after: {later}", status="503 Later")
    yield Case("Retry-After: a date above the cap", ((reply,),), error=ServerError, retryable=True, kept=True)
    patient = {"retry": replace(RETRY, wait_initial=30.0, wait_max=30.0)}
    tired = sized("", status="503 No")
    yield status("503, the wait is longer than the time left", 503, tired, requests=1, client=patient, kept=True)


def _sequences() -> Iterator[Case]:
    tired, strange = (sized("", status="503 No"),), (sized("", status="401 No"),)
    yield Case("503, then 401", (tired, strange), error=AuthenticationError, requests=2, retryable=False, kept=True)
    yield Case("503, 503, then a reply", (tired, tired, (OK,)), text="fine", requests=3)
    asked = sized("", "retry-after: 0", status="429 Slow")
    yield Case("429 with Retry-After, then a reply", ((asked,), (OK,)), text="fine", requests=2)
    cut = CHUNKED + chunk("so far"), fin
    yield Case("503, then a cut", (tired, cut), text="so far", error=StreamInterruptedError, requests=2, retryable=True)
    empty = (sized(""),)
    yield Case("empty, dropped, then a reply", (empty, (fin,), (OK,)), text="fine", requests=3)
    wrong = (sized("", status="400 No"),)
    yield Case("dropped, then 400", ((fin,), wrong), error=BadRequestError, requests=2, kept=True)


def _redirects() -> Iterator[Case]:
    for code in (300, 301, 302, 303, 304, 305, 307, 308, 399):
        yield redirect(f"{code}", code, "location: /elsewhere", hint="/elsewhere")
    yield redirect("to itself", 307, "location: /api/completions", hint="/api/completions")
    yield redirect("to another origin", 308, "location: https://evil.example/x", hint="https://evil.example/x")
    yield redirect("to http", 307, "location: http://127.0.0.1:9/x", hint="http://127.0.0.1:9/x")
    yield redirect("without Location", 307)
    yield redirect("a broken Location", 302, "location: http://[::1", hint="http://[::1")
    yield redirect("a Location of bytes", 302, b"location: \xff\xfe")
    yield redirect("a Location that colours terminals", 302, b"location: http://a/\x1b[31m", hint="\\x1b[31m")
    moved = "301 There"
    yield redirect_with("an endless body", 307, head("location: /x", status="307 There"), flood(b"x"))
    yield redirect_with("a body that stalls", 301, head("location: /x", "content-length: 9", status=moved), stall)
    gzipped = head("location: /x", "transfer-encoding: gzip", status=moved)
    yield redirect_with("an unknown framing", 301, gzipped, b"x", fin)
