"""Terminals: text that a server wrote is shown, never obeyed."""

from __future__ import annotations

import sys

from .._display.markdown import printable


def echo_piece(piece: str) -> None:
    """Writes a piece to stdout at once; to a terminal without its control characters, to a pipe as it is."""
    text = printable(piece) if sys.stdout.isatty() else piece
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
