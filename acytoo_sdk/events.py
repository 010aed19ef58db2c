"""Events: what happens to a call, for code that logs, counts or traces it.

    def log(event: Event) -> None:
        if isinstance(event, CallEnded):
            print(event.call.model, event.outcome, event.stats.elapsed)

    client = Client(on_event=log)  # the calls of this client, or
    subscribe(log)  # those of all clients of the process

Each call whose stream is read has one `CallStarted`, an `AttemptFailed` for each attempt that is made again, a
`FirstPiece` if there is a piece, and one `CallEnded`, in this order. In a batch, each attempt is a call of its own. No
event holds a secret, or anything that was sent. What the server said is in the errors, and in the headers of
`CallEnded.head`. Attempts that are made again are also written to the log `acytoo_sdk` (`logging`), on the level INFO.
While nobody listens, no other events are made.

A listener is called by the thread, or the task, that reads the stream, with two exceptions. The failed attempts of
async calls, and all events of a batch, are told by threads that read many streams. The end of a call that was
cancelled, closed or dropped is told by a thread of its own, for which the call waits a tenth of a second at most: what
ends the call may be the garbage collector or a signal handler, in the middle of code that holds a lock which the
listener needs. So a listener should return quickly, and must be safe to call from several threads. Where a signal
handler makes calls of its own, listeners must need no lock at all. A stream that is neither read to its end nor closed
before the interpreter exits has no `CallEnded`.

A listener runs in a copy of the context (`contextvars`) in which the call was started. The call keeps that copy, so
that a stream which is stored in a context variable lives on after its last name is gone. An exception of a listener
comes out of the call as it is, and ends it; in a thread of its own, Python reports it. Further listeners are not told
of that event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ._checks import check_listener
from ._stats import Stats
from .errors import AcytooError
from .protocol import ReplyHead

__all__ = [
    "AttemptFailed",
    "CallEnded",
    "CallInfo",
    "CallStarted",
    "Event",
    "FirstPiece",
    "Listener",
    "Outcome",
    "subscribe",
]

Outcome = Literal["completed", "failed", "cancelled", "closed"]
"""How a call ended. "completed": with all of its reply. "failed": in an error. "cancelled": by `cancel()`, or with its
client or its batch. "closed": its owner left the loop, closed or dropped the stream, or was interrupted."""


@dataclass(frozen=True, eq=False)
class CallInfo:
    """What is asked.

    All events of a call have the same object, and no other call has it: use it as a key for what you keep of the call.

    Attributes:
        base_url: the server's.
        model: the model that is asked for; None where the payload has no place for it.
        temperature: the temperature that is asked for; None where the payload has no place for it.
    """

    base_url: str
    model: str | None
    temperature: float | None


@dataclass(frozen=True)
class CallStarted:
    """Somebody asked for the first piece; the request is sent next.

    Attributes:
        call: what is asked.
    """

    call: CallInfo


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt failed before its first text, and is made again.

    Attributes:
        call: what is asked.
        attempt: its number; the first is 1.
        error: what it ended in.
        wait: seconds until the next attempt.
    """

    call: CallInfo
    attempt: int
    error: AcytooError
    wait: float


@dataclass(frozen=True)
class FirstPiece:
    """The first piece has arrived, and is handed out now, or kept by `start`.

    Attributes:
        call: what is asked.
        after: seconds since the call was started, failed attempts and waits included.
    """

    call: CallInfo
    after: float


@dataclass(frozen=True)
class CallEnded:
    """The call has ended; no event of it comes after this one.

    Attributes:
        call: what is asked.
        outcome: how it ended.
        error: what was raised; None unless it failed. Its `partial_text` is what had been handed out.
        stats: the figures.
        head: status, headers and request id of the last attempt's reply; None where there was none.
        whole: whether the reply is known to be complete, as `Stream.whole` says.
    """

    call: CallInfo
    outcome: Outcome
    error: AcytooError | None
    stats: Stats
    head: ReplyHead | None
    whole: bool | None


Event = CallStarted | AttemptFailed | FirstPiece | CallEnded
"""All that a listener is told; `isinstance` tells which it is."""

Listener = Callable[[Event], object]
"""A function of one event, not async; what it returns is ignored."""

_subscriptions: dict[object, Listener] = {}  # by keys of their own, since the same function may listen twice


def subscribe(listener: Listener) -> Callable[[], None]:
    """Calls a function with the events of all clients of this process. Any thread may subscribe, at any time.

    Args:
        listener: called with each event of the calls that start from now on; the top of this module says by whom.

    Returns:
        A function that ends the subscription.

    Raises:
        InvalidRequestError: `listener` is not callable, or async.

    Example:
        >>> from acytoo_sdk import Client
        >>> from acytoo_sdk.testing import FakeServer
        >>> unsubscribe = subscribe(lambda event: print(type(event).__name__))
        >>> with FakeServer("Hello!") as server, Client(server.url) as client:
        ...     client.complete("Hi")
        CallStarted
        FirstPiece
        CallEnded
        'Hello!'
        >>> unsubscribe()
    """
    key = object()
    _subscriptions[key] = check_listener("listener", listener)

    def unsubscribe() -> None:
        _subscriptions.pop(key, None)

    return unsubscribe


def subscribed() -> tuple[Listener, ...]:
    """The functions that hear all clients."""
    return tuple(_subscriptions.values())
