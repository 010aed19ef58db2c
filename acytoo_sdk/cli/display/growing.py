"""Markdown that grows: the lines that can no longer change are handed out once, the others as they are by now.

A block is finished when the next one has begun. Of the last one, what is certain is handed out early: the lines of
code, the items of a list but the last, and, of a paragraph that is too long for the screen, the lines before anything
that may still become a link or emphasis. Only a table, a quotation and the last item of a list wait for their end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import IncrementalNewlineDecoder
from typing import TYPE_CHECKING

from rich.text import Text

from ..._display.characters import printable
from .markdown import CODE_LINE, Layout, blocks, items, parsed, wrapped

if TYPE_CHECKING:
    from markdown_it.token import Token

# Characters that are parsed at a time. What cannot be settled by then is shown as it was written, up to the next blank
# line, or to the end of what was parsed.
_LONGEST = 10_000
_LONGEST_UNDECIDED = 200
_CODE = 5_000  # characters of code that are coloured at a time
_TRIED = 15_000  # characters that are parsed to find the end of what is certain of a paragraph, at a time

# A last line may still become anything if it is nothing else than this, begins a fence, or a number that a list counts.
_UNDECIDED = re.compile(r"[ \t>\-=*_+#`~|:\\$]*|[ \t>*+\-\d.)]*(?:`{3,}|~{3,})[^\n]*")
_NUMBER = re.compile(r"[ \t>]*\d{1,9}[.)]?[ \t]*")
_BEFORE_NUMBER = re.compile(r"^[ \t>]*\d{1,9}[.)]|\S\n[ \t]*\n\s*\Z", re.MULTILINE)
_BLANK = re.compile(r"(?:[ \t]*\n)+")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
# Where a paragraph may be cut: before a blank, or between two wide characters.
_CUT = re.compile(r"(?<=[^\s\\])(?=\s+\S)|(?<=[\u2e80-\ua4cf\uff01-\uff60])(?=[\u3041-\ua4cf])")
_MARKS = re.compile(r"[*_~\[`$!\\<]")
# What is left of a text whose marks have become what they mean, if one of them still waits for its other half.
_WAITING = re.compile(r"[*_~]\S|`|\[[^\]]*$|\$\S|\\[(\[]")
_GUARD = "."  # stands for the part of a paragraph that is not there any more


class GrowingMarkdown:
    """A text that grows, as lines.

    What has become certain is cut off the text. Where that is in the middle of a block, what is left still begins like
    the block: with the opening of its fence, with the next item, with a letter of the paragraph.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._line_ends = IncrementalNewlineDecoder(None, translate=True)
        self._coming: list[str] = []  # what was added since lines were taken
        self._rest = ""  # what is not certain
        self._gap = False  # a blank line is due before the next line
        self._done = 0  # lines of the first block, of code, that were handed out
        self._index = 0  # of the first item in its list
        self._start: int | str | float | None = None  # the number that the list begins with
        self._line: Text | None = None  # of the paragraph, what precedes the guard
        self._is_source = False  # the first block is shown as it was written

    def add(self, piece: str) -> None:
        """Adds a piece. A carriage return at its end waits for the next piece, which may begin with the line feed."""
        self._coming.append(piece)

    def take(self, width: int, *, room: int, over: bool = False) -> tuple[list[Text], list[Text]]:
        """The lines that are certain since the last call, and those that are not; if it is over, all are certain.

        Args:
            width: the columns of a line.
            room: the lines that may change; as many of a paragraph are left undecided.
            over: nothing more will be added.
        """
        coming = printable(self._line_ends.decode("".join(self._coming), final=over))
        self._coming = []
        certain: list[Text] = []
        for begin in range(0, len(coming), _LONGEST):
            self._rest += coming[begin : begin + _LONGEST]
            while len(self._rest) > _LONGEST:
                left = len(self._rest)
                lines, _ = self._step(self._rest[:_LONGEST], width, room=0, grows=True)
                certain += lines
                if len(self._rest) == left:
                    certain += self._leave_as_written(width)
        lines, open_lines = self._step(self._rest, width, room=room, grows=not over)
        return certain + lines, open_lines

    def _step(self, window: str, width: int, *, room: int, grows: bool) -> tuple[list[Text], list[Text]]:
        """The lines of the beginning of what is left: those that are certain, which are cut off, and the others."""
        if self._is_source:
            return self._source_step(window, width, room=room, grows=grows)
        left = len(self._rest)
        certain, open_lines = self._parsed_step(window, width, room=room, grows=grows)
        if open_lines is not None:
            return certain, open_lines
        window = window[left - len(self._rest) :]
        lines, open_lines = self._source_step(window, width, room=room, grows=grows)
        return certain + lines, open_lines

    def _source_step(self, window: str, width: int, *, room: int, grows: bool) -> tuple[list[Text], list[Text]]:
        certain, is_over = self._source(window, grows=grows)
        if not is_over:
            return certain, self._apart(_as_written(self._rest) if room else [], is_apart=self._gap)
        lines, open_lines = self._step(self._rest[: len(window)], width, room=room, grows=grows)
        return certain + lines, open_lines

    def _leave_as_written(self, width: int) -> list[Text]:
        """From here to the next blank line, the text is shown as it was written."""
        certain: list[Text] = []
        if self._line is not None:
            certain = self._apart(wrapped(self._line, width), is_apart=self._gap)
            self._rest = self._rest.removeprefix(_GUARD)
        self._done, self._index, self._start, self._line = 0, 0, None, None
        self._gap = self._gap and not certain
        self._is_source = True
        return certain

    def _parsed_step(self, window: str, width: int, *, room: int, grows: bool) -> tuple[list[Text], list[Text] | None]:
        """As `_step`; None: from here on, the text is shown as it was written."""
        certain: list[Text] = []
        if blank := _BLANK.match(window):
            window = window[blank.end() :]
            self._rest = self._rest[blank.end() :]
        text = _decided(window) if grows else window
        try:
            found = [*blocks(parsed(text, grows=grows))]
        except Exception:  # whatever a text does to a library, it is shown
            return self._leave_as_written(width), None
        firm = len(found)
        if grows and found:
            # A formula that has begun may turn out to be a part of the paragraph before it.
            firm = max(firm - (2 if found[-1][0].type == "formula_begun" else 1), 0)
        starts, done = _starts(text), 0
        for token, inner in found[:firm]:
            begin, end = token.map or (0, 0)
            certain += self._finished(token, inner, text[starts[begin] : starts[end]], width)
            done = starts[end]
        if not grows:
            self._rest = ""
            return certain, []
        if firm < len(found):  # what is left begins where its block does
            done = starts[(found[firm][0].map or (0, 0))[0]]
        self._rest, text = self._rest[done:], text[done:]
        if firm + 1 != len(found):
            return certain, self._shown(text, width)
        try:
            lines, open_lines = self._growing(*found[firm], text, width, room=room)
        except Exception:
            return certain + self._leave_as_written(width), None
        return certain + lines, open_lines

    def _shown(self, text: str, width: int) -> list[Text]:
        """The lines of what is left, as they are by now."""
        starts = _starts(text)
        lines: list[Text] = []
        for token, inner in blocks(parsed(text, grows=True)):
            begin, end = token.map or (0, 0)
            block = self._lines(token, inner, text[starts[begin] : starts[end]], width)
            lines += self._apart(block, is_apart=self._gap or bool(lines))
        return lines

    def _finished(self, token: Token, inner: Sequence[Token], source: str, width: int) -> list[Text]:
        """The lines that were left of a block that is over."""
        lines = self._lines(token, inner, source, width)[self._done :]
        certain = self._apart(lines, is_apart=self._gap)
        self._gap = self._gap or bool(lines or self._done)
        self._done, self._index, self._start, self._line = 0, 0, None, None
        return certain

    def _lines(self, token: Token, inner: Sequence[Token], source: str, width: int) -> list[Text]:
        """All lines of a block."""
        try:
            if self._line is not None:
                return wrapped(self._continued(token, inner), width)
            if token.type.endswith("list_open"):
                return [line for lines in self._items(token, inner, source, width) for line in lines]
            return self._layout.block(token, inner, width)
        except Exception:
            # Whatever a text does to a library, it is shown.
            lines = _as_written(source.removeprefix(_GUARD) if self._line is not None else source)
            return [*wrapped(self._line, width), *lines] if self._line is not None else lines

    def _continued(self, token: Token, inner: Sequence[Token]) -> Text:
        """The text of a paragraph, or of what turned out to be a heading, of which a part is gone."""
        if token.type not in ("paragraph_open", "heading_open") or self._line is None:
            raise ValueError(token.type)
        return self._line + self._layout.inline(inner[0].content)[len(_GUARD) :]

    def _items(self, token: Token, inner: Sequence[Token], source: str, width: int) -> list[list[Text]]:
        """The lines of each item of a list, with the blank one that stands before it."""
        found = [*items(inner)]
        first = (token.map or (0, 0))[0]
        lines = source.split("\n")
        ends = [begin - first for begin, _, _ in found[1:]] + [len(lines)]
        if self._start is not None:
            token.attrSet("start", self._start)
        shown = []
        for index, (begin, item, is_apart) in enumerate(found):
            try:
                block = self._layout.item(token, item, width, index=self._index + index)
            except Exception:
                block = _as_written("\n".join(lines[begin - first : ends[index]]))
            shown.append(self._apart(block, is_apart=is_apart))
        return shown

    def _growing(
        self, token: Token, inner: Sequence[Token], text: str, width: int, *, room: int
    ) -> tuple[list[Text], list[Text]]:
        """The lines of the last block that are certain, which are cut off, and the others."""
        if token.type in ("fence", "code_block"):
            return self._growing_code(token, text, width)
        if token.type.endswith("list_open"):
            return self._growing_list(token, inner, text, width)
        lines = self._lines(token, inner, text, width)
        if token.type == "paragraph_open" and len(lines) > room:
            if settled := self._cut_paragraph(text, width, is_forced=not room):
                certain, cut = settled
                return certain, self._shown(_GUARD + text[cut:], width)
        elif token.type == "paragraph_open" and self._line is None:
            lines = self._as_table(inner[0].content, width) or lines
        return [], self._apart(lines, is_apart=self._gap)

    def _growing_code(self, token: Token, text: str, width: int) -> tuple[list[Text], list[Text]]:
        lines = self._lines(token, (), text, width)
        begin, end = token.map or (0, 0)
        written = text.split("\n")
        # Of an open fence, each line but its first is one of the code.
        is_closed = token.type == "fence" and end - begin - 1 > len(_lines_of(token.content))
        if is_closed:
            certain = self._finished(token, (), text, width)
            self._rest = self._rest[len("\n".join(written[: end - begin])) :]
            return certain, []
        is_whole = text.endswith("\n")
        count = len(lines) if is_whole else max(len(lines) - 1, 0)
        certain = self._apart(lines[self._done : count], is_apart=self._gap)
        if certain:
            self._gap, self._done = False, count
        if len(text) > _CODE and self._done:
            self._cut_code(token, text, is_whole=is_whole)
        return certain, self._apart(lines[count:], is_apart=self._gap)

    def _cut_code(self, token: Token, text: str, *, is_whole: bool) -> None:
        """Leaves only the last line, below the opening of its fence; indented code is known by a line of it."""
        begin, end = token.map or (0, 0)
        opening = tail = ""
        last = _lines_of(token.content)[-1]
        if token.type == "fence":
            opening = text.partition("\n")[0]
            margin = opening[: len(opening) - len(opening.lstrip(" "))]
            opening += "\n"
            if is_whole:
                last = margin = ""
        else:
            margin = "    "
            tail = text[len("\n".join(text.split("\n")[: end - begin])) :]
        parts = max(len(last) - 1, 0) // CODE_LINE
        self._rest = f"{opening}{margin}{last[parts * CODE_LINE :]}{tail}{self._rest[len(text) :]}"
        self._done = 1 if is_whole and last else 0

    def _growing_list(
        self, token: Token, inner: Sequence[Token], text: str, width: int
    ) -> tuple[list[Text], list[Text]]:
        *firm, last = self._items(token, inner, text, width)
        if firm:
            found = [*items(inner)]
            certain = self._apart([line for lines in firm for line in lines], is_apart=self._gap)
            line = found[-1][0] - (token.map or (0, 0))[0]
            self._rest = self._rest[len("\n".join(text.split("\n")[:line])) + 1 :]
            self._index += len(firm)
            start = token.attrGet("start")
            self._start = 1 if start is None else start
            self._gap = found[-1][2]
            return certain, last
        return [], self._apart(last, is_apart=self._gap)

    def _cut_paragraph(self, text: str, width: int, *, is_forced: bool) -> tuple[list[Text], int] | None:
        """The lines of a paragraph that stay what they are, and the place in its text before which it is cut."""
        limit = len(text.rstrip())
        if "|" in text[text.rstrip("\n").rfind("\n") + 1 :]:
            limit = max(text.rstrip("\n").rfind("\n"), 0)  # this line may become the first of a table
        cuts = [found.start() for found in _CUT.finditer(text, 0, limit)]
        places = [limit, *(found.start() for found in reversed([*_MARKS.finditer(text, 0, limit)]))]
        left = _TRIED
        place = len(text)
        while cuts and left > 0:
            while cuts and cuts[-1] >= place:
                cuts.pop()
            if not cuts:
                break
            cut = cuts[-1]
            left -= cut
            shown = self._layout.inline(self._unguarded(text[:cut]))
            if not _WAITING.search(shown.plain):
                return self._cut(text, cut, shown, width)
            place = next((each for each in places if each < cut), 0)
        if not is_forced:
            return None
        cut = next((found.start() for found in reversed([*_CUT.finditer(text, 0, limit)])), len(text))
        return self._cut(text, cut, self._layout.inline(self._unguarded(text[:cut])), width)

    def _unguarded(self, text: str) -> str:
        return text.strip() if self._line is None else text[len(_GUARD) :]

    def _cut(self, text: str, cut: int, shown: Text, width: int) -> tuple[list[Text], int]:
        *firm, line = wrapped(shown if self._line is None else self._line + shown, width)
        if len(line) > _LONGEST:  # of characters that take no column
            firm, line = [*firm, line], Text()
        certain = self._apart(firm, is_apart=self._gap)
        self._gap = self._gap and not firm
        self._line = line
        self._rest = _GUARD + self._rest[cut:]
        return certain, cut

    def _as_table(self, content: str, width: int) -> list[Text]:
        """A paragraph whose last line looks like the first line of a table, with that table; [] if it does not."""
        before, _, row = content.rpartition("\n")
        if not row.startswith("|") or before.rpartition("\n")[2].startswith("|"):
            return []
        columns = len(re.findall(r"(?<!\\)\|", row.rstrip().rstrip("|")))
        text = f"{before}\n\n{row}\n{'|-' * columns}|"
        lines: list[Text] = []
        for token, inner in blocks(parsed(text, grows=False)):
            lines += self._apart(self._lines(token, inner, text, width), is_apart=bool(lines))
        return lines

    def _source(self, window: str, *, grows: bool) -> tuple[list[Text], bool]:
        """The lines of what is shown as it was written, and whether the blank line that ends it is there."""
        end = _BLANK_LINE.search(window)
        size = window.rfind("\n") + 1
        if end is not None:
            size, self._is_source = end.start(), False
        elif not grows:
            size = len(window)
        elif not size and len(self._rest) > len(window):
            size = window.rfind(" ") + 1 or len(window)
        lines = _as_written(window[:size])
        self._rest = self._rest[size:]
        certain = self._apart(lines, is_apart=self._gap)
        self._gap = (self._gap and not lines) or not self._is_source
        return certain, not self._is_source

    @staticmethod
    def _apart(lines: list[Text], *, is_apart: bool) -> list[Text]:
        return [Text(), *lines] if lines and is_apart else lines


def _decided(text: str) -> str:
    """The text without its last line, if that may still become anything."""
    begin = text.rfind("\n") + 1
    line, before = text[begin:], text[:begin]
    if len(line) > _LONGEST_UNDECIDED:
        return text
    if _UNDECIDED.fullmatch(line) or (_NUMBER.fullmatch(line) and _BEFORE_NUMBER.search(before)):
        return before
    return text


def _starts(text: str) -> list[int]:
    """Where each line begins, and where the last one ends."""
    return [0, *(found.end() for found in re.finditer("\n", text)), len(text)]


def _as_written(source: str) -> list[Text]:
    lines = source.removesuffix("\n").split("\n") if source else []
    return [Text(line.expandtabs(4)) for line in lines]


def _lines_of(content: str) -> list[str]:
    return content.removesuffix("\n").split("\n") if content else []
