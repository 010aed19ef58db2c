"""A reply as HTML that is safe to show: what a server wrote is formatted, never obeyed. Text in, text out.

markdown-it parses. The HTML is written here, from the tokens that are known; all others become text. Of a reply,
attributes hold only checked addresses and the number that a list begins with. Front ends search what they show for
formulas: classes tell them to do so only in the elements that hold what `tex` allows. Some front ends ignore these
classes; so everywhere else, each mark of a formula stands alone in an element of its own, where they do not find it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..protocol import Message
from .characters import printable
from .code import escaped, highlighted
from .formulas import add_formulas
from .tex import is_allowed

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LONGEST = 500_000  # characters; longer texts are shown as they are, since so much HTML would slow the page down
_DEEPEST = 40  # lists and quotations inside each other; the parser leaves out what is deeper
_MOST_FORMULAS = 1_000  # in one page, which needs about a millisecond for each

_MARKS = re.compile(r"([$\\]+)")
# No user may be named before the host, since `https://bank.example@stranger.example/` leads to the stranger.
_ADDRESS = re.compile(r"(?:https?://(?![^/?#]*@)|mailto:)[\w\-.~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII | re.IGNORECASE)
_BARE_ADDRESS = re.compile(r"https?://(?:[\w\-.~:/?#@!$&'*+,;=%]|\([\w\-.~/=%]*\))+(?<![.,:;!?'*~])", re.IGNORECASE)
_ALIGNMENTS = {f"text-align:{side}" for side in ("left", "center", "right")}
# The marks of MathJax from version 3 on, and of version 2.
_NO_FORMULAS, _FORMULA = (f'class="mathjax_{verb} tex2jax_{verb}"' for verb in ("ignore", "process"))
_PAIRED = """
    p h1 h2 h3 h4 h5 h6 ul ol li blockquote table thead tbody tr th td em strong s
