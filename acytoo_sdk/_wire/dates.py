"""Dates as HTTP writes them, in its three formats, and the delay that a `Retry-After` asks for.

No clock is read here: whoever asks says what time it is. The standard library is of no help: importing email.utils
imports socket, and strptime expects the names of months in the user's language.

Source: RFC 9110, sections 5.6.7 and 10.2.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]+, (?P<day>[0-9]{2})[ -](?P<month>[A-Z][a-z]{2})[ -](?P<year>[0-9]{4}|[0-9]{2}) (?P<time>[0-9:]{8}) GMT"
)
_ASCTIME = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-9][0-9]) (?P<time>[0-9:]{8}) (?P<year>[0-9]{4})"
)


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """How long the server asks to wait, by its `Retry-After` header.

    Args:
        headers: names in lower case.
        now: seconds since the epoch, which dates are compared with; None: dates count as absent.

    Returns:
        Seconds; None if the header is missing, or holds neither one to ten digits nor a date later than `now`.

    Source:
        RFC 9110, sections 10.2.3 and 5.6.7.
    """
    return delay(headers.get("retry-after", ""), now=now)


def http_date(value: str) -> float | None:
    """A date of HTTP, in seconds since the epoch; None if the value is no such date."""
    found = _HTTP_DATE.fullmatch(value) or _ASCTIME.fullmatch(value)
    if found is None:
        return None
    try:
        hour, minute, second = map(int, found["time"].split(":"))
        year = int(found["year"])
        if len(found["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        month = _MONTHS.index(found["month"]) + 1
        return datetime(year, month, int(found["day"]), hour, minute, second, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def delay(value: str, *, now: float | None) -> float | None:
    """The seconds that a field like `Retry-After` asks for: one to ten digits, or a date later than now.

    Args:
        value: of the field.
        now: seconds since the epoch; None: dates count as absent.

    Returns:
        Seconds; None for anything else.
    """
    value = value.strip()
    if re.fullmatch("[0-9]{1,10}", value):
        return float(value)
    date = http_date(value)
    return date - now if now is not None and date is not None and date > now else None
