"""The blocking stream: one reply on its way, as a generator of its pieces.

Here is what a caller may do with one, from which thread. Attempts, and the ways in which a reply ends, are `call`'s.
"""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import AcytooError, InvalidRequestError
from .base import BaseStream, Display
from .call import Call

if TYPE_CHECKING:
    from typing_extensions import Self


class Stream(BaseStream, Generator[str, None, None]):
    """One reply on its way: a generator of its pieces, which keeps the text.

    The request is sent at the first `next()`. Each `next()` blocks until a piece has arrived, or until a limit of
    `Timeout` has run out. What fails before the first text is tried again, as `RetryPolicy` says; nothing is sent again
    once text was handed out. Text that arrived before an error is handed out before the error is raised.

    The connection of a stream that nobody else holds is closed as soon as its loop is left, by `break` or an exception,
    Ctrl-C for one. A stream that has a name stays open until `close()`, the end of its `with` block, or the loss of
    that name. What was handed out stays in `text`.

    One thread reads at a time; `cancel()` and `close()` may come from any. After a fork, a running stream is the
    parent's: a child that leaves, cancels or drops it changes nothing there.

    Yields:
        Non-empty `str`; where pieces are cut carries no meaning, but no character is ever cut in two; joined they are
        the reply.

    Raises:
        APIConnectionError: there was no connection, or it broke before the first text.
        APITimeoutError: a limit ran out, before or after the first text; `phase` names the limit, which may be raised.
        APIStatusError: the server refused; the subclass tells why, and `hint` what to do.
        UnexpectedReplyError: the status says success, but the reply is not text, or empty, or too large.
        StreamInterruptedError: the connection broke after the first text; a new call asks for all of the reply again.
        StreamCancelledError: the stream was cancelled by somebody else, or `Client.close()` was called; raised once.
        ClientClosedError: the client was closed before the first `next()`.
        InvalidRequestError: another thread is reading; or the stream was started before a fork, and this is the child;
            or certificates, or a proxy of the environment, are not usable.

        What had arrived is in `partial_text`; `retryable` says whether the same call may succeed later.

    Example:
        >>> from acytoo_sdk import Client
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer(["Hel", "lo!"]) as server, Client(server.url).stream("Hi") as stream:
        ...     for piece in stream:
        ...         break  # the end of the `with` closes the connection
        >>> print(stream.text, stream.whole, stream.head.status, stream.head.request_id, stream.stats.pieces)
        Hel False 200 req-1 1
    """

    def __init__(self, call: Call, display: Display) -> None:
        super().__init__(call, display)
        self._pieces = _pieces(call)
        self._closing = False  # whether `close` was called

    def __next__(self) -> str:
        if self._first is not None and (piece := self._take_first()) is not None:
            return piece
        try:
            return next(self._pieces)
        except StopIteration:
            self._call.raise_if_cancelled()
            raise
        except ValueError as error:
            if not runs_elsewhere(error):
                raise
            # The other thread reads, or ends the stream at this moment.
            self._call.raise_if_cancelled()
            if self._closing:
                raise StopIteration from None
            raise InvalidRequestError(
                "This stream is being read by another thread: one thread reads at a time"
            ) from None

    def send(self, value: None) -> str:
        """The same as `next()`, for code that treats a stream as a generator.

        Args:
            value: not used: a stream takes no values.

        Returns:
            The next piece.

        Raises:
            StopIteration: the reply has ended.
            AcytooError: as `Stream` says.
        """
        return next(self)

    def throw(self, *error: Any) -> str:
        """Ends the stream with an exception, as for any generator; its connection is closed, and its text stays.

        Args:
            error: the exception, or its class and what it is made with.

        Raises:
            BaseException: this exception.
        """
        if not self._call.started:
            self._call.close()  # a generator that never ran runs none of its lines now, `finally` included
        try:
            return self._pieces.throw(*error)
        finally:
            del error  # the frame it is raised in must not hold it

    def close(self) -> None:
        """Ends the stream and closes its connection; the text stays.

        From a thread other than the one that is reading, it is a `cancel()`. A stream that has ended is unaffected.
        """
        self._closing = True
        try:
            self._pieces.close()
        except ValueError as error:
            if not runs_elsewhere(error):
                raise
            self.cancel()  # only the thread that runs the generator can close it; this wakes that one
        else:
            self._call.close()

    def start(self) -> Self:
        """Waits for the first piece, and keeps it for the loop; what would be raised there is raised here.

        For whoever passes a reply on, and must know whether there is one before sending a status of their own. It
        blocks like the first `next()`, retries included. `text` has the piece from then on. A stream that was started
        before is left as it is.

        Returns:
            This stream.

        Raises:
            AcytooError: as reading does.

        Example:
            >>> from acytoo_sdk import Client
            >>> from acytoo_sdk.testing import FakeServer
            >>> with FakeServer(["Hel", "lo!"]) as server:
            ...     stream = Client(server.url).stream("Hi").start()
            ...     print(stream.head.status, list(stream))
            200 ['Hel', 'lo!']
        """
        if not self._call.started:
            for piece in self:
                self._first = piece
                break
        return self

    def read(self) -> str:
        """Reads the rest of the stream; blocks until it has ended.

        Returns:
            All of its text, also what had been handed out before.

        Raises:
            AcytooError: as reading does; `partial_text` holds what had arrived.
        """
        for _ in self:
            pass
        return self.text

    def display(self, *, raw: bool = False) -> None:
        """Shows the reply while it arrives: in a notebook's cell as Markdown; in a script, as it is, by printing it.

        Reads the rest of the stream, and blocks until it has ended. A cell that ends in a stream does the same by
        itself; `display` is for the middle of a cell. No event loop is needed. The stop button, or Ctrl-C, closes the
        connection; what had arrived stays, in the output and in `text`.

        A reply has one output, which is saved with the notebook, and is refreshed about ten times a second, less often
        as the reply grows long. Whatever a reply contains, no script in it runs, and nothing is loaded: HTML is shown
        as text, pictures become links, and links lead to the web or to mail. Formulas (`$...$`, `$$...$$`, `\\(...\\)`,
        `\\[...\\]`, `\\begin{align}`) are set by JupyterLab, Notebook and exports as long as they consist of ordinary
        TeX; all others are shown as they were written. Code stays as it is, in the colours of the theme. The text as it
        came is in `text`, and without control characters in the output's `text/plain`.

        Args:
            raw: shows the text as it is, not as Markdown.

        Raises:
            AcytooError: as reading does; what had arrived is shown.
            ModuleNotFoundError: IPython is missing: install `acytoo-sdk[notebook]`.
        """
        with self, self._display.growing(self._taken, raw=raw) as shown:
            for piece in self:
                shown.add(piece)

    def cancel(self) -> None:
        """Ends the stream and closes its connection at once; may be called from any thread.

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
        if self._call.over:
            raise NotImplementedError
        with self._display.failing_in_brief():
            self.display()


def runs_elsewhere(error: ValueError) -> bool:
    """Whether a generator says that another thread is running it.

    Of the frames that the error came through, the caller's is the only one then; from inside there would be more.
    """
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def _pieces(call: Call) -> Generator[str, None, None]:
    """The generator inside a stream. It must not refer to the stream: see the top of `call`."""
    try:
        call.start()
        for text in call.texts():
            piece = call.deliver(text)
            try:
                yield piece
            except BaseException:  # it was thrown in: it is not the call's own, whatever its class
                call.close()
                raise
        call.complete()
    except AcytooError as error:
        raise call.finalize(error)  # noqa: B904 - it has its cause
    finally:
        call.close()
