"""The async client: `AsyncClient` holds what was configured, and starts streams, conversations and batches.

It is `Client` for event loops; how threads read for it is told in `_streams`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _display
from ._base_client import BaseClient
from ._checks import StrPath, check_count
from ._options import RetryPolicy, Timeout
from ._secrets import Secret, clears_frames
from ._streams.async_stream import AsyncStream
from ._streams.background import BackgroundStream
from ._streams.openers import ReaderPool
from ._streams.waker import run_in_thread
from .protocol import MessageLike, Messages

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._options import Arguments, CallOptions
    from .batch import AsyncMap
    from .conversation import AsyncConversation

T = TypeVar("T")


class AsyncClient(BaseClient):
    """Streams chat replies from an endpoint that sends bare UTF-8 text; for async code, on asyncio and trio.

    The twin of `Client`: the same arguments, names, pieces, errors and limits. Works with or without `async with`, in
    any number of tasks, and in any number of event loops, one after another or in threads of their own. Nothing is
    opened before the first call. Pickles like `Client`: with its secrets in clear.

    A cancelled task or scope closes its connection at once. Nothing is read in the event loop's thread, and no stream
    needs a thread of its own: two threads connect, or more where servers are slow to accept, and one thread reads all
    replies and wakes the loop, at most once in four milliseconds where much arrives at once.

    Args:
        base_url: scheme, host and maybe a path of your server, for instance "https://chat.example.com". Required with a
            key, a password or headers, wherever those come from.
        max_streams: how many streams run at once, over all loops; further ones wait for their turn, first come first
            served, and their waiting counts into `Timeout.total`. Each takes about 30 KB and a file descriptor; pass
            another number where a process may have few of these (`ulimit -n`, often 1,024), or many more.
        arguments: all the others are those of `Client`: `key`, `password`, `model`, `temperature`, `path`, `headers`,
            `timeout`, `retry`, `proxy`, `verify`, `cert`, `strip_notices`, `max_reply_bytes`, `payload`, `on_event`.

    Raises:
        InvalidRequestError: an argument, or an environment variable, is not usable, or base_url is missing; the message
            names it.

    Example:
        >>> import asyncio
        >>> from acytoo_sdk.testing import FakeServer
        >>> async def main():
        ...     with FakeServer("Hello!") as server:
        ...         async with AsyncClient(server.url) as client:
        ...             print(await client.complete("Hi"))
        >>> asyncio.run(main())
        Hello!
    """

    def __init__(self, base_url: str | None = None, *, max_streams: int = 500, **arguments: Unpack[Arguments]) -> None:
        given = Secret({"base_url": base_url, **arguments})
        del base_url, arguments
        self._max_streams = check_count("max_streams", max_streams)
        super().__init__(given)
        self._readers = ReaderPool(max_streams)

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> AsyncStream:
        """Starts a reply. Arguments are checked at once; the request is sent when the first piece is awaited.

        Args:
            messages: the conversation, oldest first; a `str` is one user message. Copied: later changes do not reach
                the call.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            An async generator of non-empty `str`; where pieces are cut carries no meaning, but never within a
            character; joined they are the reply. No `await` before `async for`. What reading may raise is listed at
            `Stream`.

        Raises:
            InvalidRequestError: an argument is not usable; the message names the place, as `messages[0].content`.
            ClientClosedError: the client was closed.
        """
        stream = AsyncStream(self._call(messages, model, temperature, timeout, retry), self._readers, _display)
        self._pool.add(stream)
        return stream

    async def complete(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> str:
        """Waits for the whole reply: the joined pieces of `stream`, with the same arguments.

        Args:
            messages: the conversation, oldest first; a `str` is one user message. Copied: later changes do not reach
                the call.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as `stream` and its `AsyncStream` do; `partial_text` holds what had arrived.
        """
        return await self.stream(messages, model=model, temperature=temperature, timeout=timeout, retry=retry).read()

    def conversation(
        self,
        *,
        system: str | None = None,
        messages: Sequence[MessageLike] = (),
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
        limit_characters: int | None = None,
    ) -> AsyncConversation:
        """Begins a conversation, which keeps the turns and sends them with each question. Nothing is sent yet.

        Args:
            system: a system message in front of the turns, in place of one that `messages` begins with; None: none.
            messages: the turns so far, oldest first. Copied.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: for each reply, instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: for each reply, instead of the client's; None keeps that.
            limit_characters: the most characters that are sent with a question; the oldest turns that do not fit are
                left out, whole. None for no bound.

        Returns:
            An `AsyncConversation`: `send` streams a reply, `await ask(...)` waits for it. No `await` before this one.

        Raises:
            InvalidRequestError: an argument is not usable; the message names it.
        """
        from .conversation import AsyncConversation

        return AsyncConversation(
            self,
            system=system,
            messages=messages,
            model=model,
            temperature=temperature,
            timeout=timeout,
            retry=retry,
            limit_characters=limit_characters,
        )

    def map(
        self,
        prompts: Iterable[T] | AsyncIterable[T],
        *,
        prompt: Callable[[T], Messages] | None = None,
        concurrency: int = 8,
        ordered: bool = True,
        window: int | None = None,
        requests_per_minute: float | None = None,
        journal: StrPath | None = None,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
    ) -> AsyncMap[T]:
        """Asks many prompts, some at once, and hands out what becomes of each: `async for result in client.map(...)`.

        The twin of `Client.map`, with the same arguments but an executor: the threads that read this client's streams
        read these, too, two or three for all.

        Args:
            prompts: the input, which may be an async iterable: read as it is needed, in the task that takes the
                results. While it is waited for, what arrives is neither kept nor handed out.
            prompt: makes the messages of an item; None: the items are messages, or `str`.
            concurrency: how many requests run at once; not more than `max_streams` do.
            ordered: whether results come in the order of the input, or as they are there.
            window: how many prompts are taken and not handed out yet, at most; None: `2 * concurrency`.
            requests_per_minute: a steady rate, without bursts; None: as fast as it goes.
            journal: the path of a file that keeps what becomes of each prompt; see `Client.map`.
            model: instead of the client's; None keeps that.
            temperature: instead of the client's; None keeps that.
            timeout: of one attempt; instead of the client's; None switches all limits off, `...` keeps the client's.
            retry: instead of the client's; None keeps that.

        Returns:
            An async iterator of a `Result` for each item. No `await` before `async for`.

        Raises:
            InvalidRequestError: an argument is not usable; the message names it. A prompt that is not usable is an
                error of its own item.
            ClientClosedError: the client was closed.
        """
        from ._batch.readers import ReaderWorkers
        from .batch import AsyncMap, Plan

        self._pool.check_open()
        call = self._options.for_call(model=model, temperature=temperature, timeout=timeout, retry=retry)
        plan = Plan(prompts, prompt, concurrency, ordered, window, requests_per_minute, journal, call)
        if plan.concurrency > self._max_streams:  # further attempts would lose time of their `total` while they wait
            plan = replace(plan, concurrency=self._max_streams)
        return AsyncMap(plan, ReaderWorkers(partial(self._begin, call)))

    async def warm_up(self) -> None:
        """Imports what the first request needs, in a thread, so that this request starts at once. Sends nothing.

        Without it, the first request does so itself, in a thread too. Any task may call it, repeatedly.

        Raises:
            InvalidRequestError: a certificate, or a proxy of the environment, is not usable; the message names it.
            ClientClosedError: the client was closed.
        """
        await run_in_thread(self._prepare)

    async def aclose(self) -> None:
        """Closes all connections, also those of clients made by `with_options`. Any task may call it, repeatedly.

        Running streams end in `StreamCancelledError`, whose `partial_text` is what they had handed out; later calls
        raise `ClientClosedError`.
        """
        self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_max_streams": self._max_streams}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._readers = ReaderPool(self._max_streams)

    def _begin(self, options: CallOptions, messages: Sequence[MessageLike]) -> BackgroundStream:
        """The stream of one attempt of a batch, which makes its retries itself."""
        call = self._call(messages, options.model, options.temperature, options.timeout, 1)
        stream = BackgroundStream(call, self._readers, _display)
        self._pool.add(stream)
        return stream

    @clears_frames
    def _prepare(self) -> None:
        from ._streams import retry  # noqa: F401 - tenacity comes with it

        self._pool.transport()

    def _pool_size(self) -> int:
        return self._max_streams
