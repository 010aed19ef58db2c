"""The blocking stream: one reply on its way, as a generator of its pieces."""

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

    def __init__(self, call: Call, display: Display) -> None:
        super().__init__(call, display)
        self._pieces = _pieces(call)
        self._closing = False  # or closed

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
        """The same as `next()`; a stream takes no values."""
        return next(self)

    def throw(self, *error: Any) -> str:
        """Ends the stream with an exception, as for any generator."""
        if not self._call.started:
            self._call.close()  # a generator that never ran runs no line of its own now
        try:
            return self._pieces.throw(*error)
        finally:
            del error  # the frame it is raised in must not hold it

    def close(self) -> None:
        """Ends the stream and closes its connection; the text stays. While another thread reads, it is a `cancel()`."""
        self._closing = True
        try:
            self._pieces.close()
        except ValueError as error:
            if not runs_elsewhere(error):
                raise
            self.cancel()  # only its own thread can close it, once it was woken
        else:
            self._call.close()

    def start(self) -> Self:
        """Waits for the first piece, and keeps it for the loop; what would be raised there is raised here.

        For whoever passes a reply on, and must know whether there is one before an own status goes out. `text` has the
        piece from then on. A stream that was started before is left as it is.

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
        """Reads the rest of the stream; returns all of its text, also what had been handed out before."""
        for _ in self:
            pass
        return self.text

    def display(self, *, raw: bool = False) -> None:
        """Shows the reply in a notebook's cell while it arrives, as Markdown; in a terminal, as it is.

        Reads the rest of the stream. A notebook is refreshed about ten times a second, less often as the reply grows
        long, and what a reply holds of HTML, pictures and scripts is shown as text. A notebook's stop button closes the
        connection; what had arrived stays.

        Args:
            raw: shows the text as it is.

        Raises:
            AcytooError: as reading does; what had arrived is shown.
            ModuleNotFoundError: IPython is missing: install `acytoo-sdk[notebook]`.
        """
        with self, self._display.growing(self._taken, raw=raw) as shown:
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
        if self._call.over:
            raise NotImplementedError
        with self._display.failing_in_brief():
            self.display()


def runs_elsewhere(error: ValueError) -> bool:
    """Whether a generator says that another thread is running it; what comes from inside of it has more frames."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def _pieces(call: Call) -> Generator[str, None, None]:
    """The generator inside a stream, which it must not know: see the top of `call`."""
    try:
        call.start()
        for text in call.texts():
            piece = call.deliver(text)
            try:
                yield piece
            except BaseException:  # thrown in: none of the call's own, whatever its kind
                call.close()
                raise
        call.complete()
    except AcytooError as error:
        raise call.finalize(error)  # noqa: B904 - it has its cause
    finally:
        call.close()
