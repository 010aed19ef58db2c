"""How far a batch is: a bar on a terminal, a line a minute elsewhere, told by a thread that only looks."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

from ..display.bar import Progress, show_bar
from ..display.keyboard import without_echo
from ..display.terminal import Terminal
from .tally import Tally

_INTERVAL = 60.0  # seconds between two lines
_SPAN = 60.0  # seconds over which the rate is taken: pauses and bursts shall not make it leap


@contextmanager
def telling_progress(tally: Tally, terminal: Terminal, *, has_bar: bool) -> Iterator[None]:
    """Tells on stderr how far it is, until it is over.

    Args:
        tally: looked at.
        terminal: the command's.
        has_bar: whether a bar may be shown, and nothing else is written to the terminal meanwhile.
    """
    if terminal.quiet:
        yield
        return
    over = threading.Event()
    pace = Pace(time.monotonic())
    is_live = has_bar and sys.stderr.isatty() and terminal.may_escape(sys.stderr)

    def look() -> Progress:
        return progress_of(tally, pace.rate(tally.done - tally.resumed, time.monotonic()))

    def tell() -> None:
        if is_live:
            show_bar(terminal, look, over)
        while not over.wait(_INTERVAL):
            terminal.tell(look().text)

    thread = threading.Thread(target=tell, name="acytoo_sdk progress", daemon=True)
    with without_echo(sys.stderr) if is_live else nullcontext():
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Pace:
    """How many prompts are asked a second.

    Args:
        now: on the monotonic clock, as all times are.
    """

    def __init__(self, now: float) -> None:
        self._samples = deque([(now, 0)])

    def rate(self, asked: int, now: float) -> float:
        """The rate of the last while.

        Args:
            asked: how many were asked so far.
            now: at this time.
        """
        self._samples.append((now, asked))
        while self._samples[1][0] <= now - _SPAN:
            self._samples.popleft()
        then, asked_then = self._samples[0]
        return (asked - asked_then) / (now - then) if now > then else 0.0


def progress_of(tally: Tally, rate: float) -> Progress:
    """How far it is, in a few words.

    Args:
        tally: what was counted.
        rate: prompts a second.
    """
    done, total = tally.done, tally.total
    words = [str(done) if total is None else f"{done} of {total}"]
    if tally.resumed:
        words.append(f"{tally.resumed} by an earlier run")
    if tally.failed:
        words.append(f"{tally.failed} failed")
    if rate:
        words.append(f"{rate:.3g}/s" if rate >= 1 else f"{rate * 60:.3g}/min")
    if rate and total is not None:
        words.append(f"{timedelta(seconds=round((total - done) / rate))} left")
    return Progress(", ".join(words), None if total is None else done / max(total, 1))
