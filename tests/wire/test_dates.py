"""Dates of HTTP are read in all three formats, and nothing else is; delays are digits or a date."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk._wire.dates import delay, http_date

# The example of RFC 9110, section 5.6.7, in its three formats.
EXAMPLE = datetime(1994, 11, 6, 8, 49, 37, tzinfo=timezone.utc).timestamp()
FORMATS = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")
SECONDS = st.integers(0, int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp()))


def at(*date: int) -> float:
    year, month, day, *time = date
    hour, minute, second = time or (0, 0, 0)
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()


# Dates


@pytest.mark.parametrize("value", FORMATS)
def test_the_example_of_the_standard_is_one_moment_in_each_format(value: str) -> None:
    assert http_date(value) == EXAMPLE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sun Nov 16 08:49:37 1994", at(1994, 11, 16, 8, 49, 37)),
        ("Thu, 01-Jan-1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 70 00:00:00 GMT", 0.0),
        ("Thursday, 31-Dec-69 23:59:59 GMT", at(2069, 12, 31, 23, 59, 59)),
        ("Saturday, 01-Jan-00 00:00:00 GMT", at(2000, 1, 1)),
        ("Friday, 31-Dec-99 00:00:00 GMT", at(1999, 12, 31)),
        ("Thu, 29 Feb 2024 12:00:00 GMT", at(2024, 2, 29, 12, 0, 0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", at(9999, 12, 31, 23, 59, 59)),
        ("Wed, 01 Jan 1969 00:00:00 GMT", at(1969, 1, 1)),
    ],
)
def test_other_dates_are_read(value: str, expected: float) -> None:
    assert http_date(value) == expected


def test_the_day_of_the_week_is_not_checked() -> None:
    assert http_date("Monday, 06-Nov-94 08:49:37 GMT") == EXAMPLE
    assert http_date("Mon Nov  6 08:49:37 1994") == EXAMPLE


@pytest.mark.parametrize(
    ("month", "name"),
    [*enumerate(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1)],
)
def test_every_month_has_its_name(month: int, name: str) -> None:
    assert http_date(f"Sun, 06 {name} 1994 08:49:37 GMT") == at(1994, month, 6, 8, 49, 37)
    assert http_date(f"Sun {name}  6 08:49:37 1994") == at(1994, month, 6, 8, 49, 37)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:377 GMT",
        "Sun, 06 Nov 194 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 1994 08::49:7 GMT",
        "Sun, 06 Nov 1994 08493712 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sunday Nov  6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_such_date_is_none(value: str) -> None:
    assert http_date(value) is None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs tzset")
@pytest.mark.parametrize("value", FORMATS)
def test_where_the_machine_stands_does_not_matter(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "EAST-11")
        time.tzset()
        seconds = http_date(value)
    time.tzset()

    assert seconds == EXAMPLE


@given(SECONDS)
def test_any_date_is_read_as_the_standard_library_writes_it(seconds: int) -> None:
    date = datetime.fromtimestamp(seconds, timezone.utc)

    assert http_date(format_datetime(date, usegmt=True)) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]+,? [0-9A-Za-z :-]{15,22}( GMT)?", fullmatch=True))
def test_no_value_raises(value: str) -> None:
    assert http_date(value) is None or isinstance(http_date(value), float)


# Delays


@pytest.mark.parametrize(("value", "expected"), [("0", 0.0), ("7", 7.0), (" 7\t", 7.0), ("9" * 10, 9_999_999_999.0)])
@pytest.mark.parametrize("now", [None, EXAMPLE])
def test_digits_are_seconds_with_or_without_a_clock(value: str, expected: float, now: float | None) -> None:
    assert delay(value, now=now) == expected


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.5", "1e3", "0x1", "nan", "inf", "9" * 11, "٧", "7 8", "7,8", "7s"]
)
def test_what_is_neither_digits_nor_a_date_asks_for_nothing(value: str) -> None:
    assert delay(value, now=0.0) is None


@pytest.mark.parametrize("value", [*FORMATS, f"  {FORMATS[0]} "])
def test_a_date_asks_to_wait_until_then(value: str) -> None:
    assert delay(value, now=EXAMPLE - 30.5) == 30.5


@pytest.mark.parametrize("late", [0.0, 0.5, 1000.0])
def test_a_date_that_has_come_asks_for_nothing(late: float) -> None:
    assert delay(FORMATS[0], now=EXAMPLE + late) is None


def test_without_a_clock_a_date_counts_as_absent() -> None:
    assert delay(FORMATS[0], now=None) is None


def test_a_clock_that_stands_at_the_epoch_is_one() -> None:
    assert delay(FORMATS[0], now=0.0) == EXAMPLE
