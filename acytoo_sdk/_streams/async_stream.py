"""The async stream: a call that threads read, and the task that awaits its pieces in an event loop.

No task group and no cancel scope is open while a piece is handed out: the stream may go on, or end, in another task.
How the threads read is not known here: `reader` has what they share with the task, and `waker` what wakes it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import AcytooError, APITimeoutError, InvalidRequestError
from .base import BaseStream, Display
from .call import Call
from .openers import ReaderPool
from .reader import Reader
from .waker import GRACE, LONGEST_TURN, LoopWaker, checkpoint, running_waker, wait_until

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncStream(BaseStream, AsyncGenerator[str, None]):
    """One reply on its way: an async generator of its pieces, which keeps the text.

    The twin of `Stream`, with the same pieces, errors, limits and retries; on asyncio and on trio. The request is sent
    when the first piece is awaited. Nothing is read in the event loop's thread, and no stream needs one of its own:
    two threads of the client connect, or more where servers are slow to accept, and one reads all replies and wakes the
    loop. Where much arrives, it joins what comes within up to four milliseconds into one wake-up. A stream for which
    there is no room in `max_streams` waits for its turn.

    The connection closes at once where the task that awaits a piece, or a scope around it, is cancelled; and, of a
    stream that nobody else holds, as soon as its loop is left. A stream that has a name stays open until `aclose()`,
    the end of its `async with` block, or the loss of that name. What was handed out stays in `text`.

    One task reads at a time; `cancel()` may come from any task or thread. After a fork, a running stream is the
    parent's, as for `Stream`.

    Yields:
        Non-empty `str`; where pieces are cut carries no meaning, but no character is ever cut in two; joined they are
        the reply.

    Raises:
        AcytooError: what `Stream` raises, for the same reasons, `InvalidRequestError` where another task is reading.
            While the stream waits for its turn, `APITimeoutError` where `Timeout.total` runs out.

        A cancellation from outside (of the task, a scope, a timeout of asyncio's) comes out as itself, and ends the
        stream.

    Example:
        >>> import asyncio
        >>> from acytoo_sdk import AsyncClient
        >>> from acytoo_sdk.testing import FakeServer
        >>> async def main():
        ...     with FakeServer(["Hel", "lo!"]) as server:
        ...         async with AsyncClient(server.url) as client, client.stream("Hi") as stream:
        ...             async for piece in stream:
        ...                 print(piece, end="")
        ...             print(stream.whole)
        >>> asyncio.run(main())
        Hello!True
    """

    def __init__(self, call: Call, readers: ReaderPool, display: Display) -> None:
        super().__init__(call, display)
        self._readers = readers
        self._reader = Reader(call, readers.resume)
        self._read_by_task = False
        self._waker: LoopWaker | None = None  # of the loop that it was last read in
        self._turn = 0.0  # when other tasks last had theirs, on the monotonic clock

    async def __anext__(self) -> str:
        call, reader = self._call, self._reader
        if call.ended:
            call.raise_if_cancelled()
            raise StopAsyncIteration
        if self._read_by_task:
            raise InvalidRequestError("This stream is being read by another task: one task reads at a time")
        if self._first is not None and (piece := self._take_first()) is not None:
            return piece
        self._read_by_task = True
        try:
            if reader.pieces:
                await self._let_others_run()
            elif not call.started:
                await self._start()
            else:
                call.check_process()
            while not (reader.pieces or reader.ready()):
                if (waker := self._waker) is None or (waiter := waker.waiter()) is None:
                    self._waker = running_waker()  # it begins here, or goes on in another loop
                    continue
                reader.on_ready(waker, waiter)
                if not reader.ready():  # what is waited for may have come before the waiter
                    await waiter
                    self._turn = time.monotonic()
            if reader.pieces:
                return call.deliver(reader.take())
            self._raise_error()
            call.complete()
        except AcytooError as error:
            self._readers.stop(self._reader)
            raise call.finalize(error)  # noqa: B904 - it has its cause
        except BaseException:
            self._end()
            raise
        finally:
            self._read_by_task = False
        raise StopAsyncIteration

    async def asend(self, value: None) -> str:
        """The same as awaiting the next piece, for code that treats a stream as an async generator.

        Args:
            value: not used: a stream takes no values.

        Returns:
            The next piece.

        Raises:
            StopAsyncIteration: the reply has ended.
            AcytooError: as `AsyncStream` says.
        """
        return await self.__anext__()

    async def athrow(self, *error: Any) -> str:
        """Ends the stream with an exception, as for any async generator; its connection is closed, and its text stays.

        Args:
            error: the exception, or its class and what it is made with.

        Raises:
            BaseException: this exception.
        """
        await self.aclose()
        try:
            return _nothing().throw(*error)
        finally:
            del error  # the frame it is raised in must not hold it

    async def aclose(self) -> None:
        """Ends the stream and closes its connection; the text stays. While another task reads, it is a `cancel()`.

        Waits until the connection is closed, in a cancelled task too, but no longer than a quarter of a second.
        """
        if self._read_by_task:
            self.cancel()
        else:
            self._end()
        if self._call.started and not self._reader.ended and not self._call.inherited:
            await wait_until(lambda: self._reader.ended, self._reader.on_ready, seconds=GRACE, shielded=True)

    async def display(self, *, raw: bool = False) -> None:
        """Shows the reply while it arrives, as `Stream.display` does: in a notebook, `await stream.display()`.

        Reads the rest of the stream. A cell that merely ends in an async stream shows the text so far: nothing awaits
        it there.

        Args:
            raw: shows the text as it is, not as Markdown.

        Raises:
            AcytooError: as reading does; what had arrived is shown.
            ModuleNotFoundError: IPython is missing: install `acytoo-sdk[notebook]`.
        """
        async with self:
            with self._display.growing(self._taken, raw=raw) as shown:
                async for piece in self:
                    shown.add(piece)

    async def start(self) -> Self:
        """Waits for the first piece, and keeps it for the loop; what would be raised there is raised here.

        For whoever passes a reply on, and must know whether there is one before sending a status of their own. `text`
        has the piece from then on. A stream that was started before is left as it is.

        Returns:
            This stream.

        Raises:
            AcytooError: as reading does.
        """
        if not self._call.started:
            async for piece in self:
                self._first = piece
                break
        return self

    async def read(self) -> str:
        """Reads the rest of the stream.

        Returns:
            All of its text, also what had been handed out before.

        Raises:
            AcytooError: as reading does; `partial_text` holds what had arrived.
        """
        async for _ in self:
            pass
        return self.text

    def cancel(self) -> None:
        """Ends the stream and closes its connection at once; may be called from any task or thread.

        A reader that waits wakes at once in `StreamCancelledError`; otherwise the next piece awaited raises it, once.
        Nothing more is handed out; the text stays. A stream that has ended is unaffected.
        """
        if self._call.cancel():
            self._readers.stop(self._reader)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        made = "_reader" in vars(self)  # or its constructor was interrupted
        if made and self._call.started and not self._call.over:
            self._end()

    async def _let_others_run(self) -> None:
        """Gives other tasks a turn, though there is a piece: on asyncio now and then, on trio each time."""
        now = time.monotonic()
        # As trio's own functions do: they let others run each time.
        if self._waker is None or not self._waker.is_asyncio or now - self._turn > LONGEST_TURN:
            await checkpoint()
            self._turn = time.monotonic()

    def _raise_error(self) -> None:
        """Raises what the reply ended in, if that is an error."""
        if (error := self._reader.take_error()) is not None:
            try:
                raise error
            finally:
                del error  # the frame it is raised in must not hold it

    async def _start(self) -> None:
        """Begins to read; where there is no room, waits for its turn, as long as `total` allows."""
        call, reader = self._call, self._reader
        try:
            call.start()
        except BaseException:
            reader.end()  # nobody will read
            raise
        await checkpoint()  # imports what anyio needs for this loop, before the thread imports the rest
        if call.over:
            reader.end()
            return
        self._readers.add(reader)
        if reader.begun or call.deadline is None:
            return
        in_time = await wait_until(reader.ready, reader.on_ready, seconds=call.deadline - time.monotonic())
        if not in_time and self._readers.remove(reader):
            hint = "raise max_streams=, or Timeout(total=...)"
            raise APITimeoutError("The total limit ran out before the stream had its turn", phase="total", hint=hint)

    def _end(self) -> None:
        """Ends the call, and stops whatever still reads for it; its outcome is not told."""
        self._call.close()
        self._readers.stop(self._reader)


def _nothing() -> Generator[str, None, None]:
    yield ""
