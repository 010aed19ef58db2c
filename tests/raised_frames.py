"""The frames that an exception has left, as whoever renders a traceback with its locals sees them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import FrameType


def frames(error: BaseException, *, but: str) -> Iterator[tuple[BaseException, FrameType]]:
    """Every frame of an exception and of all that stands behind it, suppressed or not, but the caller's.

    Args:
        error: the exception.
        but: the caller's file, whose locals are its own.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename != but:
                yield one, frame
