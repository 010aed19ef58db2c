"""How far a run is, in one line of the terminal that stderr is; nothing is written where it is none."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TextIO

_WIDTH = 20
_ERASED = "\r\x1b[K"


class Progress:
    """A bar of the rounds, and whose turn it is.

    Args:
        rounds: how many are played.
        stream: stderr.
    """

    def __init__(self, rounds: int, stream: TextIO) -> None:
        self._rounds, self._stream = rounds, stream
        self._terminal = stream.isatty()

    def show(self, row: str, before: int, contender: str, done: int) -> None:
        """Draws the bar, over the one before.

        Args:
            row: the one that is played.
            before: how many rounds were done before it.
            contender: whose turn it is.
            done: how many rounds of the row are done.
        """
        if not self._terminal:
            return
        played = before + done
        filled = _WIDTH * played // self._rounds
        line = f"[{'#' * filled:-<{_WIDTH}}] {played} of {self._rounds} rounds; {row}: {contender}"
        columns = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0 where nobody has said
        self._stream.write(_ERASED + line[: columns - 1])
        self._stream.flush()

    def erase(self) -> None:
        """Takes the bar away, so that a whole line can be printed in its place."""
        if self._terminal:
            self._stream.write(_ERASED)
            self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.erase()
