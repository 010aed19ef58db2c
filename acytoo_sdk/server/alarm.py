"""Alarms: limits on waits that begin and end thousands of times a second, for next to nothing each."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Rings when it is due; its one timer is moved as rarely as can be. To be made in the event loop.

    Args:
        ring: called in the loop.

    Attributes:
        due: on the loop's clock; infinite while nothing is limited. To make it earlier than it was, call `set`.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self.due = math.inf
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float) -> None:
        """Rings then, unless that is changed."""
        self.due = due
        if self._timer is None or self._timer.when() > due:
            self._start(due)

    def cancel(self) -> None:
        """Never rings again."""
        self.due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.due <= self._loop.time():
            # In this turn of the loop, what was waited for may have come too: whoever waits is to see that first.
            self._loop.call_soon(self._ring_if_due)
        elif self.due < math.inf:
            self._start(self.due)

    def _ring_if_due(self) -> None:
        if self.due <= self._loop.time():
            self.due = math.inf
            self._ring()
