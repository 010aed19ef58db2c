"""Readers: threads that read calls ahead of whoever consumes them. No event loop is known here.

Threads are daemons of ours, not an async library's workers: they outlive single awaits, starve nobody else's, and never
hold the interpreter at its exit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from ._call import Call

# How far a thread runs ahead of its consumer, in characters: some pages of text.
_AHEAD = 64 * 1024


class Reader:
    """Reads one call into a bounded buffer; tells its consumer only when that waits.

    Args:
        call: what to read. It does not refer to the stream, and neither does this: a dropped stream can end both.

    Attributes:
        pieces: what was read and not taken yet.
        ended: nothing more will be read.
        error: what the call ended in, if not in its end.
        waiting: called once, from the reading thread, as soon as there is news; None while the consumer is busy.
    """

    def __init__(self, call: Call) -> None:
        self.pieces: deque[str] = deque()
        self.ended = False
        self.error: BaseException | None = None
        self.waiting: Callable[[], None] | None = None
        self._call = call
        self._read = 0  # characters; written by the reading thread alone
        self._taken = 0  # characters; written by the consumer alone
        self._room = threading.Event()
        self._stopped = False

    def take(self) -> str:
        """The next piece; there must be one."""
        piece = self.pieces.popleft()
        self._taken += len(piece)
        if not self._room.is_set() and self._read - self._taken <= _AHEAD // 2:
            self._room.set()
        return piece

    def stop(self) -> None:
        """The consumer wants no more, or is to be told something else; from any thread."""
        self._stopped = True
        self._room.set()
        self.notify()

    def notify(self) -> None:
        """Tells a consumer that waits to look again."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting()

    def run(self) -> None:
        """Reads to the end, in the thread that calls it."""
        try:
            for piece in self._call.texts():
                self.pieces.append(piece)
                self._read += len(piece)
                self.notify()
                self._wait_for_room()
                if self._stopped:
                    break
        except BaseException as error:
            self.error = error
        finally:
            self.end()

    def end(self) -> None:
        """Nothing more will be read."""
        self.ended = True
        self.notify()

    def _wait_for_room(self) -> None:
        while self._read - self._taken > _AHEAD and not self._stopped:
            self._room.clear()
            if self._read - self._taken > _AHEAD and not self._stopped:
                self._room.wait()


class Crew:
    """The threads of one client: as many readers run at once as there are places, the others in the order they came.

    Args:
        places: how many threads there may be.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._queue: deque[Reader] = deque()
        self._lock = threading.Lock()

    def add(self, reader: Reader) -> None:
        """Runs a reader, now or when it is its turn.

        Raises:
            RuntimeError: the system has no more threads.
        """
        with self._lock:
            if not self._free:
                self._queue.append(reader)
                return
            self._free -= 1
        try:
            threading.Thread(target=self._work, args=(reader,), name="acytoo-stream", daemon=True).start()
        except RuntimeError:
            self._leave()
            raise

    def remove(self, reader: Reader) -> bool:
        """Takes a reader out of the queue; False if it was not, or no longer, waiting there."""
        with self._lock:
            if reader not in self._queue:
                return False
            self._queue.remove(reader)
        reader.end()
        return True

    def _work(self, reader: Reader | None) -> None:
        while reader is not None:
            reader.run()
            reader = self._leave()

    def _leave(self) -> Reader | None:
        """Gives a place to the next in the queue, or back."""
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._free += 1
            return None
