"""A reply, which is Markdown, while it grows: shown by a thread of its own, as soon and as often as one can read.

Knows when something is written; what and where is in `screen`. What that needs is imported when one is made.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from typing_extensions import Self

    from .screen import Printer, Screen

# Seconds between two refreshes; more after one that took long, so that reading the reply has time, too.
_INTERVAL = 0.1
_SHARE = 4
_PATIENCE = 1.0  # seconds that a Ctrl-C during the last refresh waits for it


class _Markdown:
    """What both have in common: a thread of its own writes, so that a reply that pauses is shown up to its last piece.

    The thread that adds pieces only puts them into a queue that needs no lock of Python's. So a Ctrl-C, which can come
    at any moment there, finds nothing half done.
    """

    def __init__(self, screen: Printer | Screen) -> None:
        self._screen = screen
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # None: no more will come
        self._thread: threading.Thread | None = None
        # Whoever takes it writes: the thread, or the caller, if Ctrl-C kept the thread from starting.
        self._turn: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._turn.put(None)
        self._is_finished = False
        self._is_closed = False
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OSError:
            if error is None:
                raise

    def add(self, piece: str) -> None:
        """Shows one more piece: the first at once, others soon.

        Raises:
            OSError: writing failed; that is raised by the first call after it.
        """
        if self._failure is not None:
            raise self._failure
        self._pieces.put(piece)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_in_intervals, name="acytoo_sdk markdown", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Shows all of the text as it stays; the cursor is then at the beginning of a new line. Once is enough.

        Raises:
            OSError: writing failed.
        """
        if self._is_closed:
            return
        self._pieces.put(None)
        try:
            self._wait(threading.TIMEOUT_MAX)
        except KeyboardInterrupt:
            self._wait(_PATIENCE)
            raise
        finally:
            self._is_closed = True
        if self._failure is not None:
            raise self._failure

    def _wait(self, seconds: float) -> None:
        self._write_in_intervals()  # in the place of a thread that did not start
        deadline = time.monotonic() + seconds
        while not self._is_finished and time.monotonic() < deadline:
            time.sleep(0.001)
        if self._is_finished and self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _write_in_intervals(self) -> None:
        try:
            self._turn.get_nowait()
        except queue.Empty:
            return
        try:
            self._write_until_it_is_over()
        except BaseException as failure:  # it is raised where pieces are added
            self._failure = failure
        finally:
            self._is_finished = True

    def _write_until_it_is_over(self) -> None:
        is_over, earliest = False, 0.0
        while not is_over:
            piece = self._pieces.get()
            with contextlib.suppress(queue.Empty):
                while piece is not None:
                    self._screen.add(piece)
                    piece = self._pieces.get(timeout=max(earliest - time.monotonic(), 0))
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
