"""Markdown that is safe to show: what a server wrote is formatted, never obeyed. Text in, text out.

Notebooks run the HTML in Markdown, load its pictures and follow its links. Renderers differ in where they see code,
mathematics or a paragraph, so safety must not depend on seeing the same: wherever it stands in the result, code
included, there is no tag but `<pre>` and `<code>`, no picture, no command of TeX that makes a link or a style, and no
link but to the web, to a mail address, or to a place beside the notebook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..protocol import Message

# C0 but tab and line feed, DEL, C1, and the bidi controls, which make text read as what it is not.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# What opens a tag, a comment or a declaration: https://html.spec.whatwg.org/multipage/parsing.html#tag-open-state
_TAG = r"<[A-Za-z/!?]"
_PICTURE = r"!\["
# After `](` or `]:`: anything but the web, mail, and a path without a character that could make, or hide, a scheme.
_ELSEWHERE = r"(?!\s*(?:https?://|mailto:|[\w./#?=%+~,@-]+[)\s]|\)))"
_LINK = rf"\]\({_ELSEWHERE}"
_DEFINITION = rf"\]:{_ELSEWHERE}"
# Only at the beginning of a block, which is seldom in code: `if a[0]: ...` is none.
_DEFINITION_LINE = rf"^(?:[^\w\[\n]|\d)*\[(?:\\.|[^\[\]\\]){{0,999}}{_DEFINITION}"
_TEX = r"(?<!\\)\\+(?=(?:href|url|html\w*|require|includegraphics|style|class|cssId)(?![A-Za-z]))"

_UNSAFE = re.compile("|".join((_TAG, _PICTURE, _LINK, _DEFINITION_LINE, _TEX)), re.MULTILINE | re.ASCII)
_MEANT = re.compile(
    rf"(?P<tex>{_TEX})|(?<!\\)(?P<slashes>\\*)(?:(?P<tag><)|{_PICTURE})|(?P<link>{_LINK})|(?P<definition>{_DEFINITION})",
    re.ASCII,
)
_OWN_TAG = re.compile(r"</?(?:pre|code)>")
_ASCII_PUNCTUATION = re.compile(r"[\n!-/:-@\[-`{-~]")

_FENCE = re.compile(r"(?P<lead>[ \t]*(?:(?:[-*+>]|\d{1,9}[.)])[ \t]+)*)(?P<fence>`{3,}(?=[^`]*\Z)|~{3,})")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])\s")
_INDENTED = re.compile(r" {4}| {0,3}\t")
_BLANK_LINE = re.compile(r"(\n[ \t]*\n)")


def printable(text: str) -> str:
    """The text with each control character replaced by U+FFFD, and a line feed for every end of a line."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))


def safe_markdown(text: str) -> str:
    """The text as Markdown that is safe to show, see above; the same to the eye, code to the letter.

    A fenced block that has not ended yet is ended. Code that would be unsafe where a renderer does not take it for code
    is shown without its colours, as `<pre>`.
    """
    text = printable(text)
    result = "".join(_blocks(text))
    # Each block is safe; should two of them ever not be, side by side, then all of it is shown as it came.
    return _preformatted(text) if _UNSAFE.search(_OWN_TAG.sub("`", result)) else result


def turns_as_markdown(messages: Sequence[Message]) -> str:
    """A conversation, each turn below the name of its role."""
    return "\n\n".join(f"**{turn['role']}**\n\n{safe_markdown(turn['content'])}" for turn in messages)


def _blocks(text: str) -> Iterator[str]:
    """The blocks of a text, each made safe: prose, fenced code, and indented code."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    prose: list[str] = []
    in_list, blank, index = False, True, 0
    while index < len(lines):
        line, start = lines[index], index
        index += 1
        if found := _FENCE.match(line):
            end = re.compile(rf"[ \t>]*{found['fence'][0]}{{{len(found['fence'])},}}[ \t]*\n?\Z")
            while index < len(lines) and not end.match(lines[index]):
                index += 1
            yield _prose("".join(prose))
            yield _fenced(found, lines[start + 1 : index])
            prose, blank, index = [], False, index + 1
        elif blank and not in_list and _INDENTED.match(line) and not line.isspace():
            while index < len(lines) and _INDENTED.match(lines[index]):
                index += 1
            yield _prose("".join(prose))
            yield _indented(lines[start:index])
            prose = []
        else:
            blank = line.isspace()
            in_list = bool(_LIST_ITEM.match(line)) or (in_list and (blank or line[0] in " \t"))
            prose.append(line)
    yield _prose("".join(prose))


def _fenced(opening: re.Match[str], lines: list[str]) -> str:
    """A fenced block, as it is if that is safe. A program that draws or runs is not run: it is code."""
    lead, fence = opening["lead"], opening["fence"]
    beside = re.sub(r"[^ \t>]", " ", lead)  # what its further lines begin with
    code = "".join(lines)
    if _UNSAFE.search(code):
        bare = (re.sub(rf"\A[ \t>]{{0,{len(beside)}}}", "", line) for line in lines)
        return f"\n{lead}{_preformatted(''.join(bare).removesuffix(chr(10)))}\n\n"
    info = opening.string[opening.end() :].split()
    known = info and re.fullmatch(r"[\w+#.-]+", info[0]) and info[0].lower() != "mermaid"
    ending = "" if code.endswith("\n") or not code else "\n"
    return f"{lead}{fence}{info[0] if known else ''}\n{code}{ending}{beside}{fence}\n"


def _indented(lines: list[str]) -> str:
    code = "".join(lines)
    if not _UNSAFE.search(code):
        return code
    return f"{_preformatted(''.join(_INDENTED.sub('', line, count=1) for line in lines).removesuffix(chr(10)))}\n\n"


def _preformatted(code: str) -> str:
    """Code in one line, which no renderer takes apart."""
    return f"<pre><code>{_spelled(code)}</code></pre>"


def _spelled(code: str) -> str:
    """Code in which no character means anything: references stand for punctuation, and for the ends of lines."""
    return _ASCII_PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", code)


def _prose(text: str) -> str:
    """Prose with spans of code, which reach from some backticks to as many again, but over no blank line."""
    return "".join("".join(_spans(paragraph)) for paragraph in _BLANK_LINE.split(text))


def _spans(paragraph: str) -> Iterator[str]:
    runs = list(re.finditer("`+", paragraph))
    ahead: dict[int, list[re.Match[str]]] = {}
    for run in reversed(runs):
        ahead.setdefault(len(run[0]), []).append(run)
    done = 0
    for run in runs:
        same = ahead[len(run[0])]
        same.pop()  # this one
        if run.start() < done or not same or _is_escaped(paragraph, run.start()):
            continue
        code, end = paragraph[run.end() : same[-1].start()], same[-1].end()
        yield _MEANT.sub(_unmeant, paragraph[done : run.start()])
        yield f"<code>{_spelled(code.strip())}</code>" if _UNSAFE.search(code) else paragraph[run.start() : end]
        done = end
    yield _MEANT.sub(_unmeant, paragraph[done:])


def _is_escaped(text: str, index: int) -> bool:
    slashes = 0
    while slashes < index and text[index - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _unmeant(found: re.Match[str]) -> str:
    """The same to the eye: in Markdown, a character reference never has the meaning of its character."""
    if found["tex"]:
        return "&#92;" * len(found["tex"])
    if found["link"]:
        return "]&#40;"
    if found["definition"]:
        return "]&#58;"
    slashes = "\\" * (len(found["slashes"]) // 2 * 2)  # an odd one took the meaning from what has none now
    return f"{slashes}{'&lt;' if found['tag'] else '&#33;['}"
