"""Leaving a stream, in every way and wherever it is: at once, with the right exception, and nothing stays behind.

A scene brings a stream to a place where it waits; a way leaves it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Literal

import anyio
import pytest
from loops import on, on_both, readers, until

from acytoo_sdk import AsyncClient, RetryPolicy, StreamCancelledError, Timeout
from acytoo_sdk.testing import FakeServer, Fault, Gate

Place = Literal["turn", "connecting", "head", "reading", "backing off", "buffer full"]
PLACES: tuple[Place, ...] = ("turn", "connecting", "head", "reading", "backing off", "buffer full")
SLACK = 1.0  # for the 0.5 s of the promise, on a busy machine
LONG = b"x" * 2**22


class Scene:
    """A stream on its way to the place where it will wait, and a client that has room for this stream alone."""

    def __init__(self, place: Place, client: AsyncClient, server: FakeServer) -> None:
        self.client = client
        self.stream = stream = client.stream("Hi")
        self.pieces: list[str] = []
        self.since = 0.0  # when leaving began
        self.pauses = place == "buffer full"
        self._reached: dict[Place, Callable[[], object]] = {
            "turn": lambda: client._readers.waiting,
            "connecting": lambda: stream.stats.attempts,
            "head": lambda: server.requests,
            "reading": lambda: stream.text,
            "backing off": lambda: server.requests and not server.open_connections,
            "buffer full": lambda: stream._reader._full and stream.text,
        }
        self._place = place

    async def consume(self) -> None:
        """Reads; where the buffer is to fill, only the first piece: then it is `async with` that ends the stream."""
        if not self.pauses:
            async for piece in self.stream:
                self.pieces.append(piece)
            return
        async with self.stream:
            self.pieces.append(await anext(self.stream))
            await anyio.sleep_forever()

    async def then(self, leave: Callable[[], Any]) -> None:
        """Leaves, as soon as the place is reached."""
        await until(self._reached[self._place])
        self.since = time.monotonic()
        left = leave()
        if isinstance(left, Awaitable):
            await left

    def check(self) -> None:
        """It was left at once, and the text stays."""
        assert time.monotonic() - self.since < SLACK
        assert self.stream.text == "".join(self.pieces)
        assert bool(self.pieces) == (self._place in ("reading", "buffer full"))
        assert self.stream.whole is False


@contextlib.asynccontextmanager
async def scene_at(place: Place) -> AsyncIterator[Scene]:
    """Sets a scene; after it, nothing may be left of it, and its place must be free for another stream."""
    faults: dict[Place, Fault] = {
        "head": Fault.no_head(),
        "reading": Fault.stall(after=1),
        "backing off": Fault.drop(),
        "buffer full": Fault(text=LONG),
    }
    fault, gate, first = faults.get(place), Gate(), place == "turn"
    retry = RetryPolicy(wait_initial=60, wait_max=60, jitter=0)
    with FakeServer(["При", "вет"], faults=[fault], gate=gate if first else None) as server, blackhole() as nowhere:
        client = AsyncClient(server.url, max_streams=1, timeout=Timeout(connect=60), retry=retry)
        async with anyio.create_task_group() as tasks:
            if first:
                tasks.start_soon(client.complete, "I was first")
                await until(lambda: gate.waiting)
            yield Scene(place, client.with_options(base_url=nowhere) if place == "connecting" else client, server)
            await until(lambda: readers() == server.open_connections == first and not client._readers.waiting)
            assert len(server.requests) == (place != "connecting")
            gate.open()
        if not client._pool._closed:
            with anyio.fail_after(10):
                assert await client.complete("Hi") == "Привет"
            await client.aclose()


@contextlib.contextmanager
def blackhole() -> Iterator[str]:
    """The address of a listener that nobody can connect to: its queue is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


everywhere = pytest.mark.parametrize("place", PLACES)
in_hand = pytest.mark.parametrize("place", ["reading", "buffer full"])


# The caller's own cancellation


