r"""Where Markdown holds a formula: `$...$`, `$$...$$`, `\(...\)`, `\[...\]`, and environments such as `align`.

These are rules for markdown-it's parser. What a formula may consist of is decided in `tex`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .tex import LONGEST

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

# `$5 and $10` are prices: no blank may stand just inside of single dollars, and no letter or digit just outside. No
# formula holds the mark that opens it, so that the search for its end never goes over the same text twice.
_IN_LINE = re.compile(
    r"""
    \$\$ (?P<dollars> (?: [^$\\] | \\. | \$(?!\$) )+ ) \$\$
    | \$ (?P<dollar> (?![\s$]) (?: [^$\\`] | \\. )+ ) (?<!\s) \$ (?![\w$])
    | \\\( (?P<round> (?: [^\\] | \\[^()] )+ ) \\\)
    | \\\[ (?P<square> (?: [^\\] | \\[^\[\]] )+ ) \\\]
    """,
    re.DOTALL | re.VERBOSE,
)
_OPENING = re.compile(r"\$\$|\\\[|\\begin\{([a-z]+\*?)\}")
_CLOSING = {"$$": "$$", "\\[": "\\]"}


def add_formulas(parser: MarkdownIt) -> None:
    """Has a parser make tokens of formulas: "formula" in a line, "formula_block" and "formula_begun" between lines.

    Their markup is the source with its delimiters, their content what is between them, their info "display" or "".
    """
    parser.inline.ruler.before("escape", "formula", _in_line)
    ends = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "formula_block", _between_lines, {"alt": ends})


def _in_line(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    found = _IN_LINE.match(state.src, state.pos, min(state.posMax, state.pos + LONGEST))
    if found is None or (found["dollar"] and state.src[max(state.pos - 1, 0)].isalnum()):
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.markup, token.content = found[0], found[found.lastgroup or 0]
        token.info = "display" if found.lastgroup in ("dollars", "square") else ""
    state.pos = found.end()
    return True


def _between_lines(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """A formula that begins a line and ends one, without a blank line inside; or has begun, in a text that grows."""
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    opening = _OPENING.match(state.src, start, state.eMarks[first])
    if opening is None:
        return False
    mark, environment = opening[0], opening[1]
    closing = f"\\end{{{environment}}}" if environment else _CLOSING[mark]
    size = len(mark)
    for line in range(first, end):
        if line > first:
            start, size = state.bMarks[line] + state.tShift[line], 0
        text = state.src[start : state.eMarks[line]]
        if not text or state.sCount[line] < state.blkIndent or state.eMarks[line] - state.bMarks[first] > LONGEST:
            return False
        at = text.find(closing, size)
        if at >= 0:
            if text[at + len(closing) :].strip():
                return False
            break
        if mark in text[size:]:
            return False
    else:
        if not state.env.get("grows") or end < state.lineMax:
            return False
    if not silent:
        source = state.getLines(first, line + 1, state.blkIndent, False).strip()
        token = state.push("formula_block" if at >= 0 else "formula_begun", "", 0)
        token.markup, token.info, token.map = source, "display", [first, line + 1]
        token.content = source if environment else source.removeprefix(mark).removesuffix(closing)
    state.line = line + 1
    return True
