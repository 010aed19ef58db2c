"""The blocking client: `Client` holds what was configured, `Stream` is one reply on its way.

No header, payload, status or decoding is known here: `protocol` judges, `_transport` sends, `_retry` repeats. They are
imported at the first call, so that importing this package, or making a client, costs nothing.
"""

from __future__ import annotations

import io
import os
import threading
import time
import weakref
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any

from ._options import CallOptions, Messages, Options, RetryPolicy, Timeout
from ._secrets import Mask
from .errors import AcytooError, ClientClosedError, InvalidRequestError, StreamCancelledError
from .protocol import DEFAULT_MAX_REPLY_BYTES, DEFAULT_PATH, ReplyHead, ReplyReader, Request

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._options import Changes
    from ._transport import Sending, Transport


class Client:
    """Streams chat replies from an endpoint that sends bare UTF-8 text; blocking.

    Safe to share between threads. Nothing is opened before the first call. Pickles as its configuration; the copy makes
    connections of its own, and so does a forked child.

    An argument beats its environment variable (`ACYTOO_BASE_URL`, `ACYTOO_KEY`, `ACYTOO_PASSWORD`, `ACYTOO_MODEL`),
    which beats the default.

    Args:
        base_url: scheme, host and maybe a path of your server, for instance "https://chat.example.com".
        key: the service's key, "" for none. Never shown.
        password: the service's password, "" for none. Never shown.
        model: the model's name; default "gpt-3.5-turbo".
        temperature: 0 to 2; default 0.5.
        path: the endpoint below `base_url`.
        headers: added to each request, or in place of the standard headers; not `host` nor `content-length`.
        timeout: limits in seconds; a number is `Timeout(total=number)`, None switches all of them off.
        retry: when an attempt that failed before its first text is made again; an int is `RetryPolicy(attempts=int)`.
        proxy: address of a proxy for everything; None: the environment's (`HTTPS_PROXY`, `NO_PROXY`, ...).
        verify: whether servers must have a certificate that is trusted; or the path of a CA bundle or folder to trust.
        strip_notices: whether an advertisement after a reply is taken off, and kept in `Stream.notice`.
        max_reply_bytes: the longest reply accepted, in bytes; None for no bound.

    Raises:
        InvalidRequestError: an argument, or an environment variable, is not usable; the message names it.

    Example:
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer("Hello!") as server, Client(server.url) as client:
        ...     client.complete("Hi")
        'Hello!'
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        key: str | None = None,
        password: str | None = None,
        model: str | None = None,
        temperature: float | None = None,
        path: str = DEFAULT_PATH,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout | float | None = Timeout(),  # noqa: B008 - frozen
        retry: RetryPolicy | int = RetryPolicy(),  # noqa: B008 - frozen
        proxy: str | None = None,
        verify: bool | str = True,
        strip_notices: bool = True,
        max_reply_bytes: int | None = DEFAULT_MAX_REPLY_BYTES,
    ) -> None:
        self._options = Options.of(
            base_url=base_url,
            key=key,
            password=password,
            model=model,
            temperature=temperature,
            path=path,
            headers=headers,
            timeout=timeout,
            retry=retry,
            proxy=proxy,
            verify=verify,
            strip_notices=strip_notices,
            max_reply_bytes=max_reply_bytes,
        )
        self._connections = _Connections(self._options)

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> Stream:
        """Starts a reply. Arguments are checked at once; the request is sent at the first `next()`.

        Args:
            messages: the conversation, oldest first; a `str` is one user message. Copied: later changes do not reach
                the call.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            A generator of non-empty `str`; where pieces are cut carries no meaning; joined they are the reply.

        Raises:
            InvalidRequestError: an argument is not usable; the message names the place, as `messages[0].content`.
            ClientClosedError: the client was closed.

        Example:
            >>> from acytoo_sdk.testing import FakeServer
            >>> with FakeServer(["Hel", "lo!"]) as server:
            ...     for piece in Client(server.url).stream("Hi"):
            ...         print(piece, end="")
            Hello!
        """
        self._connections.check_open()
        call = self._options.for_call(model=model, temperature=temperature, timeout=timeout, retry=retry)
        stream = Stream(_Call(self._options.request(messages, call), call, self._options, self._connections))
        self._connections.add(stream)
        return stream

    def complete(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> str:
        """Waits for the whole reply: exactly `"".join(stream(...))`, with the same arguments.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as the stream does; `partial_text` holds what had arrived.
        """
        return "".join(self.stream(messages, model=model, temperature=temperature, timeout=timeout, retry=retry))

    def with_options(self, **changes: Unpack[Changes]) -> Client:
        """A client with some options changed, on the same connections; closing either closes both.

        Args:
            changes: any argument of the constructor but `verify` and `proxy`, which belong to the connections.

        Returns:
            The new client; this one stays as it is.

        Raises:
            InvalidRequestError: an option is unknown, cannot be changed, or has a value that is not usable.

        Example:
            >>> Client("http://127.0.0.1:8000").with_options(model="other")
            Client(base_url='http://127.0.0.1:8000', model='other')
        """
        client = object.__new__(type(self))
        client._options = self._options.changed(changes)
        client._connections = self._connections
        return client

    def close(self) -> None:
        """Closes all connections: running streams end in `StreamCancelledError`, later calls in an error too."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._options.base_url!r}, model={self._options.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._options = state["_options"]
        self._connections = _Connections(self._options)


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


