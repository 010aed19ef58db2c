"""Markdown as lines: what is meant can be read at any width, and nothing of it is obeyed."""

from __future__ import annotations

import io
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rich")
pytest.importorskip("pyte")

from rich.console import Console
from screens import TEXTS, Terminal

from acytoo_sdk.cli.display.growing import GrowingMarkdown
from acytoo_sdk.cli.display.markdown import Layout, cells


def plain(text: str, *, width: int = 40, console: Console | None = None) -> list[str]:
    """The lines of a whole text."""
    growing = GrowingMarkdown(Layout(console or Terminal(80, 24).console))
    growing.add(text)
    certain, _ = growing.take(width, room=20, over=True)
    return [line.plain for line in certain]


def colors(text: str) -> list[tuple[str, str]]:
    """The parts of a text that have a style, with it."""
    growing = GrowingMarkdown(Layout(Terminal(80, 24).console))
    growing.add(text)
    certain, _ = growing.take(79, room=20, over=True)
    return [(line.plain[span.start : span.end], str(span.style)) for line in certain for span in line.spans if span]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("# A *b*\nc\n\n***\n", ["A b", "", "c", "", "─" * 40]),
        ("Roses\nare  \nred", ["Roses", "are", "red"]),
        ("9. one\n10. two\n    - three\n\n      four", ["9. one", "10. two", "    ◦ three", "", "      four"]),
        ("- " + "word " * 10, ["• word word word word word word word", "  word word word"]),
        ("> a\n> - b\n>\n> c", ["│ a", "│ • b", "│", "│ c"]),
        ("```python\ndef f():\n\treturn 1\n\n```\nx", ["  def f():", "      return 1", "", "", "x"]),
        ("[docs](https://e.example/a) and <https://e.example>", ["docs (https://e.example/a) and", "https://e.example"]),
        ("![cat](https://e.example/c.png)", ["cat (https://e.example/c.png)"]),
        ("<https://e.example/Чат>", ["https://e.example/Чат"]),
        ("[x](javascript:a) [y](a.md) ![z](data:x)", ["[x](javascript:a) [y](a.md) ![z](data:x)"]),
        ("[a][b]\n\n[b]: https://e.example", ["[a][b]", "", "[b]: https://e.example"]),
        ("<b>x</b> <!-- y --> &amp; [red]z[/] :smile:", ["<b>x</b> <!-- y --> & [red]z[/] :smile:"]),
        ("<div>\nx\n</div>", ["<div>", "x", "</div>"]),
        ("你好，世界！" * 5 + "abc", ["你好，世界！" * 3 + "你", "好，世界！你好，世界！abc"]),
        ("&#x202e;a &#x9b;b &#27;[31m `\x1b]0;x\x07`", ["\ufffda \ufffdb \ufffd[31m \ufffd]0;x\ufffd"]),
        ("```\x1b\n\u202e\n```\n\n| \x9b |\n|-|\n| &#27; |", ["  \ufffd", "", "\ufffd", "─", "\ufffd"]),
        (r"\(x_1\) and $a*b*c$", [r"\(x_1\) and $a*b*c$"]),
        ("\\[\nx\n\\]", ["\\[", "x", "\\]"]),
    ],
)  # fmt: skip
def test_what_is_meant_can_be_read(text: str, lines: list[str]) -> None:
    assert plain(text) == lines


def test_a_table_fits_the_width() -> None:
    table = "| a | long |\n|:--|---:|\n| 你好 | " + "word " * 12 + "|\n| x | y |"
    assert plain(table) == [
        "a    │                              long",
        "─────┼──────────────────────────────────",
        "你好 │     word word word word word word",
        "     │     word word word word word word",
        "─────┼──────────────────────────────────",
        "x    │                                 y",
    ]
    wide = "|" + "name|" * 9 + "\n|" + "-|" * 9 + "\n|" + "value|" * 9
    assert plain(wide) == ["name: value"] * 9


@pytest.mark.parametrize("name", ["block", "item", "inline", "code"])
def test_what_cannot_be_laid_out_is_shown_as_it_was_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RecursionError

    monkeypatch.setattr(Layout, name, fail)
    shown = " ".join(plain("one **two**\n\n- three\n- four\n\n```\nfive\n```\n" + "six " * 4_000))
    for word in "one", "two", "three", "four", "five":
        assert shown.count(word) == 1
    assert shown.count("six") == 4_000


def test_styles_are_of_the_sixteen_colors_and_say_nothing_alone() -> None:
    assert colors("**b** `c`") == [("b", "bold"), ("c", "cyan")]
    assert ("def", "magenta") in colors("```python\ndef f(): pass\n```")
    assert colors("```python\n" + "x = 1\n" * 2_000) != []


def test_marks_stay_where_no_style_can_stand_for_them() -> None:
    console = Console(color_system=None, width=80)
    assert plain("## a `b` ~~c~~\n\n**d**", console=console) == ["## a `b` ~~c~~", "", "d"]


def test_lines_are_of_ascii_where_nothing_else_can_be_written() -> None:
    console = Console(file=io.TextIOWrapper(io.BytesIO(), "latin-1"), force_terminal=True)
    assert plain("- a\n  - b\n\n> c\n\n---", width=5, console=console) == ["- a", "  * b", "", "| c", "", "-----"]


@given(TEXTS, st.sampled_from([9, 40, 79]))
@settings(max_examples=100)
def test_no_line_is_filled_or_too_long_or_holds_a_control_character(text: str, width: int) -> None:
    for line in plain(text, width=width):
        assert line == line.rstrip()
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)
        # Code is the terminal's to wrap, and what is nested deeper than there is room for.
        assert cells(line) <= width or line.startswith(" ") or width == 9


@pytest.mark.parametrize(
    "text",
    ["[" * 40_000, "> " * 20_000 + "x", "*a " * 15_000, "- " * 20_000 + "x", "x" * 200_000,
     "|a|\n|-|\n" + "|x|\n" * 10_000,
     "".join("  " * level + "- a\n" for level in range(80)), "e" + "\N{COMBINING ACUTE ACCENT}" * 100_000,
     "```python\n" + "x = [1]\n" * 8_000, "$$\n" + "a\n" * 10_000, "- a\n" * 10_000],
)  # fmt: skip
def test_no_text_takes_long_or_is_lost(text: str) -> None:
    begun = time.monotonic()
    lines = plain(text)
    assert time.monotonic() - begun < 15
    for letter in "x", "a":
        assert abs("".join(lines).count(letter) - text.count(letter)) <= ("python" in text)
