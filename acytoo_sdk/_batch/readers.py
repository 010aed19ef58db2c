"""The workers of an async batch: the threads that read its client's streams, so that no prompt needs a task.

Which prompt is sent when is decided in `schedule`; the threads themselves are in `_streams`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .._network.provenance import is_foreign
from .._streams.background import BackgroundStream
from .._streams.waker import (
    GRACE,
    LONGEST_TURN,
    LoopWaker,
    checkpoint,
    run_in_thread,
    running_waker,
    wait_until,
)
from ..errors import AcytooError
from ..protocol import Message
from .task import Outcome, Task, answered, failed


class News:
    """Which tasks have ended; wakes whoever waits for them in an event loop.

    It takes no lock, since a cancellation may come from a finaliser or a signal handler, in the middle of any code.
    """

    def __init__(self) -> None:
        self._tasks: deque[Any] = deque()
        self._waiting: list[tuple[LoopWaker, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def take(self) -> Sequence[Task[Any]]:
        """The tasks that have ended since this was last asked."""
        return [self._tasks.popleft() for _ in range(len(self._tasks))]

    def due(self, task: object) -> None:
        """A task has ended; from any thread."""
        self._tasks.append(task)

    def wake(self) -> None:
        """Wakes whoever waits; from any thread."""
        while self._waiting:
            try:
                waker, waiter = self._waiting.pop()
            except IndexError:
                return  # another thread was faster
            waker.due(waiter)
            waker.wake()

    def on_news(self, waker: LoopWaker, waiter: object) -> None:
        """Has a waiter woken once, by the next `wake`. The caller looks again afterwards: news may have come before."""
        self._waiting.append((waker, waiter))


class ReaderWorkers:
    """Streams that are read in the background; what they came to is taken whenever the batch looks.

    Args:
        begin: makes the stream of an attempt.
    """

    def __init__(self, begin: Callable[[Sequence[Message]], BackgroundStream]) -> None:
        self._begin = begin
        self._streams: dict[Task[Any], BackgroundStream] = {}
        self._refused: list[Task[Any]] = []  # those that ended before they began
        self._news = News()
        self._woken = False
        self._turn = 0.0  # when other tasks of the loop last had their turn, on the monotonic clock

    def start(self, task: Task[Any]) -> None:
        """Begins an attempt at a task."""
        try:
            stream = self._begin(task.messages)
            self._streams[task] = stream
            stream.start(self._news, task)
        except AcytooError as error:
            self._streams.pop(task, None)
            if is_foreign(error):
                raise  # a listener raised it: it is not the call's error
            task.outcome = failed(error, attempts=0)
            self._refused.append(task)

    def ended(self) -> Sequence[Task[Any]]:
        """The tasks that have got their outcome since this was last asked."""
        tasks, self._refused = self._refused, []
        for task in self._news.take():
            stream = self._streams.get(task)
            if stream is not None and stream.ended:  # else this is the second time that it was told
                del self._streams[task]
                task.outcome = _outcome(stream)
                tasks.append(task)
        return tasks

    async def wait(self, seconds: float) -> None:
        """Waits for news.

        Args:
            seconds: how long at most; infinity: until there are some.
        """
        if not self._has_news():
            await wait_until(self._has_news, self._news.on_news, seconds=seconds)
            self._turn = time.monotonic()

    async def let_others_run(self) -> None:
        """Gives other tasks of the loop their turn now and then; on trio each time, as its own functions do."""
        if time.monotonic() - self._turn > LONGEST_TURN or not running_waker().is_asyncio:
            await checkpoint()
            self._turn = time.monotonic()

    async def run_blocking(self, function: Callable[[], None]) -> None:
        """Runs a function that may block in a thread, so that it does not hold up the event loop."""
        await run_in_thread(function)

    async def wait_for_end(self) -> None:
        """Waits until nothing is read any more, which is soon after `close`; for a bounded time."""
        deadline = time.monotonic() + GRACE
        for stream in [*self._streams.values()]:
            await stream.wait_for_end(deadline - time.monotonic())

    def wake(self) -> None:
        """Whoever waits looks around; from any thread."""
        self._woken = True
        self._news.wake()

    def close(self) -> None:
        """Ends the running attempts; from any thread."""
        for stream in [*self._streams.values()]:
            stream.cancel()

    def _has_news(self) -> bool:
        return bool(self._news or self._refused or self._woken)


def _outcome(stream: BackgroundStream) -> Outcome | Exception:
    try:
        return answered(stream, stream.complete())
    except Exception as error:
        if isinstance(error, AcytooError) and not is_foreign(error):
            return failed(error, attempts=stream.stats.attempts)
        return error.with_traceback(None)  # a listener raised it: it is not the call's error