@everywhere
@on_both
async def test_a_cancelled_scope_leaves_at_once(place: Place) -> None:
    async with scene_at(place) as scene, anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(scene.then, scope.cancel)
            await scene.consume()
        assert scope.cancelled_caught
        scene.check()


@everywhere
@on_both
async def test_a_deadline_leaves_at_once(place: Place) -> None:
    async with scene_at(place) as scene, anyio.create_task_group() as tasks:
        with anyio.move_on_after(60) as scope:
            tasks.start_soon(scene.then, lambda: setattr(scope, "deadline", anyio.current_time() + 0.01))
            await scene.consume()
        assert scope.cancelled_caught
        scene.check()


@everywhere
@on_both
async def test_a_cancelled_scope_passes_the_async_with_of_the_stream(place: Place) -> None:
    async with scene_at(place) as scene, anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(scene.then, scope.cancel)
            async with scene.stream:
                await scene.consume()
        assert scope.cancelled_caught
        assert scene.stream._reader.ended, "`async with` waits for the thread"
        scene.check()


@everywhere
@on("asyncio")
async def test_a_cancelled_task_of_asyncio_leaves_at_once(place: Place) -> None:
    async with scene_at(place) as scene:
        task = asyncio.create_task(scene.consume())
        await scene.then(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        scene.check()


@everywhere
@on("asyncio")
async def test_a_task_of_asyncio_may_be_cancelled_twice(place: Place) -> None:
    async def reading() -> None:
        async with scene.stream:
            await scene.consume()

    async with scene_at(place) as scene:
        task = asyncio.create_task(reading())
        await scene.then(task.cancel)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        scene.check()


@everywhere
@on("asyncio")
async def test_wait_for_leaves_at_once(place: Place) -> None:
    async with scene_at(place) as scene:
        scene.since = time.monotonic() + 0.3
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(scene.consume(), 0.3)
        scene.check()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with 3.11")
@everywhere
@on("asyncio")
async def test_the_timeout_of_asyncio_leaves_at_once(place: Place) -> None:
    async with scene_at(place) as scene:
        scene.since = time.monotonic() + 0.3
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # type: ignore[attr-defined, unused-ignore]
                await scene.consume()
        scene.check()


@everywhere
@on_both
async def test_a_task_that_fails_takes_its_neighbour_along(place: Place) -> None:
    def fail() -> None:
        raise LookupError("mine")

    async with scene_at(place) as scene:
        with pytest.raises(BaseException, match=r"TaskGroup|nursery") as raised:  # noqa: PT012
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scene.consume)
                await scene.then(fail)
        assert [str(error) for error in raised.value.exceptions] == ["mine"]  # type: ignore[attr-defined]
        scene.check()


# Ended by others


@everywhere
@pytest.mark.parametrize("who", ["task", "thread", "aclose", "client"])
@on_both
async def test_ending_a_stream_from_elsewhere_wakes_its_reader(place: Place, who: str) -> None:
    async with scene_at(place) as scene, anyio.create_task_group() as tasks:
        leave: dict[str, Callable[[], object]] = {
            "task": scene.stream.cancel,
            "thread": lambda: threading.Thread(target=scene.stream.cancel).start(),
            "aclose": scene.stream.aclose,
            "client": scene.client.aclose,
        }
        if who == "client" and place == "turn":
            return  # its neighbour would end, too: see `test_a_closed_client_ends_what_runs_and_what_waits`
        tasks.start_soon(scene.then, leave[who])
        scene.pauses = False
        if place == "buffer full":  # nobody waits: the next piece awaited will tell
            scene.pieces.append(await anext(scene.stream))
            await until(lambda: scene.stream._reader.stopped)
        if place != "buffer full" or who != "aclose":  # with that, there is nobody to be told
            with pytest.raises(StreamCancelledError, match="was cancelled") as raised:
                await scene.consume()
            assert raised.value.partial_text == scene.stream.text
        await scene.consume()  # it is told once
        scene.check()


# Ended by its reader


@in_hand
@on_both
async def test_break_and_dropping_close_the_connection_at_once(place: Place) -> None:
    async with scene_at(place) as scene:
        gc.disable()
        try:
            stream = scene.stream
            scene.stream = None  # type: ignore[assignment]
            async for _ in stream:
                break
            scene._reached = {}
            del stream
            await until(lambda: not readers())
        finally:
            gc.enable()


