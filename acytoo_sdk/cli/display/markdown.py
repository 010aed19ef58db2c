"""Markdown as lines of a terminal: what a server wrote is formatted, never obeyed. No line is written here.

markdown-it parses, with HTML off, so that HTML is text like any other. The lines are rich's texts, without the spaces
that would fill them, so that what is copied is what was meant. A line of code is one line, however long, and the
terminal's to wrap; all others fit the width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from rich.cells import get_character_cell_size
from rich.style import Style
from rich.text import Text

from ..._display.characters import printable
from ..._display.code import lexed
from ..._display.formulas import add_formulas

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from rich.console import Console

CODE_LINE = 1_000  # characters; a longer line of code is several
_DEEPEST = 40  # lists and quotations inside each other; the parser leaves out what is deeper
_MOST_BRACKETS = 300  # of one paragraph: for each, the parser looks through the rest for its end
_NARROWEST = 8  # columns that are left to what is nested, even if they are not there
_COLUMN = 5  # of a table, at least; with less, each row is a list of its cells
_RULE = 60  # columns, at most

# Colours that a terminal's own theme makes legible, on dark and on light; no backgrounds.
_HEADINGS = {"h1": Style(bold=True, underline=True), "h2": Style(bold=True)}
_HEADING = Style(bold=True, italic=True)
_INLINE = {"em": Style(italic=True), "strong": Style(bold=True), "s": Style(strike=True)}
_CODE, _QUIET, _PLAIN = Style(color="cyan"), Style(dim=True), Style()
# By the first letters of Pygments' short names of what a token is.
_COLORS = {
    "cp": Style(color="magenta"),
    "c": Style(dim=True, italic=True),
    "k": Style(color="magenta"),
    "ow": Style(color="magenta"),
    "s": Style(color="green"),
    "m": Style(color="cyan"),
    "nb": Style(color="cyan"),
    "nd": Style(color="cyan"),
    "na": Style(color="cyan"),
    "nt": Style(color="magenta"),
    "nf": Style(bold=True),
    "nc": Style(bold=True),
    "gd": Style(color="red"),
    "gi": Style(color="green"),
    "gh": Style(bold=True),
    "gu": Style(color="magenta"),
}

_ADDRESS = re.compile(r"(?:https?://|mailto:).", re.IGNORECASE)
# Between characters of Chinese and Japanese, a line may end, but for that after a mark that opens, and before one
# that closes.
_WIDE = "\u2e80-\ua4cf\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"
_OPEN = "\u3008\u300a\u300c\u300e\u3010\uff08"
_CLOSE = "\u3001\u3002\u3009\u300b\u300d\u300f\u3011\uff01\uff09\uff0c\uff0e\uff1a\uff1b\uff1f"
_WORD = re.compile(rf"[ \t]*[{_OPEN}]*(?:(?![{_CLOSE}])[{_WIDE}]|[^ \t{_WIDE}]+)?[{_CLOSE}]*")


class TooDeepError(ValueError):
    """A block is nested so deeply that the parser left something out."""


class Layout:
    """Blocks of Markdown as lines, for what a console can show.

    Where styles are missing, the marks that mean something stay: of headings, code, and what is struck.
    """

    def __init__(self, console: Console) -> None:
        self._marks = console.color_system is None or console.no_color
        try:
            "•◦│─┼".encode(console.encoding)
            self._bullets, self._bar, self._dash, self._cross = "•◦", "│", "─", "┼"
        except (UnicodeEncodeError, LookupError):
            self._bullets, self._bar, self._dash, self._cross = "-*", "|", "-", "+"

    def block(self, token: Token, inner: Sequence[Token], width: int) -> list[Text]:
        """The lines of one block, whose tokens `blocks` gave.

        Raises:
            TooDeepError: see there.
        """
        if any(each.level >= _DEEPEST - 1 for each in inner):
            raise TooDeepError
        if token.type == "paragraph_open":
            return wrapped(self.inline(inner[0].content), width)
        if token.type == "heading_open":
            return wrapped(self._heading(token, inner[0].content), width) if inner[0].content else []
        if token.type in ("bullet_list_open", "ordered_list_open"):
            lines: list[Text] = []
            for index, (_, item, is_apart) in enumerate(items(inner)):
                lines += [Text()] if is_apart else []
                lines += self.item(token, item, width, index=index)
            return lines
        if token.type == "blockquote_open":
            bar = Text().append(f"{self._bar} ", _QUIET)
            return _beside(bar, bar, self._nested(inner, width - 2))
        if token.type in ("fence", "code_block"):
            return self.code(token.content, token.info)
        if token.type == "table_open":
            return self._table(inner, width)
        if token.type == "hr":
            return [Text(self._dash * min(width, _RULE), _QUIET)]
        if token.type == "formula_begun" and token.level:
            return wrapped(self.inline(token.markup), width)  # what it is in has ended: it is none
        return wrapped(Text(printable(token.markup if token.type.startswith("formula") else token.content)), width)

    def item(self, opening: Token, inner: Sequence[Token], width: int, *, index: int) -> list[Text]:
        """The lines of an item of a list, which is the index-th that the list's opening token counts."""
        if any(each.level >= _DEEPEST - 1 for each in inner):
            raise TooDeepError
        marker = f"{self._bullets[opening.level // 2 % 2]} "
        if opening.type == "ordered_list_open":
            start = opening.attrGet("start")
            marker = f"{(start if isinstance(start, int) else 1) + index}{opening.markup} "
        lines = self._nested(inner, width - len(marker)) or [Text()]
        return _beside(Text(marker), Text(" " * len(marker)), lines)

    def _heading(self, token: Token, content: str) -> Text:
        text = self.inline(content)
        text.stylize(_HEADINGS.get(token.tag, _HEADING))
        return Text("#" * int(token.tag[1:]) + " ") + text if self._marks else text

    def code(self, content: str, info: str) -> list[Text]:
        """The lines of code; of code that ends in the middle of a line, too."""
        if not content:
            return []
        text = Text()
        for kind, part in lexed(printable(content).removesuffix("\n"), info):
            text.append(part, _COLORS.get(kind[:2]) or _COLORS.get(kind[:1]))
        lines: list[Text] = []
        for line in text.split("\n", allow_blank=True):
            for row in line.divide(range(CODE_LINE, len(line), CODE_LINE)):
                row.expand_tabs(4)
                lines += _beside(Text("  "), Text(), [row])
        return lines

    def inline(self, content: str) -> Text:
        """The text of a paragraph, in which each line break is one."""
        if content.count("[") > _MOST_BRACKETS:
            return Text(printable(content))
        text, styles, links = Text(), [_PLAIN], [(0, "")]
        for token in _parser().parseInline(content)[0].children or []:
            if token.tag in _INLINE:
                if self._marks and token.tag == "s":
                    text.append("~~")
                if token.nesting > 0:
                    styles.append(styles[-1] + _INLINE[token.tag])
                else:
                    styles.pop()
            elif token.type == "code_inline":
                mark = token.markup if self._marks else ""
                text.append(printable(f"{mark}{token.content}{mark}"), styles[-1] + _CODE)
            elif token.type in ("softbreak", "hardbreak"):
                text.append("\n")
            elif token.type == "link_open":
                links.append((len(text), str(token.attrGet("href"))))
            elif token.type == "link_close":
                begin, address = links.pop()
                _append_address(text, text.plain[begin:], address)
            elif token.type == "image":
                text.append(printable(token.content), styles[-1])
                _append_address(text, token.content, str(token.attrGet("src")))
            else:
                text.append(printable(token.markup if token.type == "formula" else token.content), styles[-1])
        return text

    def _nested(self, tokens: Sequence[Token], width: int) -> list[Text]:
        """Blocks with a blank line between them where there is one in the source."""
        lines: list[Text] = []
        end = 0
        for token, inner in blocks(tokens):
            begin, _ = token.map or (0, 0)
            block = self.block(token, inner, max(width, _NARROWEST))
            lines += [Text()] if lines and begin > end else []
            lines += block
            end = _end(token, inner)
        return lines

    def _table(self, tokens: Sequence[Token], width: int) -> list[Text]:
        rows: list[list[Text]] = []
        sides: list[str] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "th_open":
                sides.append(str(token.attrGet("style") or "").removeprefix("text-align:"))
            elif token.type == "inline":
                rows[-1].append(Text(" ").join(self.inline(token.content).split("\n")))
        for cell in rows[0]:
            cell.stylize(_INLINE["strong"])
        natural = [max(1, *(cells(row[index].plain) for row in rows)) for index in range(len(sides))]
        space = width - 3 * (len(sides) - 1)
        if sum(natural) > space < _COLUMN * len(sides):
            return self._records(rows, width)
        widths = _shares(natural, space)
        rule = Text(f"{self._dash}{self._cross}{self._dash}".join(self._dash * size for size in widths), _QUIET)
        lines: list[Text] = []
        for index, row in enumerate(rows):
            # Rows of several lines each would run into one another.
            lines += [rule] if index == 1 or (index and widths != natural) else []
            columns = [wrapped(cell, size) for cell, size in zip(row, widths, strict=True)]
            for number in range(max(map(len, columns))):
                parts = [column[number] if number < len(column) else Text() for column in columns]
                bar = Text().append(f" {self._bar} ", _QUIET)
                line = bar.join(map(_aligned, parts, sides, widths))
                line.rstrip()
                lines.append(line)
        return lines if len(rows) > 1 else [*lines, rule]

    def _records(self, rows: list[list[Text]], width: int) -> list[Text]:
        """A table that is too wide: each row as lines, each of which begins with the name of its column."""
        lines: list[Text] = []
        for row in rows[1:] or [[Text() for _ in rows[0]]]:
            lines += [Text()] if lines else []
            for name, cell in zip(rows[0], row, strict=True):
                lines += _beside(Text(), Text("  "), wrapped(name + Text(": ") + cell, max(width - 2, 1)))
        return lines


