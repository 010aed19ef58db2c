"""Retries: a `RetryPolicy` put into tenacity's terms. The only file that imports it; its types do not leave this one.

What may be retried is judged in `protocol.is_retryable`; how often, and after which waits, here.
"""

from __future__ import annotations

import random
import time
from functools import partial

import tenacity

from .._options import RetryPolicy
from ..errors import AcytooError, APIStatusError
from ..protocol import is_retryable


def wait_after(
    error: AcytooError, *, attempt: int, policy: RetryPolicy, deadline: float | None, whole: bool = False
) -> float:
    """How long to wait before the next attempt, after one that failed.

    The waiting is left to whoever makes the attempts: a thread of its own, or one that watches many calls.

    Args:
        error: what the attempt ended in.
        attempt: which one it was; the first is 1.
        policy: the number of attempts, and the waits.
        deadline: on the monotonic clock; a wait that would end later is not begun. None: no deadline.
        whole: see `protocol.is_retryable`.

    Returns:
        Seconds.

    Raises:
        AcytooError: the same error: it is not worth another attempt, or there have been enough.
    """

    def wait(state: tenacity.RetryCallState) -> float:
        return _wait(error, attempt, policy)

    def stop(state: tenacity.RetryCallState) -> bool:
        if attempt >= policy.attempts or _asked_wait(error) > policy.retry_after_max:
            return True
        return deadline is not None and time.monotonic() + state.upcoming_sleep >= deadline

    # Made anew for each failure: tenacity keeps its state by thread, and the next attempt may be another thread's.
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(partial(is_retryable, whole=whole)),
        wait=wait,
        stop=stop,
        reraise=True,
    )
    state = tenacity.RetryCallState(retrying, None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, None))
    retrying.begin()
    try:
        seconds = retrying.iter(state)
    finally:
        retrying.iter_state.reset()  # which keeps methods of `retrying`, and so itself, and the error
    assert isinstance(seconds, float), "or it would have raised the error"
    return float(seconds)  # it is of a class of tenacity's


def _wait(error: BaseException | None, attempt: int, policy: RetryPolicy) -> float:
    if isinstance(error, APIStatusError) and error.retry_after is not None:
        return error.retry_after
    exponent = min(attempt - 1, 64)  # far above any `wait_max`, far below what a float holds
    longest = min(policy.wait_initial * 2.0**exponent, policy.wait_max)
    return longest * (1 - policy.jitter * random.random())


def _asked_wait(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, APIStatusError) else 0.0
