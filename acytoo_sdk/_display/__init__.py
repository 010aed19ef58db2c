"""How a reply is shown: as Markdown that is safe, or as plain text, while it grows. Knows texts, not streams."""

from __future__ import annotations

from .markdown import printable as printable
from .markdown import safe_markdown as safe_markdown
from .output import failing_in_brief as failing_in_brief
from .output import output as output
