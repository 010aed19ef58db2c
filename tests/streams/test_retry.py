"""Retries: how often, after which waits, and when not. Waits are recorded, not slept."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    Client,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
    Timeout,
)
from acytoo_sdk._streams.retry import wait_after
from acytoo_sdk.testing import FakeServer, Fault

HOUR = 3600.0
BUSY = Fault.status(503)


def waits(
    *errors: Any,
    policy: RetryPolicy,
    deadline: float | None = None,
    sleep: Callable[[float], object] = lambda seconds: None,
) -> list[float]:
    """The waits between the attempts that end in these errors."""
    slept: list[float] = []
    for attempt, error in enumerate(errors, 1):
        slept.append(wait_after(error, attempt=attempt, policy=policy, deadline=deadline))
        sleep(slept[-1])
    return slept


def busy(retry_after: float | None = None) -> ServerError:
    return ServerError("busy", status_code=503, retry_after=retry_after, retryable=True)


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=8, wait_initial=0.5, wait_max=8, jitter=0)
    assert waits(*[APIConnectionError("no")] * 7, policy=policy) == [0.5, 1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 4.0), (0.5, 3.0), (1.0, 2.0)])
def test_jitter_is_the_fraction_that_is_random(monkeypatch: pytest.MonkeyPatch, drawn: float, wait: float) -> None:
    monkeypatch.setattr(random, "random", lambda: drawn)
    assert waits(busy(), policy=RetryPolicy(wait_initial=4, jitter=0.5)) == [wait]


@given(
    attempts=st.integers(2, 12),
    initial=st.floats(0, 1e300),
    longest=st.floats(0, 1e300),
    jitter=st.floats(0, 1),
)
def test_every_wait_is_within_its_jitter(attempts: int, initial: float, longest: float, jitter: float) -> None:
    policy = RetryPolicy(attempts, initial, longest, jitter)
    for number, wait in enumerate(waits(*[busy()] * (attempts - 1), policy=policy)):
        full = min(initial * 2**number, longest)
        assert full * (1 - jitter) * (1 - 1e-9) <= wait <= full


def test_a_thousand_attempts_wait_the_longest_and_overflow_nothing() -> None:
    slept = waits(*[busy()] * 1999, policy=RetryPolicy(attempts=2000, wait_initial=1e-9, wait_max=8, jitter=0))
    assert slept[-1] == max(slept) == 8


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_are_bounded(attempts: int) -> None:
    with FakeServer(faults=[BUSY] * 9) as server, Client(server.url, retry=RetryPolicy(attempts, 0)) as client:
        stream = client.stream("Hi")
        with pytest.raises(ServerError):
            next(stream)
        assert len(server.requests) == stream.stats.attempts == attempts
        assert len({request.body for request in server.requests}) == 1


def test_an_int_is_the_number_of_attempts_and_that_of_the_call_wins() -> None:
    with FakeServer(faults=[BUSY] * 9) as server, Client(server.url, retry=5) as client:
        with pytest.raises(ServerError):
            client.complete("Hi", retry=1)
        assert len(server.requests) == 1


def test_retry_after_takes_the_place_of_the_wait() -> None:
    policy = RetryPolicy(attempts=5, wait_initial=1, jitter=0)
    assert waits(busy(30), busy(), busy(0), busy(60), policy=policy) == [30, 2, 0, 60]


def test_retry_after_above_its_cap_is_raised_at_once() -> None:
    policy = RetryPolicy(retry_after_max=10)
    with pytest.raises(ServerError) as caught:
        waits(busy(10.5), policy=policy)
    assert caught.value.retry_after == 10.5
    assert waits(busy(10), policy=policy) == [10]


def test_retry_after_beyond_the_deadline_is_raised_at_once() -> None:
    deadline = time.monotonic() + HOUR
    policy = RetryPolicy(retry_after_max=9 * HOUR)
    with pytest.raises(ServerError):
        waits(busy(2 * HOUR), policy=policy, deadline=deadline)
    assert waits(busy(HOUR / 2), policy=policy, deadline=deadline) == [HOUR / 2]


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    with pytest.raises(APIConnectionError, match="the real one"):
        waits(
            APIConnectionError("the real one"),
            policy=RetryPolicy(wait_initial=2 * HOUR, wait_max=2 * HOUR, jitter=0),
            deadline=time.monotonic() + HOUR,
        )


def test_a_deadline_inside_the_waits_ends_with_the_last_real_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two waits fit, by the clock that the sleeping moves; the third does not."""
    now = 1000.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    errors = [APIConnectionError("first"), busy(), RateLimitError("last", status_code=429, retryable=True), busy()]
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(RateLimitError, match="last"):
        waits(*errors, policy=RetryPolicy(9, 1, 8, 0), deadline=1006.0, sleep=sleep)
    monkeypatch.undo()
    assert slept == [1, 2]


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        MemoryError(),
        ValueError("a bug"),
        AuthenticationError("no", status_code=401),
        BadRequestError("no", status_code=400),
        APIConnectionError("TLS", retryable=False),
        APITimeoutError("over", phase="total"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_get_better_is_not_retried(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        waits(error, policy=RetryPolicy())
    assert caught.value is error


def test_nothing_is_retried_after_the_first_text() -> None:
    with FakeServer(["Hel", "lo"], faults=[Fault.cut(after=1)]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert next(stream) == "Hel"
        with pytest.raises(StreamInterruptedError) as caught:
            next(stream)
        assert caught.value.partial_text == "Hel"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault", [BUSY, Fault.drop(), Fault.reset(), Fault.cut(after=0), Fault.empty(), Fault.no_head(), Fault.stall(0)]
)
def test_everything_before_the_first_text_is_retried(fault: Fault) -> None:
    policy = RetryPolicy(wait_initial=0)
    with (
        FakeServer(["Hello"], faults=[fault]) as server,
        Client(server.url, retry=policy, timeout=Timeout(first_byte=0.3, idle=0.3)) as client,
    ):
        stream = client.stream("Hi")
        assert stream.read() == "Hello"
        assert stream.stats.attempts == len(server.requests) == 2


def test_retry_after_of_the_wire_is_waited_for() -> None:
    with FakeServer("Hello", faults=[Fault.status(429, retry_after=1)]) as server, Client(server.url) as client:
        began = time.monotonic()
        assert client.complete("Hi") == "Hello"
        assert time.monotonic() - began >= 1


@pytest.mark.parametrize("value", ["3600", formatdate(time.time() + HOUR, usegmt=True)])
def test_a_long_retry_after_of_the_wire_is_in_the_error(value: str) -> None:
    with FakeServer(faults=[Fault.status(429, retry_after=value)]) as server, Client(server.url) as client:
        with pytest.raises(RateLimitError) as caught:
            client.complete("Hi")
        assert caught.value.retry_after is not None
        assert HOUR / 2 < caught.value.retry_after <= HOUR
        assert len(server.requests) == 1


@pytest.mark.parametrize("retry_after", ["9999999999", None])
def test_cancel_wakes_the_longest_wait_at_once(retry_after: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """The first wait is longer than any lock can wait for; the second one as long as floats go."""
    policy = RetryPolicy(wait_initial=1e300, wait_max=1e300, retry_after_max=1e300)
    waiting = threading.Event()

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            waiting.set()

    logger, handler = logging.getLogger("acytoo_sdk"), Waits()
    logger.addHandler(handler)
    caplog.set_level(logging.INFO, "acytoo_sdk")
    try:
        faults = [Fault.status(503, retry_after=retry_after)]
        with FakeServer(faults=faults) as server, Client(server.url, retry=policy) as client:
            stream = client.stream("Hi")
            woken: list[float] = []

            def read() -> None:
                with pytest.raises(StreamCancelledError):
                    next(stream)
                woken.append(time.monotonic())

            reader = threading.Thread(target=read)
            reader.start()
            assert waiting.wait(10)
            began = time.monotonic()
            stream.cancel()
            reader.join(10)
            assert woken[0] - began < 1
            assert len(server.requests) == 1
    finally:
        logger.removeHandler(handler)


def test_the_log_tells_of_retries_and_holds_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fault = Fault.status(503, body="body-said", headers={"x-header": "header-said"})
    with FakeServer("reply-said", faults=[fault]) as server:
        client = Client(server.url, key="key-said", password="password-said", retry=RetryPolicy(wait_initial=0))
        client.complete("message-said")
        client.close()
    ours = [record.getMessage() for record in caplog.records if record.name == "acytoo_sdk"]
    assert ours == ["attempt 1 failed with ServerError; the next one in 0.00 s"]
    assert "said" not in caplog.text


def test_the_error_is_the_last_attempt_s_own() -> None:
    faults = [Fault.status(503), Fault.status(401, body="second")]
    with FakeServer(faults=faults) as server, Client(server.url, retry=RetryPolicy(wait_initial=0)) as client:
        with pytest.raises(APIStatusError, match="second") as caught:
            client.complete("Hi")
        assert type(caught.value) is AuthenticationError
        assert caught.value.request_id == "req-2"
        assert caught.value.__context__ is None
        assert len(server.requests) == 2
