"""The log: one line a request, written by a thread of its own, so that no reply waits for whoever reads it."""

from __future__ import annotations

import os
import queue
import select
import threading
import time

_MOST_LINES = 10_000  # that wait for a slow reader; while so many do, further ones are lost
_CLOSE_SECONDS = 1.0


class Log:
    """Takes lines at once, and writes them as fast as they are taken from it.

    Args:
        descriptor: of the file they go to; None for nowhere.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        if descriptor is not None:
            self._thread.start()

    def write(self, line: str) -> None:
        """Adds a line, with the time before it."""
        self.tell(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")

    def tell(self, line: str) -> None:
        """Adds a line."""
        if self._descriptor is not None and self._lines.qsize() < _MOST_LINES:
            self._lines.put(f"{line}\n")

    def close(self) -> None:
        """Writes what waits, unless that takes too long."""
        if self._descriptor is not None:
            self._lines.put(None)
            self._thread.join(_CLOSE_SECONDS)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            data = line.encode(errors="replace")
            try:
                while data:
                    data = data[self._write_some(data) :]
            except OSError:
                return  # nobody will read it any more

    def _write_some(self, data: bytes) -> int:
        assert self._descriptor is not None
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # somebody who has the same terminal or pipe made it so
            select.select([], [self._descriptor], [])
            return 0
