"""How threads wake the tasks of an event loop: those of that loop alone, and once for many."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from loops import on_both

from acytoo_sdk._streams.waker import LoopWaker, running_waker, wait_until


def in_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(10)


def wake(waker: LoopWaker, *waiters: object) -> None:
    for waiter in waiters:
        waker.due(waiter)
    waker.wake()


@on_both
async def test_a_loop_has_one_waker() -> None:
    assert running_waker() is running_waker()


def test_each_loop_has_a_waker_of_its_own_that_is_gone_with_it() -> None:
    async def waker_of_loop() -> weakref.ref[LoopWaker]:
        return weakref.ref(running_waker())

    for backend in ("asyncio", "trio"):
        made = [anyio.run(waker_of_loop, backend=backend) for _ in range(3)]
        gc.collect()
        assert [each() for each in made] == [None] * 3


@on_both
async def test_a_task_is_woken_from_another_thread() -> None:
    waker = running_waker()
    waiter: Awaitable[object] = waker.waiter()
    with anyio.fail_after(5):
        threading.Thread(target=wake, args=(waker, waiter)).start()
        await waiter


@on_both
async def test_many_tasks_are_woken_by_one_call_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    waker = running_waker()
    waiters: list[Any] = [waker.waiter() for _ in range(10)]
    released = 0
    release = waker._release

    def count() -> None:
        nonlocal released
        released += 1
        release()

    monkeypatch.setattr(waker, "_release", count)
    in_thread(lambda: wake(waker, *waiters))
    with anyio.fail_after(5):
        for waiter in waiters:
            await waiter
    assert released == 1


@on_both
async def test_a_task_that_was_cancelled_meanwhile_is_woken_in_vain() -> None:
    waker = running_waker()
    waiter, other = waker.waiter(), waker.waiter()
    with anyio.move_on_after(0.01) as scope:
        await waiter
    assert scope.cancelled_caught
    in_thread(lambda: wake(waker, waiter, other))
    with anyio.fail_after(5):
        await other


@on_both
async def test_a_waiter_that_is_noted_twice_is_woken_once() -> None:
    waker = running_waker()
    waiter = waker.waiter()
    in_thread(lambda: wake(waker, waiter, waiter))
    in_thread(lambda: wake(waker, waiter))
    with anyio.fail_after(5):
        await waiter
        await anyio.sleep(0.01)


@pytest.mark.parametrize("first", ["asyncio", "trio"])
@pytest.mark.parametrize("then", ["asyncio", "trio"])
def test_in_another_loop_there_is_no_waiter(first: str, then: str) -> None:
    """Whoever goes on there asks for the waker of that one."""

    async def waker_of_loop() -> LoopWaker:
        waker = running_waker()
        assert waker.waiter() is not None
        return waker

    async def elsewhere() -> None:
        assert old.waiter() is None
        assert running_waker() is not old

    old = anyio.run(waker_of_loop, backend=first)
    anyio.run(elsewhere, backend=then)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("kept", [True, False])
def test_waking_those_of_a_loop_that_is_gone_does_nothing(backend: str, kept: bool) -> None:
    async def leave() -> tuple[LoopWaker, object, object]:
        waker = running_waker()
        loop: object = asyncio.get_running_loop() if backend == "asyncio" else trio.lowlevel.current_trio_token()
        return (waker, waker.waiter(), loop) if kept else (waker, object(), None)

    waker, waiter, loop = anyio.run(leave, backend=backend)
    gc.collect()
    wake(waker, waiter)

    assert (waker._loop() is not None) is (loop is not None)


@on_both
async def test_what_is_ready_is_not_waited_for() -> None:
    asked: list[object] = []
    assert await wait_until(lambda: True, lambda waker, waiter: asked.append(waiter), seconds=0.0)
    assert asked == []


@on_both
async def test_what_becomes_ready_while_it_is_asked_for_is_not_waited_for() -> None:
    asked: list[object] = []
    assert await wait_until(lambda: bool(asked), lambda waker, waiter: asked.append(waiter), seconds=5.0)
    assert len(asked) == 1


@on_both
async def test_a_wait_ends_when_it_is_ready_however_often_it_is_woken_before() -> None:
    woken = 0

    def on_ready(waker: LoopWaker, waiter: object) -> None:
        nonlocal woken
        woken += 1
        threading.Thread(target=wake, args=(waker, waiter)).start()

    assert await wait_until(lambda: woken == 4, on_ready, seconds=10.0)
    assert not await wait_until(lambda: False, lambda waker, waiter: None, seconds=0.01)


@on_both
async def test_a_shielded_wait_is_ended_by_what_it_waits_for_and_not_by_a_cancellation() -> None:
    ready = threading.Event()

    def get_ready(waker: LoopWaker, waiter: object) -> None:
        def work() -> None:
            ready.set()
            wake(waker, waiter)

        threading.Timer(0.02, work).start()

    with anyio.CancelScope() as scope:
        scope.cancel()
        assert await wait_until(ready.is_set, get_ready, seconds=5.0, shielded=True)


@on_both
async def test_another_wait_is_ended_by_a_cancellation() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await wait_until(lambda: False, lambda waker, waiter: None, seconds=5.0)
    assert scope.cancelled_caught


def test_what_a_handler_raises_while_a_loop_is_woken_comes_out() -> None:
    """It is not taken for the loop's end: those who wait would not be woken."""

    class Interrupted:
        def create_future(self) -> None:
            """By which asyncio's loops are known."""

        def is_closed(self) -> bool:
            return False

        def call_soon_threadsafe(self, callback: object) -> None:
            raise RuntimeError("the handler's")

    loop = Interrupted()
    waker = LoopWaker(loop)
    waker.due("somebody")
    with pytest.raises(RuntimeError, match="the handler's"):
        waker.wake()
    assert list(waker._due) == ["somebody"]
