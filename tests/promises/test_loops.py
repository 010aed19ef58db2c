"""Async streams where event loops end, are of another kind, or follow one another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
import trio
from fault_server import wait_for
from lifetimes import no_collector
from loops import LOOPS, readers, until
from test_async_cancellation import SLACK

from acytoo_sdk import APITimeoutError, AsyncClient, StreamCancelledError, Timeout
from acytoo_sdk.testing import FakeServer, Fault, Gate

PIECES = ["При", "вет", "!"]
TEXT = "Привет!"


# A loop that ends


class Talk:
    """A hundred streams, half of which are awaited by tasks."""

    def __init__(self, client: AsyncClient) -> None:
        self.streams = [client.stream("Hi") for _ in range(100)]
        self.tasks: list[asyncio.Future[str]] = []

    async def begin(self) -> None:
        async with anyio.create_task_group() as tasks:
            for stream in self.streams:
                tasks.start_soon(anext, stream)

    async def half_are_awaited(self) -> None:
        await until(lambda: sum(stream._read_by_task for stream in self.streams) == 50)

    async def begin_on_asyncio(self) -> None:
        await self.begin()
        self.tasks += [asyncio.ensure_future(stream.read()) for stream in self.streams[:50]]
        await self.half_are_awaited()


def a_return(talk: Talk) -> None:
    asyncio.run(talk.begin_on_asyncio())


def a_stop(talk: Talk) -> None:
    """Nobody cancels the tasks; asyncio tells its handler of each."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.create_task(talk.begin_on_asyncio()).add_done_callback(lambda _: loop.stop())
    loop.run_forever()
    loop.close()


def an_error(talk: Talk) -> None:
    async def main() -> None:
        await talk.begin()
        async with trio.open_nursery() as nursery:
            for stream in talk.streams[:50]:
                nursery.start_soon(stream.read)
            await talk.half_are_awaited()
            raise LookupError("mine")

    with pytest.raises(BaseException, match="nursery") as raised:
        trio.run(main)
    assert [str(error) for error in raised.value.exceptions] == ["mine"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("end", [a_return, a_stop, an_error])
def test_a_loop_may_end_under_a_hundred_streams(
    end: Callable[[Talk], None], loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go on for nobody until they are dropped, and another loop may use their client at once."""
    complaints: list[object] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with FakeServer(lambda _: iter(lambda: "more", ""), pause=0.05) as server:
        client = AsyncClient(server.url, max_streams=101)
        talk = Talk(client)
        end(talk)
        assert wait_for(lambda: min(len(stream._reader.pieces) for stream in talk.streams[50:]) > 2)
        server.reply = PIECES
        assert anyio.run(client.complete, "Hi", backend=loop) == TEXT
        with no_collector():
            talk.tasks.clear()
            talk.streams.clear()
            if end is a_stop:
                gc.collect()  # a task that waits is part of a cycle
            server.wait_until(lambda: server.open_connections == 1)
        assert anyio.run(client.complete, "Hi", backend=loop) == TEXT
        anyio.run(client.aclose, backend=loop)
        assert wait_for(lambda: not readers())
    assert complaints == []


@pytest.mark.parametrize("second", LOOPS)
@pytest.mark.parametrize("first", LOOPS)
def test_a_stream_begun_in_one_loop_goes_on_in_another(first: str, second: str) -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server:
        client = AsyncClient(server.url)
        stream = client.stream("Hi")
        gate.release()
        assert anyio.run(anext, stream, backend=first) == "При"

        async def go_on() -> str:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, stream)
                await until(lambda: stream._reader._waiting)
                gate.release()
            assert stream.text == "Привет"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.read)
                await until(lambda: stream._reader._waiting)
                gate.open()
            return stream.text

        assert anyio.run(go_on, backend=second) == TEXT
        anyio.run(client.aclose, backend=second)


# Loops of other kinds


@pytest.fixture(scope="module", autouse=True)
def uvloop_has_its_pipe() -> None:
    """It keeps one for good when it first runs."""
    with contextlib.suppress(ImportError):
        import uvloop

        loop = uvloop.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def run_on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = pytest.importorskip("uvloop").new_event_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def run_in_debug_mode(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main(), debug=True)


def run_eagerly(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("eager tasks came with 3.12")

    async def run() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        await main()

    asyncio.run(run())


KINDS = [run_on_uvloop, run_in_debug_mode, run_eagerly]


@pytest.mark.parametrize("run", KINDS)
def test_texts_are_whole_on_asyncio_of_each_kind(
    run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
) -> None:
    texts: list[str] = []

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            texts.extend(await asyncio.gather(*[client.complete("Hi") for _ in range(50)]))

    with FakeServer(PIECES) as server:
        run(lambda: asyncio.wait_for(main(), 20))  # uvloop lets no signal, as pytest's timeout, interrupt it
    assert texts == [TEXT] * 50


@pytest.mark.parametrize("run", KINDS)
def test_streams_are_left_at_once_on_asyncio_of_each_kind(
    run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
) -> None:
    async def main() -> None:
        client = AsyncClient(server.url, max_streams=3, timeout=Timeout(idle=None))
        streams = [client.stream("Hi") for _ in range(6)]
        tasks = [asyncio.create_task(stream.read()) for stream in streams]
        await until(lambda: sum(stream.text == "При" for stream in streams) == 3 and client._readers.waiting == 3)
        since = time.monotonic()
        for task in tasks[::2]:
            task.cancel()
        for stream in streams[1::2]:
            threading.Thread(target=stream.cancel).start()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert time.monotonic() - since < SLACK
        assert list(map(type, ends)) == [asyncio.CancelledError, StreamCancelledError] * 3
        with pytest.raises(APITimeoutError):
            await client.complete("Hi", timeout=Timeout(idle=0.1))
        await until(lambda: not server.open_connections and not readers())
        assert await client.with_options(base_url=other.url).complete("Hi") == TEXT
        await client.aclose()

    with FakeServer(PIECES, faults=[Fault.stall(after=1)] * 20) as server, FakeServer(PIECES) as other:
        run(lambda: asyncio.wait_for(main(), 20))  # uvloop lets no signal, as pytest's timeout, interrupt it
