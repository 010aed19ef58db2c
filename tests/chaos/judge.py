"""The judge: what may become of a stream, and what may be left of a round."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    AsyncClient,
    AsyncStream,
    Client,
    Stream,
    StreamInterruptedError,
    UnexpectedReplyError,
)

from .plan import reply_to

HARM = (APIConnectionError, APIStatusError, UnexpectedReplyError, StreamInterruptedError)
"""What the replies of a server that goes wrong may end in."""

_LONGEST = 3000  # characters of what is told
_PATIENCE = 12.0  # seconds until a stream that is read must end, and what was let go must be gone


@dataclass
class Reading:
    """One stream, of either kind, and what may become of it.

    Attributes:
        question: what is asked.
        allowed: the errors it may end in.
        stream: None before it is made, and after it was dropped.
        pieces: what it handed out.
        finished: its end came.
        may_be_short: somebody may close or drop it, so that its end comes early or never.
        began: when, on the monotonic clock.
        may_be_cut: its end may come early where the framing cannot tell.
    """

    question: str
    allowed: tuple[type[AcytooError], ...] = ()
    stream: Any = None
    pieces: list[str] = field(default_factory=list)
    finished: bool = False
    may_be_short: bool = False
    may_be_cut: bool = False
    began: float = field(default_factory=time.monotonic)
    _dropped_text: str = ""

    @property
    def text(self) -> str:
        """Of the stream, or what it was when that was dropped."""
        return self._dropped_text if self.stream is None else str(self.stream.text)

    def drop(self) -> None:
        """Lets the stream go, unless it was read to its end."""
        if not self.finished:
            self._dropped_text, self.may_be_short = self.text, True
            self.stream = None


class Judge:
    """Counts outcomes, and keeps what must not be. Any thread, and any signal handler, may tell it something.

    Attributes:
        faults: what must not be.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._outcomes: deque[str] = deque()

    @property
    def counts(self) -> Counter[str]:
        """How often each outcome was seen."""
        return Counter(self._outcomes)

    def blame(self, what: str) -> None:
        """Something must not be."""
        self.faults.append(what if len(what) < _LONGEST else f"{what[: _LONGEST // 4]} ... {what[-_LONGEST:]}")

    def count(self, outcome: str) -> None:
        """Something was done."""
        self._outcomes.append(outcome)

    def weigh(self, reading: Reading, error: Exception | None, *, raised: Exception | None = None) -> str:
        """What became of a stream, in a word; what must not be is blamed.

        Args:
            reading: of the stream.
            error: what came out of it.
            raised: what a signal handler raised meanwhile.
        """
        outcome, wrong = _weighed(reading, error, raised)
        if wrong:
            said = "".join(map(_told, filter(None, (error, raised))))
            self.blame(f"{wrong}: {reading.question} -> {outcome}, {len(reading.pieces)} pieces\n{said}")
        self.count(outcome)
        return outcome

    def listen(self) -> None:
        """From now on, what nobody can catch is blamed, too: errors in threads, in finalisers, and in event loops."""
        threading.excepthook = lambda caught: self._blame_uncaught("a thread", caught.exc_value)
        sys.unraisablehook = lambda caught: self._blame_uncaught(repr(caught.object), caught.exc_value)
        logging.getLogger().addHandler(_Log(self))

    def _blame_uncaught(self, where: str, error: BaseException | None) -> None:
        if hasattr(error, "of_a_handler"):
            error.was_ignored = True  # type: ignore[union-attr]  # raised in a finaliser
        elif error is None or not _is_handler_s(error.__context__):  # or half made by its constructor, which was left
            self.blame(f"uncaught in {where}: {'' if error is None else _told(error)}")


def _weighed(reading: Reading, error: Exception | None, raised: Exception | None) -> tuple[str, str]:
    """The outcome, and what is wrong with it."""
    stream, whole, joined = reading.stream, "".join(reply_to(reading.question)), "".join(reading.pieces)
    text, outcome = reading.text, "whole" if error is None else type(error).__name__
    if not whole.startswith(text):
        return outcome, f"the text is not the reply's, {text!r}"
    if raised is not None and error is raised:
        return "handler's", "" if text.startswith(joined) else "pieces are not in the text"
    if raised is not None and not _was_dropped(raised, error):
        return outcome, f"the handler's {raised!r} was lost"
    if (took := time.monotonic() - reading.began) > _PATIENCE:
        return outcome, f"it took {took:.1f} s"
    if text != joined:
        return outcome, f"the pieces {joined!r} are not the text {text!r}"
    if isinstance(error, AcytooError):
        if not isinstance(error, reading.allowed):
            return outcome, "there was no reason for this error"
        return outcome, "" if error.partial_text == text else f"partial_text is {error.partial_text!r}"
    if error is not None:
        return outcome, "this is nobody's error"
    if stream is not None and stream.stats.characters != len(text):
        return outcome, f"miscounted: {stream.stats}"
    if not reading.finished:
        return "left", "" if reading.may_be_short else "it has not ended"
    if text != whole:
        if reading.may_be_cut and stream.whole is None:
            return "cut", ""
        return "short", "" if reading.may_be_short else f"the text is not whole, {text!r}"
    return outcome, ""


def _was_dropped(raised: Exception, error: BaseException | None) -> bool:
    """Whether Python, or a library, dropped it: a finaliser, `hasattr`, a function that ignores some `OSError`."""
    while error is not None:
        if error is raised:
            return False  # it was taken for something else
        error = error.__cause__ or error.__context__
    assert raised.__traceback__ is not None
    caught_by = raised.__traceback__.tb_frame.f_globals.get("__name__", "")
    return hasattr(raised, "was_ignored") or not caught_by.startswith("acytoo_sdk")


def _is_handler_s(error: BaseException | None) -> bool:
    """Whether a signal handler raised it, or what it comes from."""
    return error is not None and (hasattr(error, "of_a_handler") or _is_handler_s(error.__context__))


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


class _Log(logging.Handler):
    """Takes what is logged as an error for one."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(logging.ERROR)
        self._judge = judge

    def emit(self, record: logging.LogRecord) -> None:
        self._judge.blame(f"logged: {self.format(record)}")


class Leftovers:
    """What there is of threads and descriptors before a round must be all that there is after it."""

    def __init__(self) -> None:
        self._before = _present()

    def check(self, judge: Judge) -> None:
        deadline = time.monotonic() + _PATIENCE
        while left := _present() - self._before:
            if time.monotonic() > deadline:
                return judge.blame(f"left behind: {sorted(left)}")
            gc.collect()
            time.sleep(0.02)
        return None


def _present() -> set[str]:
    """Threads, but those that trio keeps for its next `to_thread`; sockets, pipes and polls; and our objects."""
    present = {repr(thread) for thread in threading.enumerate() if not thread.name.startswith("Trio thread")}
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            present.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    kinds = {Stream, AsyncStream, Client, AsyncClient}
    objects = {f"{type(each).__name__} {id(each):#x}" for each in gc.get_objects() if type(each) in kinds}
    return {name for name in present if not name.startswith("/")} | objects
