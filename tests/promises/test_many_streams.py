"""Many async streams at once, by one client: each ends in its own way, and none of them costs the others anything."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fault_server import FaultServer, flood
from loops import on_both, readers, until
from test_async_cancellation import SLACK, blackhole

from acytoo_sdk import (
    AcytooError,
    APITimeoutError,
    AsyncClient,
    AsyncStream,
    StreamCancelledError,
    StreamInterruptedError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault, Gate

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENT = Timeout(connect=60)


def places(client: AsyncClient) -> int:
    """How many streams more could run."""
    return len(client._readers._readers._places)


async def ending(stream: AsyncStream) -> type[BaseException] | None:
    """Reads a stream; what it ended in."""
    try:
        await stream.read()
    except AcytooError as error:
        return type(error) if error.partial_text == stream.text else LookupError
    return None


# Each in its own way

FAULTS = {
    "cut": Fault.cut(after=1),
    "reset": Fault.reset(after=1),
    "silent": Fault.stall(after=1),
    "cancelled": Fault.stall(after=1),
    "cancelled by a thread": Fault.stall(after=1),
    "dropped": Fault.stall(after=1),
}
WAYS = tuple(FAULTS)
TOLD = {
    "cut": StreamInterruptedError,
    "reset": StreamInterruptedError,
    "silent": APITimeoutError,
    "cancelled by a thread": StreamCancelledError,
}


class Crowd:
    """Streams of one client, of which every third breaks, or is left; a server for each way."""

    def __init__(self, servers: ExitStack, count: int) -> None:
        self.count = count
        self.half_way = 0  # how many of the others wait in the middle of their replies
        self.goes_on = threading.Event()
        self.ends: dict[int, type[BaseException] | str | None] = {}
        self.broken = [
            servers.enter_context(FakeServer(text_of, faults=[fault] * count, pause=0)) for fault in FAULTS.values()
        ]
        self.healthy = servers.enter_context(FakeServer(self.reply, pause=0))
        servers.callback(self.goes_on.set)
        self.client = AsyncClient(self.healthy.url, timeout=PATIENT)
        self._counting = threading.Lock()

    def reply(self, chat: dict[str, Any]) -> Iterator[str]:
        first, *rest = text_of(chat)
        yield first
        with self._counting:
            self.half_way += 1
        self.goes_on.wait(60)
        yield from rest

    async def run(self, number: int) -> None:
        """One stream, to its end."""
        way = way_of(number)
        if not way:
            stream = self.client.stream(str(number))
            self.ends[number] = await ending(stream)
            assert (stream.text, stream.whole) == ("".join(text_of(number)), True)
            return
        client = self.client.with_options(base_url=self.broken[WAYS.index(way)].url)
        stream = client.stream(str(number), timeout=Timeout(connect=60, idle=0.3 if way == "silent" else None))
        assert await anext(stream) == text_of(number)[0]
        await until(lambda: self.half_way, 30)
        end: type[BaseException] | str | None = way
        with anyio.CancelScope() as scope:
            if way == "cancelled":
                scope.cancel()
            elif way == "cancelled by a thread":
                threading.Timer(0.01, stream.cancel).start()
            if way != "dropped":
                end = await ending(stream)
        self.ends[number] = end
        assert (stream.text, stream.whole) == (text_of(number)[0], False)


def way_of(number: int) -> str:
    return "" if number % 3 else WAYS[number // 3 % len(WAYS)]


def text_of(number: int | dict[str, Any]) -> list[str]:
    number = number if isinstance(number, int) else number["messages"][0]["content"]
    return [f"{number}: ", "Привет, ", "мир ", f"{number}"]


@on_both
async def test_what_breaks_a_third_of_five_hundred_streams_costs_the_others_nothing() -> None:
    with ExitStack() as servers:
        crowd = Crowd(servers, 500)
        others = sum(not way_of(number) for number in range(crowd.count))
        async with crowd.client, anyio.create_task_group() as tasks:
            for number in range(crowd.count):
                tasks.start_soon(crowd.run, number)
            await until(lambda: crowd.half_way == others, 20)
            await until(lambda: len(crowd.ends) == crowd.count - others, 20)
            await until(lambda: not any(server.open_connections for server in crowd.broken))
            await until(lambda: places(crowd.client) == crowd.count - others)
            crowd.goes_on.set()
        ends = {number: TOLD.get(way_of(number), way_of(number) or None) for number in range(crowd.count)}
        assert crowd.ends == ends
        assert len(crowd.healthy.requests) == others, "nothing was asked for twice"
        await until(lambda: not crowd.healthy.open_connections and not readers())
        assert places(crowd.client) == crowd.count


# Waiting costs nothing


@on_both
async def test_three_hundred_awaited_heads_cost_four_threads_at_most_and_end_at_once() -> None:
    async def ask(stream: AsyncStream) -> None:
        ends[stream] = await ending(stream)

    ends: dict[AsyncStream, type[BaseException] | None] = {}
    before = others_than("FakeServer")
    with FakeServer("Hi", faults=[Fault.no_head()] * 300) as server:
        async with AsyncClient(server.url, timeout=PATIENT) as client, anyio.create_task_group() as tasks:
            streams = [client.stream("Hi") for _ in range(300)]
            for stream in streams:
                tasks.start_soon(ask, stream)
            await until(lambda: len(server.requests) == 300, 20)
            assert len(others_than("FakeServer") - before) <= 4
            for stream in streams[:20]:
                began = time.monotonic()
                stream.cancel()
                await until(lambda stream=stream: stream in ends)  # type: ignore[misc]
                assert time.monotonic() - began < SLACK
            await until(lambda: server.open_connections == 280)
            began = time.monotonic()
            for stream in streams[20:]:
                stream.cancel()
            await until(lambda: len(ends) == 300)
            assert time.monotonic() - began < 2 * SLACK
        assert set(ends.values()) == {StreamCancelledError}
        await until(lambda: not server.open_connections and not readers())


def others_than(name: str) -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith((name, "Trio thread"))}


@on_both
async def test_an_address_that_accepts_nobody_holds_up_nobody_else() -> None:
    with FakeServer("Hello") as server, blackhole() as nowhere:
        client = AsyncClient(server.url, timeout=PATIENT)
        lost = client.with_options(base_url=nowhere)
        async with anyio.create_task_group() as tasks:
            streams = [lost.stream("Hi") for _ in range(30)]
            for stream in streams:
                tasks.start_soon(ending, stream)
            await until(lambda: client._readers.waiting or any(stream.stats.attempts for stream in streams))
            began = time.monotonic()
            with anyio.fail_after(10):
                assert await client.complete("Hi") == "Hello"
            assert time.monotonic() - began < 2 * SLACK
            await client.aclose()
        await until(lambda: not readers())


# Fairness


@on_both
async def test_pieces_that_are_all_there_let_other_tasks_have_their_turn() -> None:
    count, turns = 300, 0
    gate = Gate()

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    with FakeServer(["x"] * count, gate=gate, pause=0) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks, client.stream("Hi") as stream:
            gate.release()
            assert await anext(stream) == "x"
            for number in range(1, count):
                gate.release()
                await until(lambda number=number: len(stream._reader.pieces) == number)  # type: ignore[misc]
            tasks.start_soon(take_turns)
            before = turns
            async for _ in stream:
                time.sleep(0.0005)  # what is done with a piece
            assert (len(stream.text), turns - before > 20) == (count, True)
            tasks.cancel_scope.cancel()


FLOODS = {
    "interim heads": [flood(b"HTTP/1.1 100 Continue\r\n\r\n")],
    "tiny chunks": [CHUNKED, flood(b"1\r\nx\r\n")],
    "chunks of many segments": [CHUNKED, flood(b"1;x=y\r\nx\r\n", 0.0001)],
}


@pytest.mark.parametrize("what", FLOODS)
@on_both
async def test_a_server_that_floods_starves_nobody(what: str) -> None:
    texts: list[str] = []

    async def ask() -> None:
        texts.extend([await client.complete("Hi") for _ in range(5)])

    with FakeServer(["Hel", "lo ", "you"]) as server, FaultServer([FLOODS[what]]) as flooding:
        client = AsyncClient(server.url, timeout=PATIENT, max_reply_bytes=2**40)
        flooded = client.with_options(base_url=flooding.url).stream("Hi")
        async with client, anyio.create_task_group() as tasks:
            tasks.start_soon(ending, flooded)
            await until(lambda: flooding.requests)
            with anyio.fail_after(15):
                async with anyio.create_task_group() as asking:
                    for _ in range(20):
                        asking.start_soon(ask)
            await flooded.aclose()
        await until(lambda: not flooding.open_connections)
    assert texts == ["Hello you"] * 100


# Waiting for what is slow


@on_both
async def test_a_consumer_that_pauses_in_a_long_reply_loses_nothing_and_holds_up_nobody() -> None:
    size, idle, sent = 2**24, 0.5, 0
    texts: list[str] = []

    def reply(chat: dict[str, Any]) -> Iterator[str]:
        nonlocal sent
        for sent in range(0, size, 1024):
            yield f"{sent:1024}"

    with (
        FakeServer(reply, pause=0) as server,
        FakeServer(["Hel", "lo"], pause=0.01) as other,
        FakeServer("H", faults=[Fault.stall(after=1)]) as silent,
    ):
        client = AsyncClient(server.url, timeout=Timeout(connect=60, idle=idle), max_reply_bytes=2 * size)
        async with client, client.stream("Hi") as stream:
            received = len(await anext(stream))
            await until(lambda: stream._reader._full)
            strikes = Timeout(connect=60, idle=2 * idle)  # meanwhile: all limits are looked at then
            struck = client.with_options(base_url=silent.url).stream("Hi", timeout=strikes)
            assert await anext(struck) == "H"
            until_then = time.monotonic() + 3 * idle
            while time.monotonic() < until_then:
                texts.append(await client.with_options(base_url=other.url).complete("Hi", timeout=PATIENT))
                waiting = stream._reader._read - stream._reader._taken
                assert 32 * 1024 < waiting == sum(map(len, stream._reader.pieces)) <= 128 * 1024 + 16
            assert await ending(struck) is APITimeoutError
            assert sent < size - 1024, "the server is held up: what waits is neither here nor with it"
            async for piece in stream:
                received += len(piece)
            assert (received, stream.whole) == (size, True)
            assert stream.text == "".join(f"{number:1024}" for number in range(0, size, 1024))
    assert set(texts) == {"Hello"}


@on_both
async def test_descriptors_above_those_that_select_can_watch_work() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("the system allows too few descriptors")
    descriptors: list[int] = []

    async def ask() -> None:
        stream = client.stream("Hi")
        descriptors.extend([stream._reader.descriptor or 0 async for _ in stream])
        texts.append(stream.text)

    texts: list[str] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with ExitStack() as filled:
        filled.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        null = os.open(os.devnull, os.O_RDONLY)
        while null <= 1024:
            filled.callback(os.close, null)
            null = os.dup(null)
        filled.callback(os.close, null)
        with FakeServer(["Hel", "lo"]) as server:
            async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(ask)
    assert texts == ["Hello"] * 50
    assert min(descriptors) > 1024
