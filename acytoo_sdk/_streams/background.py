"""A stream that is read in the background: by the threads of an async client, while nobody awaits its pieces."""

from __future__ import annotations

from ..errors import AcytooError
from .base import BaseStream, Display
from .call import Call
from .openers import ReaderPool
from .reader import Reader, Waker
from .waker import GRACE, wait_until


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
        self._reader = Reader(call, readers.resume)

    def start(self, waker: Waker, waiter: object) -> None:
        """Has it read; from then on, news is told once, and again after each `advance`.

        Raises:
            ClientClosedError: the client was closed.
        """
        self._call.start()
        self._reader.on_ready(waker, waiter)
        self._readers.add(self._reader)

    def advance(self, waker: Waker, waiter: object) -> bool:
        """Takes what has come, so that reading goes on; returns whether that was all. News of more will be told.

        Raises:
            AcytooError: what the reply ended in.
        """
        call, reader = self._call, self._reader
        try:
            ended = False
            while not ended:
                ended = reader.ended or reader.stopped
                while reader.pieces:
                    call.deliver(reader.take())
                if not ended:
                    reader.on_ready(waker, waiter)
                    if not reader.ready():  # it may have come before it was asked for
                        return False
            self._raise_error()
            call.complete()
        except AcytooError as error:
            self._stop_reading()
            raise call.finalize(error)  # noqa: B904 - it has its cause
        return True

    def cancel(self) -> None:
        """Ends it from any thread: its connection closes now."""
        if self._call.cancel():
            self._stop_reading()

    async def wait_for_end(self) -> None:
        """Waits until nothing is read any more, which is soon after `cancel`; not for ever."""
        if self.started and not self._reader.ended and not self._call.inherited:
            await wait_until(lambda: self._reader.ended, self._reader.on_ready, seconds=GRACE, shielded=True)

    def __del__(self) -> None:
        if "_reader" in vars(self):  # or its constructor was interrupted
            self.cancel()

    def _raise_error(self) -> None:
        if (error := self._reader.take_error()) is not None:
            try:
                raise error
            finally:
                del error  # the frame it is raised in must not hold it

    def _stop_reading(self) -> None:
        if not self._reader.ended:
            self._readers.remove(self._reader)
            self._reader.stop()
