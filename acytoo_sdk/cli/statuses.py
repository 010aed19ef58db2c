"""How a command ends: the exit status of each failure, and its hint in the words of who typed the command."""

from __future__ import annotations

import re

from ..errors import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitError,
    StreamInterruptedError,
)

OK, SERVICE, USAGE, CONNECTION, AUTHENTICATION, RATE_LIMIT, BROKEN = range(7)
INTERRUPTED, TERMINATED = 130, 143
"""What shells make of a process that SIGINT, or SIGTERM, has ended."""

EXPLAINED = """\
Exit status:
  0    a whole reply; also where nobody reads the pipe any more
  1    the service answered with an error, or with what is no text
  2    wrong usage, a bad setting, or input that is not UTF-8
  3    no connection, or a limit ran out before the first text
  4    the service wants other credentials (401, 403)
  5    too many requests (429)
  6    the reply broke off, or ran out of time; what had arrived is printed
  130  Ctrl-C
  143  SIGTERM"""

# The first row that applies.
_STATUSES: tuple[tuple[type[AcytooError], int], ...] = (
    (InvalidRequestError, USAGE),
    (StreamInterruptedError, BROKEN),
    (APIConnectionError, CONNECTION),
    (AuthenticationError, AUTHENTICATION),
    (PermissionDeniedError, AUTHENTICATION),
    (RateLimitError, RATE_LIMIT),
    (AcytooError, SERVICE),
)

# What the library says to a programmer, and what to say here.
_WORDS = (
    (r"partial_text holds what arrived; ", ""),
    (r"check key= and password=, or ACYTOO_KEY and ACYTOO_PASSWORD", "set a key: acytoo config set key"),
    (r"check base_url= and path=", "check --base-url and --path"),
    (r"base_url and path", "--base-url and --path"),
    (r"pass it as base_url", "pass it as --base-url"),
    (r"(check|port of|pass the) base_url", r"\1 --base-url"),
    (r"pass verify='/path/of/your/ca.pem'", "pass --ca FILE"),
    (r"raise max_reply_bytes, or pass None", "ask for less"),
    (r"leave accept-encoding alone in headers=, or tell", "tell"),
    (r"look for one that streams plain text", "put `acytoo serve --upstream URL` in front of it"),
    (r"wait before the next call; .*", "wait before you ask again"),
    (r"Timeout\((?:first_byte|idle|total)=\.\.\.\) sets the limit", "--timeout SECONDS sets the limit"),
)
_OF_PROGRAMS = re.compile(r"\b[a-z_]+=(?!\w)|\b[a-z]+_[a-z_]+\b|Timeout\(")


def status_of(error: AcytooError) -> int:
    """The exit status of a failure."""
    if isinstance(error, APITimeoutError) and error.partial_text:
        return BROKEN
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def hint_of(error: AcytooError) -> str | None:
    """What to do about a failure, for who typed a command; None where only a program could do something."""
    hint = error.hint or ""
    for wanted, said in _WORDS:
        hint = re.sub(wanted, said, hint)
    if isinstance(error, APIConnectionError) and str(error).endswith("Connection refused"):
        hint = hint or "nothing listens there: `acytoo serve` starts a server"
    return None if not hint or _OF_PROGRAMS.search(hint) else hint