def parsed(text: str, *, grows: bool) -> list[Token]:
    """The tokens of a text's blocks; what is inside a paragraph is parsed when it is laid out."""
    tokens: list[Token] = []
    _parser().block.parse(text, _parser(), {"grows": grows}, tokens)
    return tokens


def blocks(tokens: Sequence[Token]) -> Iterator[tuple[Token, Sequence[Token]]]:
    """The blocks that stand side by side: the first token of each, and those inside of it."""
    index = 0
    while index < len(tokens):
        first, begin = tokens[index], index + 1
        index = begin
        if first.nesting > 0:
            while tokens[index].level > first.level:
                index += 1
            yield first, tokens[begin:index]
            index += 1
        else:
            yield first, ()


def items(tokens: Sequence[Token]) -> Iterator[tuple[int, Sequence[Token], bool]]:
    """The items of a list: the line each begins in, its tokens, and whether a blank line stands before it."""
    end = None
    for token, inner in blocks(tokens):
        begin, _ = token.map or (0, 0)
        yield begin, inner, end is not None and begin > end
        end = _end(token, inner)


def cells(text: str) -> int:
    """The columns that a text takes, at most: terminals differ over what is joined, or made an emoji."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def wrapped(text: Text, width: int) -> list[Text]:
    """A text as lines of at most this many columns, which break where a longer text's lines would, too."""
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        line.expand_tabs(4)
        lines += line.divide(_breaks(line.plain, width)) if cells(line.plain) > width else [line]
    for line in lines:
        line.rstrip()
    return lines


