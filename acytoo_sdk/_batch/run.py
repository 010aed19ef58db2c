"""The run of a batch: prompts are taken, sent, kept in the journal and handed out, step by step.

Whoever drives it reads the input and waits, each in its own way: a thread, or a task of an event loop.
"""

from __future__ import annotations

import copy
import enum
import os
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from .._checks import check_messages
from .._options import CallOptions
from .._streams.reply import without_frames
from ..errors import InvalidRequestError, StreamCancelledError
from ..protocol import Messages
from .journal import Journal, key_of
from .schedule import Schedule
from .task import Outcome, Result, Task
from .workers import Workers

T = TypeVar("T")


class Want(enum.Enum):
    """What a run wants of its driver."""

    PROMPT = "prompt"
    """One more is to be read and passed to `add`; where the input has ended, `end_input` is to be called."""


Step = Result[T] | Want | float | Callable[[], None]
"""What the driver is to do: hand out a result, read a prompt, wait so many seconds for a task to end, or call a
function that may block."""


class Run(Generic[T]):
    """What a batch has to do.

    Args:
        prompt: makes the messages of an item; None: the item is the messages.
        call: the options of each call.
        schedule: of the tasks.
        workers: make the attempts.
        journal: the path of the file; None: nothing is kept.
    """

    def __init__(
        self,
        *,
        prompt: Callable[[T], Messages] | None,
        call: CallOptions,
        schedule: Schedule[T],
        workers: Workers,
        journal: str | None,
    ) -> None:
        self._prompt = prompt
        self._call = call
        self._schedule = schedule
        self._workers = workers
        self._path = journal
        self._journal: Journal | None = None
        self._may_close_journal = deque([True])  # whoever closes it takes the item: two threads may try
        self._unwritten: set[Task[T]] = set()  # tasks that were sent, and whose result is not in the journal
        self._next_index = 0
        self._input_ended = False
        self._failure: BaseException | None = None
        self._cancelled = False
        self._ended = False

    def steps(self) -> Generator[Step[T], None, None]:
        """The steps, one after the other.

        Raises:
            OSError, InvalidRequestError: the journal cannot be used.
            ClientClosedError, StreamCancelledError: the client was closed, or the batch.
            BaseException: what the input, the prompt's function or the executor raised, after the results before it.
        """
        process = os.getpid()
        schedule = self._schedule
        try:
            if self._path is not None:
                yield self._open_journal
            while True:
                if os.getpid() != process:
                    raise InvalidRequestError(
                        "This batch was started before the process was forked: only the parent reads it"
                    )
                if self._cancelled:
                    raise StreamCancelledError("The batch was closed")
                self._receive()
                self._send()
                if self._wants_prompt and schedule.is_idle:  # before a result is handed out, so that no worker idles
                    yield Want.PROMPT
                    self._send()
                if (task := schedule.take()) is not None:
                    if self._journal is not None and self._journal.wants_sync:
                        yield self._journal.sync
                    assert task.result is not None, "it is done"
                    yield task.result
                    del task
                elif self._wants_prompt:
                    yield Want.PROMPT
                elif schedule.is_empty:
                    break
                else:
                    yield schedule.wait(time.monotonic())
            if self._journal is not None:
                yield self._journal.sync
            if self._failure is not None:
                self._raise_failure()
        finally:
            self._close()

    def add(self, item: T) -> None:
        """Takes an item of the input."""
        task = Task(self._next_index, item)
        self._next_index += 1
        try:
            messages = item if self._prompt is None else self._prompt(item)
        except Exception as error:
            self.end_input(error)
            return
        try:
            task.messages = check_messages(messages, name=f"prompts[{task.index}]")
        except InvalidRequestError as error:
            task.finish(Outcome(None, without_frames(error), None, False, None, 0))
        else:
            # Beside role and content there may be lists and the like, which the caller may change.
            if any(len(message) > 2 for message in task.messages):
                task.messages = copy.deepcopy(task.messages)
            if self._journal is not None:
                self._resume(task, self._journal)
        self._schedule.add(task)

    def end_input(self, error: Exception | None = None) -> None:
        """The input has ended; in an error, perhaps."""
        if isinstance(error, StopIteration | StopAsyncIteration):  # as it is, it would end the user's loop unseen
            failure = RuntimeError(f"a function of the batch's raised {type(error).__name__}")
            failure.__cause__ = error
            error = failure
        self._input_ended = True
        self._failure = self._failure or error

    def cancel(self) -> None:
        """Ends the run from any thread; the caller wakes whoever waits for its next step."""
        self._cancelled = True
        self._workers.close()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        assert failure is not None, "it was asked for"
        try:
            raise failure
        finally:
            del failure  # the frame it is raised in must not hold it

    @property
    def _wants_prompt(self) -> bool:
        return self._schedule.has_room and not self._input_ended

    def _open_journal(self) -> None:
        assert self._path is not None, "or nothing is kept"
        self._journal = Journal(self._path)
        if self._ended:  # the task that had this run in a thread was cancelled, and did not wait for it
            self._close_journal()

    def _resume(self, task: Task[T], journal: Journal) -> None:
        task.key = key_of(task.messages, model=self._call.model, temperature=self._call.temperature)
        if (outcome := journal.take(task.key)) is not None:
            task.attempts = outcome.attempts
            task.finish(outcome, resumed=True)

    def _send(self) -> None:
        """Starts an attempt at each task whose turn has come."""
        while (task := self._schedule.next_to_send(time.monotonic())) is not None:
            self._unwritten.add(task)
            try:
                self._workers.start(task)
            except Exception as error:  # the executor takes no more calls, or a listener raised
                self._fail(task, error)

    def _receive(self) -> None:
        """Takes the outcomes of the attempts that have ended."""
        for task in self._workers.ended():
            outcome = task.outcome
            if isinstance(outcome, Outcome):
                self._schedule.receive(task, outcome, time.monotonic())
                try:
                    self._write(task)
                except OSError as error:  # the disk is full, for instance
                    self._fail(task, error.with_traceback(None))
                self._unwritten.discard(task)
            elif isinstance(outcome, Exception):
                self._fail(task, outcome)
            elif outcome is not None:
                raise outcome  # Ctrl-C, which reaches the processes of a pool, too

    def _fail(self, task: Task[T], error: Exception) -> None:
        """Ends the batch in an error that is no call's: of the executor, the disk, or a function of the caller's.

        Nothing more is sent; what runs is waited for, and all results but this task's are handed out before the error.
        """
        self._unwritten.discard(task)
        self._schedule.drop(task)
        self._schedule.stop()
        self.end_input(error)

    def _write(self, task: Task[T]) -> None:
        if self._journal is not None and task.result is not None:
            self._journal.write(task.result, key=task.key, messages=task.messages)

    def _close(self) -> None:
        self._ended = True
        try:
            try:
                self._workers.ended()  # gives the tasks whose replies have arrived their outcome
            finally:
                self._workers.close()
            if self._journal is not None and self._journal.is_open:  # in a forked child, it is not
                self._keep_answers()
        finally:
            if self._journal is not None:
                self._close_journal()

    def _keep_answers(self) -> None:
        """Writes the answers that have arrived and that this run hands to nobody: the next run does."""
        # A task that was interrupted after it was written has its result. It comes first, since the journal recognises
        # only what it wrote last.
        for task in sorted(self._unwritten, key=lambda task: task.result is None):
            outcome = task.outcome
            if isinstance(outcome, Outcome) and outcome.error is None:
                if task.result is None:
                    task.attempts += outcome.attempts
                    task.finish(outcome)
                self._write(task)

    def _close_journal(self) -> None:
        try:
            self._may_close_journal.pop()
        except IndexError:
            return  # another thread was faster
        if self._journal is not None:
            self._journal.close()
