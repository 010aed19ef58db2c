"""Terminals: what may be written to stdout and stderr. Text that a server wrote is shown there, never obeyed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import IncrementalNewlineDecoder
from typing import TYPE_CHECKING, Any, Literal, TextIO

from ..._display.characters import CONTROL, printable
from ..statuses import in_one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Color = Literal["auto", "always", "never"]

_RED, _DIM, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Terminal:
    """The two outputs of a command, and what they may be written.

    Args:
        color: whether escape codes are wanted: "auto" asks the environment and the outputs.
        quiet: nothing but errors is told.
    """

    def __init__(self, color: Color = "auto", *, quiet: bool = False) -> None:
        self.color, self.quiet = color, quiet

    @property
    def shows(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout.isatty()

    @property
    def is_live(self) -> bool:
        """Whether stdout is a terminal on which something may be redrawn."""
        return self.shows and self.may_escape(sys.stdout)

    def may_escape(self, stream: TextIO, *, rendered: bool = False) -> bool:
        """Whether a stream may be written escape codes: NO_COLOR, FORCE_COLOR and TERM count, and `--color` before all.

        Args:
            stream: stdout or stderr.
            rendered: whether Markdown is rendered to it, which nobody takes for the bare reply. Then `--color always`
                and FORCE_COLOR count even where it is no terminal, as they do for stderr.

        Source: https://no-color.org, https://force-color.org.
        """
        may_be_forced = rendered or stream is sys.stderr
        if self.color != "auto":
            return self.color == "always" and (may_be_forced or stream.isatty())
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return stream.isatty() or (may_be_forced and bool(os.environ.get("FORCE_COLOR")))

    def console(self, stream: TextIO, *, rendered: bool = False) -> Console:
        """A console of rich's on a stream, which writes escape codes only where they may be written."""
        from rich.console import Console

        escapes = self.may_escape(stream, rendered=rendered)
        return Console(
            file=stream,
            force_terminal=escapes,
            color_system="auto" if escapes else None,
            no_color=not escapes,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )

    @contextmanager
    def passing_line(self, render: Callable[[int], RenderableType], *, refreshes: float) -> Iterator[None]:
        """Shows a line on stderr until the block is left; nothing is left of it then.

        Args:
            render: draws the line, for a number of columns; called again and again, by a thread.
            refreshes: how often, a second.
        """
        from rich.live import Live

        console = self.console(sys.stderr)
        console.width = max(console.width - 3, 1)  # a `^C` that the terminal shows there must not begin another line
        with Live(
            get_renderable=lambda: render(console.width),
            console=console,
            refresh_per_second=refreshes,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def tell(self, sentence: str) -> None:
        """Tells something beside the reply, on stderr; nothing if it shall be quiet."""
        if not self.quiet:
            self._write(printable(sentence), _DIM)

    def tell_lines(self, mark: str, texts: Iterable[str]) -> None:
        """Tells lines, each with a mark before it."""
        self.tell("\n".join(f"{mark}{line}".rstrip() for text in texts for line in text.split("\n")))

    def fail(self, sentence: str, hint: str | None = None) -> None:
        """Tells an error on stderr."""
        self._write("Error:", _RED, f" {in_one_line(sentence, hint)}")

    def write(self, text: str) -> None:
        """Writes to stdout at once: to a terminal without control characters, to a pipe as it is."""
        text = printable(text) if self.shows else text
        sys.stdout.write(encodable(text, sys.stdout))
        sys.stdout.flush()

    def write_json(self, value: Any) -> None:
        """Writes a value to stdout, as JSON in one line."""
        is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = json.dumps(value, ensure_ascii=not is_unicode)
        sys.stdout.write(json_for_terminal(text) + "\n" if self.shows else text + "\n")
        sys.stdout.flush()

    def _write(self, text: str, style: str, rest: str = "") -> None:
        text = f"{style}{text}{_PLAIN}" if self.may_escape(sys.stderr) else text
        try:
            sys.stderr.write(encodable(f"{text}{rest}\n", sys.stderr))
            sys.stderr.flush()
        except OSError:
            pass  # nobody is there to be told


class PlainText:
    """A text on stdout that grows piece by piece, as it is."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._line_ends = IncrementalNewlineDecoder(None, translate=True)
        self._last = ""

    def add(self, piece: str) -> None:
        """Writes a piece at once.

        On a terminal, a carriage return at its end waits for the next piece, which may begin with the line feed to it.
        """
        self._last = piece or self._last
        self._terminal.write(self._line_ends.decode(piece) if self._terminal.shows else piece)

    def close(self) -> None:
        """Ends the last line."""
        if self._last and not self._last.endswith("\n"):
            self._terminal.write("\n")
            self._last = "\n"


def encodable(text: str, stream: TextIO) -> str:
    """The text with a question mark for each character that a stream cannot encode."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def json_for_terminal(text: str) -> str:
    """JSON in which each control character stands as its escape, as which it says the same."""
    return re.sub(CONTROL, lambda found: f"\\u{ord(found[0]):04x}", text)
