"""A terminal in memory, with its scrollback, and texts to show on it."""

from __future__ import annotations

import io

import pyte
from hypothesis import strategies as st
from rich.console import Console

SIZES = [(40, 10), (80, 24), (200, 50), (12, 5)]
TOKENS = [
    *"ab*_`~[]()!<>&#|-+=:\\$1\n ", "\n\n", "```\n", "```py\n", "\n```\n", "- ", "\n- ", "\n1. ", "\n2. ", "\n  - ",
    "\n> ", "word ", "longer words here ", "**bold** ", "\n| a | b |\n|---|---|\n| c | d |", "\n# H\n", "\n---\n",
    "\n===\n", "    code\n", "\n\n    ", "你好。", "\N{GRINNING FACE}", "e\N{COMBINING ACUTE ACCENT}", "\t", "Привет ",
    "[x](https://e.example) ", "`c` ", "x" * 50, "\r\n", "\r", "\n$$\n", "$x$ ", "\\[", "<b>", "&#x202e;", "\x1b[31m",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=60).map("".join)


class Terminal(io.TextIOBase):
    """What is written to it is shown; `rows` are those that have scrolled away, and the screen's."""

    def __init__(self, columns: int, lines: int) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=100_000, ratio=0.5)
        self.screen.set_mode(pyte.modes.LNM)
        self.stream = pyte.Stream(self.screen)
        self.written: list[str] = []
        self.console = Console(
            file=self,  # type: ignore[arg-type]
            force_terminal=True,
            color_system="standard",
            width=columns,
            height=lines,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )

    def write(self, text: str) -> int:
        self.written.append(text)
        self.stream.feed(text)
        return len(text)

    @property
    def rows(self) -> list[str]:
        columns = self.screen.columns
        gone = ["".join(row[column].data for column in range(columns)) for row in self.screen.history.top]
        rows = [row.rstrip() for row in [*gone, *self.screen.display]]
        while rows and not rows[-1]:
            rows.pop()
        return rows
