"""The first code block of a reply, for `--extract`."""

from __future__ import annotations

from markdown_it import MarkdownIt


def first_code_block(text: str) -> str | None:
    """What the first code block of a text holds, without its fence; None where there is none.

    A fence that is still open holds what there is. Blocks in lists and quotations count.
    """
    tokens = MarkdownIt("commonmark").parse(text)
    return next((token.content for token in tokens if token.type in ("fence", "code_block")), None)
