"""`AsyncClient.map`: the same results as `Client.map`, in an event loop, which it never holds up, and left at once."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from lifetimes import no_collector
from loops import LOOPS, on, on_both, readers, until

from acytoo_sdk import (
    APITimeoutError,
    AsyncClient,
    Client,
    ClientClosedError,
    InvalidRequestError,
    RetryPolicy,
    StreamCancelledError,
    Timeout,
)
from acytoo_sdk._batch.journal import Journal
from acytoo_sdk.batch import AsyncMap, Result
from acytoo_sdk.testing import FakeServer, Fault, Gate

SLACK = 1.0  # seconds, for what happens at once, on a busy machine
AT_ONCE = RetryPolicy(attempts=3, wait_initial=0, jitter=0)


def echo(chat: dict[str, Any]) -> str:
    """The prompt comes back."""
    return str(chat["messages"][0]["content"])


# The same as with the blocking client


@dataclass(frozen=True)
class Case:
    """A batch, and what becomes of it."""

    prompts: Callable[[], Any]
    seen: list[tuple[str | None, str | None, int]]  # of each: the text, the name of its error, the attempts
    faults: list[Fault | None] = field(default_factory=list)
    requests: int | None = None
    raised: type[BaseException] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def failing_input() -> Iterator[str]:
    yield "a"
    yield "b"
    raise ZeroDivisionError


def failing_prompt(item: str) -> str:
    return item if item < "c" else item[5]


CASES = {
    "replies": Case(lambda: ["a", "b"], [("a", None, 1), ("b", None, 1)]),
    "nothing to ask": Case(list, []),
    "a notice": Case(lambda: ["a"], [("a", None, 1)], [Fault.notice()]),
    "an error that stays with its prompt": Case(
        lambda: ["a", "b", "c"],
        [("a", None, 1), (None, "BadRequestError", 1), ("c", None, 1)],
        [None, Fault.status(400)],
    ),
    "a retry": Case(lambda: ["a"], [("a", None, 2)], [Fault.status(500)]),
    "retries that are used up": Case(lambda: ["a"], [(None, "ServerError", 3)], [Fault.status(500)] * 3),
    "a pause": Case(lambda: ["a", "b"], [("a", None, 2), ("b", None, 1)], [Fault.status(429)]),
    "pauses that are used up": Case(lambda: ["a"], [(None, "RateLimitError", 4)], [Fault.status(429)] * 9),
    "broken after the first text": Case(lambda: ["abc"], [("abc", None, 2)], [Fault.cut(after=1)]),
    "broken each time": Case(lambda: ["abc"], [(None, "StreamInterruptedError", 3)], [Fault.cut(after=1)] * 3),
    "a prompt that is not usable": Case(
        lambda: ["a", 5, "c"], [("a", None, 1), (None, "InvalidRequestError", 0), ("c", None, 1)], requests=2
    ),
    "an input that raises": Case(failing_input, [("a", None, 1), ("b", None, 1)], raised=ZeroDivisionError),
    "a prompt function that raises": Case(
        lambda: ["a", "b", "c", "d"],
        [("a", None, 1), ("b", None, 1)],
        raised=IndexError,
        options={"prompt": failing_prompt},
    ),
    "as they come": Case(lambda: ["a", "b"], [("a", None, 1), ("b", None, 1)], options={"ordered": False}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_client_has_the_same_results(case: Case, flavour: str) -> None:
    results, raised = list[Result[Any]](), None
    options = {"concurrency": 1, "retry": AT_ONCE, **case.options}

    async def take() -> None:
        async with AsyncClient(server.url) as client:
            async for result in client.map(case.prompts(), **options):
                results.append(result)

    def take_blocking() -> None:
        with Client(server.url) as client:
            for result in client.map(case.prompts(), **options):
                results.append(result)

    with FakeServer(echo, faults=case.faults) as server:
        try:
            take_blocking() if flavour == "blocking" else anyio.run(take, backend=flavour)
        except Exception as error:
            raised = type(error)
    seen = [(each.text, type(each.error).__name__ if each.error else None, each.attempts) for each in results]
    assert (seen, raised) == (case.seen, case.raised)
    assert len(server.requests) == (sum(each.attempts for each in results) if case.requests is None else case.requests)
    for index, result in enumerate(results):
        assert result.index == index
        assert result.whole is (result.error is None)
        assert (result.notice is not None) == (case.faults == [Fault.notice()])
        assert result.resumed is False


@on_both
async def test_a_failure_keeps_what_had_arrived() -> None:
    with FakeServer(["ab", "cd"], faults=[Fault.cut(after=1)]) as server:
        async with AsyncClient(server.url) as client:
            [result] = [result async for result in client.map(["a"], retry=1)]
    assert result.error is not None
    assert result.error.partial_text == "ab"


@on_both
async def test_results_come_in_order_or_as_they_are_there() -> None:
    def reply(chat: dict[str, Any]) -> Iterator[str]:
        if echo(chat) == "slow":
            quick_is_there.wait(5)
        yield echo(chat)

    for ordered, indices in ((True, [0, 1]), (False, [1, 0])):
        quick_is_there = threading.Event()
        with FakeServer(reply) as server:
            async with AsyncClient(server.url) as client:
                results = client.map(["slow", "quick"], ordered=ordered)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(told_when_half_is_there, results, server, quick_is_there)
                    seen = [result.index async for result in results]
        assert seen == indices


async def told_when_half_is_there(batch: AsyncMap[Any], server: FakeServer, event: threading.Event) -> None:
    await until(lambda: len(server.requests) == 2 and len(batch._workers._streams) == 1)
    event.set()


# The input


@on_both
async def test_the_input_may_be_async() -> None:
    async def prompts() -> AsyncIterator[str]:
        for number in range(20):
            await anyio.sleep(0)
            yield str(number)

    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(prompts())
            with pytest.raises(TypeError, match="no length"):
                len(batch)
            assert [result.text async for result in batch] == [str(number) for number in range(20)]
            assert len(client.map(["a", "b"])) == 2


@on_both
async def test_an_async_input_that_raises_is_raised_after_the_results_before_it() -> None:
    async def prompts() -> AsyncIterator[str]:
        yield "a"
        yield "b"
        raise ZeroDivisionError

    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(prompts())
            assert [(await anext(batch)).text for _ in range(2)] == ["a", "b"]
            with pytest.raises(ZeroDivisionError):
                await anext(batch)
            assert [result async for result in batch] == []


@on_both
async def test_no_more_is_read_than_the_window_holds() -> None:
    read = []

    async def prompts() -> AsyncIterator[str]:
        for number in range(1000):
            read.append(number)
            yield str(number)

    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client, client.map(prompts(), concurrency=2, window=5) as batch:
            for taken in range(1, 20):
                await anext(batch)
                assert len(read) <= taken + 5
            await client.complete("Hi")
            assert len(read) <= taken + 5, "nobody reads on between two results"


@on_both
async def test_an_async_generator_is_closed_with_the_batch() -> None:
    closed = []

    async def prompts() -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
        finally:
            await anyio.sleep(0)
            closed.append(True)

    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client:
            async with client.map(prompts()) as batch:
                await anext(batch)
            assert closed == [True]
            async with client.map(prompts()) as batch:
                with anyio.CancelScope() as scope:
                    await anext(batch)
                    scope.cancel()
                    await anext(batch)
            assert closed == [True, True]


@on_both
async def test_a_batch_that_has_ended_lets_its_input_go() -> None:
    class Prompts(list[str]):
        pass

    with FakeServer(echo) as server, no_collector():
        async with AsyncClient(server.url) as client:
            for leave in (False, True):
                prompts = Prompts("abc")
                gone = weakref.ref(prompts)
                batch = client.map(prompts)
                del prompts
                async for _ in batch:
                    if leave:
                        await batch.aclose()
                assert gone() is None


# Many, and long ones


@on_both
async def test_no_prompt_has_a_thread_of_its_own() -> None:
    gate = Gate()
    with FakeServer(echo, gate=gate) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(map(str, range(200)), concurrency=200)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, batch)
                await until(lambda: gate.waiting == 200, 20)
                assert readers() <= 4
                gate.open()
            assert [result.text async for result in batch] == [str(number) for number in range(1, 200)]


@on_both
async def test_a_long_reply_comes_whole_though_nobody_awaits_a_piece() -> None:
    text = "0123456789abcde\n" * 2**16
    with FakeServer([text[start : start + 2**14] for start in range(0, len(text), 2**14)], pause=0) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(["a", "b"], concurrency=2)
            assert (await anext(batch)).text == text
            await until(lambda: not readers())  # the other one is read while nobody asks for it
            assert (await anext(batch)).text == text


@on_both
async def test_the_loop_is_woken_for_replies_and_not_for_their_pieces() -> None:
    with FakeServer(["x"] * 200, pause=0.001) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(["a"])
            rounds = 0
            wait_of = batch._workers.wait

            async def wait(seconds: float) -> None:
                nonlocal rounds
                rounds += 1
                await wait_of(seconds)

            batch._workers.wait = wait  # type: ignore[method-assign]
            assert (await anext(batch)).text == "x" * 200
    assert rounds < 5


@on_both
async def test_other_tasks_run_on_while_many_results_are_resumed(tmp_path: Path) -> None:
    journal, count = tmp_path / "journal.jsonl", 3000
    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client:
            async for _ in client.map(["a"], journal=journal):
                pass
            journal.write_text(journal.read_text() * count)
            longest = 0.0

            async def tick() -> None:
                nonlocal longest
                while True:
                    before = time.monotonic()
                    await anyio.sleep(0)
                    longest = max(longest, time.monotonic() - before)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tick)
                began = time.monotonic()
                results = [result async for result in client.map(["a"] * count, journal=journal)]
                took = time.monotonic() - began
                tasks.cancel_scope.cancel()
    assert [result.resumed for result in results] == [True] * count
    assert len(server.requests) == 1
    assert longest < took / 2


@on_both
async def test_other_tasks_run_on_while_the_journal_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticked = threading.Event()

    class Slow(Journal):
        def __init__(self, path: str) -> None:
            assert ticked.wait(5), "the loop stands still"
            super().__init__(path)

    async def tick() -> None:
        await anyio.sleep(0.01)
        ticked.set()

    monkeypatch.setattr("acytoo_sdk._batch.run.Journal", Slow)
    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            assert [result.text async for result in client.map(["a"], journal=tmp_path / "journal")] == ["a"]


@on_both
async def test_other_tasks_run_on_while_a_large_window_is_filled() -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.sleep(0)

    with FakeServer(echo, gate=Gate()) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            batch = client.map(iter(lambda: "a", None), concurrency=1, window=5000)
            tasks.start_soon(tick)
            tasks.start_soon(ending, batch, StreamCancelledError)
            await until(lambda: batch._run._next_index == 5000, 20)
            assert turns > 10
            await batch.aclose()
            tasks.cancel_scope.cancel()


async def ending(batch: AsyncMap[Any], error: type[BaseException]) -> None:
    with pytest.raises(error):
        await anext(batch)
    with pytest.raises(StopAsyncIteration):
        await anext(batch)


@on_both
async def test_places_are_shared_with_the_streams_of_the_client() -> None:
    with FakeServer(echo) as server:
        async with AsyncClient(server.url, max_streams=3) as client, anyio.create_task_group() as tasks:
            stream = client.stream("mine")
            tasks.start_soon(stream.read)
            results = [result.text async for result in client.map(map(str, range(20)), concurrency=10)]
        assert results == [str(number) for number in range(20)]
        assert stream.text == "mine"
        assert server.connections <= 3


@on_both
async def test_a_prompt_that_waits_for_a_place_loses_no_time() -> None:
    with FakeServer(["a", "b"], pause=0.03) as server:
        async with AsyncClient(server.url, max_streams=1) as client:
            batch = client.map(map(str, range(20)), concurrency=20, timeout=Timeout(total=0.3), retry=1)
            assert [result.text async for result in batch] == ["ab"] * 20


@on_both
async def test_a_limit_strikes_in_the_background_and_its_prompt_alone() -> None:
    faults = [Fault.stall(after=1), Fault.no_head()]
    limits = Timeout(idle=0.1, first_byte=0.1)
    with FakeServer("ab", faults=faults) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(["abc"] * 3, concurrency=1, timeout=limits, retry=1)
            first, second, third = [result async for result in batch]
    assert third.text == "ab"
    assert isinstance(first.error, APITimeoutError)
    assert isinstance(second.error, APITimeoutError)
    assert (first.error.phase, first.error.partial_text) == ("idle", "ab")
    assert second.error.phase == "first_byte"


# Leaving


async def waiting(server: FakeServer, client: AsyncClient) -> AsyncMap[str]:
    """A batch which has given one result, and has five requests with the server."""
    batch = client.map(["first", *"abcde"], concurrency=6)
    assert (await anext(batch)).text == "first"
    await until(lambda: server.open_connections == 5)
    return batch


@contextmanager
def endless() -> Iterator[FakeServer]:
    """A server that answers the first prompt, once there are six, the others without end; and keeps no connection."""

    def reply(chat: dict[str, Any]) -> Iterator[str]:
        server.wait_until(lambda: len(server.requests) == 6)
        yield echo(chat)
        if echo(chat) != "first":
            yield from itertools.repeat("x")

    with FakeServer(reply, framing="close") as server:
        yield server


async def gone(server: FakeServer) -> None:
    """Nothing of the batch is left, and that is so at once."""
    await until(lambda: not server.open_connections and not readers(), SLACK)


@on_both
async def test_cancelling_a_scope_closes_all_connections_at_once() -> None:
    with endless() as server:
        async with AsyncClient(server.url) as client:
            batch = await waiting(server, client)
            with anyio.move_on_after(0.05) as scope:
                await anext(batch)
            assert scope.cancelled_caught
            await gone(server)
            assert [result async for result in batch] == []


def test_cancelling_a_task_of_asyncio_closes_all_connections_at_once() -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            batch = await waiting(server, client)
            task = asyncio.ensure_future(anext(batch))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone(server)

    with endless() as server:
        asyncio.run(main())


@on_both
async def test_aclose_closes_all_connections_and_keeps_no_result() -> None:
    with endless() as server:
        async with AsyncClient(server.url) as client:
            batch = await waiting(server, client)
            streams = [*batch._workers._streams.values()]
            await batch.aclose()
            assert [stream._reader.ended for stream in streams] == [True] * 5, "it waits for the end"
            await gone(server)
            await batch.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(batch)


@on_both
async def test_an_exception_in_the_loop_closes_all_connections() -> None:
    async def leave() -> None:
        async with AsyncClient(server.url) as client:
            async for _ in client.map(["first", *"abcde"], concurrency=6):
                raise ZeroDivisionError

    with endless() as server:
        with pytest.raises(ZeroDivisionError):
            await leave()
        await gone(server)


@on_both
async def test_a_batch_that_is_dropped_ends_without_the_collector() -> None:
    with endless() as server, no_collector():
        async with AsyncClient(server.url) as client:
            batch = await waiting(server, client)
            dropped = weakref.ref(batch)
            del batch
            assert dropped() is None
            await gone(server)


@on_both
async def test_errors_hold_no_batch() -> None:
    with FakeServer(echo, faults=[Fault.status(400), Fault.cut(after=1)]) as server, no_collector():
        async with AsyncClient(server.url) as client:
            batch = client.map(["a", "b"], concurrency=1, retry=1)
            results = [result async for result in batch]
            dropped = weakref.ref(batch), weakref.ref(batch._run)
            del batch
            assert [reference() for reference in dropped] == [None, None]
            assert all(result.error is not None for result in results)


def test_the_error_of_an_input_holds_no_batch(flavour: str) -> None:
    async def take(batch: AsyncMap[str]) -> None:
        with pytest.raises(ZeroDivisionError):
            await anext(batch)

    def prompts() -> Iterator[str]:
        yield from ()
        raise ZeroDivisionError

    with FakeServer(echo) as server, no_collector():
        batch: Any = (Client if flavour == "blocking" else AsyncClient)(server.url).map(prompts())
        dropped = weakref.ref(batch._run)
        if flavour == "blocking":
            with pytest.raises(ZeroDivisionError):
                next(batch)
        else:
            anyio.run(take, batch, backend=flavour)
        del batch
        assert dropped() is None


@on_both
async def test_aclose_from_another_task_is_told_to_the_one_that_waits() -> None:
    with endless() as server:
        async with AsyncClient(server.url) as client:
            batch = await waiting(server, client)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ending, batch, StreamCancelledError)
                await until(lambda: batch._read_by_task)
                await batch.aclose()
            await gone(server)


@on_both
async def test_aclose_from_another_task_ends_a_pause() -> None:
    with FakeServer(echo, faults=[Fault.status(429, retry_after=60)]) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            batch = client.map(["a"], retry=RetryPolicy(retry_after_max=60))
            tasks.start_soon(ending, batch, StreamCancelledError)
            await until(lambda: server.requests and not batch._workers._streams)
            with anyio.move_on_after(SLACK):
                await batch.aclose()
                await until(lambda: not batch._read_by_task)
                return
    pytest.fail("it went on waiting")


@on_both
async def test_two_tasks_cannot_take_the_results_of_one_batch() -> None:
    gate = Gate()
    with FakeServer(echo, gate=gate) as server:
        async with AsyncClient(server.url) as client, anyio.create_task_group() as tasks:
            batch = client.map(["a", "b"])
            taken = []

            async def take() -> None:
                taken.extend([result.text async for result in batch])

            tasks.start_soon(take)
            await until(lambda: gate.waiting == 2)
            with pytest.raises(InvalidRequestError, match="Another task takes the results"):
                await anext(batch)
            gate.open()
    assert taken == ["a", "b"], "the other task is not disturbed"


@on_both
async def test_a_closed_client_ends_an_endless_batch_in_one_error() -> None:
    taken = 0
    with FakeServer(echo) as server:
        client = AsyncClient(server.url)
        batch = client.map(iter(lambda: "a", None))

        async def take() -> None:
            nonlocal taken
            async for result in batch:
                assert result.text == "a"
                taken += 1
                if taken == 3:
                    await client.aclose()

        with anyio.fail_after(5), pytest.raises((ClientClosedError, StreamCancelledError)):
            await take()
        assert taken < 3 + 17, "what was done, and no more"
        assert [result async for result in batch] == []
        await gone(server)


@on_both
async def test_a_closed_client_is_told_also_where_nothing_runs() -> None:
    with FakeServer(echo) as server:
        client = AsyncClient(server.url)
        batch = client.map(["a", "b"], window=1)
        await anext(batch)
        await client.aclose()
        with anyio.fail_after(5):
            await ending(batch, ClientClosedError)


@on_both
async def test_closing_the_client_tells_the_task_that_waits() -> None:
    with endless() as server:
        client = AsyncClient(server.url)
        batch = await waiting(server, client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ending, batch, StreamCancelledError)
            await until(lambda: batch._read_by_task)
            await client.aclose()
        await gone(server)


def test_a_batch_goes_on_in_another_loop() -> None:
    with FakeServer(echo) as server:
        client = AsyncClient(server.url)
        batch = client.map(map(str, range(40)))
        texts = list[str | None]()

        async def take() -> None:
            texts.extend([(await anext(batch)).text for _ in range(10)])

        for loop in [*LOOPS] * 2:
            anyio.run(take, backend=loop)
        anyio.run(client.aclose)
    assert texts == [str(number) for number in range(40)]


# The journal


@on_both
async def test_what_had_arrived_is_in_the_journal_though_nobody_took_it(tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal.jsonl", Gate()

    def prompts() -> Iterator[str]:
        yield from "abcd"
        gate.open()  # a result that is there comes first, and no further prompt is sent then

    with FakeServer(echo, gate=gate) as server:
        async with AsyncClient(server.url) as client:
            async with client.map(prompts(), journal=journal, concurrency=4) as batch:
                await anext(batch)
                await until(lambda: not readers())
            entries = [json.loads(line) for line in journal.read_text().splitlines()]
            assert sorted(entry["text"] for entry in entries) == ["a", "b", "c", "d"]
            again = [result async for result in client.map(["d", "c", "b", "a"], journal=journal)]
    assert [(result.text, result.resumed) for result in again] == [(text, True) for text in "dcba"]
    assert len(server.requests) == 4


@on("asyncio")
async def test_a_task_that_is_cancelled_while_the_journal_is_opened_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, opened = threading.Event(), threading.Event(), list[Journal]()

    class Slow(Journal):
        def __init__(self, path: str) -> None:
            begun.set()
            assert go_on.wait(5)
            super().__init__(path)
            opened.append(self)

    monkeypatch.setattr("acytoo_sdk._batch.run.Journal", Slow)
    with FakeServer(echo) as server:
        async with AsyncClient(server.url) as client:
            batch = client.map(["a"], journal=tmp_path / "journal")
            task = asyncio.ensure_future(anext(batch))
            await until(begun.is_set)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: opened and not opened[0].is_open)
            monkeypatch.undo()
            assert [result.text async for result in client.map(["a"], journal=tmp_path / "journal")] == ["a"]