class Stream(Generator[str, None, None]):
    """One reply on its way: a generator of its pieces, which keeps the text.

    Leaving the loop (`break`, an exception, Ctrl-C) and dropping the stream closes the connection; `close()`, or
    `with`, does so at once. One thread reads at a time; `cancel()` may come from any.

    Yields:
        Non-empty `str`; where pieces are cut carries no meaning; joined they are the reply.

    Raises:
        APIConnectionError, APITimeoutError: nothing came, or a limit ran out; see `Timeout`. Retried before the first
        text. APIStatusError: the server refused; its subclasses tell why.
        UnexpectedReplyError: the reply is not text.
        StreamInterruptedError: the connection broke after the first text.
        StreamCancelledError: `cancel()` or `Client.close()` was called while this reader was waiting.
        ClientClosedError: the client was closed before the first `next()`.

        All of them keep what had arrived in `partial_text`.
    """

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._pieces = _pieces(call)

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration:
            if (cancellation := self._call.cancellation()) is not None:
                raise cancellation from None
            raise
        except ValueError as error:
            if isinstance(error, AcytooError):
                raise
            if (cancellation := self._call.cancellation()) is not None:
                raise cancellation from None
            raise InvalidRequestError(
                "This stream is being read by another thread: one thread reads at a time"
            ) from error

    def send(self, value: None) -> str:
        """The same as `next()`; a stream takes no values."""
        return next(self)

    def throw(self, *error: Any) -> str:
        """Ends the stream with an exception, as for any generator."""
        return self._pieces.throw(*error)

    def close(self) -> None:
        """Ends the stream and closes its connection; the text stays. While another thread reads, it is a `cancel()`."""
        try:
            self._pieces.close()
        except ValueError:  # it is running: only its own thread can close it
            self.cancel()
        else:
            self._call.finish()

    def read(self) -> str:
        """Reads the rest of the stream; returns all of its text, also what had been handed out before."""
        for _ in self:
            pass
        return self.text

    def cancel(self) -> None:
        """Ends the stream from any thread: its connection closes now.

        A reader that waits wakes at once in `StreamCancelledError`; otherwise the next `next()` raises it, once.
        Nothing more is handed out; the text stays. A stream that has ended is unaffected.
        """
        if self._call.cancel():
            try:
                self._pieces.close()
            except ValueError:
                pass  # it is running: its own thread closes

    @property
    def text(self) -> str:
        """The text handed out so far, without the notice."""
        return self._call.text.getvalue()

    @property
    def notice(self) -> str | None:
        """The advertisement that was stripped after the reply; None before the end, and where there was none."""
        return None if self._call.reader is None else self._call.reader.notice

    @property
    def head(self) -> ReplyHead | None:
        """Status, headers and request id of the reply; None before it arrives."""
        return None if self._call.reader is None else self._call.reader.head

    @property
    def whole(self) -> bool | None:
        """Whether the reply is complete: True or None (its framing cannot tell) at its end; else False."""
        return self._call.whole

    @property
    def stats(self) -> Stats:
        """The figures so far."""
        return self._call.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        stats = self.stats
        state = (
            "whole" if self.whole else "ended" if self._call.ended else "running" if stats.attempts else "not started"
        )
        return f"<Stream {state}, {stats.characters} characters>"


