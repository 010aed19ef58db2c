"""The tasks: what a peer is measured at. Each takes the peer's pieces and a path, and returns its figures by name."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

from .peers import Async, Blocking
from .server import STAMP
from .streams import Figures, streams, streams_async, streams_trio

_CALLS = 100
_STREAMS = (1, 20, 200, 1000)


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


BLOCKING: dict[str, Callable[[Blocking, str], Figures]] = {
    "drain": drain,
    "first text": first_text,
    "delays": delays,
    "memory": memory,
    **{f"{number} streams": partial(streams, number=number) for number in _STREAMS},
}
ASYNC: dict[str, Callable[[Async, str], Awaitable[Figures]]] = {
    "drain": drain_async,
    "delays": delays_async,
    **{f"{number} streams": partial(streams_async, number=number) for number in _STREAMS},
}
TRIO: dict[str, Callable[[Async, str], Awaitable[Figures]]] = {
    f"{number} streams": partial(streams_trio, number=number) for number in _STREAMS
}
RELAYED = {f"{number} relayed": number for number in (1, 100, 1000)}
ASKED = {f"{number} prompts": number for number in (100, 10_000)}
