"""Batches: many prompts, some at once, their results in order or as they come; and a journal of them.

`Client.map` and `AsyncClient.map` make them, and explain the arguments. Which prompt is sent when is decided in
`_batch`. Here are the two iterators that users hold: each reads the input and waits in its own way, in the thread or
the task that asks for the next result.

    rows = [{"id": 1, "text": "Guten Morgen"}, {"id": 2, "text": "Gute Nacht"}]

    def prompt(row):
        return f"Translate: {row['text']}"

    for result in client.map(rows, prompt=prompt, concurrency=16, journal="answers.jsonl"):
        print(result.item["id"], result.error or result.text)

The input may be endless: it is read as results are taken, `window` prompts ahead at most, so that ten million cost no
more memory than a hundred. An error stays with its prompt, in `Result.error`, and the others go on; `Result.unwrap()`
is the text, or raises the error. A prompt whose reply broke off is asked again, also after its first text, since nobody
was handed that text. When a server says that it has too many requests (429, or 503 with `Retry-After`), all prompts
pause; that costs none of them an attempt while others get their replies. `requests_per_minute` keeps below the server's
limit from the start, and `ordered=False` hands out results as they come.

A journal is a file with a JSON object a line: `id`, `index`, `at`, `messages`, `text` (or `error`), `attempts`,
`notice`, `whole` and `request_id`. There are no secrets in it. The same call with the same file asks nothing again that
was answered, whether the last run came to its end, crashed, was killed or was interrupted by Ctrl-C; such a result has
`resumed` set. What failed is asked again. Only one run at a time can use the file. A run that continues one keeps about
130 bytes in memory for each answer.

`tqdm(client.map(rows))` and `rich.progress.track(client.map(rows))` know the length where the input has one. With
pandas, `df["answer"] = [result.text for result in client.map(df["question"])]` adds a column. `AsyncClient.map` is the
same with `async for`; its input may be an async iterable, and no prompt needs a thread of its own.

`Client.map(executor=...)` makes the calls wherever a `concurrent.futures.Executor` runs them: in a pool of threads or
processes, with loky, or on a cluster of Dask or Ray. All else stays in this process: order, retries, pauses, rate and
journal, so that they hold for all machines together. The executor is given `concurrency` calls at a time: make that the
number of its workers. Each worker process keeps a copy of the client, its secrets in clear, with connections of its
own; the files that `verify=` and `cert=` name must exist there, and this package must be installed. A `payload=`
function must be importable in the workers of a `ProcessPoolExecutor`; loky, Dask and Ray take those of a script or a
notebook as well. The executor stays open after the batch. If it breaks, or raises what is no call's error, that comes
out of the batch after the results before it, and the journal has those.

Dask: install `acytoo-sdk[dask]`; its profiler is switched off, for the reason below.

    import dask
    from dask import distributed

    from acytoo_sdk import Client

    if __name__ == "__main__":
        dask.config.set({"distributed.worker.profile.enabled": False})  # before workers start
        client = Client("http://127.0.0.1:8000")
        with distributed.Client() as cluster:  # on this machine; or distributed.Client("tcp://scheduler:8786")
            for result in client.map(["one", "two"], executor=cluster.get_executor(), concurrency=8):
                print(result.unwrap())

Dask's profiler can hang a worker for good on CPython 3.11.7 (https://github.com/python/cpython/issues/106883). Where
you do not start the workers from Python, `DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False` in their environment
switches it off. When a batch is left early, Dask may log an `InvalidStateError` of its own, about a call that ended
just as it was cancelled; it does no harm.

On Kubernetes, `KubeCluster` of `dask-kubernetes` starts the workers; on Slurm, `SLURMCluster` of `dask-jobqueue` does,
which has clusters for PBS, LSF and others as well. Scale one, and pass it on: `distributed.Client(cluster)` takes the
place of `distributed.Client()` above. The image, or the environment, of the workers needs this package.

Ray has no executor of its own: see `acytoo_sdk.integrations.ray`.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from ._batch.asking import Asker
from ._batch.run import Run, Want
from ._batch.schedule import Schedule
from ._batch.task import Result
from ._batch.workers import ExecutorWorkers, Inbox, Workers, WorkerThreads
from ._checks import StrPath, check_count, check_file_path, check_flag, check_number, type_name
from ._options import CallOptions
from ._streams.stream import runs_elsewhere
from .errors import InvalidRequestError
from .protocol import Messages

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._batch.readers import ReaderWorkers  # anyio would come with it

T = TypeVar("T")

__all__ = ["AsyncMap", "Map", "Result"]


@dataclass(frozen=True)
class Plan(Generic[T]):
    """The arguments of a batch, checked.

    Raises:
        InvalidRequestError: one is not usable; the message names it.
    """

    prompts: Iterable[T] | AsyncIterable[T]
    prompt: Callable[[T], Messages] | None
    concurrency: int
    ordered: bool
    window: int | None
    requests_per_minute: float | None
    journal: StrPath | None
    call: CallOptions

    def __post_init__(self) -> None:
        if isinstance(self.prompts, str | bytes | Mapping) or not isinstance(self.prompts, Iterable | AsyncIterable):
            hint = ": for one prompt, pass [prompt]" if isinstance(self.prompts, str | Mapping) else ""
            raise InvalidRequestError(f"prompts must be an iterable of prompts, not {type_name(self.prompts)}{hint}")
        check_count("concurrency", self.concurrency)
        check_flag("ordered", self.ordered)
        if self.prompt is not None and not callable(self.prompt):
            raise InvalidRequestError(f"prompt must be a function of an item, not {type_name(self.prompt)}")
        if self.window is not None:
            check_count("window", self.window)
        if self.requests_per_minute is not None:
            check_number("requests_per_minute", self.requests_per_minute, above=0)

    @property
    def length(self) -> int | None:
        """How many prompts there are; None where the input does not say."""
        try:
            return len(self.prompts)  # type: ignore[arg-type]
        except TypeError:
            return None

    def run(self, workers: Workers) -> Run[T]:
        """The run of this batch, which nothing has begun yet."""
        schedule: Schedule[T] = Schedule(
            concurrency=self.concurrency,
            window=self.window or 2 * self.concurrency,
            ordered=self.ordered,
            interval=60 / self.requests_per_minute if self.requests_per_minute else 0.0,
            policy=self.call.retry,
        )
        journal = None if self.journal is None else check_file_path("journal", self.journal)
        return Run(prompt=self.prompt, call=self.call, schedule=schedule, workers=workers, journal=journal)


class BaseMap(Generic[T]):
    """What the two iterators have in common: the length."""

    def __init__(self, plan: Plan[T]) -> None:
        self._length = plan.length

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the input of this batch has no length")
        return self._length

    def __bool__(self) -> bool:
        return True


class Map(BaseMap[T], Iterator[Result[T]]):
    """A batch that runs: an iterator of a `Result` for each item of the input.

    Only `next()` reads prompts and sends requests, as many as the window and the concurrency have room for, and it
    blocks until a result is there. Between two calls, the requests that were sent go on, and nothing else happens. The
    batch ends, and what runs is cancelled, when the loop is left and the batch is dropped, when an exception comes out
    of it (Ctrl-C, for one), and at once by `close()` or at the end of `with`. One thread takes results at a time;
    `close()` may be called from any other. `len()` is that of the input, where it has one, so that progress bars know
    it.

    Yields:
        A `Result` for each item, in the order of the input, unless `ordered=False`.

    Raises:
        OSError, InvalidRequestError: the journal cannot be used; the message says why.
        ClientClosedError, StreamCancelledError: the client was closed; or another thread called `close()`.
        BaseException: what the input, the `prompt` function or the executor raised, after the results before it. The
            error of a single prompt is never raised: it is in its `Result.error`.
    """

    def __init__(self, plan: Plan[T], asker: Asker, executor: Executor | None) -> None:
        super().__init__(plan)
        if not isinstance(plan.prompts, Iterable):
            raise InvalidRequestError("prompts is an async iterable, which AsyncClient.map takes")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise InvalidRequestError(f"executor must be a concurrent.futures.Executor, not {type_name(executor)}")
        self._inbox = Inbox()
        workers = (
            WorkerThreads(asker, self._inbox) if executor is None else ExecutorWorkers(asker, self._inbox, executor)
        )
        self._run = plan.run(workers)
        self._results = _results(self._run, plan.prompts, self._inbox)

    def __next__(self) -> Result[T]:
        try:
            return next(self._results)
        except ValueError as error:
            if not runs_elsewhere(error):
                raise
            raise InvalidRequestError("Another thread takes the results of this batch: one does at a time") from None

    def close(self) -> None:
        """Ends the batch, from any thread: what runs is cancelled, and the replies that had arrived are in the journal.

        Calls that an executor runs in other processes end by themselves, and are not waited for. A thread that waits
        for a result gets a `StreamCancelledError`. A second call does nothing.
        """
        try:
            self._results.close()
        except ValueError as error:
            if not runs_elsewhere(error):
                raise
            self._run.cancel()
            self._inbox.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _results(run: Run[T], prompts: Iterable[T], inbox: Inbox) -> Generator[Result[T], None, None]:
    """The generator inside a batch. It holds no reference to the batch, so that it ends when the batch is dropped."""
    items: Iterator[T] | None = None
    with closing(run.steps()) as steps:
        for step in steps:
            if isinstance(step, Result):
                yield step
            elif isinstance(step, Want):
                try:
                    items = iter(prompts) if items is None else items
                    item = next(items)
                except StopIteration:
                    run.end_input()
                except Exception as error:
                    run.end_input(error)
                else:
                    run.add(item)
            elif callable(step):
                step()
            else:
                inbox.wait(step)


class AsyncMap(BaseMap[T], AsyncIterator[Result[T]]):
    """A batch that runs, for `async for`: `Map`'s twin. Its input may be an async iterable, too.

    Only asking for the next result reads prompts and sends requests: see `Map`. An input that is no async iterable, and
    the `prompt` function, run in the event loop's thread. The batch ends, and what runs is cancelled, when an exception
    or a cancellation comes out of the loop, when the batch is dropped, and at once by `aclose()` or at the end of
    `async with`. One task takes results at a time; `aclose()` may be called by any other of the same loop.

    Yields:
        A `Result` for each item, in the order of the input, unless `ordered=False`.

    Raises:
        BaseException: what `Map` raises, for the same reasons. A cancellation from outside comes out as itself, and
            ends the batch.
    """

    def __init__(self, plan: Plan[T], workers: ReaderWorkers) -> None:
        super().__init__(plan)
        self._workers = workers
        self._prompts = plan.prompts
        self._items: Iterator[T] | AsyncIterator[T] | None = None
        self._run = plan.run(workers)
        self._steps = self._run.steps()
        self._read_by_task = False

    async def __anext__(self) -> Result[T]:
        if self._read_by_task:
            raise InvalidRequestError("Another task takes the results of this batch: one does at a time")
        self._read_by_task = True
        try:
            await self._workers.let_others_run()
            for step in self._steps:
                if isinstance(step, Result):
                    return step
                if isinstance(step, Want):
                    await self._read_prompt()
                elif callable(step):
                    await self._workers.run_blocking(step)
                else:
                    await self._workers.wait(step)
                await self._workers.let_others_run()
        except BaseException:
            self._steps.close()
            raise
        finally:
            self._read_by_task = False
        self._prompts, self._items = (), None
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the batch: what runs is cancelled, and the replies that had arrived are in the journal.

        An input that is an async generator is closed, too, since often nobody else can. A task that waits for a result
        gets a `StreamCancelledError`; one that waits for the input gets it after the next item. A second call does
        nothing.
        """
        if self._read_by_task:
            self._run.cancel()
            self._workers.wake()
            await self._workers.wait_for_end()
            return
        self._steps.close()
        await self._workers.wait_for_end()
        items, self._prompts, self._items = self._items, (), None
        if isinstance(items, AsyncGenerator):
            await items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read_prompt(self) -> None:
        try:
            if self._items is None:
                prompts = self._prompts
                self._items = aiter(prompts) if isinstance(prompts, AsyncIterable) else iter(prompts)
            item = await anext(self._items) if isinstance(self._items, AsyncIterator) else next(self._items)
        except (StopIteration, StopAsyncIteration):
            self._run.end_input()
        except Exception as error:
            self._run.end_input(error)
        else:
            self._run.add(item)
