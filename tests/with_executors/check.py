"""The same batches on threads, pools of processes, loky, Dask and Ray, and what the server saw of them.

Run by `run.py`, with the names of executors as arguments, or without for all.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from acytoo_sdk import BadRequestError, Client, RetryPolicy, StreamInterruptedError
from acytoo_sdk.testing import FakeServer, Fault

KEY = os.environ.get("KEY_OF_THE_CHECK", "key-of-the-check")
WORKERS = 2
CONCURRENCY = 6
DIFFERENT = [f"Привет {number}" for number in range(200)]
EQUAL = ["Привет"] * 200
RETRY = RetryPolicy(attempts=20, wait_initial=0.01, wait_max=0.05)


@contextlib.contextmanager
def own_threads() -> Iterator[None]:
    yield None


@contextlib.contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(WORKERS) as executor:
        yield executor


@contextlib.contextmanager
def processes(method: str) -> Iterator[Executor]:
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context(method)) as executor:
        yield executor


@contextlib.contextmanager
def loky() -> Iterator[Executor]:
    from loky import ProcessPoolExecutor as LokyExecutor

    with LokyExecutor(WORKERS) as executor:
        yield executor


@contextlib.contextmanager
def dask() -> Iterator[Executor]:
    import dask
    from dask import distributed

    dask.config.set({"distributed.worker.profile.enabled": False})
    # Dask's own: the outcome of a call comes to its executor when the call has just been cancelled.
    logging.getLogger("tornado.application").addFilter(lambda record: "InvalidStateError" not in f"{record.exc_info}")
    with (
        distributed.LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        told = client.run(dask.config.get, "distributed.worker.profile.enabled")
        assert set(told.values()) == {False}, "a worker profiles"
        yield client.get_executor()
        due = time.monotonic() + 10
        while kept := [key for key in client.futures if key.startswith("acytoo-")]:
            assert time.monotonic() < due, f"{len(kept)} futures of batches are kept"
            time.sleep(0.05)


@contextlib.contextmanager
def ray() -> Iterator[Executor]:
    import ray

    from acytoo_sdk.integrations.ray import RayExecutor

    ray.init(num_cpus=WORKERS, include_dashboard=False, _node_ip_address="127.0.0.1")
    with RayExecutor() as executor:
        yield executor
    ray.shutdown()


EXECUTORS: dict[str, Callable[[], contextlib.AbstractContextManager[Executor | None]]] = {
    "own threads": own_threads,
    "threads": threads,
    "spawn": lambda: processes("spawn"),
    "fork": lambda: processes("fork"),
    "loky": loky,
    "dask": dask,
    "ray": ray,
}


class Replies:
    """What the server answers, and how many of its replies ran at once."""

    def __init__(self) -> None:
        self.most = 0
        self.times: list[float] = []
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, request: dict[str, Any]) -> Iterator[str]:
        prompt = request["messages"][-1]["content"]
        with self._lock:
            self.times.append(time.monotonic())
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            yield "Сказано: "
            if prompt == "break":
                raise ConnectionError("as it was asked to")
            yield prompt
        finally:
            with self._lock:
                self._running -= 1

    @property
    def longest_silence(self) -> float:
        return max(after - before for before, after in itertools.pairwise(self.times))


@contextlib.contextmanager
def asked(**options: Any) -> Iterator[tuple[Client, FakeServer, Replies]]:
    """A server, and a client that asks it."""
    replies = Replies()
    with FakeServer(replies, pause=0.002, **options) as server, Client(server.url, key=KEY, retry=RETRY) as client:
        yield client, server, replies


def check_results(executor: Executor | None, workers: int) -> None:
    """All results, in order, by no more connections than there are workers."""
    for prompts in (DIFFERENT, EQUAL):
        with asked() as (client, server, replies):
            results = [*client.map(prompts, executor=executor, concurrency=CONCURRENCY)]
            assert [result.unwrap() for result in results] == [f"Сказано: {prompt}" for prompt in prompts]
            assert [result.index for result in results] == [*range(200)]
            assert {result.attempts for result in results} == {1}
            assert len(server.requests) == 200, len(server.requests)
            assert server.connections <= workers, f"{server.connections} connections of {workers} workers"
            assert replies.most <= CONCURRENCY, replies.most
            assert all(request.json and request.json["key"] == KEY for request in server.requests)


def check_faults(executor: Executor | None) -> None:
    """What can be retried is, after the first text too; what cannot stays with its item."""
    kinds = [Fault.status(503), Fault.cut(after=1), None, Fault.drop(), None, None, Fault.empty()]
    with asked(faults=[fault for _ in range(8) for fault in kinds]) as (client, server, _):
        results = [*client.map(DIFFERENT, executor=executor, concurrency=CONCURRENCY)]
        assert [result.unwrap() for result in results] == [f"Сказано: {prompt}" for prompt in DIFFERENT]
        assert sum(result.attempts for result in results) == len(server.requests) == 200 + 8 * 4

    with asked(faults=[Fault.status(400, body=f"no {KEY}", headers={"x-request-id": "r-7"})]) as (client, server, _):
        prompts = [str(number) for number in range(20)]
        results = [*client.map([*prompts, "break"], executor=executor, concurrency=1)]
        refused, broken = results[0].error, results[-1].error
        assert [result.text for result in results[1:-1]] == [f"Сказано: {prompt}" for prompt in prompts[1:]]
        assert type(refused) is BadRequestError, refused
        assert (refused.status_code, refused.request_id, results[0].attempts) == (400, "r-7", 1)
        assert type(broken) is StreamInterruptedError, broken
        assert (broken.partial_text, results[-1].attempts) == ("Сказано: ", RETRY.attempts)
        assert "***" in str(refused), refused
        assert KEY not in f"{results!r} {refused} {vars(refused)} {broken} {vars(broken)}"


def check_pause(executor: Executor | None) -> None:
    """One that is told to wait makes everyone wait, and nobody fails."""
    with asked(faults=[*[None] * 20, Fault.status(429, retry_after=1)]) as (client, server, replies):
        results = [*client.map(DIFFERENT[:60], executor=executor, concurrency=CONCURRENCY, retry=2)]
        assert [result.text for result in results] == [f"Сказано: {prompt}" for prompt in DIFFERENT[:60]]
        assert replies.longest_silence > 0.8, replies.longest_silence
        assert len(server.requests) == 61, "one was told so, and asked again"


def check_leaving(executor: Executor | None) -> None:
    """Who leaves the loop leaves an executor that works, and soon nothing is asked any more."""
    with asked() as (client, server, _):
        for result in client.map(map(str, itertools.count()), executor=executor, concurrency=CONCURRENCY):
            if result.index == 10:
                break
        begun = len(server.requests)
        assert begun <= 11 + 2 * CONCURRENCY + 1, begun
        if executor is not None:
            assert executor.submit(len, "abc").result(30) == 3
        assert [each.text for each in client.map(["one"], executor=executor)] == ["Сказано: one"]
        assert len(server.requests) <= 11 + 2 * CONCURRENCY + 2


def check_payload(executor: Executor | None) -> None:
    """A function of this very file makes the body, which no worker could import."""
    suffix = "!"

    def question(told: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [{"content": told["messages"][0]["content"] + suffix}]}

    with asked() as (client, _, _):
        asking = client.with_options(payload=question)
        assert [result.unwrap() for result in asking.map(["Hi"], executor=executor)] == ["Сказано: Hi!"]


def check_executor(executor: Executor | None) -> None:
    """The executor itself: an exception comes out as itself, and a call that was cancelled holds up no other."""
    if executor is None:
        return
    error = executor.submit(int, "x").exception(30)
    assert type(error) is ValueError, type(error)
    cancelled = executor.submit(time.sleep, 0.2)
    cancelled.cancel()
    assert executor.submit(len, "abc").result(30) == 3


def main(names: list[str]) -> None:
    for name in names or EXECUTORS:
        began = time.monotonic()
        with EXECUTORS[name]() as executor:
            check_results(executor, CONCURRENCY if executor is None else WORKERS)
            check_faults(executor)
            check_pause(executor)
            check_leaving(executor)
            if name not in ("spawn", "fork"):  # pickle takes functions by their names alone
                check_payload(executor)
            check_executor(executor)
        print(f"{name}: all checks passed, in {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
