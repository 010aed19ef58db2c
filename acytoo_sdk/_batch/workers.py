"""The workers of a blocking batch: threads of its own, or an executor of the caller's.

They make single attempts. Which prompt is sent when is decided in `schedule`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Protocol
from uuid import uuid4

from .asking import Asker
from .task import Task

# How long to wait at a time, in seconds: on Windows, Ctrl-C does not end a wait.
_LONGEST_WAIT = 0.5


class Workers(Protocol):
    """Who makes the attempts of a batch."""

    def start(self, task: Task[Any]) -> None:
        """Begins an attempt at a task, and does not wait for it; whoever makes it sets `Task.outcome`."""

    def ended(self) -> Sequence[Task[Any]]:
        """The tasks that have got their outcome since this was last asked."""

    def close(self) -> None:
        """Ends the running attempts, as far as they can be reached; from any thread."""


class Inbox:
    """Where tasks come back to the thread that waits for them.

    It uses a `SimpleQueue`, whose `put` may interrupt any of its own methods: a finaliser or a signal handler may wake
    it, too.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._taken: deque[Task[Any] | None] = deque()
        self.put = self._queue.put

    def ended(self) -> Sequence[Task[Any]]:
        """The tasks that came since this was last asked."""
        with suppress(Empty):
            while True:
                self._taken.append(self._queue.get_nowait())
        tasks = [task for task in self._taken if task is not None]
        self._taken.clear()
        return tasks

    def wait(self, seconds: float) -> None:
        """Waits for a task, `seconds` at most, or less: the caller looks around, and waits again."""
        with suppress(Empty):
            self._taken.append(self._queue.get(timeout=min(seconds, _LONGEST_WAIT)))

    def wake(self) -> None:
        """Ends the wait of whoever waits, without a task; from any thread."""
        self.put(None)


class WorkerThreads:
    """Threads of the batch's own, as many as were needed at once.

    They are daemons, so that a hung server does not hold the interpreter at its exit. They hold nothing of the batch
    but its queues, so that it ends when it is dropped. Each attempt is made in the context (`contextvars`) of whoever
    takes the results.
    """

    def __init__(self, asker: Asker, inbox: Inbox) -> None:
        self._asker = asker
        self._inbox = inbox
        self._tasks: SimpleQueue[tuple[Task[Any], Context] | None] = SimpleQueue()
        self._threads = 0
        self._busy = 0

    def start(self, task: Task[Any]) -> None:
        """Has one of the threads make an attempt at a task."""
        self._tasks.put((task, copy_context()))
        self._busy += 1
        if self._busy > self._threads:
            self._threads += 1
            arguments = self._asker, self._tasks, self._inbox.put
            name = f"acytoo-batch-{self._threads}"
            threading.Thread(target=_work, args=arguments, name=name, daemon=True).start()

    def ended(self) -> Sequence[Task[Any]]:
        """The tasks that have got their outcome since this was last asked."""
        tasks = self._inbox.ended()
        self._busy -= len(tasks)
        return tasks

    def close(self) -> None:
        """Ends the running attempts, and the threads; from any thread."""
        for _ in range(self._threads):
            self._tasks.put(None)
        self._asker.cancel()


def _work(asker: Asker, tasks: SimpleQueue[tuple[Task[Any], Context] | None], put: Callable[[Task[Any]], None]) -> None:
    while (taken := tasks.get()) is not None:
        task, context = taken
        try:
            task.outcome = context.run(asker, task.messages)
        except BaseException as error:
            task.outcome = error.with_traceback(None)
        put(task)
        del task, context, taken  # they would live until the next task comes


class ExecutorWorkers:
    """An executor of the caller's, which stays open: of threads, of processes, of a cluster."""

    def __init__(self, asker: Asker, inbox: Inbox, executor: Executor) -> None:
        self._asker = asker
        self._inbox = inbox
        self._executor = executor
        self._futures: set[Future[Any]] = set()
        self._name = uuid4().hex
        self._numbers = count()
        self.ended = inbox.ended

    def start(self, task: Task[Any]) -> None:
        """Gives the executor an attempt at a task.

        Raises:
            BrokenExecutor, RuntimeError: the executor takes no more.
        """
        number = f"{self._name}-{next(self._numbers)}"
        future = self._executor.submit(self._asker, task.messages, number)
        self._futures.add(future)
        future.add_done_callback(partial(_note, task, self._inbox.put, self._futures))

    def close(self) -> None:
        """Ends the attempts that have not begun, and those in this process; from any thread."""
        self._asker.cancel()
        for future in self._futures.copy():
            future.cancel()


def _note(task: Task[Any], put: Callable[[Task[Any]], None], futures: set[Future[Any]], future: Future[Any]) -> None:
    futures.discard(future)
    try:
        task.outcome = future.result()
    except BaseException as error:
        task.outcome = error.with_traceback(None)
    put(task)
