"""The watch: one thread that reads the replies of many calls, each as soon as its server says something.

A selector tells which did. The thread looks after the limits of all readers, and after those that wait for room, or for
their next attempt; what waits for anything else, a connection for one, is not done here.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..errors import APIConnectionError
from .reader import Reader, Wait, Waker

# Of news that comes so soon after other news, in seconds, wake-ups are joined: one costs more than reading a piece.
_SOON = 0.0005
# For how long, in seconds: a little, and a little more for each reader, but never longer than the last of these.
_REST, _REST_PER_READER, _LONGEST_REST = 0.0004, 0.00002, 0.004
_LONGEST_WAIT = 3600.0  # seconds; no selector takes a year

_SERVER = Wait.SERVER  # looked up once, not for each piece

T = TypeVar("T")


class Watch:
    """Readers that wait, and the thread that reads for them: one at a time, as long as there are any.

    No lock is taken: a finaliser may stop a reader at any moment, in any thread.

    Args:
        reopen: called with a reader whose next step may wait.
        close: called with a reader that has ended.
    """

    def __init__(self, *, reopen: Callable[[Reader], None], close: Callable[[Reader], None]) -> None:
        self.reopen = reopen
        self.close = close
        self.arrivals: deque[tuple[Reader, Wait]] = deque()
        self.resumed: deque[Reader] = deque()
        self._free = deque([True])  # taken by the thread that watches
        self._self_pipe: _SelfPipe | None = None

    def add(self, reader: Reader, wait: Wait) -> bool:
        """Takes a reader over; returns whether the calling thread has to `run`, since no other does."""
        self.arrivals.append((reader, wait))
        if first(self._free) is not None:
            return True
        self._notify()
        return False

    def resume(self, reader: Reader) -> None:
        """A reader has room again, or was stopped; from any thread. One that is still to be added is looked at then."""
        if not self._free:
            self.resumed.append(reader)
            self._notify()

    def run(self) -> None:
        """Watches, in this thread, until no reader is left."""
        watching = True
        while watching:
            try:
                rounds = _Rounds(self)
            except Exception as error:  # there is no selector to be had; nobody is to wait for ever
                while (arrival := first(self.arrivals)) is not None:
                    refuse(arrival[0], error)
                    self.close(arrival[0])
            else:
                with rounds:
                    self._self_pipe = rounds.self_pipe
                    rounds.run()
                self._self_pipe = None
            watching = self._leave()

    def _leave(self) -> bool:
        """Lets another thread watch; returns whether this one has to go on, since somebody came meanwhile."""
        self._free.append(True)
        return bool(self.arrivals) and first(self._free) is not None

    def _notify(self) -> None:
        if (self_pipe := self._self_pipe) is not None:
            self_pipe.write()


class _SelfPipe(socket.socket):
    """What wakes the watching thread. Whoever lets go of it last closes it, so its number is not reused meanwhile."""

    def write(self) -> None:
        """From any thread."""
        try:
            self.send(b"\0")
        except OSError:
            pass  # it is full, so the thread wakes anyway; or nobody watches any more

    def __del__(self) -> None:
        self.close()


class _Rounds:
    """What the watching thread keeps for itself. A round reads whatever has arrived, then wakes each event loop once.

    Attributes:
        self_pipe: whoever writes to it has arrivals, and what is resumed, looked at.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        with contextlib.ExitStack() as opened:
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._read_end, end = socket.socketpair()
            self.self_pipe = _SelfPipe(fileno=end.detach())
            for each in (opened.enter_context(self._read_end), self.self_pipe):
                each.setblocking(False)
            self._selector.register(self._read_end, selectors.EVENT_READ)
            self._opened = opened.pop_all()
        self._watched: dict[Reader, int] = {}  # by the descriptors of their sockets
        self._parked: dict[Reader, Wait] = {}  # and those that wait for something else
        self._earliest = math.inf  # when the first of them is to be looked after, at the latest
        self._wakers: set[Waker] = set()  # of those who wait for what was read
        self._woken = 0.0  # when they were last woken

    def __enter__(self) -> _Rounds:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()
        del self.self_pipe  # calls that ended may keep these rounds, but they keep no socket open

    def run(self) -> None:
        """Watches until no reader is left."""
        try:
            self._look_around()
            self._wake_as_they_come()
            while self._watched or self._parked:
                self._collect(self._earliest - time.monotonic())
                self._wake_as_they_come()
        except Exception as error:
            self._refuse_all(error)

    def _refuse_all(self, error: Exception) -> None:
        """Nobody is to wait for ever, though there is a bug somewhere, which may show again."""
        readers = {*self._watched, *self._parked}
        acts: list[Callable[[], None]] = [partial(refuse, reader, error) for reader in readers]
        acts += [partial(self._watch.close, reader) for reader in readers]
        acts += [waker.wake for waker in self._wakers]
        for act in acts:
            with contextlib.suppress(Exception):
                act()

    def _wake_as_they_come(self) -> None:
        """Wakes those who wait for news: at once, or, as long as news comes soon after other news, all after a rest."""
        busy = False
        while self._wakers:
            rest = min(_REST + _REST_PER_READER * len(self._watched), _LONGEST_REST)
            if not busy and time.monotonic() - self._woken < max(_SOON, rest):
                busy = True
                self._rest(rest)
            self._wake()
            if busy:
                self._rest(rest)

    def _rest(self, seconds: float) -> None:
        time.sleep(seconds)
        self._collect(0)

    def _collect(self, seconds: float) -> None:
        """Waits for news, so long at most, and reads what has arrived."""
        events = self._selector.select(min(max(seconds, 0), _LONGEST_WAIT))
        now, notified = time.monotonic(), False
        for key, _ in events:
            if (reader := key.data) is None:
                notified = True
                continue
            settled, wait = reader.settled, reader.read(now)
            reader.note_news(self._wakers)
            if wait is not _SERVER:
                self._place(reader, wait)
            elif not settled:  # another limit may apply now, an earlier one
                self._earliest = min(self._earliest, reader.due())
        if notified:
            self._read_end.recv(4096)
            self._look_around()
        if now >= self._earliest:
            self._look_after_limits(now)

    def _wake(self) -> None:
        while self._wakers:
            self._wakers.pop().wake()
        self._woken = time.monotonic()

    def _place(self, reader: Reader, wait: Wait) -> None:
        """Puts a reader where it waits."""
        self._parked[reader] = wait  # first of all: whatever is raised below, it is known
        self._let_go(reader)
        if wait is Wait.NOTHING:
            del self._parked[reader]
            self._watch.close(reader)
        elif wait is Wait.SERVER:
            self._register(reader)
        else:
            self._earliest = min(self._earliest, reader.resume_at)

    def _register(self, reader: Reader) -> None:
        assert reader.descriptor is not None, "it is told by its socket"
        if not reader.before_close(partial(self._let_go, reader)):  # nobody would say when to forget the socket
            reader.stop()  # as whoever ended its call does
            return
        try:
            self._selector.register(reader.descriptor, selectors.EVENT_READ, reader)
        except OSError as error:  # the system watches no more sockets
            del self._parked[reader]
            refuse(reader, error)
            self._watch.close(reader)
            return
        self._watched[reader] = reader.descriptor
        del self._parked[reader]
        self._earliest = min(self._earliest, reader.due())

    def _let_go(self, reader: Reader) -> None:
        """Has the selector forget a socket before that is closed: epoll would go on, where a child has it still."""
        if (descriptor := self._watched.pop(reader, None)) is not None:
            self._selector.unregister(descriptor)

    def _look_around(self) -> None:
        """Takes in who has come, and looks at who was resumed."""
        now = time.monotonic()
        while (arrival := first(self._watch.arrivals)) is not None:
            self._place(*arrival)
            self._look_at(arrival[0], now)
        while (reader := first(self._watch.resumed)) is not None:
            self._look_at(reader, now)

    def _look_at(self, reader: Reader, now: float) -> None:
        """A reader may go on, or is to end."""
        known = reader in self._watched or reader in self._parked
        has_room = self._parked.get(reader) is Wait.ROOM and reader.has_room
        if known and (reader.stopped or (has_room and reader.descriptor is not None)):
            self._place(reader, reader.read(now))
            reader.note_news(self._wakers)
        elif has_room:
            del self._parked[reader]
            self._watch.reopen(reader)  # reading it waits

    def _look_after_limits(self, now: float) -> None:
        self._earliest = math.inf
        for reader in [*self._watched]:
            if (due := reader.due()) <= now:
                self._place(reader, reader.expire(now))
                reader.note_news(self._wakers)
            else:
                self._earliest = min(self._earliest, due)
        for reader in [*self._parked]:
            if reader.resume_at <= now:
                del self._parked[reader]
                reader.resume_at = math.inf
                self._watch.reopen(reader)
            else:
                self._earliest = min(self._earliest, reader.resume_at)


def first(waiting: deque[T]) -> T | None:
    """The first of those that wait, taken out; None where there is none."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


def refuse(reader: Reader, cause: Exception) -> None:
    """Ends a reader for which the system has nothing left, or that a bug keeps from being read."""
    of_system = isinstance(cause, OSError | RuntimeError)
    what = "The system has no more threads, or descriptors, for another stream" if of_system else "Reading has failed"
    error = APIConnectionError(what)
    error.__cause__ = cause.with_traceback(None)
    reader.end(error)
