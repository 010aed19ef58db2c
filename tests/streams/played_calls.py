"""Calls whose servers the test plays, wakers of plain threads, and what a reading thread is waited for with."""

from __future__ import annotations

import math
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from fault_server import wait_for

from acytoo_sdk import APITimeoutError
from acytoo_sdk._streams.reader import Reader

AHEAD = 64 * 1024
"""How far a reader runs ahead of its consumer, in characters."""

Step: TypeAlias = "str | float | BaseException | None"
"""What a server says: a text, how long to wait for the next attempt, an error; None for the end."""


class Played:
    """A call whose steps the test plays.

    Args:
        steps: what its server says at once.
        watched: whether there is a socket to be watched; else reading waits for the server.
        limit: on each silence of the server, in seconds.
        opens: called where a connection is opened.

    Attributes:
        read: how many texts were read.
        opened: how often a connection was opened.
        closed: whether the reading ended.
    """

    def __init__(
        self,
        *steps: Step,
        watched: bool = True,
        limit: float = math.inf,
        opens: Callable[[], object] = lambda: None,
    ) -> None:
        self.read = 0
        self.opened = 0
        self.closed = threading.Event()
        self._watched = watched
        self._limit = limit
        self._opens = opens
        self._expired = False
        self._before_close: Callable[[], None] = lambda: None
        self._steps = deque(steps)
        self._news = threading.Condition()
        self._sockets: tuple[socket.socket, socket.socket] | None = None

    def play(self, *steps: Step) -> None:
        """The server says more."""
        for step in steps:
            with self._news:
                self._steps.append(step)
                self._news.notify()
                if self._sockets is not None:
                    self._sockets[1].send(b"\0")

    def steps(self) -> Generator[str | float | None, None, None]:
        try:
            self._open()
            while True:
                yield None
                step = self._next()
                if step is None:
                    return
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, str):
                    self.read += 1
                if step != "":
                    yield step
                if isinstance(step, float):
                    self._close()
                    self._open()
        finally:
            self._close()
            self.closed.set()

    def unblock(self) -> int | None:
        if not self._watched:
            return None
        with self._news:
            assert self._sockets is None, "once is enough"
            self._sockets = socket.socketpair()
            self._sockets[1].send(b"\0" * len(self._steps))
            return self._sockets[0].fileno()

    def before_close(self, act: Callable[[], None]) -> bool:
        self._before_close = act
        return True

    def due(self, since: float) -> float:
        return since + self._limit

    def expire(self) -> None:
        self._expired = True

    def _open(self) -> None:
        self.opened += 1
        self._opens()

    def _next(self) -> Step:
        with self._news:
            if not self._steps and self._expired:
                raise APITimeoutError("silent", phase="idle")
            if self._sockets is None:
                assert self._news.wait_for(lambda: self._steps, 10), "the server said nothing"
            elif self._steps:
                self._sockets[0].recv(1)
            return self._steps.popleft() if self._steps else ""

    def _close(self) -> None:
        self._before_close()
        with self._news:
            for each in self._sockets or ():
                each.close()
            self._sockets = None


class ThreadWaker:
    """Wakes plain threads: a waiter is a function that is called."""

    def __init__(self) -> None:
        self._noted: deque[Any] = deque()

    def due(self, waiter: object) -> None:
        self._noted.append(waiter)

    def wake(self) -> None:
        while self._noted:
            self._noted.popleft()()


def reader_of(*steps: Step, **how: Any) -> tuple[Reader, Any]:
    """A reader whose resuming nobody needs to know of, and its call."""
    call: Any = Played(*steps, **how)
    return Reader(call, lambda reader: None), call


def news(reader: Reader) -> None:
    """Waits for them, as a consumer does."""
    event = threading.Event()
    while not reader.ready():
        reader.on_ready(ThreadWaker(), event.set)
        if not reader.ready():
            assert event.wait(10)
        event.clear()


def stream_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "acytoo-stream"]


def all_gone() -> bool:
    """Waits for the reading threads to end; returns whether they did."""
    return wait_for(lambda: not stream_threads())