def folded(text: Text, width: int) -> list[Text]:
    """A line in pieces of at most this many columns, as a terminal wraps it."""
    if cells(text.plain) <= width:
        return [text]
    return [*text.divide(_folds(text.plain, width))]


def _breaks(line: str, width: int) -> Iterator[int]:
    used = 0
    for found in _WORD.finditer(line):
        begin, word = found.start(), found[0]
        size = cells(word)
        if used and used + size > width:
            begin += len(word) - len(word.lstrip(" \t"))
            word, used = word.lstrip(" \t"), 0
            yield begin
            size = cells(word)
        if used + size <= width:
            used += size
            continue
        for index, character in enumerate(word, begin):
            if used and used + _cell(character) > width:
                yield index
                used = 0
            used += _cell(character)


def _folds(line: str, width: int) -> Iterator[int]:
    used = 0
    for index, character in enumerate(line):
        if used and used + _cell(character) > width:
            yield index
            used = 0
        used += _cell(character)


@cache
def _cell(character: str) -> int:
    return 1 if character == "\N{VARIATION SELECTOR-16}" else get_character_cell_size(character)


def _append_address(text: Text, shown: str, address: str) -> None:
    """Says where a link leads, unless it says so itself."""
    if address not in (_parser().normalizeLink(shown), f"mailto:{shown}"):
        text.append(printable(f" ({address})" if shown else address), _QUIET)


def _beside(first: Text, others: Text, lines: Sequence[Text]) -> list[Text]:
    """Lines with something before the first, and before the others."""
    beside = [(first if index == 0 else others) + line for index, line in enumerate(lines)]
    for line in beside:
        line.rstrip()
    return beside


def _aligned(cell: Text, side: str, width: int) -> Text:
    free = width - cells(cell.plain)
    before = free if side == "right" else free // 2 if side == "center" else 0
    return Text(" " * before) + cell + Text(" " * (free - before))


def _shares(natural: Sequence[int], space: int) -> list[int]:
    """The widths of columns: what narrow ones leave goes to the wide ones."""
    widths = [*natural]
    order = sorted(range(len(natural)), key=natural.__getitem__)
    for index, column in enumerate(order):
        widths[column] = min(natural[column], max(1, space // (len(order) - index)))
        space -= widths[column]
    return widths


def _end(token: Token, inner: Sequence[Token]) -> int:
    """The line after a block; the blank ones at the end of a list are not its own."""
    ends = [each.map[1] for each in (token, *inner) if each.map and not each.type.endswith(("list_open", "item_open"))]
    return max(ends, default=(token.map or (0, 0))[0] + 1)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    # The definition of a link may come long after its text was shown: both stay as they were written.
    parser.disable("reference")
    parser.validateLink = _is_address  # type: ignore[method-assign]
    add_formulas(parser)
    return parser


def _is_address(url: str) -> bool:
    return _ADDRESS.match(url) is not None
