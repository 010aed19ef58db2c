"""Waiting: while nothing has come yet, a terminal sees for whom it waits, and for how long."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from ..._display.characters import printable
from .terminal import Terminal, encodable

if TYPE_CHECKING:
    from rich.text import Text
    from typing_extensions import Self

    from ..._streams.stream import Stream

_PATIENCE = 0.3  # seconds; a reply that comes sooner was not waited for
_PATIENCE_WITHOUT_ESCAPES = 2.0  # there, what is told stays
_REFRESHES = 8  # a second


class Waiting:
    """A line on stderr that says for whom a stream waits; it is gone once that is over.

    Args:
        terminal: the command's.
        stream: whose first piece is waited for.
        peer: who is to send it.
    """

    def __init__(self, terminal: Terminal, stream: Stream, peer: str) -> None:
        self._terminal, self._stream, self._peer = terminal, stream, printable(peer)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._terminal.quiet:
            self._thread = threading.Thread(target=self._show, name="acytoo_sdk waiting", daemon=True)
            self._thread.start()
        return self

    def over(self) -> None:
        """Takes the line away. To be called before anything else is written."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.over()

    def _show(self) -> None:
        escapes = self._terminal.may_escape(sys.stderr)
        if self._over.wait(_PATIENCE if escapes else _PATIENCE_WITHOUT_ESCAPES):
            return
        try:
            if escapes:
                with self._terminal.passing_line(lambda _: self._line(), refreshes=_REFRESHES):
                    self._over.wait()
            else:
                self._terminal.tell(f"Waiting for {self._peer}")
        except OSError:
            pass  # nobody looks at stderr any more

    def _line(self) -> Text:
        from rich.text import Text

        seconds = time.monotonic() - self._begun
        dots = "." * (int(seconds * 2) % 4)
        attempts = self._stream.stats.attempts
        again = f", attempt {attempts}" if attempts > 1 else ""
        line = encodable(f"waiting for {self._peer}, {int(seconds)} s{again} {dots}", sys.stderr)
        return Text(line, style="dim", no_wrap=True, overflow="ellipsis")