class _Call:
    """What a stream and its generator share; refers to neither, so that dropping the stream ends it."""

    def __init__(self, request: Request, options: CallOptions, client: Options, connections: _Connections) -> None:
        self.request = request
        self.options = options
        self.client = client
        self.connections = connections
        self.text = io.StringIO()
        self.pieces = 0
        self.characters = 0
        self.reader: ReplyReader | None = None
        self.whole: bool | None = False
        self.ended: float | None = None
        self.sending: Sending | None = None
        self._attempts = 0
        self._started: float | None = None
        self._deadline: float | None = None
        self._first_piece: float | None = None
        self._cancelled = threading.Event()
        self._cancel_told = False

    def start(self) -> None:
        """The clock of `total` starts; from now on closing the client cancels the call."""
        self.connections.check_open()
        self._started = time.monotonic()
        if self.options.timeout.total is not None:
            self._deadline = self._started + self.options.timeout.total

    def open(self) -> tuple[str, Iterator[str]]:
        """The first text of the reply, and the texts after it; with as many attempts as the policy allows."""
        from ._retry import run

        sleep = partial(_sleep, self._cancelled)
        return run(self._attempt, policy=self.options.retry, deadline=self._deadline, sleep=sleep)

    def hand_out(self, text: str) -> str:
        """Text on its way to the caller."""
        if self._first_piece is None:
            self._first_piece = time.monotonic()
        self.text.write(text)
        self.pieces += 1
        self.characters += len(text)
        return text

    def finish(self) -> None:
        """The stream is over, whatever the reason."""
        self.ended = self.ended or time.monotonic()

    def cancel(self) -> bool:
        """Ends the call from any thread; False if it was over."""
        if self.ended is not None or self._cancelled.is_set():
            return False
        self._cancelled.set()
        if (sending := self.sending) is not None:
            sending.abort()
        return True

    def cancellation(self) -> StreamCancelledError | None:
        """The error that tells of a cancellation; None where there was none, or it was told before."""
        if not self._cancelled.is_set() or self._cancel_told:
            return None
        self._cancel_told = True
        return StreamCancelledError("The stream was cancelled", partial_text=self.text.getvalue())

    def stats(self) -> Stats:
        """The figures so far."""
        began = self._started
        return Stats(
            attempts=self._attempts,
            first_piece_after=None if began is None or self._first_piece is None else self._first_piece - began,
            elapsed=0.0 if began is None else (self.ended or time.monotonic()) - began,
            pieces=self.pieces,
            characters=self.characters,
        )

    def _attempt(self) -> tuple[str, Iterator[str]]:
        from ._transport import Sending

        transport = self.connections.transport()
        mask = Mask((*self.client.secrets, *transport.secrets_for(self.request.url)))
        self._attempts += 1
        self.reader = ReplyReader(
            strip_notices=self.client.strip_notices, max_reply_bytes=self.client.max_reply_bytes, mask=mask
        )
        self.sending = Sending(
            transport, self.request, timeout=self.options.timeout, deadline=self._deadline, mask=mask
        )
        if self._cancelled.is_set():  # before `cancel` could see this attempt
            self.sending.abort()
        texts = self._texts(self.sending, self.reader)
        return next(texts), texts

    def _texts(self, sending: Sending, reader: ReplyReader) -> Iterator[str]:
        """The non-empty texts of one reply, and then the end or one error; closes the connection."""
        broken = None
        try:
            reader.receive_head(*sending.open(), now=time.time())
            try:
                for data in sending.body():
                    if text := reader.receive_data(data):
                        yield text
                    if reader.error is not None:
                        raise reader.error
            except AcytooError as error:
                if reader.error is not None:
                    raise
                broken = error
            if self._cancelled.is_set():
                raise StreamCancelledError("cancelled")
            last = reader.receive_eof() if broken is None else reader.receive_break(broken)
            if last:
                yield last
            if reader.error is not None:
                raise reader.error
            self.whole = sending.whole
        finally:
            sending.close()


def _sleep(cancelled: threading.Event, seconds: float) -> None:
    if cancelled.wait(seconds):
        raise StreamCancelledError("cancelled")


def _pieces(call: _Call) -> Generator[str, None, None]:
    """The generator inside a stream. It must not know the stream: dropped, it closes; in a cycle, it would wait."""
    try:
        call.start()
        text, texts = call.open()
        yield call.hand_out(text)
        for text in texts:
            yield call.hand_out(text)
    except AcytooError as error:
        if (cancellation := call.cancellation()) is not None:
            raise cancellation from None
        error.partial_text = call.text.getvalue()
        raise
    finally:
        call.finish()


class _Connections:
    """The connections that a client shares with those made from it: opened at the first call, and anew after a fork."""

    def __init__(self, options: Options, *, size: int = 100) -> None:
        self._options = options
        self._size = size
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False
        self._transport: Transport | None = None
        self._process = 0

    def check_open(self) -> None:
        if self._closed:
            raise ClientClosedError("The client is closed")

    def add(self, stream: Stream) -> None:
        """Closing cancels this stream too, if it still lives then and has started."""
        with self._lock:
            self._streams.add(stream)

    def transport(self) -> Transport:
        from ._transport import Transport

        with self._lock:
            self.check_open()
            if self._transport is None or self._process != os.getpid():
                self._transport = Transport(
                    verify=self._options.verify, proxy=self._options.proxy.reveal(), connections=self._size
                )
                self._process = os.getpid()
            return self._transport

    def close(self) -> None:
        with self._lock:
            self._closed = True
            streams, transport, self._transport = list(self._streams), self._transport, None
        for stream in streams:
            if stream.stats.attempts:  # one that has not started tells of the closed client instead
                stream.cancel()
        if transport is not None:
            transport.close()
