"""Silence, drips and floods against each of the limits, and consumers that are slower than the limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fault_server import Step, drip, fin, flood, pause, stall, unread

from acytoo_sdk import Timeout

from .case import (
    BOTH,
    CHUNKED,
    CLOSED,
    END,
    PLAIN,
    STATUS_LINE,
    Case,
    after,
    chunk,
    ended_by_total,
    head,
    timed_out,
    well,
)

LONG = b"x" * 999
_Frame = Callable[[str], bytes]
_FRAMINGS: dict[str, tuple[bytes, _Frame, bytes]] = {
    "chunked": (CHUNKED, chunk, END),
    "one chunk": (CHUNKED + b"f\r\n", str.encode, b"\r\n" + END),
    "length": (head("content-length: 15"), str.encode, b""),
    "close": (CLOSED, str.encode, b""),
}
"""The head, the bytes of a text, and the end of a reply of 15 bytes."""


def times() -> Iterator[Case]:
    yield from _before_the_body()
    yield from _dripping_bodies()
    yield from _silences()
    yield from _limits_among_others()
    yield from _unread_requests()
    yield from _slow_consumers()


def no_first_byte(name: str, *script: Step, requests: int = 3, **more: Any) -> Case:
    """The body does not begin in time, in any attempt."""
    limit = after(first_byte=0.1)
    return timed_out(
        name, *script, phase="first_byte", requests=requests, timeout=limit, hint="Timeout(first_byte", **more
    )


def no_head_within_total(name: str, *script: Step, **more: Any) -> Case:
    """The limit on everything runs out before the head is there."""
    return ended_by_total(name, *script, seconds=0.2, request_id=None, **more)


def ended_within_text(name: str, *script: Step, text: str = LONG.decode(), **more: Any) -> Case:
    """The limit on everything runs out somewhere in the text."""
    return ended_by_total(name, *script, text=text, some=True, **more)


def silent_too_long(name: str, *script: Step, text: str = "fine", **more: Any) -> Case:
    """Nothing more comes after the text."""
    return timed_out(name, *script, phase="idle", text=text, timeout=after(idle=0.15), hint="Timeout(idle", **more)


def _before_the_body() -> Iterator[Case]:
    yield no_first_byte("no head", stall, request_id=None)
    yield no_head_within_total("no head, limit on everything", stall)
    yield no_first_byte("half a head", STATUS_LINE, stall, request_id=None, over=PLAIN)
    yield no_first_byte("no body", CHUNKED, stall)
    yield no_first_byte("no body after a size line", CHUNKED + b"4\r\n", stall, over=PLAIN)
    yield no_first_byte("no body, length", head("content-length: 9"), stall, over=PLAIN)
    hints, drips = flood(b"HTTP/1.1 103 Hm\r\n\r\n"), drip(b"HTTP/1.1 200 " + LONG)
    yield no_first_byte("interim replies do not extend it", hints, request_id=None, over=PLAIN)
    yield no_first_byte("dripping status line, first_byte", drips, request_id=None, over=PLAIN)
    yield no_first_byte("dripping first size line, first_byte", CHUNKED, drip(b"4;" + LONG), over=PLAIN)
    yield no_head_within_total("dripping status line", drips)
    yield no_head_within_total("dripping header", STATUS_LINE + b"x-y: ", drip(LONG), over=PLAIN)
    yield no_head_within_total("dripping headers", STATUS_LINE, drip(b"x: y\r\n" * 99), over=PLAIN)
    yield no_head_within_total("100-Continue flood", flood(b"HTTP/1.1 100 Continue\r\n\r\n"))
    yield no_head_within_total("103 flood", flood(b"HTTP/1.1 103 Early Hints\r\n\r\n"), over=PLAIN)


def _dripping_bodies() -> Iterator[Case]:
    fine = CHUNKED + chunk("fine")
    yield ended_by_total("dripping first size line", CHUNKED, drip(b"4;" + LONG), over=PLAIN)
    yield ended_by_total("dripping size line", fine, drip(b"4;" + LONG), text="fine")
    yield ended_by_total("dripping trailer", fine + b"0\r\nx-y: ", drip(LONG), text="fine")
    yield ended_within_text("dripping body", CLOSED, drip(LONG))
    yield ended_within_text("dripping chunk", CHUNKED + b"3e7\r\n", drip(LONG))
    yield ended_within_text("dripping chunks", CHUNKED, drip(chunk("x") * 99), over=PLAIN)
    yield ended_within_text("dripping length", head("content-length: 999"), drip(LONG), over=PLAIN)
    endless = flood(b"x", 0.002)
    yield ended_within_text("text without end", CLOSED, endless, text="x" * 2**24, client={"max_reply_bytes": 2**24})


def _silences() -> Iterator[Case]:
    for framing, opened in {
        "chunked": CHUNKED + b"9\r\n",
        "length": head("content-length: 9"),
        "close": CLOSED,
    }.items():
        yield silent_too_long(f"silence after text, {framing}", opened + b"fine", stall)
        yield silent_too_long(f"silence inside a character, {framing}", opened + b"fine\xd0", stall, over=PLAIN)
        everything = f"silence, limit on everything, {framing}"
        yield ended_by_total(everything, opened + b"fine", stall, text="fine", over=PLAIN)
    fine = CHUNKED + chunk("fine")
    yield silent_too_long("silence before the last chunk", fine, stall, over=PLAIN)
    yield silent_too_long("silence inside the last chunk's line", fine + b"0", stall, over=PLAIN)
    page, notice = "<!doc", "fine\n\nYou can try"
    opened = head(kind="text/html") + page.encode()
    yield silent_too_long("silence behind what may be a page", opened, stall, text=page, over=PLAIN)
    opened = CLOSED + notice.encode()
    yield silent_too_long("silence behind what may be a notice", opened, stall, text=notice, over=PLAIN)


def _limits_among_others() -> Iterator[Case]:
    limits = Timeout(connect=10, first_byte=0.1, idle=0.1, total=10)
    yield timed_out(
        "first_byte among others", stall, phase="first_byte", requests=3, timeout=limits, request_id=None, over=PLAIN
    )
    fine = CLOSED + b"fine"
    limits = Timeout(connect=10, first_byte=10, idle=0.2, total=10)
    yield timed_out("idle among others", fine, stall, text="fine", phase="idle", timeout=limits, over=PLAIN)
    limits = Timeout(connect=10, first_byte=10, idle=2, total=0.4)
    yield timed_out("total among others", fine, stall, text="fine", phase="total", timeout=limits, over=PLAIN)
    limits = Timeout(connect=10, first_byte=0.2, idle=10, total=0.3)
    over_attempts = "limit on everything, over attempts"
    yield timed_out(over_attempts, stall, phase="total", requests=2, timeout=limits, request_id=None, over=PLAIN)
    limits = Timeout(connect=None, first_byte=None, idle=None, total=None)
    yield well("no limits", CHUNKED, pause(0.02), chunk("fine"), pause(0.02), END, timeout=limits)
    slow = CHUNKED + chunk("fi"), pause(1.1), chunk("ne") + END
    yield well("silent for longer than first_byte, after it", *slow, timeout=after(first_byte=1), over=PLAIN)


def _unread_requests() -> Iterator[Case]:
    huge = {"model": "m" * 30_000_000}
    name = "a request nobody reads"
    yield ended_by_total(name, unread, stall, requests=0, connections=1, client=huge, request_id=None)
    name = "a request nobody reads, first_byte"
    yield no_first_byte(name, unread, stall, requests=0, connections=3, client=huge, request_id=None, over=PLAIN)


def _slow_consumers() -> Iterator[Case]:
    text = "fine, and more"
    for framing, (opened, frame, end) in _FRAMINGS.items():
        over = PLAIN if framing in ("one chunk", "length") else BOTH
        sent = opened, frame("fi"), pause(0.05), frame("ne"), pause(0.05), frame(", and more")
        late = f"a consumer slower than total gets what arrived, {framing}"
        yield ended_by_total(late, *sent, stall, text=text, pause=0.5, over=over)
        idle = f"a consumer slower than idle, {framing}"
        rest, whole = ((frame("!"), end, fin), None) if framing == "close" else ((frame("!"), end), True)
        yield well(idle, *sent, *rest, text=text + "!", whole=whole, timeout=after(idle=0.3), pause=0.5, over=over)
    much = "x" * 100_000
    more = CHUNKED, chunk("fi"), pause(0.05), chunk(much)
    yield ended_by_total(
        "a consumer slower than total gets all that arrived", *more, stall, text="fi" + much, pause=0.5
    )
