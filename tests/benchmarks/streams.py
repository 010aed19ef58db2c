"""Many paced streams at once: what a piece costs while all of them are open, and what it costs to open them.

A reply may join several pieces into one item: each part that bears a time counts as a piece of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from array import array
from dataclasses import dataclass
from functools import cache
from statistics import median

from .peers import Async, Blocking
from .server import STAMP

Figures = dict[str, float]


class TooSlowError(Exception):
    """The streams were never open all at once."""


def streams(pieces: Blocking, path: str, number: int) -> Figures:
    """Reads paced replies, each in a thread."""
    window = _Window(number, Process(os.getpid()))

    def read() -> None:
        reply = pieces(path)
        window.receive_first(next(reply))
        for piece in reply:
            window.receive(piece)
        window.receive_end()

    threads = [threading.Thread(target=read) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return window.figures()


async def streams_async(pieces: Async, path: str, number: int, *, process: Process | None = None) -> Figures:
    """Reads paced replies, each in a task of asyncio; CPU and memory are those of `process`, by default this one."""
    window = _Window(number, process or Process(os.getpid()))
    await asyncio.gather(*(_read(pieces, path, window) for _ in range(number)))
    return window.figures()


async def streams_trio(pieces: Async, path: str, number: int) -> Figures:
    """Reads paced replies, each in a task of trio."""
    import trio

    window = _Window(number, Process(os.getpid()))
    async with trio.open_nursery() as nursery:
        for _ in range(number):
            nursery.start_soon(_read, pieces, path, window)
    return window.figures()


async def _read(pieces: Async, path: str, window: _Window) -> None:
    reply = pieces(path)
    window.receive_first(await anext(reply))
    async for piece in reply:
        window.receive(piece)
    window.receive_end()


@dataclass(frozen=True)
class Process:
    """A process, as the kernel sees it."""

    pid: int

    @property
    def cpu(self) -> float:
        """Seconds used so far."""
        return time.clock_gettime(~self.pid << 3 | 2)  # Linux numbers the clocks of processes so

    @property
    def memory(self) -> float:
        """Bytes that it takes."""
        return self._status("VmRSS") * 1024

    @property
    def threads(self) -> float:
        """How many it has."""
        return self._status("Threads")

    def _status(self, name: str) -> float:
        with open(f"/proc/{self.pid}/status") as status:
            return next(float(line.split()[1]) for line in status if line.startswith(name))


@dataclass(frozen=True)
class _Moment:
    """What a process had used, and what it had, when so many pieces had been handed out."""

    pieces: int
    wall: float
    cpu: float
    memory: float
    threads: float

    @staticmethod
    def now(pieces: int, process: Process) -> _Moment:
        memory, threads = process.memory, process.threads
        return _Moment(pieces, time.perf_counter(), process.cpu, memory, threads)


class _Window:
    """The time from when every stream has had its first piece to when the first stream ends."""

    def __init__(self, number: int, process: Process) -> None:
        self._number = number
        self._process = process
        self._waiting = number
        self._ages = array("q")  # nanoseconds from sending; eight bytes each, so that they hardly count as memory
        self._lock = threading.Lock()
        self._at_rest = _memory_at_rest(process)
        self._began = _Moment.now(0, process)
        self._opened: _Moment | None = None
        self._closed: _Moment | None = None

    def receive(self, piece: str | bytes) -> None:
        now = time.monotonic_ns()
        if len(piece) == STAMP:
            self._ages.append(now - int(piece))
            return
        for start in range(0, len(piece), STAMP):
            self._ages.append(now - int(piece[start : start + STAMP]))

    def receive_first(self, piece: str | bytes) -> None:
        self.receive(piece)
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self._opened = _Moment.now(len(self._ages), self._process)

    def receive_end(self) -> None:
        with self._lock:
            if self._closed is None:
                self._closed = _Moment.now(len(self._ages), self._process)

    def figures(self) -> Figures:
        began, opened, closed = self._began, self._opened, self._closed
        if opened is None or closed is None or closed.pieces <= opened.pieces:
            raise TooSlowError("a stream ended before all were open")
        pieces, wall = closed.pieces - opened.pieces, closed.wall - opened.wall
        ages = sorted(self._ages[opened.pieces : closed.pieces])
        return {
            "characters": len(self._ages) * STAMP,
            "cpu of a piece": (closed.cpu - opened.cpu) / pieces,
            "delay": median(ages) / 1e9,
            "late delay": ages[len(ages) * 99 // 100] / 1e9,
            "rate": pieces / wall / self._number,
            "window": wall,
            "threads": max(opened.threads, closed.threads),
            "memory": (closed.memory - self._at_rest) / self._number,
            "cpu of opening": (opened.cpu - began.cpu) / self._number,
            "wall of opening": opened.wall - began.wall,
        }


@cache
def _memory_at_rest(process: Process) -> float:
    """What a process took before its first streams: later rounds find the memory of those before them."""
    return process.memory
