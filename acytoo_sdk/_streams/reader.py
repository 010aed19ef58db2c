"""The reader of one call: what the threads that read it share with the task that takes its pieces.

One thread at a time reads: one that may wait opens the connection, then the watch takes over. No event loop is known
here.
"""

from __future__ import annotations

import enum
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Protocol

from .._network.provenance import is_of_caught_line
from ..errors import AcytooError
from .call import Call
from .reply import without_frames

# How far reading runs ahead of the consumer, in characters: some pages of text.
_AHEAD = 64 * 1024


class Waker(Protocol):
    """Wakes those who wait in one event loop, or wherever it is."""

    def due(self, waiter: object, /) -> None:
        """Notes who is to be woken next."""

    def wake(self) -> None:
        """Wakes those who were noted."""


class Wait(enum.Enum):
    """What a reader waits for."""

    SERVER = "server"
    """Its `descriptor` tells when the server said something."""
    ROOM = "room"
    """Its consumer is to take some of the pieces first."""
    RETRY = "retry"
    """The time of `resume_at` is to come, for the next attempt."""
    NOTHING = "nothing"
    """It has ended."""


_SERVER = Wait.SERVER  # an enum looks its members up, which is felt once for each piece


Steps = Generator[str | float | None, None, None]


class Reader:
    """Reads one call into a bounded buffer.

    Args:
        call: what to read.
        resume: called when there is room again for a reader that waits for it, or when the reader is stopped.
        steps: what is read, in the form of `Call.steps`; None: the steps of the call itself.

    Attributes:
        pieces: what was read and not taken yet.
        begun: a thread has taken it up.
        stopped: its consumer wants no more.
        ended: nothing more will be read.
        settled: a text was read: from then on it is the limit on each silence that applies.
        descriptor: of the socket by which to know that the server said something; None where reading waits for it.
        resume_at: when the next attempt is to be made, on the monotonic clock; infinity where none waits.
    """

    __slots__ = (
        "_call",
        "_error",
        "_full",
        "_heard",
        "_read",
        "_resume",
        "_steps",
        "_taken",
        "_waiting",
        "begun",
        "descriptor",
        "ended",
        "pieces",
        "resume_at",
        "settled",
        "stopped",
    )

    def __init__(self, call: Call, resume: Callable[[Reader], None], *, steps: Steps | None = None) -> None:
        self.pieces: deque[str] = deque()
        self.begun = False
        self.stopped = False
        self.ended = False
        self.settled = False
        self.descriptor: int | None = None
        self.resume_at = math.inf
        self._call = call
        self._steps: Steps = steps or call.steps()
        self._resume = resume
        self._error: BaseException | None = None
        self._waiting: list[tuple[Waker, object]] = []
        self._read = 0  # characters; written by the reading thread alone
        self._taken = 0  # characters; written by the consumer alone
        self._full = False
        self._heard = 0.0  # when the server was last heard, on the monotonic clock

    # For the consumer

    def ready(self) -> bool:
        """Whether there is a piece to take, or none will come."""
        return bool(self.pieces) or self.ended or self.stopped

    def take(self) -> str:
        """The next piece; there must be one."""
        piece = self.pieces.popleft()
        self._taken += len(piece)
        if self._full and self.has_room:
            self._full = False
            self._resume(self)
        return piece

    def take_error(self) -> BaseException | None:
        """What the call ended in, once; None where it ended well."""
        error, self._error = self._error, None
        return error

    def on_ready(self, waker: Waker, waiter: object) -> None:
        """Has a waiter woken once, by the next news. Call `ready` after it: news that came before wakes nobody."""
        self._waiting.append((waker, waiter))

    def stop(self) -> None:
        """The consumer wants no more, or is to be told something else; from any thread."""
        self.stopped = True
        self._resume(self)
        self.wake()

    # For the threads that read

    @property
    def has_room(self) -> bool:
        """Whether a consumer that was too far behind has taken enough to read on."""
        return self._read - self._taken <= _AHEAD // 2

    def read(self, now: float) -> Wait:
        """Reads on, to where there is something to wait for; from there on, another thread may read.

        Args:
            now: from when on the silence of the server counts; on the monotonic clock.
        """
        self.begun, self._heard = True, now
        try:
            for step in () if self.stopped else self._steps:
                if step is None:
                    if self.descriptor is None:
                        self.descriptor = self._call.unblock()
                    return _SERVER
                if self.stopped:
                    break
                if isinstance(step, float):
                    self.descriptor, self.resume_at = None, time.monotonic() + step
                    return Wait.RETRY
                self.pieces.append(step)
                self._read += len(step)
                self.settled = True
                if self._read - self._taken > _AHEAD and self._is_full():
                    return Wait.ROOM
            self._steps.close()
        except AcytooError as error:
            self._error = without_frames(error)
        except BaseException as error:
            self._error = error
        if self.stopped:
            self._error = None
        self.ended = True
        return Wait.NOTHING

    def before_close(self, act: Callable[[], None]) -> bool:
        """Has something done before the socket is closed, or given back; False if the call is over."""
        return self._call.before_close(act)

    def due(self) -> float:
        """When a limit will have run out, if the server says nothing more; on the monotonic clock."""
        return self._call.due(self._heard)

    def expire(self, now: float) -> Wait:
        """Reads on after a limit has run out: what had arrived, and the error."""
        self._call.expire()
        return self.read(now)

    def end(self, error: AcytooError | None = None) -> None:
        """Nothing more will be read, by anybody; there was an error, perhaps. An open connection is closed."""
        if not self.stopped:
            self._error = error
        try:
            self._steps.close()
        finally:
            self.ended = True
            self.wake()

    def note_news(self, wakers: set[Waker]) -> None:
        """Has a consumer that waits woken by the next `wake` of its waker, which is added to `wakers`."""
        while self._waiting:
            try:
                waker, waiter = self._waiting.pop()
            except IndexError:
                return  # another thread was faster
            waker.due(waiter)
            wakers.add(waker)

    def wake(self) -> None:
        """Wakes the consumer, if it waits. What an exception leaves unwoken is kept for next time."""
        for waker, waiter in self._waiting[:]:
            waker.due(waiter)
            waker.wake()
            try:
                self._waiting.remove((waker, waiter))
            except ValueError as error:  # another thread was faster
                if not is_of_caught_line(error):
                    raise

    def _is_full(self) -> bool:
        """Whether there is no room, and the consumer knows that it is waited for."""
        self._full = True
        if not self.has_room:
            return True
        self._full = False  # some was taken before `take` could know that it matters
        return False
