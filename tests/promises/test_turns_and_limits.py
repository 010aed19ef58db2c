"""Turns and limits are exact, with many async streams too."""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import Any

import anyio
import pytest
from fault_server import wait_for
from loops import on_both, until
from test_async_cancellation import SLACK
from test_many_streams import FAULTS, TOLD, WAYS, ending, text_of

from acytoo_sdk import APITimeoutError, AsyncClient, AsyncStream, Timeout
from acytoo_sdk._streams.openers import _Readers
from acytoo_sdk.testing import FakeServer, Fault, Gate


@on_both
async def test_as_many_streams_run_as_there_are_places_and_each_place_serves_again_at_once() -> None:
    gate, texts = Gate(), []

    async def ask() -> None:
        texts.append(await client.complete("Hi"))

    with FakeServer("Hello", gate=gate) as server:
        async with AsyncClient(server.url, max_streams=7) as client, anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(ask)
            await until(lambda: gate.waiting == 7 and client._readers.waiting == 33)
            for ended in range(1, 34):
                gate.release()
                await until(lambda ended=ended: len(server.requests) == 7 + ended and gate.waiting == 7)  # type: ignore[misc]
                await until(lambda ended=ended: len(texts) == ended)  # type: ignore[misc]
                assert (client._readers.waiting, len(server.requests)) == (33 - ended, 7 + ended)
            gate.open()
    assert texts == ["Hello"] * 40


@on_both
async def test_the_next_in_the_queue_gets_the_place_however_the_one_before_it_ended() -> None:
    """One place; the faults are in the order of the requests, which is that of the queue."""
    ways = [*WAYS, ""] * 4
    all_wait = anyio.Event()
    ends: list[tuple[type[BaseException] | None, type[BaseException] | None]] = []

    async def ask(number: int, way: str) -> None:
        async with client.stream(str(number), timeout=Timeout(idle=0.05 if way == "silent" else None)) as stream:
            assert (await anext(stream)).startswith(text_of(number)[0])
            await all_wait.wait()
            if way == "cancelled by a thread":
                threading.Timer(0.002, stream.cancel).start()
            with anyio.CancelScope() as scope:
                if way == "cancelled":
                    scope.cancel()
                if way != "dropped":
                    ends.append((await ending(stream), TOLD.get(way)))

    with FakeServer(text_of, faults=[Fault.stall(after=1), *(FAULTS.get(way) for way in ways[1:])], pause=0) as server:
        async with AsyncClient(server.url, max_streams=1, retry=1) as client, anyio.create_task_group() as tasks:
            for number, way in enumerate(["dropped", *ways[1:]]):
                tasks.start_soon(ask, number, way)
                await until(lambda number=number: bool(server.requests) and client._readers.waiting == number)  # type: ignore[misc]
            all_wait.set()
        order = [int(request.json["messages"][0]["content"]) for request in server.requests if request.json]
    assert order == list(range(len(ways)))
    assert [told for told, _ in ends] == [meant for _, meant in ends]


@on_both
async def test_a_thread_that_has_come_and_gone_is_not_taken_for_one_that_could_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it was there, another stream came, whose own thread is about to be started."""
    start, late = _Readers._start, list[AsyncStream]()

    def start_slowly(self: _Readers, *work: Any) -> None:
        start(self, *work)
        if not late:
            late.append(client.stream("Hi"))
            late[0]._call.start()
            assert wait_for(lambda: not self._openers)
            self.queue.append(late[0]._reader)

    monkeypatch.setattr(_Readers, "_start", start_slowly)
    with FakeServer("Hello") as server:
        async with AsyncClient(server.url) as client:
            assert await client.complete("Hi") == "Hello"
            client._readers._readers._start_threads()
            assert await late[0].read() == "Hello"


@on_both
async def test_each_of_many_limits_strikes_in_its_turn() -> None:
    """The server is silent; streams that were begun in any order are told of it in that of their limits."""
    phases, seconds = ["total", "first_byte", "idle"], [0.3 + 0.03 * number for number in range(50)]
    told: list[float] = []

    async def ask(number: int) -> None:
        phase = phases[number % 3]
        url = speaking.url if phase == "idle" else silent.url
        limits = {"connect": 60.0, "first_byte": 60.0, "idle": 60.0, phase: seconds[number]}
        stream = client.with_options(base_url=url).stream("Hi", timeout=Timeout(**limits))
        earliest = due = time.monotonic() + seconds[number]
        if phase == "idle":
            assert await anext(stream) == "Hi"
            due = time.monotonic() + seconds[number]  # or somewhat earlier: it had arrived before it was taken
        with pytest.raises(APITimeoutError) as caught:
            await stream.read()
        assert earliest <= time.monotonic() < due + 2 * SLACK
        assert caught.value.phase == phase
        told.append(due)

    stall, no_head = [Fault.stall(after=1)] * 50, [Fault.no_head()] * 50
    with FakeServer("Hi", faults=no_head) as silent, FakeServer("Hi", faults=stall) as speaking:
        async with AsyncClient(silent.url, retry=1) as client, anyio.create_task_group() as tasks:
            for number in random.Random(12).sample(range(50), 50):
                tasks.start_soon(ask, number)
    assert all(earlier < later + 0.5 for earlier, later in itertools.combinations(told, 2))
    assert len(told) == 50
