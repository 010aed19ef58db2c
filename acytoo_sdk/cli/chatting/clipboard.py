"""The clipboard, as a terminal keeps it: what is written to have it filled."""

from __future__ import annotations

from base64 import b64encode

from ..._display.characters import printable

MOST_BYTES = 100_000
"""Of the code: about what xterm takes, as one of the first that knew it."""


def clipboard_code(text: str) -> str | None:
    """The escape code that copies a text as it was shown, without control characters; None for one that is too long.

    In tmux, its option `set-clipboard` must be `on`.

    Source: XTerm Control Sequences, OSC 52.
    """
    code = f"\x1b]52;c;{b64encode(printable(text).encode()).decode()}\x07"
    return code if len(code) <= MOST_BYTES else None
