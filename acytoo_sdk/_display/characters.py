"""Text that a terminal, or a page, shows and does not obey: its control characters are replaced."""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1, and the bidirectional controls, which can make text look like another one.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with each control character replaced by U+FFFD, and a line feed for every end of a line."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))
