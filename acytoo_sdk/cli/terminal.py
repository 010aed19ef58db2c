"""Terminals: text that a server wrote is shown, never obeyed.

Control characters move the cursor, change the title or write to the clipboard; bidi controls make text read as what it
is not.
"""

from __future__ import annotations

import re
import sys

# C0 but tab and line feed, DEL, C1, and the bidi controls.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with each control character replaced by U+FFFD."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def echo_piece(piece: str) -> None:
    """Writes a piece to stdout at once; to a terminal without its control characters, to a pipe as it is."""
    text = printable(piece) if sys.stdout.isatty() else piece
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
