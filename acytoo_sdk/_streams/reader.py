"""What a reading thread shares with the consumer of its call; and the pool of reading threads.

Threads are daemons of ours, not an async library's workers: they outlive single awaits, starve nobody else's, and never
hold the interpreter at its exit. No event loop is known here.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from ..errors import AcytooError, APIConnectionError
from .call import Call
from .reply import without_frames

# How far a thread runs ahead of its consumer, in characters: some pages of text.
_AHEAD = 64 * 1024

# More than a system has.
_MOST_THREADS = 100_000

T = TypeVar("T")


class Reader:
    """Reads one call into a bounded buffer, and wakes its consumer only when that waits.

    Args:
        call: what to read.

    Attributes:
        pieces: what was read and not taken yet.
        begun: a thread has taken it up.
        ended: nothing more will be read.
    """

    def __init__(self, call: Call) -> None:
        self.pieces: deque[str] = deque()
        self.begun = False
        self.ended = False
        self._call = call
        self._error: BaseException | None = None
        self._waiting: deque[Callable[[], None]] = deque()
        self._read = 0  # characters; written by the reading thread alone
        self._taken = 0  # characters; written by the consumer alone
        self._full = False
        self._room: SimpleQueue[None] = SimpleQueue()
        self._stopped = False

    def ready(self) -> bool:
        """Whether there is a piece to take, or none will come."""
        return bool(self.pieces) or self.ended or self._stopped

    def take(self) -> str:
        """The next piece; there must be one."""
        piece = self.pieces.popleft()
        self._taken += len(piece)
        if self._full and self._read - self._taken <= _AHEAD // 2:
            self._full = False
            self._room.put(None)
        return piece

    def take_error(self) -> BaseException | None:
        """What the call ended in, once; None where it ended well."""
        error, self._error = self._error, None
        return error

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Has `wake` called once, as soon as there is news; who asks looks again afterwards, for news before that."""
        self._waiting.append(wake)

    def stop(self) -> None:
        """The consumer wants no more, or is to be told something else; from any thread."""
        self._stopped = True
        self._room.put(None)
        self._wake()

    def run(self) -> None:
        """Reads to the end, in the thread that calls it."""
        self.begun = True
        try:
            for piece in self._call.texts():
                self.pieces.append(piece)
                self._read += len(piece)
                self._wake()
                self._wait_for_room()
                if self._stopped:
                    break
        except AcytooError as error:
            if not self._stopped:
                self._error = without_frames(error)
        except BaseException as error:
            if not self._stopped:
                self._error = error
        finally:
            self.end()

    def end(self, error: AcytooError | None = None) -> None:
        """Nothing more will be read; there was an error, perhaps."""
        if error is not None and not self._stopped:
            self._error = error
        self.ended = True
        self._wake()

    def _wait_for_room(self) -> None:
        while self._read - self._taken > _AHEAD and not self._stopped:
            self._full = True
            if self._read - self._taken > _AHEAD:  # or some was taken before `take` could know that it matters
                self._room.get()

    def _wake(self) -> None:
        while self._waiting:
            try:
                wake = self._waiting.popleft()
            except IndexError:
                return  # another thread was faster
            wake()


class ReaderPool:
    """The reading threads of one client: as many readers run at once as it has room for, the others wait in a queue.

    No lock is taken: while a thread starts, the garbage collector may run in it, finalise a stream there, and want to
    take its reader out of the queue.

    Args:
        size: how many threads there may be.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._begin()

    def _begin(self) -> None:
        self._free = deque([True] * min(self._size, _MOST_THREADS))  # one for each thread that there may be, and is not
        self._queue: deque[Reader] = deque()
        self._process = os.getpid()  # last: who finds it set uses the rest

    def add(self, reader: Reader) -> None:
        """Runs a reader as soon as it is its turn. Where the system has no more threads, it ends in an error."""
        if self._process != os.getpid():  # in a forked child: the threads are the parent's
            self._begin()
        self._queue.append(reader)
        while self._queue and _first(self._free) is not None:
            try:
                threading.Thread(target=self._work, name="acytoo-stream", daemon=True).start()
                return
            except RuntimeError as error:  # noqa: PERF203 - no thread is started twice
                if not _is_of_threading(error):
                    raise  # a signal handler's; the thread may run
                self._free.append(True)
                if (refused := _first(self._queue)) is not None:
                    refused.end(_no_more_threads(error))

    def remove(self, reader: Reader) -> bool:
        """Takes a reader out of the queue; False if it was not, or no longer, waiting there."""
        try:
            self._queue.remove(reader)
        except ValueError:
            return False
        reader.end()
        return True

    def _work(self) -> None:
        working: bool | None = True
        while working:
            while (reader := _first(self._queue)) is not None:
                reader.run()
            self._free.append(True)
            working = bool(self._queue) and _first(self._free)  # for one that was added meanwhile


def _first(waiting: deque[T]) -> T | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _is_of_threading(error: RuntimeError) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") == threading.__name__


def _no_more_threads(cause: RuntimeError) -> APIConnectionError:
    error = APIConnectionError("The system has no more threads for another stream")
    error.__cause__ = cause.with_traceback(None)
    return error
