"""Where a text that grows is written: on a terminal whose lines can be rewritten, or where nothing can be moved.

Nothing but this moves a cursor. What has become certain is written once, and scrolls away like any output; the rest is
rewritten in place, line by line from the first that differs, and never fills the screen. The cursor waits on an empty
line below, where the terminal may echo Ctrl-C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import COLOR_SYSTEMS

from ..._display.characters import printable
from .growing import GrowingMarkdown
from .markdown import Layout, cells, folded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_ROOM = 20  # lines of a paragraph that wait for its end where nothing can be moved
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"


class Printer:
    """Prints what has become certain, and nothing else; without a colour system, no escape code."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = GrowingMarkdown(Layout(console))

    def add(self, piece: str) -> None:
        """Adds a piece, which the next refresh shows."""
        self._text.add(piece)

    def refresh(self, *, is_over: bool) -> None:
        """Writes what has changed, in one go; all of the text, if it is over."""
        certain, _ = self._text.take(_width(self._console.width), room=_ROOM, over=is_over)
        if certain:
            _write(self._console, "".join(f"{_styled(self._console, line)}\n" for line in certain))


class Screen:
    """A terminal that obeys escape codes: what is not certain yet is shown below what is, and rewritten."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = GrowingMarkdown(Layout(console))
        self._rows: list[str] = []  # above the cursor, which may be rewritten
        self._columns = 0

    def add(self, piece: str) -> None:
        """Adds a piece, which the next refresh shows."""
        self._text.add(piece)

    def refresh(self, *, is_over: bool) -> None:
        """Writes what has changed, in one go; all of the text, if it is over."""
        columns, height = self._console.size
        width = _width(columns)
        # Two lines less than there are: one is the cursor's, and one keeps a terminal from taking this for a new page.
        room = max(height - 2, 1)
        certain, open_lines = self._text.take(width, room=room, over=is_over)
        rows = [_styled(self._console, line) for line in certain]
        are_long = [cells(line.plain) > width for line in certain]
        last = [row for line in open_lines[-room:] for row in folded(line, width)][-room:]
        if height == 1:  # there is no line above the cursor's
            last = []
        rows += [_styled(self._console, row) for row in last]
        are_long += [False] * len(last)
        kept = 0
        is_resized = columns != self._columns != 0
        if not is_resized:
            both = zip(self._rows, rows, strict=False)
            kept = next((index for index, (old, new) in enumerate(both) if old != new), min(len(self._rows), len(rows)))
        up = min(len(self._rows) - kept, room)
        # The line of the cursor may hold an echo.
        output = [f"\r{_ERASE_LINE}", f"\x1b[{up}A" if up else "", _ERASE_BELOW if is_resized else ""]
        for row, is_long in zip(rows[kept:], are_long[kept:], strict=True):
            # What is erased after a full line might be its last character.
            output.append(f"{_ERASE_BELOW}{row}\n" if is_long else f"{row}{_ERASE_LINE}\n")
        if len(rows) < len(self._rows):
            output.append(_ERASE_BELOW)
        if up or rows[kept:] or (is_over and self._columns):
            _write(self._console, "".join(output))
        self._rows = rows[len(certain) :]
        self._columns = columns


def _width(columns: int) -> int:
    """One column less than there are: after a full line, terminals disagree over where the cursor is."""
    return max(columns - 1, 1)


def _styled(console: Console, line: Text) -> str:
    """A line with the codes of its styles. No other code comes from a text, whatever it passed through."""
    colors = COLOR_SYSTEMS.get(console.color_system or "")
    parts = []
    for text, style, _ in line.render(console):
        shown = printable(text).replace("\n", " ")
        if style is not None and colors is not None:
            shown = (style.without_color if console.no_color else style).render(shown, color_system=colors)
        parts.append(shown)
    return "".join(parts)


def _write(console: Console, output: str) -> None:
    encoding = console.encoding
    console.file.write(output.encode(encoding, "replace").decode(encoding))
    console.file.flush()
