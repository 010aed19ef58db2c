"""The schedule of a batch, told what happens and when: no clock, no thread, no server."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamInterruptedError,
)
from acytoo_sdk._batch.schedule import Schedule
from acytoo_sdk._batch.task import Outcome, Task

EXACT = RetryPolicy(attempts=3, wait_initial=1, wait_max=8, jitter=0)
ANSWER = Outcome("Hello!", None, None, True, None, 1)


def failure(error: AcytooError) -> Outcome:
    return Outcome(None, error, None, False, None, 1)


def throttled(retry_after: float | None = None) -> Outcome:
    return failure(RateLimitError("slow down", status_code=429, retry_after=retry_after, retryable=True))


def overloaded(retry_after: float | None = None) -> Outcome:
    return failure(ServerError("try later", status_code=503, retry_after=retry_after, retryable=True))


BROKEN = failure(APIConnectionError("dropped"))


def schedule(
    tasks: int = 0,
    *,
    concurrency: int = 4,
    window: int = 100,
    ordered: bool = True,
    interval: float = 0.0,
    policy: RetryPolicy = EXACT,
) -> Schedule[str]:
    """A schedule with so many tasks."""
    made: Schedule[str] = Schedule(
        concurrency=concurrency, window=window, ordered=ordered, interval=interval, policy=policy
    )
    for index in range(tasks):
        made.add(Task(index, f"item {index}"))
    return made


def sent(schedule: Schedule[str], now: float) -> list[Task[str]]:
    """All that are sent at a time."""
    tasks = []
    while (task := schedule.next_to_send(now)) is not None:
        tasks.append(task)
    return tasks


def handed_out(schedule: Schedule[str]) -> list[int]:
    """All that are handed out now."""
    indices = []
    while (task := schedule.take()) is not None:
        assert task.result is not None
        indices.append(task.index)
    return indices


# How many, and in which order


def test_no_more_run_than_may_at_once() -> None:
    plan = schedule(10, concurrency=3)
    first = sent(plan, 0.0)
    assert [task.index for task in first] == [0, 1, 2]
    assert not plan.is_idle
    assert plan.wait(0.0) == math.inf
    plan.receive(first[1], ANSWER, 1.0)
    assert [task.index for task in sent(plan, 1.0)] == [3]


def test_there_is_room_for_as_many_as_the_window_holds_until_they_are_handed_out() -> None:
    plan = schedule(3, window=3)
    assert [plan.has_room] == [False]
    for task in sent(plan, 0.0):
        plan.receive(task, ANSWER, 0.0)
    assert [plan.has_room] == [False]
    assert plan.take() is not None
    assert [plan.has_room] == [True]
    assert handed_out(plan) == [1, 2]
    assert plan.is_empty


def test_results_are_handed_out_in_order_or_as_they_come() -> None:
    for ordered, early, late in ((True, [], [0, 1, 2]), (False, [2, 1], [0])):
        plan = schedule(3, ordered=ordered)
        first, second, third = sent(plan, 0.0)
        plan.receive(third, ANSWER, 1.0)
        plan.receive(second, ANSWER, 1.0)
        assert handed_out(plan) == early
        plan.receive(first, ANSWER, 2.0)
        assert handed_out(plan) == late


def test_a_task_that_has_its_result_is_handed_out_in_its_place() -> None:
    for ordered in (True, False):
        plan = schedule(1, ordered=ordered)
        resumed = Task(1, "item 1")
        resumed.finish(ANSWER, resumed=True)
        plan.add(resumed)
        assert handed_out(plan) == ([] if ordered else [1])
        (first,) = sent(plan, 0.0)
        plan.receive(first, ANSWER, 0.0)
        assert handed_out(plan) == ([0, 1] if ordered else [0])


def test_what_is_sent_again_goes_before_what_was_never_sent() -> None:
    plan = schedule(3, concurrency=1)
    (first,) = sent(plan, 0.0)
    plan.receive(first, BROKEN, 0.0)
    assert [task.index for task in sent(plan, 1.0)] == [0]


# Attempts


@pytest.mark.parametrize(
    "error",
    [
        APIConnectionError("dropped"),
        APITimeoutError("silent", phase="idle", partial_text="Hel"),
        StreamInterruptedError("cut", partial_text="Hel"),
        ServerError("failed", status_code=500, retryable=True),
    ],
)
def test_a_failed_attempt_is_made_again_after_its_wait_and_holds_no_place_meanwhile(error: AcytooError) -> None:
    plan = schedule(2, concurrency=1)
    (first,) = sent(plan, 0.0)
    plan.receive(first, failure(error), 10.0)
    (second,) = sent(plan, 10.0)
    assert second.index == 1
    plan.receive(second, ANSWER, 10.5)
    assert plan.wait(10.5) == 0.5
    assert not sent(plan, 10.9)
    assert sent(plan, 11.0) == [first]
    plan.receive(first, failure(error), 11.0)
    assert plan.wait(11.0) == 2.0
    assert sent(plan, 13.0) == [first]
    plan.receive(first, failure(error), 13.0)
    assert first.result is not None, "there were three attempts"
    assert first.result.error is error
    assert first.result.attempts == 3
    assert handed_out(plan) == [0, 1]


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("no", status_code=400),
        APITimeoutError("over", phase="total"),
        ServerError("come back tomorrow", status_code=500, retry_after=86400, retryable=True),
    ],
)
def test_what_would_fail_again_is_not_sent_again(error: AcytooError) -> None:
    plan = schedule(1)
    (task,) = sent(plan, 0.0)
    plan.receive(task, failure(error), 0.0)
    assert task.result is not None
    assert (task.result.text, task.result.error, task.result.attempts) == (None, error, 1)


# Pauses


@pytest.mark.parametrize("told", [throttled(5), overloaded(5)])
def test_who_is_told_to_wait_makes_everybody_wait(told: Outcome) -> None:
    plan = schedule(10, concurrency=2)
    first, second = sent(plan, 0.0)
    plan.receive(first, told, 1.0)
    plan.receive(second, ANSWER, 2.0)
    assert not sent(plan, 5.9)
    assert plan.wait(2.0) == 4.0
    assert [task.index for task in sent(plan, 6.0)] == [0, 2]


def test_a_503_that_names_no_time_is_a_failure_of_its_own_prompt() -> None:
    plan = schedule(3, concurrency=1)
    (first,) = sent(plan, 0.0)
    plan.receive(first, overloaded(), 0.0)
    assert [task.index for task in sent(plan, 0.0)] == [1]


def test_a_pause_costs_no_attempt_while_others_get_their_replies() -> None:
    plan, now = schedule(1, concurrency=2, policy=RetryPolicy(attempts=1)), 0.0
    for number in range(1, 50):
        plan.add(Task(number, "another"))
        told, other = sent(plan, now)
        assert (told.index, other.index) == (0, number)
        plan.receive(told, throttled(1), now)
        plan.receive(other, ANSWER, now)
        now += 1
    (task,) = sent(plan, now)
    plan.receive(task, ANSWER, now)
    assert task.result is not None
    assert (task.result.text, task.result.attempts) == ("Hello!", 50)


def test_many_that_are_told_at_once_make_one_pause_as_long_as_the_longest() -> None:
    plan = schedule(4)
    for task, seconds in zip(sent(plan, 0.0), (1, 4, 2, 3), strict=True):
        plan.receive(task, throttled(seconds), 0.0)
    assert plan.wait(0.0) == 4.0
    for now in (4.0, 5.0):  # it was one pause, so two more are allowed
        tasks = sent(plan, now)
        assert len(tasks) == 4
        for task in tasks:
            plan.receive(task, throttled(1), now)
    assert [task.result for task in sent(plan, 6.0)] == [None] * 4


def test_prompts_fail_after_as_many_pauses_in_a_row_as_there_are_attempts() -> None:
    plan, now = schedule(3, concurrency=2), 0.0
    for _ in range(EXACT.attempts):
        tasks = sent(plan, now)
        assert [task.index for task in tasks] == [0, 1]
        for task in tasks:
            plan.receive(task, throttled(1), now)
        assert not handed_out(plan)
        now += 1
    for task in sent(plan, now):
        plan.receive(task, throttled(1), now)
    assert handed_out(plan) == [0, 1]
    assert not sent(plan, now + 0.9), "everybody pauses, also now: what is left is not to fail all at once"
    now += 1
    (last,) = sent(plan, now)
    plan.receive(last, ANSWER, now)
    plan.add(Task(3, "one more"))
    (task,) = sent(plan, now)
    plan.receive(task, throttled(1), now)
    assert task.result is None, "a reply begins the count anew"


def test_pauses_grow_where_the_server_names_no_time() -> None:
    plan, now, waits = schedule(1), 0.0, []
    for _ in range(EXACT.attempts):
        (task,) = sent(plan, now)
        plan.receive(task, throttled(), now)
        waits.append(plan.wait(now))
        now += waits[-1]
    assert waits == [1.0, 2.0, 4.0]


def test_a_pause_longer_than_is_waited_for_fails_its_prompt_alone() -> None:
    plan = schedule(2, concurrency=1)
    (first,) = sent(plan, 0.0)
    plan.receive(first, throttled(3600), 0.0)
    assert handed_out(plan) == [0]
    assert [task.index for task in sent(plan, 0.0)] == [1]


def test_who_was_sent_before_a_pause_and_is_told_after_it_makes_no_other_one() -> None:
    plan = schedule(3)
    first, second, third = sent(plan, 0.0)
    for number, late in enumerate((first, second, third), 1):
        plan.receive(late, throttled(1), float(number))
        assert late.result is None
    assert sent(plan, 4.0) == [first, second, third]
    for task in (first, second):
        plan.receive(task, throttled(1), 4.0)
    assert (first.result, second.result) == (None, None), "it is the second pause of three"


# The rate


def test_a_rate_spaces_requests_evenly_and_makes_up_for_nothing() -> None:
    plan, now = schedule(20, concurrency=20, interval=0.5), 0.0
    times: list[float] = []
    while len(times) < 20:
        now += max(plan.wait(now), 0.01) if len(times) != 10 else 30.0  # somebody was busy elsewhere
        times += [now] * len(sent(plan, now))
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.499


# The end


def test_once_stopped_nothing_is_sent_and_what_is_done_is_handed_out_with_gaps() -> None:
    plan = schedule(7, concurrency=5, ordered=False)
    first, second, third, fourth, fifth = sent(plan, 0.0)
    plan.receive(fourth, ANSWER, 0.0)
    plan.receive(second, ANSWER, 0.0)
    plan.receive(third, BROKEN, 0.0)
    plan.drop(first)
    plan.stop()
    assert plan.running == {fifth}
    assert not sent(plan, 100.0)
    assert handed_out(plan) == [1, 3]
    assert not plan.is_empty
    plan.receive(fifth, BROKEN, 0.0)  # which would be sent again
    assert handed_out(plan) == [4]
    assert plan.is_empty


def test_once_stopped_what_is_done_still_waits_for_what_runs_before_it() -> None:
    plan = schedule(3)
    first, second, third = sent(plan, 0.0)
    plan.receive(third, ANSWER, 0.0)
    plan.drop(second)
    plan.stop()
    assert not handed_out(plan)
    plan.receive(first, ANSWER, 0.0)
    assert handed_out(plan) == [0, 2]


def test_what_runs_and_what_is_done_hold_their_room_once_stopped() -> None:
    plan = schedule(5, concurrency=3, window=3)
    _, second, _ = sent(plan, 0.0)
    plan.receive(second, ANSWER, 0.0)
    plan.stop()
    assert not plan.has_room
    assert handed_out(plan) == []
    assert not plan.has_room


def test_a_dropped_task_is_not_handed_out_though_it_was_done() -> None:
    plan = schedule(2)
    first, second = sent(plan, 0.0)
    plan.receive(second, ANSWER, 0.0)
    plan.drop(second)
    plan.receive(first, ANSWER, 0.0)
    assert handed_out(plan) == [0]
    assert plan.is_empty


# Everything at once


_OUTCOMES = st.sampled_from([ANSWER, ANSWER, BROKEN, throttled(), throttled(2), overloaded(1), overloaded()])


@given(
    outcomes=st.lists(_OUTCOMES, max_size=60),
    durations=st.lists(st.floats(0.01, 5), min_size=1, max_size=7),
    concurrency=st.integers(1, 5),
    window=st.integers(1, 12),
    ordered=st.booleans(),
    interval=st.sampled_from([0.0, 0.25]),
)
def test_whatever_a_server_says_each_prompt_is_handed_out_once(
    outcomes: list[Outcome],
    durations: list[float],
    concurrency: int,
    window: int,
    ordered: bool,
    interval: float,
) -> None:
    number = 25
    plan = schedule(concurrency=concurrency, window=window, ordered=ordered, interval=interval)
    saying, taking = _then(outcomes, ANSWER), _again(durations)
    now, taken, last_sent, requests = 0.0, 0, -math.inf, 0
    results: list[int] = []
    running: list[tuple[float, int, Task[str]]] = []
    while len(results) < number:
        while plan.has_room and taken < number:
            plan.add(Task(taken, str(taken)))
            taken += 1
        assert taken - len(results) <= window
        for task in sent(plan, now):
            assert now - last_sent > interval - 1e-9
            last_sent, requests = now, requests + 1
            heapq.heappush(running, (now + next(taking), task.index, task))
        assert len(running) == len(plan.running) <= concurrency
        results += handed_out(plan)
        until = now + plan.wait(now)
        if running and running[0][0] <= until:
            now, _, task = heapq.heappop(running)
            plan.receive(task, next(saying), now)
        elif len(results) < number and not plan.has_room | bool(running):
            assert until < math.inf, "nobody would ever be sent"
            now = max(until, math.nextafter(now, math.inf))
        elif until < math.inf:
            now = max(until, math.nextafter(now, math.inf))
    assert sorted(results) == [*range(number)]
    assert not ordered or results == sorted(results)
    assert plan.is_empty
    assert requests >= number


def _then(outcomes: list[Outcome], rest: Outcome) -> Iterator[Outcome]:
    yield from outcomes
    while True:
        yield rest


def _again(durations: list[float]) -> Iterator[float]:
    while True:
        yield from durations
