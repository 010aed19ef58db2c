"""Upstreams without a socket: what they send, every cut of it, and what a client is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from acytoo_sdk._secrets import Mask
from acytoo_sdk.server.completions import CompletionReader
from acytoo_sdk.server.failures import Failure, upstream_failure

DONE = b"data: [DONE]\n\n"
BROKEN = upstream_failure("the connection broke", "broke", status=504)


class Outcome(NamedTuple):
    """What came of a reply: its text, and None or what is told of its failure."""

    text: str
    status: int | None = None
    how: str | None = None
    message: str | None = None
    type: str | None = None
    headers: Mapping[str, str] | None = None


def cuts_of(data: bytes) -> Iterator[list[bytes]]:
    """The whole, byte by byte, and in two at every index, the ends included."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(len(data) + 1):
        yield [data[:at], data[at:]]


def event(said: object, *, end: str = "\n\n") -> bytes:
    """An object as an event."""
    return f"data: {json.dumps(said, ensure_ascii=False)}{end}".encode()


def delta(content: object = None, /, *, finish: object = None, **more: Any) -> dict[str, Any]:
    """A chunk, with whatever besides text its delta has."""
    fields = {"content": content} if content is not None else {}
    return {"object": "chat.completion.chunk", "choices": [choice_of(fields | more, finish=finish)]}


def choice_of(delta: object, *, finish: object = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, **more}


def completion(content: object, *, finish: object = "stop", **more: Any) -> bytes:
    """A reply that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return json.dumps({"object": "chat.completion", "choices": [choice], **more}).encode()


def hi(*, finish: object = None) -> bytes:
    return event(delta("Hi", finish=finish))


def reader_of(
    *, status: int = 200, headers: Mapping[str, str] | None = None, secrets: Iterable[str] = ()
) -> CompletionReader:
    reader = CompletionReader(Mask(secrets))
    reader.receive_head(status, headers or {})
    return reader


def outcome(reader: CompletionReader, pieces: Iterable[bytes], *, broken: Failure | None = None) -> Outcome:
    """The text as a relay passes it on, and the failure behind it."""
    texts = []
    for piece in pieces:
        texts.append(reader.receive_data(piece))
        if reader.over:
            break
    if not reader.over:
        texts.append(reader.receive_eof() if broken is None else reader.receive_break(broken))
    assert reader.over
    text, failure = "".join(texts), reader.failure
    text.encode()  # no half of a character
    if failure is None:
        return Outcome(text)
    return Outcome(text, failure.status, failure.how, failure.message, failure.type, failure.headers)


def outcome_in_every_cut(data: bytes, *, broken: Failure | None = None, **options: Any) -> Outcome:
    """The same one in every cut of the bytes."""
    found = {repr(outcome(reader_of(**options), pieces, broken=broken)) for pieces in cuts_of(data)}
    assert len(found) == 1, found
    return outcome(reader_of(**options), [data], broken=broken)
