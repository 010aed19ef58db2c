"""The schedule of a batch: which task is sent next, and when; and in which order results are handed out.

Nothing is sent here, nobody waits here, and no clock is read: callers tell what happened, and when. A task is ready,
running, waiting (for its next attempt), or done; all of them together are never more than the window.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import Generic, TypeVar

from .._options import RetryPolicy
from .._streams.reply import without_frames
from .._streams.retry import wait_after
from ..errors import AcytooError
from ..protocol import is_throttled
from .task import Outcome, Task
from .throttle import Throttle

T = TypeVar("T")


class Schedule(Generic[T]):
    """The tasks that were taken from the input and not handed out yet.

    Args:
        concurrency: how many tasks run at once.
        window: how many tasks there may be.
        ordered: whether results are handed out in the order of the input, or as they come.
        interval: seconds between two requests; 0: no rate is kept.
        policy: how often, and after which waits, a failed attempt is made again.

    Attributes:
        running: the tasks that were sent, and whose outcome is not known yet.
    """

    def __init__(self, *, concurrency: int, window: int, ordered: bool, interval: float, policy: RetryPolicy) -> None:
        self.running: set[Task[T]] = set()
        self._concurrency = concurrency
        self._window = window
        self._ordered = ordered
        self._policy = policy
        self._throttle = Throttle(interval=interval, policy=policy)
        self._held = 0  # tasks in all four states
        self._ready: list[tuple[int, Task[T]]] = []  # a heap: the oldest first, so that the window moves on
        self._waiting: list[tuple[float, int, Task[T]]] = []  # a heap, by the time of the next attempt
        self._done: dict[int, Task[T]] = {}
        self._as_they_came: deque[int] = deque()
        self._next_index = 0  # of the result that is handed out next, in order
        self._stopped = False

    @property
    def has_room(self) -> bool:
        """Whether the window has room for one more task."""
        return self._held < self._window

    @property
    def is_idle(self) -> bool:
        """Whether one more task could run."""
        return len(self.running) < self._concurrency

    @property
    def is_empty(self) -> bool:
        """Whether everything was handed out."""
        return not self._held

    def add(self, task: Task[T]) -> None:
        """Takes a task; one that has its result is done."""
        self._held += 1
        if task.result is None:
            heapq.heappush(self._ready, (task.index, task))
        else:
            self._finish(task)

    def next_to_send(self, now: float) -> Task[T] | None:
        """The task that is to be sent now, which runs from now on; None where nothing is.

        Args:
            now: on the monotonic clock, as all times are.
        """
        if not self.is_idle or now < self._throttle.opens_at:
            return None
        while self._waiting and self._waiting[0][0] <= now:
            _, index, task = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (index, task))
        if not self._ready:
            return None
        _, task = heapq.heappop(self._ready)
        self._throttle.note_request(now)
        task.pauses, task.outcome = self._throttle.pauses, None
        self.running.add(task)
        return task

    def wait(self, now: float) -> float:
        """For how many seconds nothing is to be sent; infinity: not before a running task ends."""
        if not self.is_idle or not (self._ready or self._waiting):
            return math.inf
        ready_at = -math.inf if self._ready else self._waiting[0][0]
        return max(0.0, max(ready_at, self._throttle.opens_at) - now)

    def receive(self, task: Task[T], outcome: Outcome, now: float) -> None:
        """The outcome of an attempt: the task is done, or is to be sent again."""
        self.running.remove(task)
        task.attempts += outcome.attempts
        error = outcome.error
        if error is None:
            self._throttle.note_reply()
        elif not self._stopped and self._sends_again(task, error, now):
            return
        task.finish(outcome)
        self._finish(task)

    def take(self) -> Task[T] | None:
        """The task whose result is to be handed out next, if it is there."""
        if self._stopped:
            index = min(self._done, default=None)
            if self._ordered and index is not None and any(task.index < index for task in self.running):
                index = None
        elif self._ordered:
            index = self._next_index if self._next_index in self._done else None
        else:
            index = self._as_they_came.popleft() if self._as_they_came else None
        if index is None:
            return None
        self._held -= 1
        self._next_index = index + 1
        return self._done.pop(index)

    def stop(self) -> None:
        """Sends nothing more: what runs is waited for, what is done is handed out, and all the rest is dropped."""
        self._stopped = True
        self._held -= len(self._ready) + len(self._waiting)
        self._ready.clear()
        self._waiting.clear()

    def drop(self, task: Task[T]) -> None:
        """Forgets a task that was sent and will have no result; the caller calls `stop`, too."""
        self.running.discard(task)
        self._done.pop(task.index, None)
        self._held -= 1

    def _finish(self, task: Task[T]) -> None:
        self._done[task.index] = task
        if not self._ordered:
            self._as_they_came.append(task.index)

    def _sends_again(self, task: Task[T], error: AcytooError, now: float) -> bool:
        try:
            if is_throttled(error):
                self._throttle.pause(error, pauses=task.pauses, now=now)
                heapq.heappush(self._ready, (task.index, task))
            else:
                task.failures += 1
                seconds = wait_after(error, attempt=task.failures, policy=self._policy, deadline=None, whole=True)
                heapq.heappush(self._waiting, (now + seconds, task.index, task))
        except AcytooError:
            without_frames(error)  # it was raised here: the frames hold the whole batch
            return False
        return True
