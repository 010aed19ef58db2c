"""Ray's executor on something that looks like Ray; `tests/with_executors` runs it on Ray itself."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from acytoo_sdk.integrations.ray import RayExecutor


class RayError(Exception):
    """Ray's, which is the base of all its errors."""


class RayTaskError(RayError):
    """Ray's, around what a task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"Traceback of {cause!r}")
        self.cause = cause


class Reference:
    """An `ObjectRef`: the result of a task, which comes when the test says so."""

    def __init__(self, task: Callable[[], object]) -> None:
        self._task = task
        self._future: Future[object] = Future()

    def future(self) -> Future[object]:
        return self._future

    def run(self) -> None:
        try:
            self._future.set_result(self._task())
        except Exception as error:
            self._future.set_exception(RayTaskError(pickle.loads(pickle.dumps(error))))


class Ray(types.ModuleType):
    """As much of Ray as the executor uses."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.options: dict[str, Any] = {}
        self.references: list[Reference] = []
        self.cancelled: list[Reference] = []
        self.cancel = self.cancelled.append

    def remote(self, function: Callable[..., object] | None = None, **options: Any) -> Any:
        if function is None:
            self.options = options
            return self.remote
        return types.SimpleNamespace(remote=lambda *args: self._start(function, args))

    def _start(self, function: Callable[..., object], args: tuple[Any, ...]) -> Reference:
        self.references.append(Reference(lambda: function(*args)))
        return self.references[-1]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def test_a_call_is_a_task_and_its_result_that_of_the_future(ray: Ray) -> None:
    future = RayExecutor().submit(int, "ff", base=16)
    assert not future.done()
    ray.references[0].run()
    assert future.result() == 255


def test_options_are_those_of_the_tasks(ray: Ray) -> None:
    RayExecutor(num_cpus=0.1, max_retries=0)
    assert ray.options == {"num_cpus": 0.1, "max_retries": 0}


def test_an_exception_comes_out_as_itself_and_tells_where_it_was_raised(ray: Ray) -> None:
    future = RayExecutor().submit(int, "x")
    ray.references[0].run()
    error = future.exception()
    assert type(error) is ValueError
    assert type(error.__cause__) is RayError
    assert "Traceback of ValueError" in str(error.__cause__)


def test_an_error_of_ray_s_own_comes_out_as_it_is(ray: Ray) -> None:
    future = RayExecutor().submit(int)
    ray.references[0].future().set_exception(RayError("a node is lost"))
    assert type(future.exception()) is RayError


def test_a_call_that_is_cancelled_is_cancelled_there_and_its_late_result_does_nothing(
    ray: Ray, caplog: pytest.LogCaptureFixture
) -> None:
    future = RayExecutor().submit(int, "1")
    assert future.cancel()
    ray.references[0].run()
    assert ray.cancelled == ray.references
    assert future.cancelled()
    assert wait([future], timeout=5).not_done == set()
    assert not caplog.records


def test_a_call_that_ended_is_not_cancelled(ray: Ray) -> None:
    future = RayExecutor().submit(int, "1")
    ray.references[0].run()
    assert not future.cancel()
    assert not ray.cancelled


def test_after_shutdown_it_takes_no_more_and_waits_for_what_runs(ray: Ray) -> None:
    executor = RayExecutor()
    future = executor.submit(int, "1")
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(executor.shutdown)
        while not executor._is_shut_down:
            pass
        assert not ended.done()
        ray.references[0].run()
        ended.result(5)
    assert future.result() == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)
    assert len(ray.references) == 1


def test_shutdown_may_cancel_or_leave_what_runs(ray: Ray) -> None:
    executor = RayExecutor()
    future = executor.submit(int)
    executor.shutdown(wait=False)
    assert not future.done()
    executor.shutdown(cancel_futures=True)
    assert future.cancelled()
    assert ray.cancelled == ray.references


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"RayExecutor needs Ray: pip install 'acytoo-sdk\[ray\]'") as raised:
        RayExecutor()
    assert raised.value.__cause__ is None
