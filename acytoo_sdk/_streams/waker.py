"""The waker: tasks wait in their event loop for what threads do, and are woken from any thread. anyio's one door."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, current_token
from anyio.lowlevel import checkpoint as checkpoint

GRACE = 0.25
"""How long, in seconds, closing waits for a connection to be closed: it is at once, unless a name is being resolved."""

LONGEST_TURN = 0.001
"""How long, in seconds, pieces that are there already may keep other tasks of a loop waiting."""


class LoopWaker:
    """Wakes the tasks of one event loop, from any thread. No lock is taken.

    On asyncio, a task waits for a future, which costs a third of what anyio's events do.

    Args:
        loop: asyncio's loop, or trio's token.

    Attributes:
        is_asyncio: whether the loop is one of asyncio's.
    """

    def __init__(self, loop: Any) -> None:
        self.is_asyncio = hasattr(loop, "create_future")
        self._loop = weakref.ref(loop)  # this is a variable of the loop, and must not keep it alive
        self._due: deque[Any] = deque()
        if self.is_asyncio:
            from asyncio import get_running_loop  # whoever runs such a loop has imported it

            self._running_loop = get_running_loop

    def waiter(self) -> Any:
        """What a task of the loop awaits, once, until it is woken; None where another loop runs here."""
        if not self.is_asyncio:
            return _Event() if current_token().native_token is self._loop() else None
        try:
            loop = self._running_loop()
        except RuntimeError:
            return None  # not one of asyncio's
        return loop.create_future() if loop is self._loop() else None

    def due(self, waiter: Any) -> None:
        """Notes who is to be woken next; from any thread."""
        self._due.append(waiter)

    def wake(self) -> None:
        """Wakes those who were noted, soon; from any thread."""
        loop: Any = self._loop()
        try:
            if self.is_asyncio:
                loop.call_soon_threadsafe(self._release)
            else:
                loop.run_sync_soon(self._release)
        except (AttributeError, RuntimeError) as error:
            if not self._tells_of_the_end(loop, error):
                raise  # a signal handler's
            self._due.clear()  # the loop is gone, and so is whoever waited: kept, they would hold it, and their streams

    def _tells_of_the_end(self, loop: Any, error: Exception) -> bool:
        """Whether an error means that the loop is gone, or closed."""
        if loop is None:
            return True
        return bool(loop.is_closed()) if self.is_asyncio else type(error).__name__ == "RunFinishedError"  # of trio

    def _release(self) -> None:
        while self._due:
            waiter = self._due.popleft()
            if not self.is_asyncio:
                waiter.set()
            elif not waiter.done():  # or it was cancelled
                waiter.set_result(None)


class _Event:
    """anyio's event, to be awaited itself."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.set = self._event.set

    def __await__(self) -> Any:
        return self._event.wait().__await__()


_wakers: RunVar[LoopWaker] = RunVar("acytoo_sdk")


def running_waker() -> LoopWaker:
    """The waker of the running loop."""
    try:
        return _wakers.get()
    except LookupError:
        waker = LoopWaker(current_token().native_token)
        _wakers.set(waker)
        return waker


async def wait_until(
    ready: Callable[[], bool],
    on_ready: Callable[[LoopWaker, Any], None],
    *,
    seconds: float,
    shielded: bool = False,
) -> bool:
    """Waits in the running loop until something is ready, or the time has run out.

    Args:
        ready: what is waited for.
        on_ready: called with a waker, and a waiter that it is to wake once `ready` may have changed.
        seconds: how long to wait at most.
        shielded: whether a cancellation of the task has to wait, too.

    Returns:
        Whether it is ready; False where the time ran out.
    """
    waker = running_waker()
    with anyio.move_on_after(seconds, shield=shielded):
        while not ready():
            waiter: Awaitable[object] = waker.waiter()
            on_ready(waker, waiter)
            if not ready():
                await waiter
    return ready()


async def run_in_thread(function: Callable[[], None]) -> None:
    """Runs a function in a thread, which takes none of those that others wait for."""
    await anyio.to_thread.run_sync(function, limiter=anyio.CapacityLimiter(1))
