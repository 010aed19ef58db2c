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
    APITimeoutError,
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
_PATIENCE = 12.0  # seconds that a stream which is read may be silent, and what was let go may still be there
_TICK = 0.02  # seconds
_STANDSTILL = 5.0  # seconds


class Pulse(threading.Thread):
    """A clock that is late wherever threads have no turn, as the streams are: on it, nothing but a hang takes long.

    A virtual machine may stand still for a minute, and the monotonic clock goes on.
    """

    def __init__(self) -> None:
        super().__init__(name="pulse", daemon=True)
        self._ticks = 0
        self._last_tick = self._end_of_standstill = time.monotonic()

    @property
    def seconds(self) -> float:
        """What it shows."""
        return self._ticks * _TICK

    def stood_still_since(self, moment: float) -> bool:
        """Whether nothing ran for some seconds after a moment of the monotonic clock."""
        return self._end_of_standstill > moment or time.monotonic() - self._last_tick > _STANDSTILL

    def run(self) -> None:
        while True:
            time.sleep(_TICK)
            self._ticks += 1
            now = time.monotonic()
            if now - self._last_tick > _STANDSTILL:
                self._end_of_standstill = now
            self._last_tick = now


@dataclass
class Reading:
    """One stream, of either kind, and what may become of it.

    Attributes:
        question: what is asked.
        pulse: the clock for its silences.
        allowed: the errors it may end in.
        stream: None before it is made, and after it was dropped.
        pieces: what it handed out.
        finished: its end came.
        may_be_short: somebody may close or drop it, so that its end comes early or never.
        began: when, on the monotonic clock.
        may_be_cut: its end may come early where the framing cannot tell.
    """

    question: str
    pulse: Pulse
    allowed: tuple[type[AcytooError], ...] = ()
    stream: Any = None
    pieces: list[str] = field(default_factory=list)
    finished: bool = False
    may_be_short: bool = False
    may_be_cut: bool = False
    began: float = field(default_factory=time.monotonic)
    _dropped_text: str = ""
    _heard: float = 0.0  # when it began, or something happened last, on the pulse
    _longest_silence: float = 0.0

    def __post_init__(self) -> None:
        self._heard = self.pulse.seconds

    @property
    def text(self) -> str:
        """Of the stream, or what it was when that was dropped."""
        return self._dropped_text if self.stream is None else str(self.stream.text)

    @property
    def longest_silence(self) -> float:
        """Seconds in which nothing happened."""
        return max(self._longest_silence, self.pulse.seconds - self._heard)

    def receive(self, piece: str) -> None:
        """It handed out a piece."""
        self.pieces.append(piece)
        self.hear()

    def hear(self) -> None:
        """Something happened: no silence goes on."""
        self._longest_silence, self._heard = self.longest_silence, self.pulse.seconds

    def drop(self) -> None:
        """Lets the stream go, unless it was read to its end."""
        if not self.finished:
            self._dropped_text, self.may_be_short = self.text, True
            self.stream = None


class Judge:
    """Counts outcomes, and keeps what must not be. Any thread, and any signal handler, may tell it something.

    Attributes:
        faults: what must not be.
        pulse: the clock for what may take long.
    """

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.faults: list[str] = []
        self._outcomes: deque[str] = deque()

    @property
    def counts(self) -> Counter[str]:
        """How often each outcome was seen."""
        return Counter(self._outcomes)

    def blame(self, what: str) -> None:
        """Something must not be."""
        fault = what if len(what) < _LONGEST else f"{what[: _LONGEST // 4]} ... {what[-_LONGEST:]}"
        self.faults.append(fault)
        # At once, too: of a round that does not end, nothing else is told. Past the file, which a handler interrupts.
        os.write(2, f"blamed: {fault}\n".encode(errors="backslashreplace"))

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
        self.pulse.start()
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
    if (silence := reading.longest_silence) > _PATIENCE:
        return outcome, f"it was silent for {silence:.1f} s"
    if text != joined:
        return outcome, f"the pieces {joined!r} are not the text {text!r}"
    if isinstance(error, APITimeoutError) and reading.pulse.stood_still_since(reading.began):
        return outcome, ""  # the client's limits run out while nothing runs
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
        deadline = judge.pulse.seconds + _PATIENCE
        while left := _present() - self._before:
            if judge.pulse.seconds > deadline:
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
