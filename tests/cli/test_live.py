"""A reply on a terminal: while it grows and once it is over, each line stands there once."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("rich")
pytest.importorskip("pyte")

from rich.console import Console
from screens import SIZES, TEXTS, Terminal

from acytoo_sdk.cli.display.live import BlockMarkdown, LiveMarkdown
from acytoo_sdk.cli.display.screen import Printer, Screen

LONG = [
    "```python\n" + "".join(f"x = {number}  # one of many lines\n" for number in range(200)) + "```\n\nend",
    "".join(f"{number}. item of a list, with **some** words\n" for number in range(1, 150)) + "\nend",
    " ".join(f"word{number} **bold{number}**" for number in range(900)) + " *end*",
    "你好，世界！" * 600,
    "```\n" + "abcdefghij" * 700 + "\nend\n```",
]


def at_once(text: str, size: tuple[int, int]) -> list[str]:
    terminal = Terminal(*size)
    screen = Screen(terminal.console)
    screen.add(text)
    screen.refresh(is_over=True)
    return terminal.rows


@given(TEXTS, st.sampled_from(SIZES), st.lists(st.integers(1, 9), min_size=1))
@example("1. a\n\n1. b\n\n42 is", (40, 10), [1])
@example("1.  \t=x\n1. *b \n===\n#\n\\[ \n\n- ", (40, 10), [1])
@example("a\n| b | c |\n|---|---|\n| d | e |\n\n```x`y`", (40, 10), [1])
@example("```\n" + "ab cd " * 17 + "\nend", (40, 10), [7])
@example("one\n| two |\nthree", (40, 10), [1])
@example("word " * 100 + "**bold " + "word " * 100 + "end** tail", (40, 10), [9])
@settings(max_examples=80)
def test_a_text_that_grew_looks_like_one_shown_at_once(text: str, size: tuple[int, int], cuts: list[int]) -> None:
    whole = at_once(text, size)
    terminal = Terminal(*size)
    screen = Screen(terminal.console)
    begin = 0
    for index in range(len(text)):
        screen.add(text[begin : begin + cuts[index % len(cuts)]])
        begin += cuts[index % len(cuts)]
        screen.refresh(is_over=False)
        # What is not in reach any more will not be different.
        gone = len(terminal.screen.history.top)
        assert terminal.rows[:gone] == whole[:gone]
        assert terminal.screen.cursor.x == 0
        if begin >= len(text):
            break
    screen.refresh(is_over=True)
    assert terminal.rows == whole


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("size", [(40, 10), (80, 24)])
def test_what_is_longer_than_the_screen_scrolls_away_as_it_grows(text: str, size: tuple[int, int]) -> None:
    whole = at_once(text, size)
    terminal = Terminal(*size)
    screen = Screen(terminal.console)
    step, behind = 97, 0
    for begin in range(0, len(text), step):
        screen.add(text[begin : begin + step])
        screen.refresh(is_over=False)
        gone = len(terminal.screen.history.top)
        assert terminal.rows[:gone] == whole[:gone]
        behind = max(behind, len(whole) * (begin + step) // len(text) - gone)
    assert behind < 3 * size[1] + 10
    screen.refresh(is_over=True)
    assert terminal.rows == whole


def test_what_becomes_shorter_leaves_nothing_behind() -> None:
    terminal = Terminal(40, 10)
    screen = Screen(terminal.console)
    for piece, rows in ("one\n| two", ["one", "", "two", "───"]), (" |\nthree", ["one", "| two |", "three"]):
        screen.add(piece)
        screen.refresh(is_over=False)
        assert terminal.rows == rows


def test_no_code_but_that_of_styles_reaches_the_terminal_whatever_the_layout_lets_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("acytoo_sdk.cli.display.markdown.printable", lambda text: text)
    terminal = Terminal(40, 10)
    screen = Screen(terminal.console)
    screen.add("a&#x202e;b&#10;c")
    screen.refresh(is_over=True)
    assert "a\ufffdb" in terminal.rows[0]
    assert "\u202e" not in "".join(terminal.written)


def test_only_what_changes_is_rewritten() -> None:
    terminal = Terminal(40, 24)
    screen = Screen(terminal.console)
    screen.add("- one\n  - two\n  - three\n  - fo")
    screen.refresh(is_over=False)
    screen.add("ur")
    screen.refresh(is_over=False)
    screen.refresh(is_over=False)
    assert len(terminal.written) == 2
    assert terminal.written[-1] == "\r\x1b[K\x1b[1A  ◦ four\x1b[K\n"


@given(TEXTS, st.lists(st.sampled_from([20, 40, 60, 80]), min_size=1, max_size=6))
@settings(max_examples=40)
def test_nothing_is_lost_when_the_terminal_changes_its_size(text: str, widths: list[int]) -> None:
    """A terminal that cuts lines off when it narrows; no line that is certain is rewritten."""
    text = "".join(f"\n\nword{index} {text[index :: len(widths)]}" for index in range(len(widths)))
    terminal = Terminal(80, 24)
    screen = Screen(terminal.console)
    step = len(text) // len(widths) + 1
    for index, width in enumerate(widths):
        terminal.console.width = width
        terminal.console.height = 24 - index
        screen.add(text[index * step : (index + 1) * step])
        screen.refresh(is_over=False)
    screen.refresh(is_over=True)
    shown = "".join(terminal.rows).replace(" ", "")
    for index in range(len(widths)):
        assert shown.count(f"word{index}") >= 1


def test_an_echo_of_ctrl_c_is_gone_after_the_next_refresh() -> None:
    terminal = Terminal(40, 10)
    screen = Screen(terminal.console)
    screen.add("x" * 39)
    screen.refresh(is_over=False)
    terminal.write("^C")
    screen.refresh(is_over=True)
    assert terminal.rows == ["x" * 39]
    assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (1, 0)


@pytest.mark.parametrize("shown", [LiveMarkdown, BlockMarkdown])
def test_a_pause_shows_all_up_to_the_last_piece(shown: type[LiveMarkdown] | type[BlockMarkdown]) -> None:
    written = threading.Event()
    terminal = Terminal(40, 10)
    write = terminal.write

    def noticed(text: str) -> int:
        size = write(text)
        if any("last" in row for row in terminal.rows):
            written.set()
        return size

    terminal.write = noticed  # type: ignore[method-assign]
    with closing(shown(terminal.console)) as text:
        text.add("first\n\n")
        text.add("last\n\n")
        text.add("x")
        assert written.wait(10)
    assert terminal.rows == ["first", "", "last", "", "x"]


def test_refreshes_are_rare_however_many_pieces_there_are() -> None:
    refreshes = []

    class File(io.StringIO):
        def flush(self) -> None:
            refreshes.append(self.tell())

    begun = time.monotonic()
    console = Console(file=File(), force_terminal=True, color_system="standard", width=40, height=10)
    with closing(LiveMarkdown(console)) as text:
        while len(refreshes) < 4:
            text.add("word ")
            time.sleep(0.001)  # as a server that sends fast
    assert len(refreshes) <= 3 + 10 * (time.monotonic() - begun)


def test_blocks_are_printed_once_without_escape_codes() -> None:
    file = io.StringIO()
    with closing(BlockMarkdown(Console(file=file, color_system=None, width=41))) as text:
        for piece in "# a\n", "\n**b**\n\n", "```python\nc = 1\n", "```\n- d\x1b[31m\n":
            text.add(piece)
    assert file.getvalue() == "# a\n\nb\n\n  c = 1\n\n- d\ufffd[31m\n".replace("-", "•")


def test_what_cannot_be_encoded_is_replaced() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, "ascii")
    with closing(
        LiveMarkdown(Console(file=file, force_terminal=True, color_system="standard", width=40, height=10))
    ) as text:
        text.add("- Привет\n\n> é")
    terminal = Terminal(40, 10)
    terminal.write(raw.getvalue().decode("ascii"))
    assert terminal.rows == ["- ??????", "", "| ?"]


@pytest.mark.parametrize("shown", [LiveMarkdown, BlockMarkdown])
def test_a_pipe_that_broke_is_told_to_who_adds(shown: type[LiveMarkdown] | type[BlockMarkdown]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    file = open(writing, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closing it fails
    text = shown(Console(file=file, force_terminal=True, width=40, height=10))
    with pytest.raises(BrokenPipeError):  # noqa: PT012 - one of many fails
        while True:
            text.add("word\n\n")
            time.sleep(0.001)
    with pytest.raises(BrokenPipeError):
        text.close()
    text.close()
    with pytest.raises(BrokenPipeError):
        file.close()


def test_ctrl_c_at_any_moment_leaves_what_can_be_closed() -> None:
    with ThreadPoolExecutor(1) as apart:  # whatever traces this thread, to measure what is run, goes on
        assert apart.submit(interrupted_at_each_line).result() > 5


def interrupted_at_each_line() -> int:
    """Interrupts `add` at each line of Python that it runs; returns how many there are."""
    moment = 0
    while True:
        terminal = Terminal(40, 10)
        text = LiveMarkdown(terminal.console)
        left = moment

        def interrupt(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
            nonlocal left
            if "hypothesis" in str(frame.f_globals["__name__"]):
                return None  # it is told of garbage, whenever there is some
            if event == "line":
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return interrupt

        sys.settrace(interrupt)
        try:
            text.add("one **two**")
            is_over = True
        except KeyboardInterrupt:
            is_over = False
        finally:
            sys.settrace(None)
        text.close()
        assert terminal.rows in (["one two"], [])
        if is_over:
            return moment
        moment += 1


def test_closing_without_a_text_writes_nothing() -> None:
    terminal = Terminal(40, 10)
    with closing(LiveMarkdown(terminal.console)):
        pass
    assert terminal.written == []


def test_printer_and_screen_agree() -> None:
    text = "# a\n\n- b\n- c\n\n" + LONG[2]
    terminal, printed = Terminal(40, 10), Terminal(40, 10)
    for screen in Screen(terminal.console), Printer(printed.console):
        screen.add(text)
        screen.refresh(is_over=True)
    assert terminal.rows == printed.rows
