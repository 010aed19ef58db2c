"""A reply, which is Markdown, while it grows: shown by a thread of its own, as soon and as often as one can read.

Decides when something is written; what is written, and where, is decided in `screen`. That one is imported only when
something is shown, since rich takes its time.
"""

from __future__ import annotations

import _thread
import contextlib
import queue
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from .screen import Printer, Screen

_INTERVAL = 0.1  # seconds between two refreshes, at least
_SHARE = 4  # times what a refresh took pass before the next one, so that reading the reply has time, too
_PATIENCE = 1.0  # seconds that a Ctrl-C during the last refresh waits for it


class _Markdown:
    """What both kinds share: a thread of its own writes, so that a reply that pauses is shown up to its last piece.

    `add` only puts pieces into a queue. Ctrl-C can come in it at any moment, and finds nothing half done: neither the
    queue nor the start of a bare thread takes locks in Python code, as the classes of `threading` do.
    """

    def __init__(self, screen: Printer | Screen) -> None:
        self._screen = screen
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # None: no more will come
        self._is_started = False
        # Whoever gets it writes: the thread, or the caller, if Ctrl-C kept the thread from starting.
        self._turn = _thread.allocate_lock()
        self._unfinished = _thread.allocate_lock()
        self._unfinished.acquire()
        self._is_closed = False
        self._failure: BaseException | None = None

    def add(self, piece: str) -> None:
        """Shows one more piece: the first at once, others soon.

        Raises:
            OSError: writing failed; that is raised by the first call after it.
        """
        if self._failure is not None:
            raise self._failure
        self._pieces.put(piece)
        if not self._is_started:
            self._is_started = True
            with contextlib.suppress(RuntimeError):  # no thread can start: all is shown at the end
                _thread.start_new_thread(self._write_in_turn, ())

    def close(self) -> None:
        """Shows all of the text as it stays; the cursor is then at the beginning of a new line. Once is enough.

        Raises:
            OSError: writing failed.
        """
        if self._is_closed:
            return
        self._pieces.put(None)
        try:
            self._write_in_turn()
            self._unfinished.acquire()
        except KeyboardInterrupt:
            self._unfinished.acquire(timeout=_PATIENCE)
            raise
        finally:
            self._is_closed = True
        if self._failure is not None:
            raise self._failure

    def _write_in_turn(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._write_in_intervals()
        except BaseException as failure:  # it is raised where pieces are added
            self._failure = failure
        finally:
            self._unfinished.release()

    def _write_in_intervals(self) -> None:
        is_over, earliest = False, 0.0
        while not is_over:
            piece = self._pieces.get()
            with contextlib.suppress(queue.Empty):
                while piece is not None:
                    self._screen.add(piece)
                    left = earliest - time.monotonic()
                    if left <= 0:
                        break
                    piece = self._pieces.get(timeout=left)
            is_over = piece is None
            begun = time.monotonic()
            self._screen.refresh(is_over=is_over)
            took = time.monotonic() - begun
            earliest = begun + took + max(_INTERVAL, _SHARE * took)


class BlockMarkdown(_Markdown):
    """A text that grows where nothing can be moved: what has become certain is printed, and stays.

    If the console has no colour system, no escape code is written. A reply's blocks come one by one, the lines of code
    and the items of a list, too.

    Args:
        console: where it is printed; its width is read at each refresh.
    """

    def __init__(self, console: Console) -> None:
        from .screen import Printer

        super().__init__(Printer(console))


class LiveMarkdown(_Markdown):
    """A text that grows on a terminal which obeys escape codes: what is not certain yet is shown, and rewritten.

    Blocks that are finished stay as they were printed. Where the terminal becomes narrower, it may wrap lines that were
    to be rewritten, and some of them stay there, above those that replace them.

    Args:
        console: the terminal; its size is read at each refresh.
    """

    def __init__(self, console: Console) -> None:
        from .screen import Screen

        super().__init__(Screen(console))
