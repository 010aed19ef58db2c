"""An alarm rings once when it is due, however often that is changed, and with as few timers as can be."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from acytoo_sdk.server.alarm import Alarm


@dataclass
class Timer:
    """asyncio's `TimerHandle`, as far as it is used."""

    due: float
    call: Callable[[], object]
    cancelled: bool = False

    def when(self) -> float:
        return self.due

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Loop:
    """An event loop whose clock is the test's."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)
    soon: list[Callable[[], object]] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    def call_soon(self, call: Callable[[], object]) -> None:
        self.soon.append(call)

    def run_until(self, now: float) -> None:
        """Lets time pass, timer by timer; what is to be called soon is, after all that is due."""
        while True:
            waiting = [timer for timer in self.timers if not timer.cancelled and timer.due <= now]
            if self.soon and not any(timer.due <= self.now for timer in waiting):
                self.soon.pop(0)()
            elif waiting:
                timer = min(waiting, key=Timer.when)
                self.now = max(self.now, timer.due)
                timer.cancelled = True
                timer.call()
            else:
                break
        self.now = now


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


@pytest.fixture
def rung(loop: Loop) -> list[float]:
    """When it rang."""
    return []


@pytest.fixture
def alarm(loop: Loop, rung: list[float]) -> Alarm:
    return Alarm(lambda: rung.append(loop.now))


def test_it_rings_once_when_it_is_due(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    loop.run_until(1)
    assert loop.timers == [], "nothing is limited yet"

    alarm.set(5)
    loop.run_until(4.9)
    assert rung == []
    loop.run_until(100)
    assert rung == [5]
    assert alarm.due == math.inf


def test_it_rings_again_when_it_is_set_again(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    for due in (5, 7):
        alarm.set(due)
        loop.run_until(due)

    assert rung == [5, 7]


def test_what_ends_in_time_rings_nothing(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    alarm.set(5)
    alarm.due = math.inf
    loop.run_until(100)

    assert rung == []
    assert len(loop.timers) == 1, "whose time came, and which was not made anew"
    alarm.set(105)
    loop.run_until(200)
    assert rung == [105]


def test_a_later_limit_counts_though_the_timer_is_the_old_one(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    alarm.set(5)
    alarm.set(8)
    assert len(loop.timers) == 1

    loop.run_until(7.9)
    assert rung == []
    loop.run_until(8)
    assert rung == [8]


def test_an_earlier_limit_counts_at_once(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    alarm.set(8)
    alarm.set(5)
    loop.run_until(100)

    assert rung == [5]
    assert [timer.due for timer in loop.timers] == [8, 5]


@pytest.mark.parametrize("later", [math.inf, 9])
def test_what_comes_in_the_turn_in_which_it_is_due_puts_it_off(
    later: float, alarm: Alarm, loop: Loop, rung: list[float]
) -> None:
    alarm.set(5)
    loop.call_at(5, lambda: loop.call_soon(lambda: alarm.set(later)))  # as data does, by waking who waits for it
    loop.timers.reverse()  # it comes first
    loop.run_until(100)
    assert rung == [later] * (later < math.inf)


def test_thousands_of_waits_take_few_timers(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    for number in range(10_000):
        loop.run_until(number / 1000)
        alarm.set(loop.now + 5)
        alarm.due = math.inf

    assert rung == []
    assert len(loop.timers) <= 3
    assert sum(not timer.cancelled for timer in loop.timers) <= 1


def test_a_timer_that_is_early_waits_for_the_rest(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    alarm.set(5)
    loop.now = 4.999  # asyncio calls what is due within the clock's resolution
    loop.timers[0].cancelled = True
    loop.timers[0].call()
    assert rung == []

    loop.run_until(6)
    assert rung == [5]


def test_once_cancelled_it_never_rings_and_has_no_timer(alarm: Alarm, loop: Loop, rung: list[float]) -> None:
    alarm.cancel()
    alarm.set(5)
    alarm.cancel()
    alarm.cancel()

    assert all(timer.cancelled for timer in loop.timers)
    loop.run_until(100)
    assert rung == []
    assert alarm.due == math.inf


def test_it_may_be_set_by_what_it_rings(loop: Loop) -> None:
    rung: list[float] = []

    def ring() -> None:
        rung.append(loop.now)
        if len(rung) < 3:
            again.set(loop.now + 1)

    again = Alarm(ring)
    again.set(1)
    loop.run_until(100)

    assert rung == [1, 2, 3]


async def ring_in_a_real_loop() -> None:
    rung = asyncio.Event()
    alarm = Alarm(rung.set)
    alarm.set(asyncio.get_running_loop().time() + 30)
    alarm.set(asyncio.get_running_loop().time() + 0.01)
    await asyncio.wait_for(rung.wait(), 20)
    alarm.cancel()


def test_it_rings_in_a_real_loop() -> None:
    asyncio.run(ring_in_a_real_loop())
