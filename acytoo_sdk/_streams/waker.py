"""The waker: a task waits in its event loop for what threads do, and is woken from any thread. anyio's one door."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar, current_token
from anyio.lowlevel import checkpoint as checkpoint


async def wait_until(
    ready: Callable[[], bool],
    on_news: Callable[[Callable[[], None]], None],
    *,
    seconds: float | None = None,
    shielded: bool = False,
) -> bool:
    """Waits in the running loop.

    Args:
        ready: what is waited for.
        on_news: called with a function that any thread may call, once, as soon as `ready` may have changed.
        seconds: how long at most; None for no limit.
        shielded: whether a cancellation of the task has to wait, too.

    Returns:
        Whether it is ready; False where the time ran out.
    """
    if seconds is not None:
        with anyio.move_on_after(seconds, shield=shielded) as scope:
            await wait_until(ready, on_news)
        return not scope.cancelled_caught
    while not ready():
        event = anyio.Event()
        on_news(partial(_running_waker().wake, event))
        if not ready():
            await event.wait()
    return True


async def run_in_thread(function: Callable[[], None]) -> None:
    """Runs a function in a thread, which takes none of those that others wait for."""
    await anyio.to_thread.run_sync(function, limiter=anyio.CapacityLimiter(1))


class _Waker:
    """Sets events of one loop from any thread; those that are due together wake it once."""

    def __init__(self, loop: Any) -> None:
        self._loop = weakref.ref(loop)  # the loop's variables live as long as it does, and this is one of them
        self._call_soon = "call_soon_threadsafe" if hasattr(loop, "call_soon_threadsafe") else "run_sync_soon"
        self._due: deque[anyio.Event] = deque()
        self._woken = False

    def wake(self, event: anyio.Event) -> None:
        """Sets an event, soon."""
        self._due.append(event)
        if not self._woken:
            self._woken = True
            try:
                getattr(self._loop(), self._call_soon)(self._set_due)
            except (AttributeError, RuntimeError):
                self._woken = False  # the loop is gone, and with it whoever waited

    def _set_due(self) -> None:
        self._woken = False  # first: what is appended from now on wakes again
        while self._due:
            self._due.popleft().set()


_wakers: RunVar[_Waker] = RunVar("acytoo_sdk")


def _running_waker() -> _Waker:
    """The one of the running loop."""
    try:
        return _wakers.get()
    except LookupError:
        waker = _Waker(current_token().native_token)
        _wakers.set(waker)
        return waker
