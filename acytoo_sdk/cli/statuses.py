"""How a command ends: the exit status of each failure, and its hint in the words of who typed the command."""

from __future__ import annotations

import re

from .._display.characters import printable
from .._hosts import host_of, is_loopback
from ..errors import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitError,
    ReplyTooLargeError,
    StreamInterruptedError,
)

OK, SERVICE, USAGE, CONNECTION, AUTHENTICATION, RATE_LIMIT, BROKEN = range(7)
INTERRUPTED = 130
"""What shells make of a process that SIGINT has ended."""

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

# What the library advises a programmer, and what to say here.
_WORDS = (
    (r"partial_text holds what arrived; ", ""),
    (
        r"check key= and password=, or ACYTOO_KEY and ACYTOO_PASSWORD",
        "set another key: ACYTOO_KEY, or acytoo config set key",
    ),
    (r"check base_url= and path=", "check --base-url and --path"),
    (r"base_url and path", "--base-url and --path"),
    (r"pass it as base_url", "pass it as --base-url"),
    (r"(check|port of|pass the) base_url", r"\1 --base-url"),
    (r"pass verify='/path/of/your/ca.pem'", "pass --ca FILE"),
    (r"raise max_reply_bytes, or pass None", "ask for less"),
    (r"leave accept-encoding alone in headers=, or tell", "tell"),
    (r"wait before the next call; .*", "wait before you ask again"),
    (r"Timeout\((?:first_byte|idle|total)=\.\.\.\) sets the limit", "--timeout SECONDS sets the limit"),
)
# The same for what the library says is wrong. Only errors that it makes itself are translated, never a server's words;
# and nearly every pattern is tied to an end of the sentence, so that a value quoted inside of it stays as it is.
_SENTENCES = (
    (r"^journal: ", ""),
    (r"^journal must be a file, and ", "-o takes a file, and "),
    (r"^requests_per_minute ", "--rpm "),
    (r"^--upstream is a str with credentials: .*$", "--upstream holds credentials: --upstream-key-env takes the key"),
    (r"^--upstream is a str with (a query or a fragment): .*$", r"--upstream has \1"),
    (
        r" is a str with credentials: .*$",
        " holds credentials: they are set by `acytoo config set key`, or in ACYTOO_KEY",
    ),
    (r" is a str with (a query or a fragment: the endpoint's path) .*$", r" has \1 is set by --path"),
    (r" is a str with a lone surrogate at index \d+, which no UTF-8 can hold$", " is not UTF-8"),
    (r" (cannot be written as JSON): (?:Out of range float|.* surrogates ).*$", r" \1"),
    (r" is a str with (no host, or with|a line break or|a character at index)(?= [^']*$)", r" has \1"),
    (r" is an empty str$", " is empty"),
    (r" must be a str that begins(?= with )", " must begin"),
    (r" must be a str (?=like http|without blanks)", " must be "),
    (r" must be a str(?=, not \w+$|, a message or | that is not empty, )", " must be a text"),
    (r" must be a mapping of str to str(?=, not \w+$)", " must be a table of texts"),
    (r" must be an int(?=, not [\w ]+)", " must be a whole number"),
    (r", or a function, not [\w ]+$", ""),
    (r" that is not a str but (?=\w+$)", " that is no text but "),
    (r", not int of many digits$", ", not a number of many digits"),
    (r", not (?:int|float) (?=\S+$)", ", not "),
    (r", not str (?=['\"])", ", not "),
    (r"\bpayload='([a-z-]+)'", r"the payload \1"),
    (r": pass one message of the user's, .*$", ": ask one question, without a system text"),
    (r"(, not|no text but) (?:int|float)$", r"\1 a number"),
    (r"(, not|no text but) str$", r"\1 a text"),
    (r"(, not|no text but) dict$", r"\1 a table"),
    (r"(, not|no text but) (?:list|tuple)$", r"\1 a list"),
    (r"(, not|no text but) bool$", r"\1 true or false"),
    (r"(, not|no text but) None$", r"\1 nothing"),
)
_OF_PROGRAMS = re.compile(r"\b[a-z_]+=(?!\w)|\b[a-z]+_[a-z_]+\b|Timeout\(")


def status_of(error: AcytooError) -> int:
    """The exit status of a failure."""
    if isinstance(error, APITimeoutError) and error.partial_text:
        return BROKEN
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def sentence_of(error: AcytooError) -> str:
    """What went wrong, for who typed a command. What a server said stays as it is."""
    sentence = str(error)
    if isinstance(error, ReplyTooLargeError):
        return re.sub(r"max_reply_bytes=(\d+)", _most, sentence)
    if isinstance(error, InvalidRequestError):
        for wanted, said in _SENTENCES:
            sentence = re.sub(wanted, said, sentence)
    return sentence


def in_one_line(sentence: str, hint: str | None) -> str:
    """A failure as it is shown: what went wrong, and what to do about it, without control characters."""
    return printable(f"{sentence} (hint: {hint})" if hint else sentence)


def _most(bound: re.Match[str]) -> str:
    return f"{int(bound[1]) / 2**20:g} MiB, which is the most that is taken"


def hint_of(error: AcytooError) -> str | None:
    """What to do about a failure, for who typed a command; None where only a program could do something."""
    hint = error.hint or ""
    for wanted, said in _WORDS:
        hint = re.sub(wanted, said, hint)
    # What listens on another machine, or is a proxy there, is not ours to start.
    refused = re.fullmatch(r"No connection to (\S+): Connection refused", str(error))
    if isinstance(error, APIConnectionError) and refused and is_loopback(host_of(refused[1])):
        hint = hint or "nothing listens there; `acytoo serve` starts a server"
    return None if not hint or _OF_PROGRAMS.search(hint) else hint
