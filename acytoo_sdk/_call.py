"""The call: one request, its attempts, and what is known of its reply. The same for the blocking and the async stream.

No header, payload, status or decoding is known here: `protocol` judges, `_transport` sends, `_retry` repeats. The
latter two are imported at the first call, so that importing this package, or making a client, costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ._connections import Connections
from ._options import CallOptions, Options
from ._secrets import Mask
from .errors import AcytooError, StreamCancelledError
from .protocol import ReplyHead, ReplyReader, Request

if TYPE_CHECKING:
    from ._transport import Sending

_MANY = 1024  # pieces of text that wait to be joined: a short `str` takes ten times its characters


@dataclass(frozen=True)
class Stats:
    """The figures of one stream, so far.

    Attributes:
        attempts: requests sent.
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


class Call:
    """What a stream and whoever reads for it share; it refers to neither, so that dropping the stream ends it.

    Args:
        request: what every attempt sends.
        options: of this call.
        client: of its client.
        connections: of its client.

    Attributes:
        head: of the last attempt's reply; None before it arrives.
        notice: the advertisement stripped after the reply; None before the end, and where there was none.
        whole: whether the reply is complete: True or None (its framing cannot tell) at its end, else False.
        completed: whether the reply ended well, and all of it was handed out.
        deadline: when `total` is over, on the monotonic clock; None for never.
        ended: when the last piece, or the error, was handed out.
    """

    def __init__(self, request: Request, options: CallOptions, client: Options, connections: Connections) -> None:
        self.head: ReplyHead | None = None
        self.notice: str | None = None
        self.whole: bool | None = False
        self.completed = False
        self.deadline: float | None = None
        self.ended: float | None = None
        self._request = request
        self._options = options
        self._client = client
        self._connections = connections
        self._sending: Sending | None = None
        self._text = _Text()
        self._pieces = 0
        self._characters = 0
        self._attempts = 0
        self._started: float | None = None
        self._first_piece: float | None = None
        self._verdict = threading.Lock()  # taken once, by whichever comes first: the end or a cancellation
        self._cancelled = threading.Event()
        self._cancel_told = False

    @property
    def started(self) -> bool:
        """Whether the clock of `total` runs."""
        return self._started is not None

    @property
    def cancelled(self) -> bool:
        """Whether it was ended from elsewhere."""
        return self._cancelled.is_set()

    @property
    def text(self) -> str:
        """What was handed out so far."""
        return self._text.joined()

    @property
    def stats(self) -> Stats:
        """The figures so far."""
        began = self._started
        return Stats(
            attempts=self._attempts,
            first_piece_after=None if began is None or self._first_piece is None else self._first_piece - began,
            elapsed=0.0 if began is None else (self.ended or time.monotonic()) - began,
            pieces=self._pieces,
            characters=self._characters,
        )

    def start(self) -> None:
        """The clock of `total` starts.

        Raises:
            ClientClosedError: the client was closed.
        """
        self._connections.check_open()
        self._started = time.monotonic()
        if self._options.timeout.total is not None:
            self.deadline = self._started + self._options.timeout.total

    def texts(self) -> Iterator[str]:
        """The non-empty texts of the reply, retried up to the first one; then the end, or one error.

        Raises:
            AcytooError: what went wrong; any, once the call was cancelled.
        """
        from ._retry import run

        sleep = partial(_sleep, self._cancelled)
        text, texts = run(self._attempt, policy=self._options.retry, deadline=self.deadline, sleep=sleep)
        yield text
        yield from texts

    def hand_out(self, text: str) -> str:
        """Keeps a text that goes to the caller now.

        Raises:
            StreamCancelledError: the call was cancelled: nothing more goes to the caller.
        """
        if self._cancelled.is_set():
            raise StreamCancelledError("cancelled")
        if self._first_piece is None:
            self._first_piece = time.monotonic()
        self._text.add(text)
        self._pieces += 1
        self._characters += len(text)
        return text

    def settle(self, error: AcytooError) -> AcytooError:
        """The error as it goes to the caller: the cancellation, where there was one; with the text handed out."""
        settled = self.cancellation() or error
        settled.partial_text = self.text
        settled.__suppress_context__ = True
        return settled

    def complete(self) -> None:
        """The reply ended well, and all of it was handed out: no cancellation can change that any more.

        Raises:
            StreamCancelledError: the call was cancelled before.
        """
        if not self._verdict.acquire(blocking=False):
            raise StreamCancelledError("cancelled")
        self.completed = True
        self.finish()

    def finish(self) -> None:
        """The call is over, whatever the reason."""
        self.ended = self.ended or time.monotonic()
        self._sending = None  # it may hold the error, whose frames hold the stream

    def cancel(self) -> bool:
        """Ends the call from any thread; False if it was over."""
        if self.ended is not None or not self._verdict.acquire(blocking=False):
            return False
        self._cancelled.set()
        if (sending := self._sending) is not None:
            sending.abort()
        return True

    def cancellation(self) -> StreamCancelledError | None:
        """The error that tells of a cancellation; None where there was none, or it was told before."""
        if not self._cancelled.is_set() or self._cancel_told:
            return None
        self._cancel_told = True
        return StreamCancelledError("The stream was cancelled", partial_text=self.text)

    def _attempt(self) -> tuple[str, Iterator[str]]:
        """One attempt, up to its first text; and the texts after it."""
        from ._transport import Sending

        transport = self._connections.transport()
        mask = Mask((*self._client.secrets, *transport.secrets_for(self._request.url)))
        self._attempts += 1
        self.head = None
        reader = ReplyReader(
            strip_notices=self._client.strip_notices, max_reply_bytes=self._client.max_reply_bytes, mask=mask
        )
        sending = Sending(transport, self._request, timeout=self._options.timeout, deadline=self.deadline, mask=mask)
        self._sending = sending
        if self._cancelled.is_set():  # before `cancel` could see this attempt
            sending.abort()
        texts = self._reply(sending, reader)
        return next(texts), texts

    def _reply(self, sending: Sending, reader: ReplyReader) -> Iterator[str]:
        """The texts of one reply; closes its connection."""
        broken = None
        try:
            try:
                reader.receive_head(*sending.open(), now=time.time())
            finally:
                self.head = reader.head
            try:
                for data in sending.body():
                    if text := reader.receive_data(data):
                        yield text
                    if reader.error is not None:
                        raise reader.error
            except AcytooError as error:
                if reader.error is not None or self._cancelled.is_set():
                    raise
                broken = error.with_traceback(None)  # its frames hold this one, which holds it
            last = reader.receive_eof() if broken is None else reader.receive_break(broken)
            if last:
                yield last
            if reader.error is not None:
                raise reader.error
            self.whole = sending.whole
        finally:
            self.notice = reader.notice
            sending.close()


def _sleep(cancelled: threading.Event, seconds: float) -> None:
    if cancelled.wait(min(seconds, threading.TIMEOUT_MAX)):
        raise StreamCancelledError("cancelled")


class _Text:
    """A text that grows by pieces. One thread adds; any may look.

    `io.StringIO` would do, but from Python 3.13 on it keeps a copy of its own beside the text that was looked at.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._recent: list[str] = []
        self._lock = threading.Lock()

    def add(self, piece: str) -> None:
        self._recent.append(piece)
        if len(self._recent) >= _MANY:
            with self._lock:
                self._parts.append("".join(self._taken()))

    def joined(self) -> str:
        with self._lock:
            text = "".join([*self._parts, *self._taken()])  # of one part, that part itself
            self._parts = [text]
            return text

    def _taken(self) -> list[str]:
        pieces = self._recent[:]
        del self._recent[: len(pieces)]  # one more may be there by now
        return pieces
