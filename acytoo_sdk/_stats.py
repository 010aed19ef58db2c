"""The figures of one reply: data alone; `_streams.text` counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    """The figures of one stream, so far; a copy that does not change.

    Attributes:
        attempts: requests sent, the first and those that were made again; 0 before the first `next()`.
        first_piece_after: seconds from the first `next()` to the first piece; None before it.
        elapsed: seconds from the first `next()` to the end, or to now; 0.0 before it.
        pieces: pieces handed out.
        characters: characters handed out.
    """

    attempts: int
    first_piece_after: float | None
    elapsed: float
    pieces: int
    characters: int
