"""The text of a stream so far, and the clock and counts that its figures are made of."""

from __future__ import annotations

import threading
import time

from .._stats import Stats

_MANY = 1024  # pieces of text that wait to be joined: a short `str` takes ten times its characters
_SHORT = 256  # characters; where pieces are longer, joining saves nothing and takes the text once more meanwhile


class GrowingText:
    """A text that grows by pieces. One thread adds; any may look.

    Pieces are joined in their place, by whoever may: one thread at a time, and nobody waits to be that one, since a
    signal handler may look while the code that it interrupts is joining. So whatever is interrupted, no piece is lost.

    `io.StringIO` would do, but from Python 3.13 on it keeps a copy of its own beside the text that was looked at.

    Attributes:
        pieces: how many were added.
        characters: how many they have.
    """

    __slots__ = ("_joined", "_joined_characters", "_joining", "_parts", "characters", "pieces")

    def __init__(self) -> None:
        self.pieces = 0
        self.characters = 0
        self._parts: list[str] = []
        self._joined = 0  # how many of the first parts `add` leaves alone: joined ones, or long ones
        self._joined_characters = 0  # how many characters there were when that was last set
        self._joining = threading.Lock()

    def add(self, piece: str) -> None:
        """Takes one more piece."""
        self.pieces += 1
        self.characters += len(piece)
        self._parts.append(piece)
        if len(self._parts) - self._joined >= _MANY:
            if self.characters - self._joined_characters < _MANY * _SHORT:
                self._join(self._joined)
            self._joined, self._joined_characters = len(self._parts), self.characters

    def joined(self) -> str:
        """All of the text."""
        self._joined = 0
        return self._join(0)

    def _join(self, first: int) -> str:
        """Makes one part of all from the `first` on, if nobody else is joining just now; returns its text."""
        may = self._joining.acquire(blocking=False)
        try:
            parts = self._parts[first:]
            text = "".join(parts)  # of one part, that part itself
            if may:
                self._parts[first : first + len(parts)] = [text]  # one more may be there by now
            return text
        finally:
            if may:
                self._joining.release()


class Figures:
    """The clock and the counts of one stream, of which its `Stats` are made.

    Attributes:
        attempts: requests sent.
        began: when the first piece was asked for, on the monotonic clock; None before it.
        first_piece: when the first piece was delivered; None before it.
        ended: when the last one was, or the error; None before it.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.began: float | None = None
        self.first_piece: float | None = None
        self.ended: float | None = None

    def stats(self, text: GrowingText) -> Stats:
        """The figures so far, with those of the text."""
        began, first_piece = self.began, self.first_piece
        return Stats(
            attempts=self.attempts,
            first_piece_after=None if began is None or first_piece is None else first_piece - began,
            # It may be ended by another thread while it begins.
            elapsed=0.0 if began is None else max(0.0, (self.ended or time.monotonic()) - began),
            pieces=text.pieces,
            characters=text.characters,
        )
