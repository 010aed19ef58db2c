"""The call: one request, its attempts, and how it stands. The same for the blocking and the async stream.

A stream that is dropped ends at once, by its reference count: its connection closes without waiting for the garbage
collector, which may come late, and in any thread. So a stream must be part of no reference cycle, and all rests on two
rules. Nothing here refers to the stream: it refers to its call, and a call to what reads for it. And an error that is
kept, or handed on, is first freed of the frames it came through (`without_frames`), since they hold the stream, or
something that holds the error. One cycle is left to the caller: listeners are called in the context that the call was
started in, and a variable of that context may hold the stream.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from .._network.pool import Pool
from .._network.provenance import is_foreign
from .._options import CallOptions, Options
from .._secrets import Mask, clears_frames
from .._stats import Stats
from ..errors import AcytooError, InvalidRequestError, StreamCancelledError
from ..events import AttemptFailed, CallEnded, CallInfo, CallStarted, FirstPiece, Outcome, subscribed
from ..protocol import ReplyReader, Request
from .libraries import load_libraries
from .lifecycle import CallEvent, CallState, Lifecycle
from .listeners import Listeners, call_info
from .reply import Reply, ReplyFacts, without_frames
from .text import Figures, GrowingText

if TYPE_CHECKING:
    from .._network.exchange import Exchange


class Call:
    """What a stream and whoever reads for it share.

    Args:
        request: what every attempt sends.
        options: of this call.
        client: of its client.
        pool: of its client.

    Attributes:
        ended: whether it is `over`, and its bookkeeping is done; no property, since it is asked for each piece.
        facts: what is known of the reply.
        deadline: when `total` is over, on the monotonic clock; None for never, or not yet.
    """

    __slots__ = (
        "__weakref__",
        "_client",
        "_exchange",
        "_figures",
        "_lifecycle",
        "_listeners",
        "_options",
        "_pool",
        "_process",
        "_request",
        "_sleep",
        "_text",
        "deadline",
        "ended",
        "facts",
    )

    def __init__(self, request: Request, options: CallOptions, client: Options, pool: Pool) -> None:
        self.ended = False
        self.facts = ReplyFacts()
        self.deadline: float | None = None
        self._request = request
        self._options = options
        self._client = client
        self._pool = pool
        self._lifecycle = Lifecycle()
        self._text = GrowingText()
        self._figures = Figures()
        self._listeners: Listeners | None = None
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
        """Whether the clock of `total` was started."""
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

    @property
    def info(self) -> CallInfo:
        """What is asked: the same object in all that listeners are told."""
        return call_info(self._client, self._options) if self._listeners is None else self._listeners.call

    def start(self) -> None:
        """The clock of `total` starts.

        Raises:
            ClientClosedError: the client was closed.
            StreamCancelledError: the call was cancelled.
        """
        self._pool.check_open()
        own = self._client.on_event
        if listeners := subscribed() if own is None else (*subscribed(), own):
            # Before the call runs: from then on, others may end it, and tell so.
            self._listeners = Listeners(listeners, self.info)
        self._apply(CallEvent.START)
        self._process = os.getpid()
        self._figures.began = began = time.monotonic()
        if self._options.timeout.total is not None:
            self.deadline = began + self._options.timeout.total
        if self._listeners is not None:
            self._listeners.tell(CallStarted(self.info))

    def texts(self) -> Iterator[str]:
        """The non-empty texts of the reply; then the end, or one error. Waits for each.

        Raises:
            AcytooError: what went wrong; any, once the call was cancelled or closed.
        """
        process = os.getpid()
        for step in self.steps():
            if isinstance(step, str):
                yield step
                if os.getpid() != process:
                    self.check_process()
            elif step is not None:
                self._wait(step)

    def steps(self) -> Generator[str | float | None, None, None]:
        """The reply, step by step, for a reader that has others to read meanwhile.

        Yields:
            A non-empty text; None where nothing more comes before the server says something; or the seconds to wait
            before the next attempt. A step that opens a connection blocks until it has one: the first step, and each
            after a wait. The others block until the server says something, unless `unblock` was called.

        Raises:
            AcytooError: as `texts`.
        """
        load_libraries()
        from .log import log
        from .retry import wait_after

        policy, deadline, opened = self._options.retry, self.deadline, None
        while opened is None:
            try:
                opened = yield from self._opening()
            except AcytooError as error:
                if is_foreign(error):
                    raise
                try:
                    seconds = wait_after(error, attempt=self._figures.attempts, policy=policy, deadline=deadline)
                except AcytooError:
                    raise without_frames(error)  # noqa: B904 - it has its cause
                failed = AttemptFailed(self.info, self._figures.attempts, without_frames(error), seconds)
            else:
                continue
            log(failed)
            if (listeners := self._listeners) is not None:
                listeners.tell(failed)
            del failed
            yield seconds
        reply, text = opened
        try:
            while text is not None:
                if text:
                    yield text
                if reply.waits:
                    yield None
                text = reply.more()
        finally:
            reply.close()

    def unblock(self) -> int | None:
        """From now on, and as long as this attempt lasts, no step waits for the server: see `steps`.

        Returns:
            The descriptor by which to know that it said something; None where there is none, and steps wait as before.
        """
        exchange = self._exchange  # looked up once, here and below: whoever ends the call takes it away, at any moment
        return None if exchange is None else exchange.unblock()

    def before_close(self, act: Callable[[], None]) -> bool:
        """Has something done before the socket of this attempt is closed, or given back; False if the call is over."""
        exchange = self._exchange
        if exchange is not None:
            exchange.before_close(act)
        return exchange is not None

    def due(self, since: float) -> float:
        """When a limit will have run out, on the monotonic clock, if the server says nothing after `since`."""
        exchange = self._exchange
        return math.inf if exchange is None else exchange.due(since)

    def expire(self) -> None:
        """A limit has run out: the steps that follow are what had arrived, and the error."""
        if (exchange := self._exchange) is not None:
            exchange.expire()

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
        if self.ended:
            self.raise_if_cancelled()
        if self._text.pieces:
            self._text.add(text)
        else:
            self._deliver_first(text)
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
        self._tell_end("completed")

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
        without_frames(error)
        if isinstance(error, StreamCancelledError):
            self._tell_end("cancelled")  # unless whoever cancelled it has done so
        else:
            self._tell_end("failed", error)
        return error

    def cancel(self) -> bool:
        """Ends the call from any thread; False if it was over."""
        if not self._apply(CallEvent.CANCEL):
            return False
        self._abort()
        self._finish()
        self._tell_end("cancelled", apart=True)
        return True

    def close(self) -> None:
        """Its owner wants no more of it: whatever reads for it is to stop."""
        if self._apply(CallEvent.CLOSE):
            self._abort()
        self._finish()
        # Where it had ended before, and an exception kept that from being told, it is told here.
        ended: dict[CallState, Outcome] = {CallState.COMPLETED: "completed", CallState.CANCELLED: "cancelled"}
        self._tell_end(ended.get(self.state, "closed"), apart=True)

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
        self.ended = True
        self._figures.ended = self._figures.ended or time.monotonic()
        self._exchange = None  # it may hold the error

    def _deliver_first(self, text: str) -> None:
        self._figures.first_piece = now = time.monotonic()
        self._text.add(text)
        if (listeners := self._listeners) is not None:
            listeners.tell(FirstPiece(self.info, now - (self._figures.began or now)))

    def _tell_end(self, outcome: Outcome, error: AcytooError | None = None, *, apart: bool = False) -> None:
        """Tells the listeners, unless they were told; `apart`: by another thread, waited for only a moment."""
        listeners = self._listeners
        if listeners is None or listeners.over or self.inherited:
            return
        whole = self.facts.whole if outcome == "completed" else False
        event = CallEnded(self.info, outcome, error, self.stats, self.facts.head, whole)
        if apart:
            listeners.tell_apart(event)
        else:
            listeners.tell(event)

    def _wait(self, seconds: float) -> None:
        """Between two attempts."""
        if self._sleep.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise StreamCancelledError("cancelled")

    def _opening(self) -> Generator[None, None, tuple[Reply, str | None]]:
        """One attempt, up to its first text."""
        reply = self._send()
        try:
            text: str | None = ""
            while not text:
                if reply.waits:
                    yield None
                text = self._more(reply)
                assert text is not None, "a reply that ends without a text ends in an error"
            return reply, text
        except BaseException:
            reply.close()
            raise

    @clears_frames
    def _send(self) -> Reply:
        """A new attempt: its request is sent, its reply awaited."""
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
        if self.over:  # since before there was an attempt that `cancel` could abort
            exchange.abort()
        reply = Reply(exchange, reader, self.facts)
        try:
            reply.send()
        except BaseException:
            reply.close()
            raise
        return reply

    @clears_frames
    def _more(self, reply: Reply) -> str | None:
        """What a reply tells before its first text; an error's body may quote secrets."""
        return reply.more()
