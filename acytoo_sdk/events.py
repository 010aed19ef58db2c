"""Events: what happens to a call, for who logs, counts or traces it.

    def log(event: Event) -> None:
        if isinstance(event, CallEnded):
            print(event.call.model, event.outcome, event.stats.elapsed)

    client = Client(on_event=log)  # the calls of this client, or
    subscribe(log)  # those of all clients of the process

Each call whose stream is read has one `CallStarted`, an `AttemptFailed` for each attempt that is made again, a
`FirstPiece` if there is a piece, and one `CallEnded`, in this order. In a batch, each attempt is a call of its own. No
event holds what was sent, or a secret. What the server said is in an error, and in the headers of `CallEnded.head`.
While nobody listens, no event is made, but an `AttemptFailed` for the log.

A listener is called by the thread, or the task, that reads the stream, with two exceptions. Threads that read for many
tell of the failed attempts of async calls, and of what happens in a batch. The end of a call that was cancelled,
closed or dropped is told by a thread of its own, for which the call waits a tenth of a second at most: it may be the
garbage collector that ends it, or a signal handler, in the middle of code that holds a lock which the listener needs.
So a listener is to be quick, and safe to be called by several threads. (A signal handler that makes whole calls wants
listeners that need no lock.) A stream that is left alone until the interpreter exits has no end.

A listener runs in a copy of the context (`contextvars`) that the call was started in, which the call keeps: a stream in
such a variable is not dropped with its last name. What a listener raises comes out of the call, as it is, and ends it;
in a thread of its own, Python reports it. Listeners after it are not told of that event.
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
    """What is asked; the same object in all events of a call, and in no other's: a key for what is kept of it.

    Attributes:
        base_url: of the server.
        model: that is asked for; None where the payload has no place for it.
        temperature: the same.
    """

    base_url: str
    model: str | None
    temperature: float | None


@dataclass(frozen=True)
class CallStarted:
    """Somebody asked for the first piece.

    Attributes:
        call: what is asked.
    """

    call: CallInfo


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt failed before its first text, and is made again.

    Attributes:
        call: what is asked.
        attempt: which it was; the first is 1.
        error: what it ended in.
        wait: seconds until the next one.
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
    """Nothing more comes.

    Attributes:
        call: what is asked.
        outcome: how it ended.
        error: what was raised; None unless it failed. Its `partial_text` is what had been handed out.
        stats: the figures.
        head: status, headers and request id of the last attempt's reply; None where there was none.
        whole: as `Stream.whole`.
    """

    call: CallInfo
    outcome: Outcome
    error: AcytooError | None
    stats: Stats
    head: ReplyHead | None
    whole: bool | None


Event = CallStarted | AttemptFailed | FirstPiece | CallEnded
Listener = Callable[[Event], object]

_subscriptions: dict[object, Listener] = {}  # each by a key of its own: a function may be there twice


def subscribe(listener: Listener) -> Callable[[], None]:
    """Has the events of all clients of this process told to a function.

    Args:
        listener: called with each event of the calls that start from now on.

    Returns:
        Ends it, when called.

    Raises:
        InvalidRequestError: it is no function, or one that would have to be awaited.

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
    """Who listens to all clients."""
    return tuple(_subscriptions.values())
