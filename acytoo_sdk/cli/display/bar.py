"""A bar on stderr that shows how far something is, and what is known of it beside."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from .terminal import Terminal, encodable

if TYPE_CHECKING:
    from rich.table import Table

_REFRESHES = 4  # a second
_LONGEST, _SHORTEST = 40, 8  # columns of a bar; in the place of a shorter one, the text stands alone


@dataclass(frozen=True)
class Progress:
    """How far something is.

    Attributes:
        text: what is told of it.
        share: of it that is done, from 0 to 1; None: that is not known.
    """

    text: str
    share: float | None


def show_bar(terminal: Terminal, look: Callable[[], Progress], over: Event) -> None:
    """Shows a bar until it is over, and takes it away.

    Args:
        terminal: the command's, whose stderr obeys escape codes.
        look: tells how far it is; called again and again.
        over: ends it.
    """
    # Where nobody looks at stderr any more, the bar alone ends.
    with contextlib.suppress(OSError), terminal.passing_line(lambda width: _line(look(), width), refreshes=_REFRESHES):
        over.wait()


def _line(progress: Progress, width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    text = Text(encodable(progress.text, sys.stderr), no_wrap=True, overflow="ellipsis")
    room = min(width - text.cell_len - 1, _LONGEST)
    line = Table.grid(padding=(0, 1))
    if progress.share is None or room < _SHORTEST:
        line.add_row(text)
    else:
        line.add_row(ProgressBar(total=1.0, completed=progress.share, width=room), text)
    return line
