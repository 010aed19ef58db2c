"""A stream that is read in the background, by the threads of an async client, while nobody awaits its pieces.

An async batch reads its replies so: its loop is woken once for each reply, not for each piece.
"""

from __future__ import annotations

from contextlib import closing

from ..errors import AcytooError, StreamCancelledError
from .base import BaseStream, Display
from .call import Call
from .openers import ReaderPool
from .reader import Reader, Steps, Waker
from .waker import wait_until


class BackgroundStream(BaseStream):
    """One reply on its way, of which only the whole text is wanted.

    Args:
        call: what it reads.
        readers: read it.
        display: shows it.
    """

    def __init__(self, call: Call, readers: ReaderPool, display: Display) -> None:
        super().__init__(call, display)
        self._readers = readers
        self._reader = _WholeReader(call, readers.resume, steps=_delivering(call))

    @property
    def ended(self) -> bool:
        """Whether nothing more of it will come."""
        return self._reader.ended or self._reader.stopped

    def start(self, waker: Waker, waiter: object) -> None:
        """Begins to read it; the waiter is woken when it has ended, and perhaps a second time.

        Raises:
            ClientClosedError: the client was closed.
        """
        self._call.start()
        self._reader.on_ready(waker, waiter)
        self._readers.add(self._reader)

    def complete(self) -> str:
        """The text, once it has ended.

        Raises:
            AcytooError: what the reply ended in.
        """
        call = self._call
        try:
            self._raise_error()
            call.complete()
        except AcytooError as error:
            self._readers.stop(self._reader)
            raise call.finalize(error)  # noqa: B904 - it has its cause
        return call.text

    def cancel(self) -> None:
        """Ends it from any thread: its connection closes now."""
        if self._call.cancel():
            self._readers.stop(self._reader)

    async def wait_for_end(self, seconds: float) -> None:
        """Waits until nothing is read any more, which is soon after `cancel`; for so many seconds at most."""
        if self.started and not self._reader.ended and not self._call.inherited:
            await wait_until(lambda: self._reader.ended, self._reader.on_ready, seconds=seconds, shielded=True)

    def __del__(self) -> None:
        if "_reader" in vars(self):  # or its constructor was interrupted
            self.cancel()

    def _raise_error(self) -> None:
        error = self._reader.take_error()
        if error is None and self._reader.stopped:
            error = StreamCancelledError("The stream was cancelled")
        if error is not None:
            try:
                raise error
            finally:
                del error  # the frame it is raised in must not hold it


class _WholeReader(Reader):
    """Reads a call for somebody who waits for its end alone, and is not woken before."""

    __slots__ = ()

    def note_news(self, wakers: set[Waker]) -> None:
        if self.ended:
            super().note_news(wakers)

    def wake(self) -> None:
        if self.ended or self.stopped:
            super().wake()


def _delivering(call: Call) -> Steps:
    """The steps of a call whose texts the reading thread delivers itself: nothing waits for room, or for the loop."""
    with closing(call.steps()) as steps:
        for step in steps:
            if isinstance(step, str):
                call.deliver(step)
            else:
                yield step
