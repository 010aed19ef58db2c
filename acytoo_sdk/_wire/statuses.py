"""Statuses: what an HTTP error status means: a table, and the errors that are made by it.

Redirects and interim statuses are no errors of the server's; `protocol` judges them.
"""

from __future__ import annotations

from http import HTTPStatus

from ..errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)

# What an error status means: its class, whether the same request may succeed later, and what to do about it.
_STATUS_RULES: dict[int, tuple[type[APIStatusError], bool, str | None]] = {
    400: (BadRequestError, False, None),
    401: (AuthenticationError, False, "check key= and password=, or ACYTOO_KEY and ACYTOO_PASSWORD"),
    403: (PermissionDeniedError, False, None),
    404: (NotFoundError, False, "check base_url= and path=: together they must name the completions endpoint"),
    408: (APIStatusError, True, None),
    413: (APIStatusError, False, "send a shorter conversation"),
    422: (BadRequestError, False, None),
    425: (APIStatusError, True, None),
    429: (
        RateLimitError,
        True,
        "wait before the next call; the attribute retry_after says how long, where the server does",
    ),
    # 520 to 524: Cloudflare could not reach the origin; 529: overloaded.
    **dict.fromkeys((500, 502, 503, 504, *range(520, 525), 529), (ServerError, True, None)),
}
RETRYABLE_STATUSES = frozenset(status for status, (_, retryable, _) in _STATUS_RULES.items() if retryable)
"""The error statuses after which the same request may succeed later."""


def status_error(
    status: int, headers: dict[str, str], retry_after: float | None, body: str, message: str
) -> APIStatusError:
    """The error for a status from 400 on.

    Args:
        status: the HTTP status.
        headers: names in lower case, secrets masked.
        retry_after: the seconds that the server asks to wait, or None.
        body: the beginning of the body, secrets masked.
        message: what the body says in short; "" if nothing.
    """
    unlisted = (ServerError if 500 <= status < 600 else APIStatusError), False, None
    kind, retryable, hint = _STATUS_RULES.get(status, unlisted)
    phrase = f" {HTTPStatus(status).phrase}" if status in HTTPStatus.__members__.values() else ""
    return kind(
        f"The server answered HTTP {status}{phrase}" + (f": {message}" if message else ""),
        status_code=status,
        headers=headers,
        body=body,
        retry_after=retry_after,
        retryable=retryable,
        hint=hint,
    )
