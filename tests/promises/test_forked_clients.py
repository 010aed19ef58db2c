"""A forked child uses its parent's client while streams run, and they go on in the parent as if it were not there."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
from fault_server import wait_for
from loops import LOOPS
from test_forks import in_a_child

from acytoo_sdk import AsyncClient, Client, StreamInterruptedError
from acytoo_sdk._streams.watch import _Rounds
from acytoo_sdk.testing import FakeServer, Fault

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]
TEXT = "Hello you"
AT_ONCE = "Say all of it at once"


class Halves:
    """Replies of which the second half comes when it may."""

    def __init__(self) -> None:
        self.begun = 0
        self.second = threading.Event()
        self._counting = threading.Lock()

    def __call__(self, chat: dict[str, Any]) -> Iterator[str]:
        if chat["messages"][0]["content"] != AT_ONCE:
            yield "Hello "
            with self._counting:
                self.begun += 1
            self.second.wait(20)
            yield "you"
        else:
            yield TEXT


def expect_text(text: str) -> None:
    assert text == TEXT


@pytest.mark.parametrize("loop", LOOPS)
def test_a_child_uses_the_async_client_while_streams_run_and_they_end_whole(loop: str) -> None:
    halves, texts = Halves(), []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)

    async def ask() -> None:
        texts.append(await client.complete("Hi"))

    async def ask_in_child() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask_from_child)
        stream = client.stream(AT_ONCE)
        assert [piece async for piece in stream] == [TEXT]

    async def ask_from_child() -> None:
        expect_text(await client.complete(AT_ONCE))

    with FakeServer(halves, pause=0) as server:
        client = AsyncClient(server.url)
        parent = threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": loop})
        parent.start()
        try:
            assert wait_for(lambda: halves.begun == 10)
            for backend in LOOPS:
                in_a_child(lambda backend=backend: anyio.run(ask_in_child, backend=backend))  # type: ignore[misc]
        finally:
            halves.second.set()
            parent.join()
        assert texts == [TEXT] * 10
        assert len(server.requests) == 10 + 2 * 6
        assert anyio.run(client.complete, AT_ONCE, backend=loop) == TEXT
        anyio.run(client.aclose, backend=loop)


def test_a_child_uses_the_blocking_client_while_streams_run_and_they_end_whole() -> None:
    halves, texts = Halves(), []
    with FakeServer(halves, pause=0) as server, Client(server.url) as client:
        threads = [threading.Thread(target=lambda: texts.append(client.complete("Hi"))) for _ in range(10)]
        for thread in threads:
            thread.start()
        try:
            assert wait_for(lambda: halves.begun == 10)
            assert client.complete(AT_ONCE) == TEXT
            for _ in range(3):
                in_a_child(lambda: expect_text(client.complete(AT_ONCE)))
            assert client.complete(AT_ONCE) == TEXT
            assert server.connections == 11 + 3, "what is idle in the parent is not the child's"
        finally:
            halves.second.set()
            for thread in threads:
                thread.join()
        assert texts == [TEXT] * 10
        assert client.complete(AT_ONCE) == TEXT


@pytest.mark.parametrize("loop", LOOPS)
def test_two_threads_of_a_fresh_child_that_come_first_at_once_share_its_places(loop: str) -> None:
    running, most = 0, 0
    counting = threading.Lock()

    def reply(chat: dict[str, Any]) -> Iterator[str]:
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        yield "Hello "
        with counting:
            running -= 1
        yield "you"

    async def ask() -> None:
        texts.extend([await client.complete("Hi") for _ in range(2)])

    texts: list[str] = []

    def act() -> None:
        sys.setswitchinterval(1e-6)
        both = threading.Barrier(2)

        def run() -> None:
            both.wait()
            anyio.run(ask, backend=loop)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == [TEXT] * 4

    with FakeServer(reply, pause=0.01) as server:
        client = AsyncClient(server.url, max_streams=1)
        for _ in range(8):
            in_a_child(act)
        assert len(server.requests) == 8 * 4
    assert most == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_socket_that_a_child_still_holds_does_not_keep_the_watch_busy(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's descriptors are copies; a copy in this process is the same to the system."""
    rounds, collect = 0, _Rounds._collect

    def counted(self: _Rounds, seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        collect(self, seconds)

    async def main() -> int:
        async with client.stream("Hi") as stream, client.with_options(base_url=cutting.url).stream("Hi") as cut:
            await anext(stream)
            await anext(cut)
            assert cut._reader.descriptor is not None
            copies.callback(os.close, os.dup(cut._reader.descriptor))
            with pytest.raises(StreamInterruptedError):
                await cut.read()
            before = rounds
            await anyio.sleep(0.2)
            return rounds - before

    monkeypatch.setattr(_Rounds, "_collect", counted)
    with (
        FakeServer("Hi", faults=[Fault.stall(after=1)]) as silent,
        FakeServer(["Hel", "lo"], faults=[Fault.cut(after=2)], pause=0.1) as cutting,
        ExitStack() as copies,
    ):
        client = AsyncClient(silent.url)
        assert anyio.run(main, backend=loop) < 20
        anyio.run(client.aclose, backend=loop)
