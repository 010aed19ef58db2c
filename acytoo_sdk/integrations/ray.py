"""Ray's workers as an executor of `concurrent.futures`, for `Client.map`: Ray has none of its own.

Nothing here knows what the calls do. What an executor does for a batch is told in `acytoo_sdk.batch`.

Ray: install `acytoo-sdk[ray]`; a call that mostly waits needs no whole processor.

    from acytoo_sdk import Client
    from acytoo_sdk.integrations.ray import RayExecutor

    client = Client("http://127.0.0.1:8000")
    with RayExecutor(num_cpus=0.1) as executor:  # on the cluster of ray.init(), or of RAY_ADDRESS, or on this machine
        for result in client.map(["one", "two"], executor=executor, concurrency=64):
            print(result.unwrap())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class RayExecutor(Executor):
    """Runs each call as a task of Ray, on the cluster that this process is connected to.

    Without a `ray.init()` before it, the first call makes Ray connect by itself: to the cluster that `RAY_ADDRESS`
    names, or to one that it starts on this machine. It stays up when the executor is shut down; `ray.shutdown()` ends
    it.

    A call that has begun can be cancelled, too: Ray ends it before its next step in Python, which for a reply comes
    with its next piece. An exception of a call comes out as itself, not as a `RayTaskError`; what that says, with the
    traceback from the worker, is its `__cause__`.

    Args:
        options: the options of each task, such as `num_cpus=0.1` for calls that mostly wait: see `ray.remote`.

    Raises:
        ModuleNotFoundError: Ray is missing: install `acytoo-sdk[ray]`.

    Example:
        client.map(prompts, executor=RayExecutor(num_cpus=0.1), concurrency=64)
    """

    def __init__(self, **options: Any) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise ModuleNotFoundError("RayExecutor needs Ray: pip install 'acytoo-sdk[ray]'", name="ray") from None
        self._ray = ray
        self._task = ray.remote(**options)(_run) if options else ray.remote(_run)
        self._futures: set[Future[Any]] = set()
        self._is_shut_down = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Starts a call, without waiting for its result. The first call waits until Ray is connected.

        Args:
            fn: called by a worker of Ray; it and its arguments are pickled by Ray, functions of a script by value.
            args: passed to it.
            kwargs: passed to it.

        Returns:
            The future of the call's result; from any thread, `cancel()` ends the call.

        Raises:
            RuntimeError: the executor was shut down.
        """
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        reference = self._task.remote(fn, args, kwargs)
        future: Future[T] = Future()
        self._futures.add(future)
        future.add_done_callback(partial(self._note, reference))
        reference.future().add_done_callback(partial(self._pass_on, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls; the cluster stays up.

        Args:
            wait: whether to block until all calls have ended.
            cancel_futures: whether to end those that run.
        """
        self._is_shut_down = True
        running = self._futures.copy()
        if cancel_futures:
            for future in running:
                future.cancel()
        if wait:
            futures.wait(running)

    def _note(self, reference: Any, future: Future[Any]) -> None:
        self._futures.discard(future)
        if future.cancelled():
            future.set_running_or_notify_cancel()  # or whoever waits for it would never be told
            self._ray.cancel(reference)

    def _pass_on(self, future: Future[Any], future_of_ray: Future[Any]) -> None:
        error = future_of_ray.exception()
        with suppress(InvalidStateError):  # it was cancelled
            if error is None:
                future.set_result(future_of_ray.result())
            else:
                future.set_exception(self._unwrapped(error))

    def _unwrapped(self, error: BaseException) -> BaseException:
        exceptions = self._ray.exceptions
        if not isinstance(error, exceptions.RayTaskError):
            return error
        cause: BaseException = error.cause
        # Its text has the traceback from the worker. The error itself holds the cause, and would make a cycle with it.
        cause.__cause__ = exceptions.RayError(str(error))
        return cause


def _run(function: Callable[..., T], args: Sequence[Any], kwargs: Mapping[str, Any]) -> T:
    """What a task of Ray runs."""
    return function(*args, **kwargs)
