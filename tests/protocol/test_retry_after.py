"""How long a server asks to wait, and what may be tried again."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk.errors import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
    UnexpectedReplyError,
)
from acytoo_sdk.protocol import is_retryable, retry_after

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("9999999999", 9999999999.0),
        ("10000000000", None),
        ("12345678901234567890", None),
        ("1.5", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1e999", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("7, 8", None),
        ("7\n8", None),
        ("٧", None),
        ("²", None),
        ("７", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Tue Dec  1 12:00:00 2026", 9 * 86400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp() - NOW),
        ("Sun, 22 Nov 2026 12:00:00 GMT", None),
        ("Sun, 22 Nov 2026 11:59:59 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Sunday, 31-Dec-69 00:00:00 GMT", datetime(2069, 12, 31, tzinfo=timezone.utc).timestamp() - NOW),
        ("Sunday, 01-Jan-70 00:00:00 GMT", None),
        ("Sun Nov  6 08:49:37 1994", None),
        ("Sun, 22 Nov 2026 12:00:30", None),
        ("Sun, 22 Nov 2026 12:00:30 UTC", None),
        ("Sun, 22 Nov 2026 12:00:30 +0000", None),
        ("22 Nov 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 25:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:60 GMT", None),
        ("Sun, 31 Feb 2027 12:00:30 GMT", None),
        ("Sun, 22 Nox 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 0000 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 ::::::::  GMT", None),
        ("Sun, 22 Nov 2026 :::::::: GMT", None),
        ("Sun, 22 Nov 2026 12345678 GMT", None),
        ("Sun, ２２ Nov 2026 12:00:30 GMT", None),
        ("So, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("2026-11-22T12:00:30Z", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_in_the_future(value: str, expected: float | None) -> None:
    assert retry_after({"retry-after": value}, now=NOW) == expected


def test_without_the_header_there_is_nothing_to_wait_for() -> None:
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "7"}) is None


@pytest.mark.parametrize("now", [None, float("nan"), float("inf")])
def test_without_a_clock_a_date_counts_as_absent(now: float | None) -> None:
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, now=now) is None
    assert retry_after({"retry-after": "7"}, now=now) == 7.0


@given(st.datetimes(datetime(2026, 11, 23), datetime(2069, 1, 1)).map(lambda date: date.replace(microsecond=0)))
def test_any_date_in_the_future_is_understood(date: datetime) -> None:
    expected = date.replace(tzinfo=timezone.utc).timestamp() - NOW
    for value in (
        format_datetime(date.replace(tzinfo=timezone.utc), usegmt=True),
        date.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        date.ctime(),
    ):
        assert retry_after({"retry-after": value}, now=NOW) == expected


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]+, [0-9 ]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8} GMT", fullmatch=True),
    st.none() | st.floats(),
)
def test_retry_after_never_raises(value: str, now: float | None) -> None:
    wait = retry_after({"retry-after": value}, now=now)

    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (APIConnectionError("x"), True),
        (APIConnectionError("x", retryable=False), False),
        (APITimeoutError("x", phase="connect"), True),
        (APITimeoutError("x", phase="first_byte"), True),
        (APITimeoutError("x", phase="idle"), True),
        (APITimeoutError("x", phase="total"), False),
        (EmptyReplyError("x"), True),
        (ServerError("x", status_code=503, retryable=True), True),
        (ServerError("x", status_code=501, retryable=False), False),
        (RedirectError("x", status_code=307), False),
        (UnexpectedReplyError("x"), False),
        (DecodeError("x"), False),
        (ReplyTooLargeError("x"), False),
        (StreamInterruptedError("x"), False),
        (StreamCancelledError("x"), False),
        (ClientClosedError("x"), False),
        (InvalidRequestError("x"), False),
        (AcytooError("x"), False),
        (KeyboardInterrupt(), False),
        (TimeoutError(), False),
        (ConnectionError(), False),
        (Exception(), False),
    ],
)
def test_what_may_be_tried_again(error: BaseException, retryable: bool) -> None:
    assert is_retryable(error) is retryable
