"""The async client: the blocking call in a thread of its own, bridged to the event loop that awaits its pieces.

Only the bridge is here. A wait is an event of the loop; threads set it through the loop's own door, several of them in
one go. No task group and no cancel scope is open while a piece is handed out. The only file that imports anyio.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from functools import partial
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, checkpoint, current_token

from ._base import BaseClient, BaseStream
from ._call import Call
from ._checks import check_count
from ._options import Messages, RetryPolicy, Timeout
from ._reader import Crew, Reader
from .conversation import AsyncConversation
from .errors import AcytooError, APIConnectionError, APITimeoutError, InvalidRequestError
from .protocol import Message

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._options import Arguments

# How long closing a stream waits for its thread to be gone. It wakes at once, unless it is resolving a name.
_GRACE = 0.25


class AsyncClient(BaseClient):
    """Streams chat replies from an endpoint that sends bare UTF-8 text; for async code, on asyncio and trio.

    The twin of `Client`: the same arguments, names, pieces, errors and limits. Works with or without `async with`, in
    any number of tasks, and in any number of event loops, one after another or in threads of their own. Nothing is
    opened before the first call.

    Args:
        base_url: scheme, host and maybe a path of your server, for instance "https://chat.example.com".
        max_streams: how many streams run at once, over all loops; further ones wait for their turn, first come first
            served, and their waiting counts into `Timeout.total`.
        arguments: all the others are those of `Client`.

    Raises:
        InvalidRequestError: an argument, or an environment variable, is not usable; the message names it.

    Example:
        >>> import asyncio
        >>> from acytoo_sdk.testing import FakeServer
        >>> async def main():
        ...     with FakeServer("Hello!") as server:
        ...         async with AsyncClient(server.url) as client:
        ...             print(await client.complete("Hi"))
        >>> asyncio.run(main())
        Hello!
    """

    def __init__(self, base_url: str | None = None, *, max_streams: int = 100, **arguments: Unpack[Arguments]) -> None:
        self._max_streams = check_count("max_streams", max_streams)
        super().__init__(base_url, **arguments)
        self._crew = Crew(max_streams)

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> AsyncStream:
        """Starts a reply. Arguments are checked at once; the request is sent when the first piece is awaited.

        Args:
            messages: the conversation, oldest first; a `str` is one user message. Copied: later changes do not reach
                the call.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            An async generator of non-empty `str`; where pieces are cut carries no meaning; joined they are the reply.
            No `await` before `async for`.

        Raises:
            InvalidRequestError: an argument is not usable; the message names the place, as `messages[0].content`.
            ClientClosedError: the client was closed.
        """
        stream = AsyncStream(self._call(messages, model, temperature, timeout, retry), self._crew)
        self._connections.add(stream)
        return stream

    async def complete(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> str:
        """Waits for the whole reply: the joined pieces of `stream`, with the same arguments.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as the stream does; `partial_text` holds what had arrived.
        """
        return await self.stream(messages, model=model, temperature=temperature, timeout=timeout, retry=retry).read()

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
    ) -> AsyncConversation:
        """Begins a conversation, which keeps its turns; see `Conversation` for the arguments. Nothing is sent yet.

        Raises:
            InvalidRequestError: an argument is not usable; the message names it.
        """
        return AsyncConversation(
            self,
            system=system,
            messages=messages,
            model=model,
            temperature=temperature,
            timeout=timeout,
            retry=retry,
            limit_characters=limit_characters,
        )

    async def warm_up(self) -> None:
        """Imports what the first request needs, in a thread, so that the first one starts at once. Sends nothing."""
        await anyio.to_thread.run_sync(self._prepare, limiter=anyio.CapacityLimiter(1))

    async def aclose(self) -> None:
        """Closes all connections: running streams end in `StreamCancelledError`, later calls in an error too."""
        self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_max_streams": self._max_streams}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._crew = Crew(self._max_streams)

    def _prepare(self) -> None:
        from . import _retry  # noqa: F401 - tenacity comes with it

        self._connections.transport()

    def _pool_size(self) -> int:
        return self._max_streams


class AsyncStream(BaseStream, AsyncGenerator[str, None]):
    """One reply on its way: an async generator of its pieces, which keeps the text.

    Leaving the loop by an exception or a cancellation closes the connection, and so does dropping the stream;
    `aclose()`, or `async with`, does so at once. One task reads at a time; `cancel()` may come from any task or thread.

    Yields:
        Non-empty `str`; where pieces are cut carries no meaning; joined they are the reply.

    Raises:
        AcytooError: what `Stream` raises, for the same reasons. A cancellation from outside (of the task, a scope, a
            timeout of asyncio's) comes out as itself, and ends the stream.
    """

    def __init__(self, call: Call, crew: Crew) -> None:
        super().__init__(call)
        self._crew = crew
        self._reader = Reader(call)
        self._read_by_task = False

    async def __anext__(self) -> str:
        if self._call.ended is not None:
            raise self._call.cancellation() or StopAsyncIteration
        if self._read_by_task:
            raise InvalidRequestError("This stream is being read by another task: one task reads at a time")
        self._read_by_task = True
        try:
            return await self._next()
        except AcytooError as error:
            raise self._settled(error)  # noqa: B904 - it has its cause
        except BaseException:
            self._end()
            raise
        finally:
            self._read_by_task = False

    async def asend(self, value: None) -> str:
        """The same as awaiting the next piece; a stream takes no values."""
        return await self.__anext__()

    async def athrow(self, *error: Any) -> str:
        """Ends the stream with an exception, as for any async generator."""
        await self.aclose()
        return _nothing().throw(*error)

    async def aclose(self) -> None:
        """Ends the stream and closes its connection; the text stays. While another task reads, it is a `cancel()`."""
        if self._read_by_task:
            self.cancel()
        else:
            self._end()
        if self._call.started and not self._reader.ended:
            with anyio.move_on_after(_GRACE, shield=True):
                await self._until(lambda: self._reader.ended)

    async def display(self, *, raw: bool = False) -> None:
        """Shows the reply in a notebook's cell while it arrives, as `Stream.display` does: `await stream.display()`.

        Args:
            raw: shows the text as it is.

        Raises:
            AcytooError: as reading does; what had arrived is shown.
            ModuleNotFoundError: IPython is missing: install `acytoo-sdk[notebook]`.
        """
        from ._display.output import output

        async with self:
            with output(self.text, raw=raw) as shown:
                async for piece in self:
                    shown.add(piece)

    async def read(self) -> str:
        """Reads the rest of the stream; returns all of its text, also what had been handed out before."""
        async for _ in self:
            pass
        return self.text

    def cancel(self) -> None:
        """Ends the stream from any task or thread: its connection closes now.

        A reader that waits wakes at once in `StreamCancelledError`; otherwise the next piece awaited raises it, once.
        Nothing more is handed out; the text stays. A stream that has ended is unaffected.
        """
        if self._call.cancel():
            self._crew.remove(self._reader)
            self._reader.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._call.started and self._call.ended is None:
            self._end()

    async def _next(self) -> str:
        call, reader = self._call, self._reader
        if not call.started:
            await self._start()
        elif reader.ready():
            await checkpoint()
        await self._until(reader.ready)
        if (cancellation := call.cancellation()) is not None:
            raise cancellation
        if reader.pieces:
            return call.hand_out(reader.take())
        if (error := reader.outcome()) is not None:
            try:
                raise error
            finally:
                del error  # the frame it is raised in must not hold it
        call.complete()
        raise StopAsyncIteration

    async def _start(self) -> None:
        """Begins to read, or waits for that turn: as long as `total` allows."""
        call, reader = self._call, self._reader
        call.start()
        await checkpoint()  # imports what anyio needs for this loop, before the thread imports the rest
        if call.cancelled:
            reader.end()
            return
        try:
            runs = self._crew.add(reader)
        except RuntimeError as error:
            reader.end()
            raise APIConnectionError("The system has no more threads for another stream") from error
        if runs or call.deadline is None:
            return
        with anyio.move_on_after(call.deadline - time.monotonic()) as scope:
            await self._until(reader.ready)
        if scope.cancelled_caught and self._crew.remove(reader):
            hint = "raise max_streams=, or Timeout(total=...)"
            raise APITimeoutError("The total limit ran out before the stream had its turn", phase="total", hint=hint)

    async def _until(self, ready: Callable[[], bool]) -> None:
        """Waits until there is news of the reader that make it ready."""
        while not ready():
            event = anyio.Event()
            self._reader.tell(partial(_doorbell().ring, event))
            if not ready():
                await event.wait()

    def _settled(self, error: AcytooError) -> AcytooError:
        """The error as it goes to the caller, without the frames it came through: they would make a cycle of it."""
        settled = self._call.settle(error).with_traceback(None)
        self._end()
        return settled

    def _end(self) -> None:
        """No more pieces: whatever still reads stops, and is not told of."""
        if not self._reader.ended and self._call.cancel():
            self._call.cancellation()
            self._crew.remove(self._reader)
            self._reader.stop()
        self._call.finish()


def _nothing() -> Generator[str, None, None]:
    yield ""


class _Doorbell:
    """Sets events of one loop from any thread; those that are due together go through the loop's door as one."""

    def __init__(self, loop: Any) -> None:
        self._loop = weakref.ref(loop)  # the loop's variables live as long as it does, and this is one of them
        self._door = "call_soon_threadsafe" if hasattr(loop, "call_soon_threadsafe") else "run_sync_soon"
        self._due: deque[anyio.Event] = deque()
        self._rung = False

    def ring(self, event: anyio.Event) -> None:
        """Sets an event, soon."""
        self._due.append(event)
        if not self._rung:
            self._rung = True
            try:
                getattr(self._loop(), self._door)(self._answer)
            except (AttributeError, RuntimeError):
                pass  # the loop is gone, and with it whoever waited

    def _answer(self) -> None:
        self._rung = False  # first: what is appended from now on rings again
        while self._due:
            self._due.popleft().set()


_doorbells: RunVar[_Doorbell] = RunVar("acytoo_sdk")


def _doorbell() -> _Doorbell:
    """The one of the running loop."""
    try:
        return _doorbells.get()
    except LookupError:
        doorbell = _Doorbell(current_token().native_token)
        _doorbells.set(doorbell)
        return doorbell
