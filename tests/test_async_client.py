"""The async client where it is used: in loops, tasks, threads; for many streams and long ones; to the process's end."""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from pathlib import Path
from types import FunctionType
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
from fault_server import wait_for
from loops import LOOPS, on, on_both, readers, until

from acytoo_sdk import (
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    AsyncStream,
    InvalidRequestError,
    StreamCancelledError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault, Gate

PIECES = ["При", "вет", "!"]
TEXT = "Привет!"


# Where it is used


@on_both
async def test_it_works_without_any_async_with() -> None:
    with FakeServer(PIECES) as server:
        client = AsyncClient(server.url)
        assert [piece async for piece in client.stream("Hi")] == PIECES
        assert await client.complete("Hi") == TEXT
        await client.aclose()


@on_both
async def test_it_works_with_async_with_around_both() -> None:
    with FakeServer(PIECES) as server:
        async with AsyncClient(server.url) as client, client.stream("Hi") as stream:
            assert await anext(stream) == "При"
            assert await stream.read() == stream.text == TEXT
            assert (stream.whole, stream.head and stream.head.status, stream.stats.pieces) == (True, 200, 3)


@pytest.mark.parametrize("loop", LOOPS)
def test_one_client_serves_loops_one_after_another(loop: str) -> None:
    with FakeServer(PIECES) as server:
        client = AsyncClient(server.url)
        for _ in range(4):
            assert anyio.run(client.complete, "Hi", backend=loop) == TEXT
        assert server.connections == 1, "the connection outlives the loop"
        anyio.run(client.aclose, backend=loop)


def test_a_loop_that_is_over_is_not_kept() -> None:
    loops = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.complete("Hi")

    with FakeServer(PIECES) as server:
        client = AsyncClient(server.url)
        anyio.run(main)
        anyio.run(client.aclose)
    gc.collect()
    assert loops[0]() is None


@on_both
async def test_several_tasks_share_one_client() -> None:
    texts = []

    async def ask() -> None:
        texts.append(await client.complete("Hi"))

    with FakeServer(PIECES) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
        assert texts == [TEXT] * 20


def test_two_loops_in_two_threads_share_one_client_and_its_places() -> None:
    gate, texts = Gate(), []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)

    async def ask() -> None:
        texts.append(await client.complete("Hi"))

    with FakeServer(PIECES, gate=gate) as server:
        client = AsyncClient(server.url, max_streams=4)
        threads = [threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": loop}) for loop in LOOPS]
        for thread in threads:
            thread.start()
        server.wait_until(lambda: len(server.requests) == 4)
        assert wait_for(lambda: client._readers.waiting == 2)
        assert len(server.requests) == 4, "the places are counted over all loops"
        gate.open()
        for thread in threads:
            thread.join()
        anyio.run(client.aclose)
    assert texts == [TEXT] * 6


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup came with 3.11")
def test_it_works_in_a_task_group_of_asyncio() -> None:
    async def main() -> list[str]:
        async with AsyncClient(server.url) as client, asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
            tasks = [group.create_task(client.complete("Hi")) for _ in range(5)]
        return [task.result() for task in tasks]

    with FakeServer(PIECES) as server:
        assert asyncio.run(main()) == [TEXT] * 5


def test_it_works_in_a_nursery_of_trio() -> None:
    texts = []

    async def main() -> None:
        async with AsyncClient(server.url) as client, trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, client)

    async def ask(client: AsyncClient) -> None:
        texts.append(await client.complete("Hi"))

    with FakeServer(PIECES) as server:
        trio.run(main)
    assert texts == [TEXT] * 5


@on_both
async def test_it_works_below_a_framework_that_streams_it_on() -> None:
    """What an ASGI app does with it: it is handed on as an async iterator, and closed by whoever got it."""
    sent = list[bytes]()

    async def app(body: AsyncStream) -> None:
        async with body:
            sent.extend([piece.encode() async for piece in body])

    with FakeServer(PIECES) as server:
        async with AsyncClient(server.url) as client:
            await app(client.stream("Hi"))
    assert b"".join(sent).decode() == TEXT


def test_nothing_is_started_by_making_a_client_or_a_stream() -> None:
    before = threading.active_count()
    with FakeServer() as server:
        stream = pickle.loads(pickle.dumps(AsyncClient(server.url))).stream("Hi")
        assert (threading.active_count(), server.connections) == (before + 1, 0)
        assert repr(stream) == "<AsyncStream not started, 0 characters>"


@on_both
async def test_two_tasks_cannot_read_one_stream() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            stream = client.stream("Hi")
            tasks.start_soon(stream.read)
            await until(lambda: gate.waiting)
            with pytest.raises(InvalidRequestError, match="one task reads at a time"):
                await anext(stream)
            gate.open()
        assert stream.text == TEXT, "the other task is not disturbed"


