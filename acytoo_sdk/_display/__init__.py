"""How a reply is shown: as HTML that is safe, or as plain text, while it grows. Knows texts, not streams."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from .markdown import printable as printable
from .markdown import safe_html as safe_html

if TYPE_CHECKING:
    from .output import Output


def growing(text: str = "", *, raw: bool = False) -> AbstractContextManager[Output]:
    """Shows a text that grows, see `output.output`; imported where something is shown."""
    from .output import output

    return output(text, raw=raw)


def failing_in_brief() -> AbstractContextManager[None]:
    """Shows an error in a few lines, see `output.failing_in_brief`; imported where something is shown."""
    from .output import failing_in_brief

    return failing_in_brief()
