"""The limits of one attempt, on the clock: how long the next operation on its socket may take.

No socket is known here: `sockets` asks before each operation, and `failures` says what it means that time ran out.
"""

from __future__ import annotations

import math
import time

from .._options import Timeout
from ..errors import Phase

# A socket's timeout must fit into milliseconds of 31 bits.
_LONGEST_TIMEOUT = 2_000_000.0


class Limits:
    """The limits of one attempt: how long the next operation may take.

    Args:
        timeout: the limits.
        deadline: the limit on everything, on the monotonic clock; None for none.

    Attributes:
        phase: what is waited for: a connection, the first byte of the body, or more of it.
        expired: the limit that applies to the running operation, and that has run out where it raised `TimeoutError`.
    """

    def __init__(self, timeout: Timeout, deadline: float | None) -> None:
        self.phase: Phase = "connect"
        self.expired: Phase | None = None
        self._timeout = timeout
        self._deadline = math.inf if deadline is None else deadline
        self._until = _from_now(timeout.connect)  # when the phase must be over; never, while it is "idle"

    def connected(self) -> None:
        """There is a connection: sending the request may take as long as the first byte of the reply.

        Called again once the request was sent: the limit on the first byte begins anew.
        """
        self.phase, self._until = "first_byte", _from_now(self._timeout.first_byte)

    def body_received(self) -> None:
        """A byte of the body is there: from now on each silence has its own limit."""
        self.phase, self._until = "idle", math.inf

    def due(self, since: float) -> float:
        """When time will be over, on the monotonic clock, if nothing is heard after `since`; infinity for never."""
        until, idle = self._until, self._timeout.idle
        if self.phase == "idle" and idle is not None:
            until = since + idle
        self.expired = "total" if self._deadline < until else self.phase
        return min(until, self._deadline)

    def time_left(self) -> float | None:
        """How long the next operation on the socket may take, in seconds; None for no limit.

        Raises:
            TimeoutError: its time has run out.
        """
        now = time.monotonic()
        left = self.due(now) - now
        if left <= 0:
            raise TimeoutError("no time is left")
        if self.expired == "idle" and self._timeout.idle is not None:
            left = self._timeout.idle  # exactly: the above is rounded, and each new value costs a system call
        return None if left == math.inf else min(left, _LONGEST_TIMEOUT)


def _from_now(limit: float | None) -> float:
    return math.inf if limit is None else time.monotonic() + limit
