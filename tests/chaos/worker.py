"""A worker: makes one stream after another, and reads, closes or drops it, or hands it over to be ended by others.

The same for both kinds of clients: the coroutines never suspend where the client blocks, and `run` runs them.
"""

from __future__ import annotations

import itertools
import random
import time
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import anyio

from acytoo_sdk import (
    AsyncClient,
    Client,
    ClientClosedError,
    Stream,
    StreamCancelledError,
    Timeout,
)

from .interference import Exposed, Signals, fork
from .judge import HARM, Judge, Reading
from .plan import long_question, new_question

PATIENT = Timeout(connect=20, first_byte=30, idle=30)
"""Where nothing goes wrong, or is ended by others, no limit runs out."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Clients:
    """Those of one kind, blocking or async.

    Attributes:
        calm: of the server whose replies are whole.
        rough: of the other.
        new: makes one more of the first.
    """

    calm: Client | AsyncClient
    rough: Client | AsyncClient
    new: Callable[[], Client | AsyncClient]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a blocking client's worker in this thread."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("a blocking client's worker has awaited something")


class Worker:
    """Does one thing after another.

    Args:
        clients: of one kind.
        exposed: where its streams may be seen, and ended.
        judge: is told of every outcome.
        seed: of its choices.
        signals: in the main thread, with the blocking client: what its handlers raise is caught here.
        forking: a blocking client of the calm server, to fork beside now and then; only in the main thread.
    """

    def __init__(
        self,
        clients: Clients,
        exposed: Exposed,
        judge: Judge,
        *,
        seed: int,
        signals: Signals | None = None,
        forking: Client | None = None,
    ) -> None:
        self._clients = clients
        self._exposed = exposed
        self._judge = judge
        self._draw = random.Random(seed)
        self._signals = signals
        self._forking = forking
        self._talks = {client: _Talk(client) for client in (clients.calm, clients.rough)}
        self._acts = (_pull, _pull, self._close, *[self._drop] * 2, self._be_cancelled, self._be_closed)

    async def work(self, until: float) -> None:
        """Goes on until a time of the monotonic clock."""
        while time.monotonic() < until:
            if self._draw.random() < 0.1:
                await self._do_with_client_of_its_own()
            else:
                await self._do_with_shared_client()

    async def _do_with_shared_client(self) -> None:
        rough = self._draw.random() < 0.4
        client = self._clients.rough if rough else self._clients.calm
        question, pulse = new_question(next(_numbers), self._draw), self._judge.pulse
        reading = Reading(question, pulse, HARM if rough else (), may_be_cut=rough)
        talk = self._talks[client] if self._draw.random() < 0.3 else None
        act, around = self._draw.choice(self._acts), self._around()
        if act == self._drop and self._draw.random() < 0.5:
            reading.question = long_question(next(_numbers))
        if self._forking is not None and self._draw.random() < 0.02:
            act, around = self._fork, nullcontext()
        # Of these, nothing but their end from outside ends a silence.
        timeout = PATIENT if act in (self._be_cancelled, self._be_closed) else client.options.timeout

        async def ask() -> None:
            if talk is None:
                reading.stream = client.stream(reading.question, timeout=timeout)
            else:
                reading.stream = await talk.ask(reading, self._draw)
            self._exposed.show(reading)
            await act(reading)

        outcome = await self._judged(reading, ask, around)
        if talk is not None:
            talk.check(reading, outcome, self._judge)

    async def _do_with_client_of_its_own(self) -> None:
        """Which others close meanwhile."""
        question, pulse = new_question(next(_numbers), self._draw), self._judge.pulse
        reading = Reading(question, pulse, (StreamCancelledError, ClientClosedError))
        client = self._clients.new()  # here: it looks for a file, and `os.path.exists` would catch an OSError

        async def ask() -> None:
            try:
                self._exposed.show_end(client)
                reading.stream = client.stream(reading.question)
                await _pull(reading)
            finally:
                await _end(client)

        await self._judged(reading, ask, self._around())

    def _around(self) -> AbstractContextManager[object]:
        """What an act is done in: a cancel scope which runs out, or a place in which signal handlers raise."""
        if isinstance(self._clients.calm, AsyncClient) and self._draw.random() < 0.15:
            return anyio.move_on_after(self._draw.uniform(0, 0.02))
        if self._signals is not None and self._draw.random() < 0.7:
            return self._signals
        return nullcontext()

    async def _judged(
        self, reading: Reading, ask: Callable[[], Coroutine[Any, Any, None]], around: AbstractContextManager[object]
    ) -> str:
        raised = self._signals.take_raised if self._signals is not None else lambda: None
        try:
            with around as scope:
                await ask()
            reading.may_be_short |= getattr(scope, "cancelled_caught", False)
        except Exception as error:
            return self._judge.weigh(reading, error, raised=raised())
        return self._judge.weigh(reading, None, raised=raised())

    async def _close(self, reading: Reading) -> None:
        await _pull(reading, self._draw.randrange(4))
        reading.may_be_short = True
        await _end(reading.stream)
        await _pull(reading)

    async def _drop(self, reading: Reading) -> None:
        if self._draw.random() < 0.5:
            _Cycle(reading.stream)
        await _pull(reading, self._draw.randrange(4))
        reading.drop()

    async def _be_cancelled(self, reading: Reading) -> None:
        reading.allowed = (*reading.allowed, StreamCancelledError)
        self._exposed.anywhere.append(reading.stream.cancel)
        await _pull(reading)

    async def _be_closed(self, reading: Reading) -> None:
        reading.allowed, reading.may_be_short = (*reading.allowed, StreamCancelledError), True
        self._exposed.show_end(reading.stream)
        await _pull(reading)

    async def _fork(self, reading: Reading) -> None:
        assert self._forking is not None
        await _pull(reading, 1)
        fork(reading.stream, self._forking, self._judge, self._draw)
        reading.hear()
        await _pull(reading)


async def _pull(reading: Reading, most: int | None = None) -> None:
    """Reads a stream: so many pieces, or to its end."""
    stream = reading.stream
    while most is None or len(reading.pieces) < most:
        try:
            piece = next(stream) if isinstance(stream, Stream) else await anext(stream)
        except (StopIteration, StopAsyncIteration):
            reading.finished = True
            return
        reading.receive(piece)


async def _end(thing: Any) -> None:
    """Closes a client or a stream, of either kind."""
    if hasattr(thing, "aclose"):
        await thing.aclose()
    elif thing is not None:
        thing.close()


class _Cycle:
    """Holds a stream, and a method of its own: the garbage collector alone can end them."""

    def __init__(self, stream: object) -> None:
        self.stream, self.bound = stream, self.__init__  # type: ignore[misc]


class _Talk:
    """A conversation, and the turns that must be in it."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self._client = client
        self._begin()

    def _begin(self) -> None:
        self._conversation = self._client.conversation()
        self._turns: list[tuple[str, str]] = []
        self._unfinished: str | None = None
        self._again = False  # the answer takes the place of the last one
        self._stream: Callable[[], object] = lambda: None

    async def ask(self, reading: Reading, draw: random.Random) -> Any:
        """The stream of a question, or of the last one once more."""
        await _end(self._stream())  # of a cycle, perhaps
        if (self._turns or self._unfinished) and draw.random() < 0.3:
            self._again |= not self._unfinished
            reading.question = self._unfinished or self._turns[-1][0]
            stream: Any = self._conversation.retry()
        else:
            self._again = False
            stream = self._conversation.send(reading.question)
        self._unfinished, self._stream = reading.question, weakref.ref(stream)
        return stream

    def check(self, reading: Reading, outcome: str, judge: Judge) -> None:
        """Its turns are those that were finished, each once."""
        said = [message["content"] for message in self._conversation.messages]
        turns = list(zip(said[::2], said[1::2], strict=True))
        finished = [*(self._turns[:-1] if self._again else self._turns), (reading.question, reading.text)]
        if outcome == "handler's" or (outcome == "whole" and reading.may_be_short):
            allowed = [self._turns, finished]
        else:
            allowed = [finished if outcome in ("whole", "cut") else self._turns]
        if turns not in allowed:
            judge.blame(f"after {outcome}, a conversation holds {turns[-3:]}, not {allowed[-1][-3:]}")
        if outcome == "handler's" or turns not in allowed or len(turns) > 5:
            self._begin()
        elif turns == finished:
            self._turns, self._unfinished, self._again = turns, None, False
