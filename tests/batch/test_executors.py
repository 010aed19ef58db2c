"""`Client.map(executor=...)`: calls in threads and processes of the caller's; `tests/with_executors` has engines."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import ssl
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest
from batch_servers import BatchServer

from acytoo_sdk import BadRequestError, Client, InvalidRequestError, RetryPolicy, StreamInterruptedError, Timeout
from acytoo_sdk._batch.asking import Asker
from acytoo_sdk.testing import FakeServer, Fault, Gate

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

KEY = "key-of-the-pool"
WORKERS = 2
KINDS = ["threads", *(name for name in ("spawn", "fork") if name in multiprocessing.get_all_start_methods())]


def pool_of(kind: str) -> Executor:
    """A pool whose workers run."""
    if kind == "threads":
        threads, both = ThreadPoolExecutor(WORKERS), threading.Barrier(WORKERS)
        wait([threads.submit(both.wait, 5) for _ in range(WORKERS)])
        return threads
    processes = ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context(kind))
    wait([processes.submit(os.getpid) for _ in range(2 * WORKERS)])
    return processes


@pytest.fixture(scope="module", params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with pool_of(request.param) as pool:
        yield pool


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with pool_of("spawn") as pool:
        yield pool


def die_when_asked_to(told: dict[str, Any]) -> dict[str, Any]:
    if told["messages"][0]["content"] == "die":
        os._exit(1)
    return told


def fail(told: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("as it was asked to")


class Counted:
    """A `payload` function that knows how often it was pickled."""

    pickled = 0

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        return told

    def __reduce__(self) -> tuple[Any, ...]:
        Counted.pickled += 1
        return Counted, ()


# The same on all of them


def test_results_are_the_same_and_each_worker_keeps_one_client_and_its_connection(executor: Executor) -> None:
    prompts = [f"prompt {number}" for number in range(15)] + ["the same"] * 15
    with BatchServer() as server, Client(server.url, key=KEY) as client:
        for _ in range(2):
            results = [*client.map(prompts, executor=executor, concurrency=4)]

            assert [result.unwrap() for result in results] == [prompt.upper() for prompt in prompts]
            assert [result.index for result in results] == [*range(30)]
        assert sorted(server.prompts) == sorted(2 * prompts)
        assert server.most <= WORKERS
        assert server.connections <= WORKERS
        assert {(request.json or {})["key"] for request in server.requests} == {KEY}
    assert executor.submit(len, "abc").result(30) == 3, "it stays open"


def test_an_error_stays_with_its_item_with_all_that_it_knows(executor: Executor) -> None:
    refused = Fault.status(400, body=f"no {KEY}", headers={"x-request-id": "r-7"})
    faults = {"refused": [refused], "broken": [Fault.cut(after=1)] * 2, "again": [Fault.status(503)]}
    with BatchServer(faults) as server, Client(server.url, key=KEY) as client:
        retry = RetryPolicy(attempts=2, wait_initial=0.01)
        first, second, third, fourth = client.map(
            ["refused", "broken", "again", "fine"], executor=executor, retry=retry
        )

    assert type(first.error) is BadRequestError
    assert (first.error.status_code, first.error.request_id, first.attempts) == (400, "r-7", 1)
    assert type(second.error) is StreamInterruptedError
    assert (second.error.partial_text, second.attempts) == ("B", 2)
    assert (third.text, third.attempts) == ("AGAIN", 2)
    assert fourth.text == "FINE"
    assert KEY not in f"{first!r} {first.error} {vars(first.error)}"


def test_an_exception_that_is_no_call_s_comes_out_as_itself(executor: Executor) -> None:
    with BatchServer() as server, Client(server.url, payload=fail) as client:
        with pytest.raises(ZeroDivisionError, match="as it was asked to"):
            next(client.map(["one", "two"], executor=executor))
        assert not server.requests
    assert executor.submit(len, "abc").result(30) == 3


def test_who_leaves_leaves_an_executor_that_works(executor: Executor) -> None:
    with BatchServer() as server, Client(server.url) as client:
        with client.map(map(str, itertools.count()), executor=executor, concurrency=4) as batch:
            assert next(batch).text == "0"
        assert executor.submit(len, "abc").result(30) == 3
        assert [result.text for result in client.map(["one"], executor=executor)] == ["ONE"]
        assert len(server.requests) <= 1 + 8 + 1


# Threads


def test_closing_a_batch_ends_what_runs_in_threads_and_sends_nothing_that_waits() -> None:
    gate = Gate()
    with (
        FakeServer("ok", gate=gate) as server,
        Client(server.url) as client,
        ThreadPoolExecutor(WORKERS) as executor,
    ):
        batch = client.map(map(str, itertools.count()), executor=executor, concurrency=6, ordered=False)
        gate.release()
        assert next(batch).text == "ok"
        server.wait_until(lambda: len(server.requests) == 1 + WORKERS)

        batch.close()

        assert executor.submit(len, "abc").result(5) == 3, "a thread is free"
        server.wait_until(lambda: server.open_connections <= 1)
        assert len(server.requests) == 1 + WORKERS


def test_an_executor_that_was_shut_down_is_told_after_the_results_before_it() -> None:
    with BatchServer() as server, Client(server.url) as client, ThreadPoolExecutor(WORKERS) as executor:
        batch = client.map(map(str, range(100)), executor=executor, concurrency=2, window=4)
        texts = [next(batch).text]
        executor.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            texts.extend(result.text for result in batch)
        assert texts == [str(number) for number in range(len(texts))]
        assert len(texts) == len(server.requests), "what was sent is handed out"


# Processes


def test_a_process_that_dies_is_told_after_the_results_before_it() -> None:
    with (
        BatchServer() as server,
        Client(server.url, payload=die_when_asked_to) as client,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
    ):
        batch = client.map(["one", "two", "die", "four"], executor=executor, concurrency=1)
        assert [next(batch).text, next(batch).text] == ["ONE", "TWO"]
        with pytest.raises(BrokenProcessPool):
            next(batch)
        assert next(batch, None) is None


def test_closing_a_batch_takes_back_what_waits_for_a_process(processes: Executor) -> None:
    gate = Gate()
    with FakeServer("ok", gate=gate) as server, Client(server.url) as client:
        batch = client.map(map(str, itertools.count()), executor=processes, concurrency=20, ordered=False)
        gate.release()
        assert next(batch).text == "ok"
        batch.close()
        gate.open()
        assert processes.submit(len, "abc").result(30) == 3
        assert len(server.requests) <= 1 + 2 * WORKERS + 1, "a pool takes one more than it has processes"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"payload": lambda told: told}, "lambda"),
        ({"verify": ssl.create_default_context()}, "verify= is an SSLContext, which does not pickle"),
    ],
    ids=["payload", "verify"],
)
def test_a_client_that_does_not_pickle_is_one_clear_error(
    options: dict[str, Any], reason: str, processes: Executor
) -> None:
    with BatchServer() as server, Client(server.url, key=KEY, **options) as client:
        with pytest.raises(InvalidRequestError, match="this client cannot be sent there") as caught:
            next(client.map(["one", "two", "three"], executor=processes))
        assert reason in str(caught.value)
        assert KEY not in str(caught.value)
        assert not server.requests
    assert processes.submit(len, "abc").result(30) == 3, "the pool is not broken"


def test_what_a_process_cannot_import_is_an_error_of_the_call_and_breaks_no_pool(
    monkeypatch: pytest.MonkeyPatch, processes: Executor
) -> None:
    module = types.ModuleType("found_here_alone")
    exec("def payload(told):\n    return told", vars(module))
    monkeypatch.setitem(sys.modules, "found_here_alone", module)
    with BatchServer() as server, Client(server.url, payload=module.payload) as client:
        with pytest.raises(ModuleNotFoundError, match="found_here_alone"):
            next(client.map(["one", "two"], executor=processes))
        assert not server.requests
    assert processes.submit(len, "abc").result(30) == 3


def test_the_client_is_pickled_once_a_batch(processes: Executor) -> None:
    Counted.pickled = 0
    with BatchServer() as server, Client(server.url, payload=Counted()) as client:
        assert len([*client.map(map(str, range(10)), executor=processes, concurrency=4)]) == 10
    assert Counted.pickled == 1


def test_a_process_keeps_sixteen_clients_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    askers: dict[bytes, Asker] = {}
    monkeypatch.setattr("acytoo_sdk._batch.asking._askers", askers)
    with FakeServer("ok") as server:
        sent = [
            pickle.dumps(Asker(Client(server.url, key=f"{KEY}-{number}"), model="m", temperature=0, timeout=Timeout()))
            for number in range(20)
        ]
        for data in [*sent, sent[-1], sent[-16]]:
            assert pickle.loads(data)([{"role": "user", "content": "Hi"}], "1").text == "ok"
        assert server.connections == 20, "one each"
        server.wait_until(lambda: server.open_connections == 16)
        askers.clear()