@on_both
async def test_an_error_keeps_neither_stream_nor_connection() -> None:
    with FakeServer(PIECES, faults=[Fault.cut(after=1), Fault.status(400), Fault.stall()]) as server:
        async with AsyncClient(server.url, timeout=Timeout(idle=0.1)) as client:
            gc.disable()
            try:
                for _ in range(3):
                    stream = client.stream("Hi")
                    gone = weakref.ref(stream)
                    with pytest.raises(Exception, match=r"broke|400|silent") as raised:
                        await stream.read()
                    del stream, raised
                    assert gone() is None
            finally:
                gc.enable()


# Many


@on_both
async def test_sixty_held_replies_starve_nobody() -> None:
    gate, texts = Gate(), []

    async def ask() -> None:
        texts.append(await client.complete("Hi"))

    with FakeServer(PIECES, gate=gate) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(ask)
            await until(lambda: gate.waiting == 60, 20)
            with anyio.fail_after(10):
                assert await anyio.to_thread.run_sync(lambda: "through") == "through"
            gate.open()
    assert texts == [TEXT] * 60


@on_both
async def test_streams_beyond_the_limit_wait_first_come_first_served() -> None:
    gate, order = Gate(), []

    async def ask(number: int) -> None:
        async with client.stream(str(number)) as stream:
            await stream.read()

    def reply(chat: dict[str, Any]) -> str:
        order.append(int(chat["messages"][0]["content"]))
        return TEXT

    with FakeServer(reply, gate=gate) as server:
        async with AsyncClient(server.url, max_streams=5) as client, anyio.create_task_group() as tasks:
            with anyio.CancelScope() as impatient:
                for number in range(5):
                    tasks.start_soon(ask, number)
                await until(lambda: gate.waiting == 5)
                for number in range(5, 12):
                    tasks.start_soon(ask, number)
                    await until(lambda number=number: client._readers.waiting == number - 4)  # type: ignore[misc]
                tasks.start_soon(cancelled_while_waiting, client, impatient)
                await until(lambda: client._readers.waiting == 8)
            impatient.cancel()
            await until(lambda: client._readers.waiting == 7)
            assert len(server.requests) == 5
            for number in range(5, 12):  # one reply ends, one begins
                gate.release()
                await until(lambda number=number: len(order) == number + 1)  # type: ignore[misc]
            gate.open()
    assert sorted(order[:5]) == [0, 1, 2, 3, 4]
    assert order[5:] == [5, 6, 7, 8, 9, 10, 11]


async def cancelled_while_waiting(client: AsyncClient, scope: anyio.CancelScope) -> None:
    own = anyio.CancelScope()
    with own:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.complete, "12")
            await until(lambda: scope.cancel_called)
            own.cancel()


@on_both
async def test_waiting_for_a_turn_counts_into_total() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server:
        async with AsyncClient(server.url, max_streams=1) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.complete, "Hi")
            await until(lambda: gate.waiting)
            stream = client.stream("Hi", timeout=0.2)
            with pytest.raises(APITimeoutError, match="turn") as raised:
                await stream.read()
            assert (raised.value.phase, stream.stats.attempts, len(server.requests)) == ("total", 0, 1)
            late = client.stream("Hi", timeout=0.8)
            tasks.start_soon(failing, late)
            await until(lambda: client._readers.waiting)
            await anyio.sleep(0.4)
            gate.release(3)  # its turn, with half of its time left
            await until(lambda: len(server.requests) == 2)
            await until(lambda: late.stats.elapsed >= 0.8 and not client._readers.waiting and late._call.over)
            assert late.stats.elapsed < 1.15, "the wait was not counted"


async def failing(stream: AsyncStream) -> None:
    with pytest.raises(APITimeoutError):
        await stream.read()


@on_both
async def test_hundreds_of_streams_finish_and_leave_nothing() -> None:
    count, texts = 300, []

    async def ask() -> None:
        texts.append([piece async for piece in client.stream("Hi")])

    with FakeServer(["a", "b", "c", "d"], pause=0.05) as server:
        async with AsyncClient(server.url, max_streams=count) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(count):
                    tasks.start_soon(ask)
            await until(lambda: not readers())
        await until(lambda: not server.open_connections)
    assert ["".join(pieces) for pieces in texts] == ["abcd"] * count


@on_both
async def test_a_system_without_threads_is_an_error_and_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with FakeServer(PIECES) as server:
        async with AsyncClient(server.url, max_streams=1) as client:
            with monkeypatch.context() as patch:
                by_threading = FunctionType(refuse.__code__, {"__name__": "threading", "__builtins__": __builtins__})
                patch.setattr(threading.Thread, "start", by_threading)
                with pytest.raises(APIConnectionError, match="threads"):
                    await client.complete("Hi")
            assert await client.complete("Hi") == TEXT


