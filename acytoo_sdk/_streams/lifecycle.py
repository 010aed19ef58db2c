"""How a call stands: its state, what may happen to it, and the one transition between.

What follows from a new state, that a connection is aborted for one, is done by `call`.
"""

from __future__ import annotations

import enum

from ..errors import StreamCancelledError


class CallState(enum.Enum):
    """How a call stands."""

    READY = "ready"
    """Nothing was asked for yet."""
    RUNNING = "running"
    """Its reader has asked for a piece."""
    COMPLETED = "completed"
    """The reply ended well, and all of it was delivered."""
    CANCELLED = "cancelled"
    """Somebody ended it, and its reader is still to be told."""
    FAILED = "failed"
    """Its reader was told an error, a cancellation perhaps."""
    CLOSED = "closed"
    """Its owner ended it."""


class CallEvent(enum.Enum):
    """What happens to a call."""

    START = "start"
    """Its reader asks for the first piece."""
    READ = "read"
    """Its reader asks for more, or takes what came."""
    COMPLETE = "complete"
    """The reply has ended well."""
    FAIL = "fail"
    """It has ended in an error."""
    CANCEL = "cancel"
    """Somebody, in any thread, ends it."""
    CLOSE = "close"
    """Its owner ends it."""


# What each event makes of each state; a pair that is not here changes nothing.
_NEXT_STATE = {
    (CallState.READY, CallEvent.START): CallState.RUNNING,
    (CallState.READY, CallEvent.FAIL): CallState.FAILED,
    (CallState.READY, CallEvent.CANCEL): CallState.CANCELLED,
    (CallState.READY, CallEvent.CLOSE): CallState.CLOSED,
    (CallState.RUNNING, CallEvent.COMPLETE): CallState.COMPLETED,
    (CallState.RUNNING, CallEvent.FAIL): CallState.FAILED,
    (CallState.RUNNING, CallEvent.CANCEL): CallState.CANCELLED,
    (CallState.RUNNING, CallEvent.CLOSE): CallState.CLOSED,
    # Whatever the reader does next, it is told, once.
    (CallState.CANCELLED, CallEvent.START): CallState.FAILED,
    (CallState.CANCELLED, CallEvent.READ): CallState.FAILED,
    (CallState.CANCELLED, CallEvent.COMPLETE): CallState.FAILED,
    (CallState.CANCELLED, CallEvent.FAIL): CallState.FAILED,
}


class Lifecycle:
    """The state of a call, and the one transition that changes it.

    What is kept are the events, in the order they came; the state is what the table makes of them. Appending to a list
    is atomic, so every thread sees the same order, and nobody takes a lock: a finaliser runs between any two bytecodes
    of any thread, and a signal handler of the main one, and either would wait for ever for a lock that the code it
    interrupts is holding.
    """

    def __init__(self) -> None:
        self._log: list[list[CallEvent]] = []  # each event in a list of its own, by which its sender knows it again
        self._seen = 0, CallState.READY  # how many events were looked at, and the state they led to

    @property
    def state(self) -> CallState:
        """How the call stands."""
        seen, state = self._seen
        if seen != len(self._log):
            log = self._log[:]
            for (event,) in log[seen:]:
                state = _NEXT_STATE.get((state, event), state)
            self._seen = len(log), state
        return state

    def apply(self, event: CallEvent) -> bool:
        """Lets an event happen; returns whether it changed the state.

        Raises:
            StreamCancelledError: the call was cancelled, and its reader is told by this.
        """
        if (self.state, event) not in _NEXT_STATE:
            return False
        mine = [event]
        self._log.append(mine)
        before = state = CallState.READY
        for each in self._log[:]:
            before, state = state, _NEXT_STATE.get((state, each[0]), state)
            if each is mine:
                break
        if before is CallState.CANCELLED and state is CallState.FAILED:
            raise StreamCancelledError("The stream was cancelled")
        return state is not before
