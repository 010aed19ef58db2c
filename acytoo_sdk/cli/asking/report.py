"""What is told of a call beside its text: as JSON for programs, as sentences for people. Nothing is written here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from ..._streams.stream import Stream
from ...errors import AcytooError, APIStatusError
from ...protocol import Request
from ..display.terminal import json_for_terminal
from ..statuses import hint_of, sentence_of


def outcome(stream: Stream | None, error: BaseException | None) -> dict[str, Any]:
    """How a call ended, for `--json`.

    Args:
        stream: of the reply; None: nothing was asked.
        error: what ended it; None: it ended well.

    Returns:
        `text`, `whole`, `notice`, `stats`, `request_id`, and `error`: None, or its `type`, `message` and `hint`.
    """
    request_id = stream.head.request_id if stream is not None and stream.head is not None else None
    if isinstance(error, AcytooError) and request_id is None:
        request_id = error.request_id
    return {
        "text": "" if stream is None else stream.text,
        "whole": False if stream is None else stream.whole,
        "notice": None if stream is None else stream.notice,
        "stats": None if stream is None else dataclasses.asdict(stream.stats),
        "request_id": request_id,
        "error": None if error is None else _failure(error),
    }


def _failure(error: BaseException) -> dict[str, str | None]:
    if isinstance(error, AcytooError):
        return {"type": type(error).__name__, "message": sentence_of(error), "hint": hint_of(error)}
    return {"type": type(error).__name__, "message": "interrupted", "hint": None}


def stats_line(stream: Stream) -> str:
    """The figures of a stream in one line, for `--stats`."""
    stats = stream.stats
    first = "no piece" if stats.first_piece_after is None else f"first piece after {stats.first_piece_after:.2f} s"
    attempts = f"{stats.attempts} attempt{'' if stats.attempts == 1 else 's'}"
    return f"{first}, {stats.elapsed:.2f} s in all, {stats.characters} characters, {attempts}"


def request_lines(request: Request) -> Iterator[str]:
    """A request as it is sent; its secrets were masked where it was built."""
    yield f"{request.method} {request.url}"
    yield from (f"{name}: {value}" for name, value in request.headers.items())
    yield ""
    yield json_for_terminal(json.dumps(json.loads(request.body), ensure_ascii=False, indent=2))


def request_object(request: Request) -> dict[str, Any]:
    """The same for programs: `method`, `url`, `headers`, `body`."""
    return {
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body": json.loads(request.body),
    }


def reply_lines(stream: Stream, error: BaseException | None) -> Iterator[str]:
    """What was received before the text, and how it ended."""
    if stream.head is not None:
        yield f"HTTP {stream.head.status}"
        yield from (f"{name}: {value}" for name, value in stream.head.headers.items())
    elif isinstance(error, APIStatusError):
        yield f"HTTP {error.status_code}"
        yield from (f"{name}: {value}" for name, value in error.headers.items())
    yield ""
    if isinstance(error, APIStatusError) and error.body:
        yield error.body
    yield {True: "whole", False: "not whole", None: "ended with its connection: whether it is whole is not known"}[
        stream.whole
    ]
