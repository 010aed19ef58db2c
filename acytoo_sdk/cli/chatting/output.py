"""What `acytoo chat` shows on its terminal, and the reply that grows there."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext

from ..._streams.stream import Stream
from ..asking.outputs import growing
from ..display.keyboard import without_echo
from ..display.terminal import Terminal
from ..display.waiting import Waiting
from ..statuses import in_one_line
from .interrupts import Interrupts

_WIDEST = 100  # columns; longer lines are hard to read


class ChatOutput:
    """The terminal of a conversation.

    Args:
        terminal: the command's.
        interrupts: Ctrl-C stops a reply.
        peer: who replies.
        raw: whether replies are shown as they are.
    """

    def __init__(self, terminal: Terminal, interrupts: Interrupts, *, peer: str, raw: bool) -> None:
        self._terminal, self._interrupts = terminal, interrupts
        self._peer, self._raw = peer, raw

    @property
    def may_escape(self) -> bool:
        """Whether escape codes may be written."""
        return self._terminal.is_live

    @property
    def width(self) -> int:
        """How many columns a text is to have."""
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:  # the terminal is gone
            columns = 0
        return min(columns or 80, _WIDEST)

    def write(self, text: str) -> None:
        """Writes a text."""
        self._terminal.write(text)

    def write_code(self, code: str) -> None:
        """Writes an escape code, as it is."""
        sys.stdout.write(code)
        sys.stdout.flush()

    def tell(self, sentence: str) -> None:
        """Tells a sentence, dimmed."""
        self._terminal.tell(self._wrapped(sentence))

    def fail(self, sentence: str, hint: str | None = None) -> None:
        """Tells an error."""
        self._terminal.fail(self._wrapped(in_one_line(sentence, hint), indent=len("Error: ")))

    def _wrapped(self, text: str, *, indent: int = 0) -> str:
        """The text in lines that are broken between words."""
        lines = textwrap.wrap(
            text, self.width, initial_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
        return "\n".join(lines)[indent:]

    @contextmanager
    def replying(self, stream: Stream) -> Iterator[Callable[[str], None]]:
        """Shows a reply: the block passes its pieces on. A Ctrl-C in it cancels the stream."""
        with (
            self._interrupts.stopping(stream.cancel),
            without_echo(for_prompt=True) if self.may_escape else nullcontext(),
            closing(growing(self._terminal, markdown=False if self._raw else None)) as shown,
            Waiting(self._terminal, stream, self._peer) as waiting,
        ):

            def show(piece: str) -> None:
                waiting.over()
                shown.add(piece)

            yield show
