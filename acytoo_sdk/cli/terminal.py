"""Terminals: text that a server wrote is shown, never obeyed."""

from __future__ import annotations

import sys
from io import IncrementalNewlineDecoder

from .._display.markdown import printable


class Output:
    """A text on stdout that grows piece by piece."""

    def __init__(self) -> None:
        self._line_ends = IncrementalNewlineDecoder(None, translate=True)

    def add(self, piece: str) -> None:
        """Writes a piece at once; to a terminal without its control characters, to a pipe as it is.

        On a terminal, a carriage return at its end waits for the next piece, which may begin with the line feed to it.
        """
        text = printable(self._line_ends.decode(piece)) if sys.stdout.isatty() else piece
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
