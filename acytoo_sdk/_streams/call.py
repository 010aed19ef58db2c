"""The call: one request, its attempts, and how it stands. The same for the blocking and the async stream.

A stream that is dropped ends at once, by its reference count: its connection closes without waiting for the garbage
collector, which may come late, and in any thread. So a stream must be part of no reference cycle, and all rests on two
rules. Nothing here refers to the stream: it refers to its call, and a call to what reads for it. And an error that is
kept, or handed on, is first freed of the frames it came through (`without_frames`), since they hold the stream, or
something that holds the error.
"""

from __future__ import annotations

import enum
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._network.pool import Pool
from .._network.provenance import is_foreign
from .._options import CallOptions, Options
from .._secrets import Mask, clears_frames
from ..errors import AcytooError, InvalidRequestError, StreamCancelledError
from ..protocol import ReplyReader, Request
from .libraries import load_libraries
from .reply import Reply, ReplyFacts, without_frames
from .text import Figures, GrowingText, Stats

if TYPE_CHECKING:
    from .._network.exchange import Exchange


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


class Call:
    """What a stream and whoever reads for it share.

    Args:
        request: what every attempt sends.
        options: of this call.
        client: of its client.
        pool: of its client.

    Attributes:
        facts: what is known of the reply.
        deadline: when `total` is over, on the monotonic clock; None for never, or not yet.
    """

    def __init__(self, request: Request, options: CallOptions, client: Options, pool: Pool) -> None:
        self.facts = ReplyFacts()
        self.deadline: float | None = None
        self._request = request
        self._options = options
        self._client = client
        self._pool = pool
        self._lifecycle = Lifecycle()
        self._text = GrowingText()
        self._figures = Figures()
        self._process: int | None = None  # which started it
        self._exchange: Exchange | None = None  # of the running attempt
        self._sleep = threading.Lock()  # taken until a wait between two attempts is to end early
        self._sleep.acquire()

    @property
    def state(self) -> CallState:
        """How it stands."""
        return self._lifecycle.state

    @property
    def started(self) -> bool:
        """Whether the clock of `total` runs."""
        return self._figures.began is not None

    @property
    def over(self) -> bool:
        """Whether nothing more will be delivered; an error may still be told."""
        return self.state not in (CallState.READY, CallState.RUNNING)

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that started it."""
        return self._process not in (None, os.getpid())

    @property
    def text(self) -> str:
        """What was delivered so far."""
        return self._text.joined()

    @property
    def stats(self) -> Stats:
        """The figures so far."""
        return self._figures.stats(self._text)

    def start(self) -> None:
        """The clock of `total` starts.

        Raises:
            ClientClosedError: the client was closed.
            StreamCancelledError: the call was cancelled.
        """
        self._pool.check_open()
        self._apply(CallEvent.START)
        self._process = os.getpid()
        self._figures.began = began = time.monotonic()
        if self._options.timeout.total is not None:
            self.deadline = began + self._options.timeout.total

    @clears_frames
    def open(self) -> tuple[str, Reply]:
        """The first text, and the reply it is the first of; retried up to here.

        Raises:
            AcytooError: what went wrong; any, once the call was cancelled or closed.
        """
        load_libraries()
        from .retry import run

        try:
            return run(self._attempt, policy=self._options.retry, deadline=self.deadline, sleep=self._wait)
        except AcytooError as error:
            raise without_frames(error)  # noqa: B904 - it has its cause

    def texts(self) -> Iterator[str]:
        """The non-empty texts of the reply; then the end, or one error.

        Raises:
            AcytooError: as `open` does.
        """
        text: str | None
        text, reply = self.open()
        process = os.getpid()
        try:
            while text is not None:
                if text:
                    yield text
                if os.getpid() != process:
                    self.check_process()
                text = reply.more()
        finally:
            reply.close()

    def check_process(self) -> None:
        """Raises in a fork of the process that started the call: the connection is the parent's.

        Raises:
            InvalidRequestError: this is one.
        """
        if self.inherited:
            raise InvalidRequestError("This stream was started before the process was forked: only the parent reads it")

    def deliver(self, text: str) -> str:
        """Keeps a text that goes to the caller now.

        Raises:
            StreamCancelledError: the call was cancelled: nothing more goes to the caller.
        """
        if self._lifecycle.state is not CallState.RUNNING:
            self.raise_if_cancelled()
        if self._figures.first_piece is None:
            self._figures.first_piece = time.monotonic()
        self._text.add(text)
        return text

    def raise_if_cancelled(self) -> None:
        """Tells the reader of a cancellation, once.

        Raises:
            StreamCancelledError: the call was cancelled.
        """
        self._apply(CallEvent.READ)

    def complete(self) -> None:
        """The reply ended well, and all of it was delivered: no cancellation can change that any more.

        Raises:
            StreamCancelledError: the call was cancelled before.
        """
        self._apply(CallEvent.COMPLETE)
        self._finish()

    def finalize(self, error: AcytooError) -> AcytooError:
        """The error as it goes to the caller, the last of the call: with the text that was delivered, without frames.

        A cancellation takes its place, where there was one. An error that is not the call's own, but a signal handler's
        or thrown in by whoever closed it, goes to the caller as it is.
        """
        if is_foreign(error) or self.state is CallState.CLOSED:
            self.close()
            return error
        try:
            self._apply(CallEvent.FAIL)
        except StreamCancelledError as cancelled:
            error = cancelled
        error.partial_text = self.text
        error.__suppress_context__ = True
        self._finish()
        return without_frames(error)

    def cancel(self) -> bool:
        """Ends the call from any thread; False if it was over."""
        if not self._apply(CallEvent.CANCEL):
            return False
        self._abort()
        self._finish()
        return True

    def close(self) -> None:
        """Its owner wants no more of it: whatever reads for it is to stop."""
        if self._apply(CallEvent.CLOSE):
            self._abort()
        self._finish()

    def _apply(self, event: CallEvent) -> bool:
        try:
            return self._lifecycle.apply(event)
        except StreamCancelledError as cancelled:
            cancelled.partial_text = self.text
            raise without_frames(cancelled) from None

    def _abort(self) -> None:
        """Wakes whoever reads; it is asked once, by the event that ended the call."""
        if self.inherited:
            return  # whoever reads is in the parent, and so is the connection, though this process has a handle of it
        self._sleep.release()
        if (exchange := self._exchange) is not None:
            exchange.abort()

    def _finish(self) -> None:
        self._figures.ended = self._figures.ended or time.monotonic()
        self._exchange = None  # it may hold the error

    def _wait(self, seconds: float) -> None:
        """Between two attempts."""
        if self._sleep.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise StreamCancelledError("cancelled")

    def _attempt(self) -> tuple[str, Reply]:
        """One attempt, up to its first text."""
        from .._network.exchange import Exchange

        transport = self._pool.transport()
        mask = Mask((*self._client.secrets, *transport.proxies.secrets_for(self._request.url)))
        self._figures.attempts += 1
        self.facts.head = None
        reader = ReplyReader(
            strip_notices=self._client.strip_notices, max_reply_bytes=self._client.max_reply_bytes, mask=mask
        )
        timeout, deadline = self._options.timeout, self.deadline
        self._exchange = exchange = Exchange(transport, self._request, timeout=timeout, deadline=deadline, mask=mask)
        if self.over:  # before `cancel` could see this attempt
            exchange.abort()
        reply = Reply(exchange, reader, self.facts)
        try:
            return reply.open(), reply
        except AcytooError as error:
            del reply, reader, exchange
            raise without_frames(error)  # noqa: B904 - it has its cause
