"""Leaving a stream, in every way and wherever it is: at once, with the caller's own exception, and nothing stays behind.

A scene brings a stream to a place where it waits; a way leaves it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import anyio
import pytest
from loops import on, on_both, readers, until

from acytoo_sdk import AsyncClient, AsyncStream, RetryPolicy, StreamCancelledError, Timeout
from acytoo_sdk.testing import FakeServer, Fault, Gate

Place = Literal["turn", "connecting", "head", "reading", "backing off", "buffer full"]
PLACES: tuple[Place, ...] = ("turn", "connecting", "head", "reading", "backing off", "buffer full")
SLACK = 1.0  # for the 0.5 s of the promise, on a busy machine


@dataclass
class Scene:
    """A stream that waits.

    Attributes:
        client: has one place.
        stream: reads as `consume` does.
        reached: whether it is where it should be.
        text: what it has handed out there.
        left: whether the server has seen the end of it.
    """

    client: AsyncClient
    stream: AsyncStream
    reached: Callable[[], object]
    text: str
    left: Callable[[], object]


async def consume(scene: Scene) -> None:
    """Reads; at a buffer that is to fill, stops after the first piece."""
    async for _ in scene.stream:
        if not scene.text.startswith("При"):
            await anyio.sleep_forever()


@contextlib.asynccontextmanager
async def scene_at(place: Place) -> AsyncIterator[Scene]:
    """Sets a scene; afterwards nothing may be left of it, and its place must be free for another stream."""
    gate = Gate()
    faults = {
        "turn": None,
        "connecting": None,
        "head": Fault.no_head(),
        "reading": Fault.stall(after=1),
        "backing off": Fault.drop(),
        "buffer full": Fault(text=b"x" * 2**23),
    }
    retry = RetryPolicy(wait_initial=60, wait_max=60, jitter=0)
    held = anyio.CancelScope()
    with FakeServer(["При", "вет"], faults=[faults[place]], gate=gate if place == "turn" else None) as server:
        with blackhole() if place == "connecting" else contextlib.nullcontext(server.url) as url:
            client = AsyncClient(url, max_streams=1, timeout=Timeout(connect=60, idle=60), retry=retry)
            async with anyio.create_task_group() as tasks:
                if place == "turn":
                    tasks.start_soon(hold, client, held)
                    await until(lambda: gate.waiting)
                stream = client.stream("Hi")
                reached: dict[Place, Callable[[], object]] = {
                    "turn": lambda: client._crew._queue,
                    "connecting": lambda: stream.stats.attempts,
                    "head": lambda: server.requests,
                    "reading": lambda: stream.text,
                    "backing off": lambda: server.requests and not server.open_connections,
                    "buffer full": lambda: stream._reader._full and stream.text,
                }
                busy = int(place == "turn")
                scene = Scene(
                    client=client,
                    stream=stream,
                    reached=reached[place],
                    text={"reading": "При", "buffer full": "x"}.get(place, ""),
                    left=lambda: server.open_connections == readers() == busy and not client._crew._queue,
                )
                yield scene
                await until(scene.left)
                assert len(server.requests) == (0 if place == "connecting" else 1)
                held.cancel()
            with anyio.fail_after(10):
                assert await client.with_options(base_url=server.url).complete("Hi") == "Привет" or gate.open()
            await client.aclose()


async def hold(client: AsyncClient, scope: anyio.CancelScope) -> None:
    with scope:
        await client.complete("I was first")


@contextlib.contextmanager
def blackhole() -> contextlib.AbstractContextManager[str]:  # type: ignore[misc]
    """A listener that nobody can connect to: its queue is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "http://127.0.0.1:{}".format(listener.getsockname()[1])
