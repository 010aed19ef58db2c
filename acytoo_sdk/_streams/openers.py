"""The openers: threads that may wait for a connection; and which of a client's readers have their turn.

Threads are daemons of ours, not an async library's workers: they outlive single awaits, starve nobody else's, and never
hold the interpreter at its exit. An opener connects and sends; then its reader is watched. The first opener whose
reader is to be watched becomes the watching thread itself, so that a lone stream costs one thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

from .._network.provenance import is_of_caught_line
from .reader import Reader, Wait
from .watch import Watch, first, refuse

# How many threads open connections, as long as none has to wait: more would only compete for the interpreter.
_OPENERS = 2
# Where no connection was begun for so many seconds, the openers are taken to wait for slow servers.
_PATIENCE = 0.02
# More than a system has descriptors; so many places are made at once.
_MOST_STREAMS = 100_000


class ReaderPool:
    """The readers of one client. As many as it has places for run at once, the others wait for theirs in a queue.

    A forked child has readers of its own: the threads are the parent's.

    Args:
        size: how many places there are.
    """

    def __init__(self, size: int) -> None:
        self._size = min(size, _MOST_STREAMS)
        self._by_process: dict[int, _Readers] = {}

    def add(self, reader: Reader) -> None:
        """Runs a reader as soon as there is a place for it; it ends in an error where the system has no threads."""
        self._readers.add(reader)

    def remove(self, reader: Reader) -> bool:
        """Takes a reader out of the queue, and ends it; False if it does not wait there."""
        return self._readers.remove(reader)

    def resume(self, reader: Reader) -> None:
        """A reader has room again, or was stopped; from any thread."""
        self._readers.resume(reader)

    def stop(self, reader: Reader) -> None:
        """Ends a reader, whether it waits for a place or is being read; from any thread."""
        if not reader.ended:
            self.remove(reader)
            reader.stop()

    @property
    def waiting(self) -> int:
        """How many readers wait for a place."""
        return len(self._readers.queue)

    @property
    def _readers(self) -> _Readers:
        process = os.getpid()
        readers = self._by_process.get(process)
        # Of several threads that come first at the same moment, all get what one of them makes.
        return readers or self._by_process.setdefault(process, _Readers(self._size))


class _Readers:
    """The readers of one process.

    No lock is taken: while a thread starts, the garbage collector may run in it, finalise a stream there, and want to
    take its reader out of the queue. Places are given and taken by the threads below alone, which no signal interrupts.
    """

    def __init__(self, size: int) -> None:
        self.queue: deque[Reader] = deque()  # those that wait for a place
        self._places = deque([True] * size)
        self._reopened: deque[Reader] = deque()  # those that have one, and whose next step may wait
        # Each thread leaves its list before it ends, and looks for work once more after that.
        self._openers: list[threading.Thread] = []
        self._reserve: list[threading.Thread] = []  # sees whether the openers are stuck
        self._taken_up = 0  # counted roughly, to see whether there is any progress
        self._watch = Watch(reopen=self._reopen, close=self._close)
        self.resume = self._watch.resume

    def add(self, reader: Reader) -> None:
        self.queue.append(reader)
        self._start_threads()

    def remove(self, reader: Reader) -> bool:
        try:
            self.queue.remove(reader)
        except ValueError as error:
            if not is_of_caught_line(error):
                raise
            return False
        reader.end()
        return True

    def _reopen(self, reader: Reader) -> None:
        self._reopened.append(reader)
        self._start_threads()

    def _close(self, reader: Reader) -> None:
        """A reader has ended: its place is free."""
        self._places.append(True)
        self._start_threads()

    def _has_work(self) -> bool:
        return bool(self._reopened or (self.queue and self._places))

    def _next(self) -> Reader | None:
        """The next reader to be taken up; it has a place."""
        if (reader := first(self._reopened)) is not None:
            return reader
        while self.queue and first(self._places) is not None:
            if (reader := first(self.queue)) is not None:
                return reader
            self._places.append(True)
        return None

    def _start_threads(self) -> None:
        """Has the next reader taken up: by one more thread, if there are few, else as soon as one is free."""
        while self._has_work() and not self._has_started_one():
            if (reader := self._next()) is not None:
                refuse(reader, RuntimeError("no thread can be started"))
                self._places.append(True)

    def _has_started_one(self) -> bool:
        """Whether there is a thread that will look for a reader; False where the system has no more threads."""
        try:
            if _started(self._openers) < _OPENERS:
                self._start(self._open, self._openers)
            elif not _started(self._reserve):
                self._start(self._stand_by, self._reserve)
        except RuntimeError as error:
            if not _is_of_threading(error):
                raise  # a signal handler's
            return bool(_started(self._openers))
        return True  # it may have come and gone already: then it found nothing to do

    def _start(self, work: Callable[[], None], threads: list[threading.Thread]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                _remove(thread, threads)  # it has done so itself, unless there is a bug

        thread = threading.Thread(target=run, name="acytoo-stream", daemon=True)
        threads.append(thread)
        try:
            thread.start()
        except BaseException:
            if thread.ident is None:
                _remove(thread, threads)
            raise

    def _open(self) -> None:
        """Takes up one reader after another, as long as there are any."""
        opener = threading.current_thread()
        while True:
            while (reader := self._next()) is not None:
                self._taken_up += 1
                wait = self._read(reader, opener)
                if wait is Wait.NOTHING:
                    self._close(reader)
                elif self._watch.add(reader, wait):
                    self._leave(opener)
                    self._watch.run()
                del reader
                if opener not in self._openers:
                    return
            _remove(opener, self._openers)
            if not self._has_work():
                return
            self._openers.append(opener)

    def _read(self, reader: Reader, opener: threading.Thread) -> Wait:
        """Reads on, up to where others may take over: to its end, if its socket cannot be watched."""
        try:
            while True:
                wait = reader.read(time.monotonic())
                reader.wake()
                if wait is not Wait.SERVER or reader.descriptor is not None:
                    return wait
                self._leave(opener)
        except Exception as error:  # there is a bug somewhere, which may show again; nobody waits for its place
            with contextlib.suppress(Exception):
                refuse(reader, error)
            return Wait.NOTHING

    def _leave(self, opener: threading.Thread) -> None:
        """This thread is busy for long: others are to open."""
        if opener in self._openers:
            self._openers.remove(opener)
            self._start_threads()

    def _stand_by(self) -> None:
        """Doubles the number of openers whenever all of them are stuck with slow servers."""
        spare = threading.current_thread()
        while True:
            while self._has_work():
                taken_up = self._taken_up
                time.sleep(_PATIENCE)
                if self._taken_up == taken_up and self._has_work():
                    with contextlib.suppress(RuntimeError):  # the system has no more
                        for _ in self._openers[:]:
                            self._start(self._open, self._openers)
            _remove(spare, self._reserve)
            if not self._has_work():
                return
            self._reserve.append(spare)


def _started(threads: list[threading.Thread]) -> int:
    """How many of them run: each leaves its list before its end.

    Not by `is_alive`: in Python before 3.13 that is an error where several threads ask at the same moment of one that
    has just ended.
    """
    return sum(thread.ident is not None for thread in threads[:])


def _remove(thread: threading.Thread, threads: list[threading.Thread]) -> None:
    with contextlib.suppress(ValueError):  # whoever started it was interrupted, and took it for one that does not run
        threads.remove(thread)


def _is_of_threading(error: RuntimeError) -> bool:
    """Whether threading raised it, as it does where the system has no more threads; else a signal handler did."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") == threading.__name__