@in_hand
@on_both
async def test_aclose_keeps_the_text_and_waits_for_the_thread(place: Place) -> None:
    async with scene_at(place) as scene:
        scene.pieces.append(await anext(scene.stream))
        await scene.then(scene.stream.aclose)
        assert scene.stream._reader.ended
        scene.check()
        await scene.stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(scene.stream)


@in_hand
@on_both
async def test_an_exception_leaves_the_async_with(place: Place) -> None:
    async with scene_at(place) as scene:
        with pytest.raises(LookupError, match="mine"):
            await leave_by_exception(scene)
        assert scene.stream._reader.ended
        scene.check()


async def leave_by_exception(scene: Scene) -> None:
    async with scene.stream:
        scene.pieces.append(await anext(scene.stream))
        scene.since = time.monotonic()
        raise LookupError("mine")


@in_hand
@on_both
async def test_athrow_raises_what_it_is_given(place: Place) -> None:
    async with scene_at(place) as scene:
        scene.pieces.append(await anext(scene.stream))
        with pytest.raises(LookupError, match="mine"):
            await scene.stream.athrow(LookupError("mine"))
        assert scene.stream._reader.ended
        with pytest.raises(LookupError):
            await scene.stream.athrow(LookupError)


@pytest.mark.parametrize("how", ["aclose", "cancel"])
@on_both
async def test_a_stream_that_never_began_ends_at_once(how: str) -> None:
    with FakeServer() as server:
        stream = AsyncClient(server.url).stream("Hi")
        began = time.monotonic()
        if how == "aclose":
            await stream.aclose()
        else:
            stream.cancel()
            with pytest.raises(StreamCancelledError):
                await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await stream.aclose()
        assert time.monotonic() - began < 0.2, "there is no thread to wait for"
        assert not server.connections


# Races


@on_both
async def test_a_cancellation_just_before_connecting_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(sock: socket.socket, address: Any) -> None:
        stream.cancel()
        socket.socket.connect(sock, address)

    monkeypatch.setattr("acytoo_sdk._network.sockets.LimitedSocket.connect", connect, raising=False)
    with blackhole() as nowhere:
        stream = AsyncClient(nowhere, timeout=Timeout(connect=60)).stream("Hi")
        with pytest.raises(StreamCancelledError):
            await anext(stream)
        await until(lambda: not readers())


@pytest.mark.parametrize("who", ["task", "stream", "thread", "aclose"])
@on("asyncio")
async def test_a_cancellation_at_the_end_of_the_reply_is_told_or_is_none(who: str) -> None:
    """Whichever comes first; and whatever it was, the next stream gets the only place."""
    cancelled = 0
    with FakeServer(["При", "вет"], pause=0) as server:
        client = AsyncClient(server.url, max_streams=1)
        for turn in range(120):
            stream = client.stream("Hi")
            task = asyncio.create_task(stream.read())
            for _ in range(turn % 12):
                await asyncio.sleep(0)
            if stream.stats.pieces == 0 and turn % 3:
                await until(lambda: stream._reader.pieces or stream._reader.ended)  # noqa: B023
            if who == "task":
                task.cancel()
            elif who == "stream":
                stream.cancel()
            elif who == "thread":
                threading.Thread(target=stream.cancel).start()
            else:
                await stream.aclose()
            with anyio.fail_after(5):
                ended = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(ended, BaseException):
                assert type(ended) is (asyncio.CancelledError if who == "task" else StreamCancelledError)
                assert stream.whole is False
                cancelled += 1
            elif who == "aclose" and not stream.stats.attempts:  # closed before it began, and its reader came too late
                assert (ended, stream.whole) == ("", False)
            else:
                assert (ended, stream.whole) == ("Привет", True)
        with anyio.fail_after(5):
            assert await client.complete("Hi") == "Привет"
        await client.aclose()
        await until(lambda: not server.open_connections and not readers())
    assert cancelled