""".split()  # noqa: SIM905

_UNDECIDED = " \t>-=*_+#`~|:\\$"  # a last line of nothing else may still become anything


def safe_html(text: str, *, grows: bool = False) -> str:
    """The text, which is Markdown, as HTML that does nothing when it is shown, see above.

    Args:
        text: the text.
        grows: whether more may follow. Then what Markdown has not decided yet, such as a table's first line, is shown
            as what it will probably be, so that it does not change its look with the next piece.

    Raises:
        ModuleNotFoundError: markdown-it-py is not installed.
    """
    return _page([_body(text, _Writer(), grows=grows)])


def turns_as_html(messages: Sequence[Message]) -> str:
    """A conversation, each turn below the name of its role."""
    writer = _Writer()
    return _page(
        f"<p><strong>{escaped(turn['role'])}</strong></p>{_body(turn['content'], writer)}" for turn in messages
    )


def _page(bodies: Iterable[str]) -> str:
    return f"<div {_NO_FORMULAS}>{''.join(bodies)}</div>"


def _body(text: str, writer: _Writer, *, grows: bool = False) -> str:
    text = printable(text)
    if len(text) <= _LONGEST:
        tokens = _parsed(text, grows=grows)
        if all(token.level < _DEEPEST - 1 for token in tokens) and (tokens or grows or not text.strip()):
            return writer.written(tokens)
    return f"<pre><code>{escaped(text)}</code></pre>"


def _parsed(text: str, *, grows: bool) -> list[Token]:
    """The tokens of a text. If it grows, a table is one from its first line on."""
    if not grows:
        return _parser().parse(text)
    before, _, line = text.rpartition("\n")
    tokens = _parser().parse(text if line.strip(_UNDECIDED) else before, {"grows": True})
    if len(tokens) < 3 or tokens[-3].type != "paragraph_open" or tokens[-3].level:
        return tokens
    before, _, row = tokens[-2].content.rpartition("\n")
    if not row.startswith("|") or before.rpartition("\n")[2].startswith("|"):
        return tokens
    columns = len(re.findall(r"(?<!\\)\|", row.rstrip().rstrip("|")))
    return tokens[:-3] + _parser().parse(f"{before}\n\n{row}\n{'|-' * columns}|")


@cache
def _parser() -> MarkdownIt:
    try:
        from markdown_it import MarkdownIt
    except ModuleNotFoundError as error:
        if error.name != "markdown_it":
            raise
        raise ModuleNotFoundError(
            "To show replies in a notebook, install the extra: pip install 'acytoo-sdk[notebook]'", name="markdown_it"
        ) from None
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    parser.validateLink = _is_address  # type: ignore[method-assign]
    add_formulas(parser)
    return parser


def _is_address(url: str) -> bool:
    return _ADDRESS.fullmatch(url) is not None


class _Writer:
    """Writes tokens as HTML; knows whether it is in a link, and how many formulas there were."""

    def __init__(self) -> None:
        self._in_link = False
        self._formulas = 0
        self._write: dict[str, Callable[[Token], str]] = {
            "inline": lambda token: self.written(token.children or []),
            "text": self._text,
            "softbreak": lambda token: "&#10;",
            "hardbreak": lambda token: "<br>",
            "hr": lambda token: "<hr>",
            "code_inline": lambda token: f"<code>{escaped(token.content)}</code>",
            "code_block": lambda token: highlighted(token.content, ""),
            "fence": lambda token: highlighted(token.content, token.info),
            "link_open": self._link_open,
            "link_close": self._link_close,
            "image": self._image,
            "formula": lambda token: self._formula(token, "span"),
            "formula_block": lambda token: self._formula(token, "div"),
            "formula_begun": lambda token: _source(token, "div"),
        }

    def written(self, tokens: Sequence[Token]) -> str:
        return "".join([self._written(token) for token in tokens if not token.hidden])

    def _written(self, token: Token) -> str:
        if write := self._write.get(token.type):
            return write(token)
        if token.nesting and token.tag in _PAIRED:
            return f"<{token.tag}{_attribute(token)}>" if token.nesting > 0 else f"</{token.tag}>"
        return escaped(token.content)

    def _text(self, token: Token) -> str:
        if self._in_link:
            return _prose(token.content)
        parts, done = [], 0
        for found in _BARE_ADDRESS.finditer(token.content):
            address = _parser().normalizeLink(found[0])
            if _is_address(address):
                parts += [_prose(token.content[done : found.start()]), _link(address), _prose(found[0]), "</a>"]
                done = found.end()
        return "".join([*parts, _prose(token.content[done:])])

    def _link_open(self, token: Token) -> str:
        self._in_link = True
        return _link(str(token.attrGet("href")))

    def _link_close(self, token: Token) -> str:
        self._in_link = False
        return "</a>"

    def _image(self, token: Token) -> str:
        """A link to the picture: loading it would tell its server who reads, and when."""
        address = str(token.attrGet("src"))
        shown = _prose(token.content or address)
        return shown if self._in_link else f"{_link(address)}{shown}</a>"

    def _formula(self, token: Token, element: str) -> str:
        self._formulas += 1
        if self._formulas > _MOST_FORMULAS or self._in_link or not is_allowed(token.content):
            return _source(token, element)
        opening, closing = ("\\[", "\\]") if token.info else ("\\(", "\\)")
        return f"<{element} {_FORMULA}>{escaped(f'{opening}{token.content}{closing}')}</{element}>"


def _source(token: Token, element: str) -> str:
    """A formula as it was written."""
    code = f"<code>{escaped(token.markup)}</code>"
    return f"<pre>{code}</pre>" if element == "div" else code


def _prose(text: str) -> str:
    """Text in which each mark that could be part of a formula is apart from all else."""
    return "".join(
        f"<span>{escaped(part)}</span>" if index % 2 else escaped(part) for index, part in enumerate(_MARKS.split(text))
    )


def _link(address: str) -> str:
    if not _is_address(address):
        return "<a>"
    return f'<a href="{escaped(address)}" target="_blank" rel="noopener noreferrer">'


def _attribute(token: Token) -> str:
    """The side a cell of a table is aligned to, or the number that a list begins with."""
    start, style = token.attrGet("start"), token.attrGet("style")
    if isinstance(start, int):
        return f' start="{start}"'
    return f' style="{style}"' if style in _ALIGNMENTS else ""
