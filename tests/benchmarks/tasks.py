"""The tasks: what a peer is measured at. Each takes the peer's pieces and a path, and returns its figures by name."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import cache
from statistics import median

from .peers import Async, Blocking
from .server import STAMP

Figures = dict[str, float]

_CALLS = 100


def drain(pieces: Blocking, path: str) -> Figures:
    """Reads one reply to its end."""
    number = characters = 0
    for piece in pieces(path):
        number += 1
        characters += len(piece)
    return {"pieces": number, "characters": characters}


async def drain_async(pieces: Async, path: str) -> Figures:
    """Reads one reply to its end."""
    number = characters = 0
    async for piece in pieces(path):
        number += 1
        characters += len(piece)
    return {"pieces": number, "characters": characters}


def first_text(pieces: Blocking, path: str) -> Figures:
    """Makes calls one after another; how long each takes to its first text."""
    waits = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        reply = pieces(path)
        next(reply)
        waits.append(time.perf_counter() - began)
        for _ in reply:
            pass
    return {"first": median(waits)}


def delays(pieces: Blocking, path: str) -> Figures:
    """Reads a paced reply; how long after its sending each piece is there."""
    return {"delay": median([_age(piece) for piece in pieces(path)])}


async def delays_async(pieces: Async, path: str) -> Figures:
    """Reads a paced reply; how long after its sending each piece is there."""
    return {"delay": median([_age(piece) async for piece in pieces(path)])}


def _age(piece: str | bytes) -> float:
    return (time.monotonic_ns() - int(piece[-STAMP:])) / 1e9


def crowd(pieces: Blocking, path: str, streams: int) -> Figures:
    """Reads many paced replies at once, each in a thread."""
    characters: list[float] = []
    before = _memory_at_rest()

    def read() -> None:
        characters.append(drain(pieces, path)["characters"])

    threads = [threading.Thread(target=read) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _crowd_figures(characters, streams, before)


async def crowd_async(pieces: Async, path: str, streams: int) -> Figures:
    """Reads many paced replies at once, each in a task."""
    before = _memory_at_rest()
    figures = await asyncio.gather(*(drain_async(pieces, path) for _ in range(streams)))
    return _crowd_figures([each["characters"] for each in figures], streams, before)


def _crowd_figures(characters: list[float], streams: int, before: float) -> Figures:
    return {"characters": sum(characters), "memory": (_memory("VmHWM") - before) / streams}


def memory(pieces: Blocking, path: str) -> Figures:
    """Reads one reply to its end, and takes its text: how many bytes each takes, for one character of the reply."""
    tracemalloc.start()
    try:
        stream = pieces(path)
        characters = sum(map(len, stream))
        reading = tracemalloc.get_traced_memory()[1]
        text = getattr(stream, "text", "")
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(text) == characters
    return {"reading": reading / characters, "after": after / characters}


@cache
def _memory_at_rest() -> float:
    """What this process took before its first crowd: later ones find the memory of those before them."""
    return _memory("VmRSS")


def _memory(name: str) -> float:
    """A line of the kernel's figures on this process, in bytes; `VmHWM` is the highest `VmRSS` so far."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024.0 for line in status if line.startswith(name))


BLOCKING: dict[str, Callable[[Blocking, str], Figures]] = {
    "drain": drain,
    "first text": first_text,
    "delays": delays,
    "memory": memory,
    "crowd of 200": lambda pieces, path: crowd(pieces, path, 200),
    "crowd of 1000": lambda pieces, path: crowd(pieces, path, 1000),
}
ASYNC: dict[str, Callable[[Async, str], Awaitable[Figures]]] = {
    "drain": drain_async,
    "delays": delays_async,
    "crowd of 200": lambda pieces, path: crowd_async(pieces, path, 200),
    "crowd of 1000": lambda pieces, path: crowd_async(pieces, path, 1000),
}
