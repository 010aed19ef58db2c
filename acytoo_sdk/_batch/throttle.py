"""The throttle of a batch: when another request may be sent, as its rate and the server's pauses have it.

A server that says it has too many requests means all of them: everyone pauses, and the prompt that was told so is sent
again, at no cost, as long as others get their replies in between. As many pauses in a row as there are attempts may
pass without one reply: then prompts fail that are told so. Everyone still pauses, or all that is left would fail in the
time of a short outage.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from .._options import RetryPolicy
from .._streams.retry import wait_after
from ..errors import AcytooError


class Throttle:
    """When requests may be sent; all times are on the monotonic clock.

    Args:
        interval: seconds between two requests; 0: no rate is kept.
        policy: how many pauses there may be in a row, and how long they are where the server does not say.

    Attributes:
        pauses: how many there were. A request that was sent after the last of them, and is told to wait, begins
            another one; one that was sent before belongs to the last.
    """

    def __init__(self, *, interval: float, policy: RetryPolicy) -> None:
        self.pauses = 0
        self._interval = interval
        self._most_in_a_row = policy.attempts
        self._policy = replace(policy, attempts=sys.maxsize)  # how many pauses there may be is judged here
        self._in_a_row = 0  # pauses since the last reply
        self._next_send = -math.inf  # by the rate
        self._paused_until = -math.inf

    @property
    def opens_at(self) -> float:
        """When another request may be sent; a time in the past, if one may be sent now."""
        return max(self._next_send, self._paused_until)

    def note_request(self, now: float) -> None:
        """A request is sent."""
        self._next_send = now + self._interval

    def note_reply(self) -> None:
        """A request was answered."""
        self._in_a_row = 0

    def pause(self, error: AcytooError, *, pauses: int, now: float) -> None:
        """Lets nobody send for a while. Where several requests were told to wait at once, the longest wait counts.

        Args:
            error: what a request was told.
            pauses: how many pauses there had been when it was sent.
            now: when it was told.

        Raises:
            AcytooError: the same error: there were as many pauses in a row as there may be; or the server asks for a
                longer one than the policy allows, and then nobody pauses.
        """
        is_another = pauses == self.pauses
        number = max(1, self._in_a_row + is_another)
        seconds = wait_after(error, attempt=number, policy=self._policy, deadline=None)
        if is_another:
            self.pauses += 1
            self._in_a_row = number
        self._paused_until = max(self._paused_until, now + seconds)
        if number > self._most_in_a_row:
            raise error
