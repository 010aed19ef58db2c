"""What the blocking and the async stream have in common: what they tell of their call.

How pieces are read is not known here. Nor is anything of notebooks and terminals: a client hands in what shows texts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from .._stats import Stats
from ..protocol import ReplyHead
from .call import Call
from .lifecycle import CallState


class Printer(Protocol):
    """What is asked of IPython's pretty printer."""

    def text(self, text: str, /) -> None:
        """Writes a text."""


class Output(Protocol):
    """Where a growing text is shown."""

    def add(self, piece: str) -> None:
        """Shows one more piece, soon."""


class Display(Protocol):
    """How texts are shown. A client hands it to its streams, which need to know nothing of notebooks and terminals."""

    def printable(self, text: str, /) -> str:
        """The text without control characters."""

    def safe_html(self, text: str, /) -> str:
        """The text, which is Markdown, as HTML that does nothing when it is shown."""

    def growing(self, text: str = "", *, raw: bool = False) -> AbstractContextManager[Output]:
        """Shows a text that grows until the block is left."""

    def failing_in_brief(self) -> AbstractContextManager[None]:
        """Shows an error of the block in a few lines."""


class BaseStream:
    """What a stream tells of its call; how it is read is said by the classes below this one.

    Args:
        call: what it reads.
        display: shows it.
    """

    def __init__(self, call: Call, display: Display) -> None:
        self._call = call
        self._display = display
        self._first: str | None = None  # what `start` waited for, until it is handed out

    @property
    def started(self) -> bool:
        """Whether a piece was asked for: nothing is sent before."""
        return self._call.started

    @property
    def text(self) -> str:
        """The text handed out so far, without the notice; with the piece that `start` keeps for the loop.

        It stays after the end, an error or a cancellation. Any thread may look, also while another one reads.
        """
        return self._call.text

    @property
    def notice(self) -> str | None:
        """The advertisement that was stripped after the reply; None before the end, and where there was none.

        The old public service appended one to replies. With `strip_notices=False` it stays in the text.

        Source:
            https://github.com/xtekky/gpt4free/issues/900
        """
        return self._call.facts.notice if self._call.over else None

    @property
    def head(self) -> ReplyHead | None:
        """Status, headers and request id of the reply; None before they arrive.

        After a retry, they are those of the last attempt. Secrets in the headers are masked.
        """
        return self._call.facts.head

    @property
    def whole(self) -> bool | None:
        """Whether the reply is known to be complete.

        Returns:
            True: its framing proves it, or TLS does so by its closure alert. None: the reply ended well, but nothing
            can tell, as where its body ends with the connection and there is no TLS. False: it still runs, or it did
            not end well.

        Source:
            RFC 9112, sections 8 and 9.8.
        """
        return self._call.facts.whole if self._call.state is CallState.COMPLETED else False

    @property
    def stats(self) -> Stats:
        """The figures so far: attempts, seconds, pieces and characters. Any thread may ask, at any time."""
        return self._call.stats

    def __repr__(self) -> str:
        if "_call" not in vars(self):
            return object.__repr__(self)  # its constructor was interrupted, and somebody renders the traceback
        if self._call.over:
            state = "whole" if self.whole else "ended"
        else:
            state = "running" if self.started else "not started"
        return f"<{type(self).__name__} {state}, {self.stats.characters} characters>"

    @property
    def _taken(self) -> str:
        """What the loop was handed out of the text: all but a piece that `start` keeps for it."""
        return self.text if self._first is None else ""

    def _take_first(self) -> str | None:
        """The piece that `start` keeps; None once the call was ended, as nothing more is handed out then."""
        piece, self._first = self._first, None
        return None if self._call.ended else piece

    def _repr_html_(self) -> str | None:
        return self._display.safe_html(self.text) if self.text else None

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(self._display.printable(self.text) or repr(self))


def call_of(stream: BaseStream) -> Call:
    """The call of a stream, for whoever wants to know how it ended after the stream was dropped."""
    return stream._call
