"""The forms in which `ask` writes a reply to stdout: each takes pieces as they come, and its end.

What redraws a terminal is in `display.live`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

from ..._streams.stream import Stream
from ...errors import AcytooError
from ..display.terminal import PlainText, Terminal
from .report import outcome


class Growing(Protocol):
    """What shows a text that grows."""

    def add(self, piece: str) -> None:
        """Shows one more piece, soon."""

    def close(self) -> None:
        """Shows the rest, and ends the last line."""


class Output:
    """A form.

    Attributes:
        stream: of the reply; None until it is asked for.
    """

    stream: Stream | None = None

    def add(self, piece: str) -> None:
        """Takes a piece."""

    def end(self, error: BaseException | None) -> None:
        """Takes the end: what ended the call, None for a good end."""


class TextOutput(Output):
    """The text itself, as it comes, or at the end of the reply.

    Args:
        growing: shows it.
        at_end: nothing is shown before the reply has ended.
    """

    def __init__(self, growing: Growing, *, at_end: bool) -> None:
        self._growing, self._at_end = growing, at_end

    def add(self, piece: str) -> None:
        if not self._at_end:
            self._growing.add(piece)

    def end(self, error: BaseException | None) -> None:
        if self._at_end and self.stream is not None and self.stream.text:
            self._growing.add(self.stream.text)
        self._growing.close()


class JSONOutput(Output):
    """One JSON object at the end."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def end(self, error: BaseException | None) -> None:
        self._terminal.write_json(outcome(self.stream, error))


class JSONLinesOutput(Output):
    """A JSON object a line: each piece as it comes, and the end."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def add(self, piece: str) -> None:
        self._terminal.write_json({"event": "piece", "text": piece})

    def end(self, error: BaseException | None) -> None:
        self._terminal.write_json({"event": "end", **outcome(self.stream, error)})


class CodeBlockOutput(Output):
    """The first code block alone, once the reply has ended."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def end(self, error: BaseException | None) -> None:
        from .code_block import first_code_block

        code = None if self.stream is None else first_code_block(self.stream.text)
        if code is not None:
            self._terminal.write(code if code.endswith("\n") else f"{code}\n")
        elif error is None:
            raise NoCodeBlockError("There is no code block in the reply")


class NoCodeBlockError(AcytooError):
    """The reply has no code block."""


def output_of(form: str | None, terminal: Terminal, *, markdown: bool | None, at_end: bool) -> Output:
    """The output of a form.

    Args:
        form: "json", "jsonl" or "extract"; None: the text.
        terminal: the command's.
        markdown: whether the text is rendered; None: on a terminal that can be redrawn.
        at_end: whether the text is shown only when all of it is there.
    """
    forms: dict[str | None, Callable[[Terminal], Output]] = {
        "json": JSONOutput,
        "jsonl": JSONLinesOutput,
        "extract": CodeBlockOutput,
    }
    if form in forms:
        return forms[form](terminal)
    return TextOutput(growing(terminal, markdown=markdown), at_end=at_end)


def growing(terminal: Terminal, *, markdown: bool | None) -> Growing:
    """What shows a text that grows on stdout; for `markdown`, see `output_of`."""
    if not (terminal.is_live if markdown is None else markdown):
        return PlainText(terminal)
    from ..display.live import BlockMarkdown, LiveMarkdown

    console = terminal.console(sys.stdout, rendered=True)
    return LiveMarkdown(console) if terminal.is_live else BlockMarkdown(console)
