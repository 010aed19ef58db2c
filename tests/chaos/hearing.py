"""The hearing: the events that a listener is told in a round, and whether they can be those of calls."""

from __future__ import annotations

from collections import deque

from acytoo_sdk.events import AttemptFailed, CallEnded, CallInfo, CallStarted, Event, FirstPiece, subscribe

from .judge import Judge

_ORDER = (CallStarted, AttemptFailed, FirstPiece, CallEnded)


class Hearing:
    """Listens to all calls of this process, without a lock: signal handlers make whole calls here."""

    def __init__(self) -> None:
        self._heard: deque[tuple[CallInfo, type[Event]]] = deque()  # no event is kept: an error holds frames
        self.end = subscribe(self._hear)

    def check(self, judge: Judge, *, interrupted: bool) -> None:
        """Blames what no call can have told.

        Args:
            judge: is told.
            interrupted: whether signal handlers raised, which may hide an event.
        """
        calls: dict[CallInfo, list[type[Event]]] = {}
        for call, kind in self._heard:
            calls.setdefault(call, []).append(kind)
        for kinds in calls.values():
            told = ", ".join(kind.__name__ for kind in kinds)
            if kinds != sorted(kinds, key=_ORDER.index) or len({*kinds} - {AttemptFailed}) < len(
                [kind for kind in kinds if kind is not AttemptFailed]
            ):
                judge.blame(f"events in no order, or twice: {told}")
            elif not interrupted and not (kinds[0] is CallStarted and kinds[-1] is CallEnded):
                judge.blame(f"events without a start or an end: {told}")
            judge.count("heard")

    def _hear(self, event: Event) -> None:
        self._heard.append((event.call, type(event)))
