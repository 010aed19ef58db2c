"""Retries: a `RetryPolicy` put into tenacity's terms. The only file that imports it; its types do not leave this one.

What may be retried is judged in `protocol.is_retryable`; how often, and after which waits, here.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from .._network.provenance import is_foreign
from .._options import RetryPolicy
from ..errors import APIStatusError
from ..protocol import is_retryable

_logger = logging.getLogger("acytoo_sdk")

T = TypeVar("T")


def run(attempt: Callable[[], T], *, policy: RetryPolicy, deadline: float | None, sleep: Callable[[float], None]) -> T:
    """Calls `attempt` until it returns, or fails in a way that is not worth another try.

    Args:
        attempt: a plain function; a generator function would be "retried" before its first line ran.
        policy: the number of attempts, and the waits.
        deadline: on the monotonic clock; a wait that would end later is not begun. None: no deadline.
        sleep: waits the given seconds; raises to give up.

    Returns:
        What `attempt` returned.

    Raises:
        AcytooError: the last attempt's error.
    """

    def wait(state: tenacity.RetryCallState) -> float:
        return _wait(_error(state), state.attempt_number, policy)

    def stop(state: tenacity.RetryCallState) -> bool:
        if state.attempt_number >= policy.attempts:
            return True
        if _asked_wait(_error(state)) > policy.retry_after_max:
            return True
        return deadline is not None and time.monotonic() + state.upcoming_sleep >= deadline

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: is_retryable(error) and not is_foreign(error)),
        wait=wait,
        stop=stop,
        sleep=sleep,
        before_sleep=_log,
        reraise=True,
    )
    try:
        return retrying(attempt)
    finally:
        retrying.iter_state.reset()  # which keeps methods of `retrying`, and so itself, and the call


def _wait(error: BaseException | None, attempt: int, policy: RetryPolicy) -> float:
    if isinstance(error, APIStatusError) and error.retry_after is not None:
        return error.retry_after
    exponent = min(attempt - 1, 64)  # far above any `wait_max`, far below what a float holds
    longest = min(policy.wait_initial * 2.0**exponent, policy.wait_max)
    return longest * (1 - policy.jitter * random.random())


def _asked_wait(error: BaseException | None) -> float:
    return (error.retry_after or 0.0) if isinstance(error, APIStatusError) else 0.0


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _log(state: tenacity.RetryCallState) -> None:
    """The end of an attempt that is made again: a line in the log, without any content."""
    _logger.info(
        "attempt %d failed with %s; the next one in %.2f s",
        state.attempt_number,
        type(_error(state)).__name__,
        state.upcoming_sleep,
    )