# Long


@on_both
async def test_a_slow_consumer_of_a_long_reply_bounds_what_waits() -> None:
    size, ahead = 16 * 2**20, 128 * 1024  # the buffer, and the one receive that fills it
    with FakeServer(lambda _: ("x" * 1024 for _ in range(size // 1024)), pause=0) as server:
        async with AsyncClient(server.url) as client, client.stream("Hi") as stream:
            await anext(stream)
            await until(lambda: stream._reader._full)
            tracemalloc.start()
            try:
                received, most = len(stream.text), 0
                async for piece in stream:
                    received += len(piece)
                    most = max(most, stream._reader._read - stream._reader._taken)
                    if received < 2**20:
                        await anyio.sleep(0.005)  # the slow part of its life
                    elif received < 2**20 + 65536:
                        slow = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert (received, stream.text == "x" * size, stream.whole) == (size, True, True)
            assert ahead // 4 < most <= ahead
            assert slow < 2**20 * 3, "more than its text and the buffer"


# The start, and the end


def python(code: str, loop: str = "asyncio", *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with `loop`, `AsyncClient` and `url` in it, warnings being errors."""
    head = f"import sys, threading, time, anyio\nloop, url = {loop!r}, sys.argv[1]\n"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", head + code, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[1], check=False
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_the_first_request_imports_in_its_own_thread(loop: str) -> None:
    with FakeServer(PIECES) as server:
        done = python(WATCHED + "anyio.run(first, backend=loop)", loop, server.url)
    assert done.stdout.split() == ["acytoo-stream", "acytoo-stream"], done.stderr


@pytest.mark.parametrize("loop", LOOPS)
def test_a_warm_up_leaves_nothing_to_import(loop: str) -> None:
    with FakeServer(PIECES) as server:
        done = python(WATCHED + "anyio.run(warmed, backend=loop)", loop, server.url)
        assert not server.requests[1:]
    lines = done.stdout.split("\n")
    assert lines[2:] == ["warm", ""], (lines, done.stderr)
    assert "MainThread" not in done.stdout
    assert "acytoo-stream" not in done.stdout


WATCHED = """
class Watch:
    def find_spec(self, name, *rest):
        if name in ("requests", "tenacity"):
            print(threading.current_thread().name.replace(" ", "-"))
sys.meta_path.insert(0, Watch())
from acytoo_sdk import AsyncClient
client = AsyncClient(url)
async def first():
    await client.complete("Hi")
async def warmed():
    await client.warm_up()
    print("warm")
    await client.complete("Hi")
"""


@pytest.mark.parametrize("how", ["left running", "loop stopped", "collected at exit"])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_interpreter_ends_at_once_and_in_silence_with_a_stream_running(loop: str, how: str) -> None:
    code = """
from acytoo_sdk import AsyncClient
client = AsyncClient(url)
async def main():
    global stream
    stream = client.stream("Hi")
    print(await anext(stream))
    if HOW == "left running":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, stream)
            await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
    elif HOW == "loop stopped":
        raise SystemExit
try:
    anyio.run(main, backend=loop)
finally:
    print(time.time(), flush=True)
"""
    with FakeServer(PIECES, faults=[Fault.stall()]) as server:
        done = python(code.replace("HOW", repr(how)), loop, server.url)
        ended = time.time()
        assert (done.returncode, done.stderr) == (0, "")
        piece, told = done.stdout.split()
        assert piece == "При"
        assert ended - float(told) < 2
        server.wait_until(lambda: not server.open_connections)


@on_both
async def test_a_closed_client_ends_what_runs_and_what_waits() -> None:
    gate, ends = Gate(), []

    async def read(stream: AsyncStream) -> None:
        with pytest.raises(StreamCancelledError) as raised:
            await stream.read()
        ends.append(raised.value.partial_text)

    with FakeServer(PIECES, gate=gate, pause=0) as server:
        client = AsyncClient(server.url, max_streams=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, client.stream("runs"))
            await until(lambda: gate.waiting)
            tasks.start_soon(read, client.stream("waits"))
            await until(lambda: client._readers.waiting)
            await client.aclose()
        await until(lambda: not server.open_connections and not readers())
    assert (ends, len(server.requests)) == (["", ""], 1)


@on("asyncio")
async def test_a_stream_dropped_in_another_loops_ruins_disturbs_nobody() -> None:
    with FakeServer(PIECES, faults=[Fault.stall()]) as server:
        client = AsyncClient(server.url, max_streams=1)
        left: list[AsyncStream] = []

        async def begin() -> None:
            left.append(client.stream("Hi"))
            await anext(left[0])

        await anyio.to_thread.run_sync(anyio.run, begin)
        left.clear()
        assert await client.complete("Hi") == TEXT
        await client.aclose()
