"""How a reply is shown while it grows: as HTML that is safe, or as plain text. Nothing here knows streams.

Every client hands this package to its streams, but few streams are ever shown. So each function here imports what it
needs when it is called.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .output import Output


def printable(text: str) -> str:
    """The text without control characters, see `characters.printable`."""
    from .characters import printable

    return printable(text)


def safe_html(text: str) -> str:
    """A reply as HTML that is safe to show, see `markdown.safe_html`."""
    from .markdown import safe_html

    return safe_html(text)


def growing(text: str = "", *, raw: bool = False) -> AbstractContextManager[Output]:
    """Shows a text that grows, see `output.output`."""
    from .output import output

    return output(text, raw=raw)


def failing_in_brief() -> AbstractContextManager[None]:
    """Shows an error in a few lines, see `output.failing_in_brief`."""
    from .output import failing_in_brief

    return failing_in_brief()
