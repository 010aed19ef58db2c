"""The workers of an async batch: the threads that read its client's streams. No task is needed for a prompt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .._streams.background import BackgroundStream
from .._streams.waker import LoopWaker, checkpoint, run_in_thread, wait_until
from ..errors import AcytooError
from ..protocol import Message
from .task import Task, answered, failed


class News:
    """Of which tasks there is news; who waits for some in an event loop is woken. No lock is taken."""

    def __init__(self) -> None:
        self._tasks: deque[Any] = deque()
        self._waiting: list[tuple[LoopWaker, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def take(self) -> Task[Any] | None:
        """One of the tasks."""
        with suppress(IndexError):
            task: Task[Any] = self._tasks.popleft()
            return task
        return None

    def due(self, task: object) -> None:
        """There is news of a task; from any thread."""
        self._tasks.append(task)

    def wake(self) -> None:
        """Wakes who waits; from any thread."""
        with suppress(IndexError):
            while True:
                waker, waiter = self._waiting.pop()
                waker.due(waiter)
                waker.wake()

    def on_news(self, waker: LoopWaker, waiter: object) -> None:
        """Has a waiter woken once; who asks looks again afterwards, for news before that."""
        self._waiting.append((waker, waiter))


class ReaderWorkers:
    """Streams that are read in the background; their texts are taken whenever the batch looks.

    Args:
        begin: makes the stream of an attempt.
    """

    def __init__(self, begin: Callable[[Sequence[Message]], BackgroundStream]) -> None:
        self._begin = begin
        self._streams: dict[Task[Any], BackgroundStream] = {}
        self._news = News()
        self._woken = False

    def start(self, task: Task[Any]) -> None:
        """Begins an attempt at a task."""
        try:
            stream = self._begin(task.messages)
            self._streams[task] = stream
            stream.start(self._news, task)
        except AcytooError as error:
            self._streams.pop(task, None)
            task.outcome = failed(error, attempts=0)
            self._news.due(task)

    def ended(self) -> Sequence[Task[Any]]:
        """The tasks that have got their outcome since this was last asked."""
        tasks = []
        while (task := self._news.take()) is not None:
            if task in self._streams:
                self._advance(task, self._streams[task])
            if task.outcome is not None and task not in tasks:
                tasks.append(task)
        return tasks

    async def wait(self, seconds: float) -> None:
        """Waits for news, so long at most."""
        await wait_until(lambda: bool(self._news) or self._woken, self._news.on_news, seconds=seconds)

    async def let_others_run(self) -> None:
        """Other tasks of the loop have their turn."""
        await checkpoint()

    async def run_blocking(self, function: Callable[[], None]) -> None:
        """Runs what may block where it holds up nobody."""
        await run_in_thread(function)

    async def wait_for_end(self) -> None:
        """Waits until nothing is read any more, which is soon after `close`; not for ever."""
        for stream in [*self._streams.values()]:
            await stream.wait_for_end()

    def wake(self) -> None:
        """Whoever waits looks around; from any thread."""
        self._woken = True
        self._news.wake()

    def close(self) -> None:
        """Ends the running attempts; from any thread."""
        for stream in [*self._streams.values()]:
            stream.cancel()

    def _advance(self, task: Task[Any], stream: BackgroundStream) -> None:
        try:
            if not stream.advance(self._news, task):
                return
            task.outcome = answered(stream, stream.text)
        except AcytooError as error:
            task.outcome = failed(error, attempts=stream.stats.attempts)
        except Exception as error:
            task.outcome = error.with_traceback(None)
        del self._streams[task]
