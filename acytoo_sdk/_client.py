"""The blocking client: `Client` holds what was configured, `Stream` is one reply on its way."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any

from ._base import BaseClient, BaseStream
from ._call import Call
from ._options import Messages, RetryPolicy, Timeout
from .conversation import Conversation
from .errors import AcytooError, InvalidRequestError
from .protocol import Message

if TYPE_CHECKING:
    from typing_extensions import Self


class Client(BaseClient):
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
        stream = Stream(self._call(messages, model, temperature, timeout, retry))
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

    def conversation(
        self,
        *,
        system: str | None = None,
        messages: Sequence[Message] = (),
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
        limit_characters: int | None = None,
    ) -> Conversation:
        """Begins a conversation, which keeps its turns; see `Conversation` for the arguments. Nothing is sent yet.

        Raises:
            InvalidRequestError: an argument is not usable; the message names it.
        """
        return Conversation(
            self,
            system=system,
            messages=messages,
            model=model,
            temperature=temperature,
            timeout=timeout,
            retry=retry,
            limit_characters=limit_characters,
        )

    def close(self) -> None:
        """Closes all connections: running streams end in `StreamCancelledError`, later calls in an error too."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Stream(BaseStream, Generator[str, None, None]):
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

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._pieces = _pieces(call)

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as end:
            raise self._call.cancellation() or end from None
        except ValueError as error:
            if isinstance(error, AcytooError):
                raise
            # A generator that runs in another thread, which reads, or ends a cancelled stream at this moment.
            raise self._call.cancellation() or InvalidRequestError(
                "This stream is being read by another thread: one thread reads at a time"
            ) from None

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
        except ValueError:  # it is running: only its own thread can close it, once it was woken
            self.cancel()
        else:
            self._call.finish()

    def read(self) -> str:
        """Reads the rest of the stream; returns all of its text, also what had been handed out before."""
        for _ in self:
            pass
        return self.text

    def display(self, *, raw: bool = False) -> None:
        """Shows the reply in a notebook's cell while it arrives, as Markdown; in a terminal, as it is.

        Reads the rest of the stream. Markdown is refreshed about ten times a second, and what a reply holds of HTML,
        pictures and scripts is shown as text. A notebook's stop button closes the connection; what had arrived stays.

        Args:
            raw: shows the text as it is.

        Raises:
            AcytooError: as reading does; what had arrived is shown.
            ModuleNotFoundError: IPython is missing: install `acytoo-sdk[notebook]`.
        """
        from ._display.output import output

        with self, output(self.text, raw=raw) as shown:
            for piece in self:
                shown.add(piece)

    def cancel(self) -> None:
        """Ends the stream from any thread: its connection closes now.

        A reader that waits wakes at once in `StreamCancelledError`; otherwise the next `next()` raises it, once.
        Nothing more is handed out; the text stays. A stream that has ended is unaffected.
        """
        if self._call.cancel():
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ipython_display_(self) -> None:
        """At the end of a cell: the reply while it arrives; what has ended is a value like any other."""
        if self._call.ended is not None:
            raise NotImplementedError
        from ._display.output import failing_in_brief

        with failing_in_brief():
            self.display()


def _pieces(call: Call) -> Generator[str, None, None]:
    """The generator inside a stream. It must not know the stream: dropped, it closes; in a cycle, it would wait."""
    try:
        call.start()
        for text in call.texts():
            yield call.hand_out(text)
        call.complete()
    except AcytooError as error:
        # A name for the error, or the frames it came through, would make a cycle of it, and the stream hang on that.
        raise call.settle(error).with_traceback(None)  # noqa: B904 - it has its cause
    finally:
        call.finish()
