"""What the tests of async code share: running one on both loops, and waiting for what nobody announces."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest

LOOPS = ("asyncio", "trio")


def on(*loops: str) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Makes an ordinary test of an async one, run on each of these loops; its arguments stay those of the test."""

    def decorate(test: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        def run(*, loop: str, **given: object) -> None:
            anyio.run(functools.partial(test, **given), backend=loop)

        asked = [each.replace(kind=each.KEYWORD_ONLY) for each in inspect.signature(test).parameters.values()]
        run.__signature__ = inspect.Signature([inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY), *asked])  # type: ignore[attr-defined]
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return pytest.mark.parametrize("loop", loops)(run)

    return decorate


on_both = on(*LOOPS)


async def until(predicate: Callable[[], object], timeout: float = 5.0) -> None:
    """Waits for something that nobody announces."""
    with anyio.fail_after(timeout):
        while not predicate():
            await anyio.sleep(0.002)


def readers() -> int:
    """How many threads read streams."""
    return sum(thread.name == "acytoo-stream" for thread in threading.enumerate())
