"""Answers: a request, the server's settings and a fault become the pieces that go over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ._faults import Fault
from ._gate import Gate
from ._wire import (
    JSON,
    TEXT,
    Framing,
    Pieces,
    ReceivedRequest,
    Reply,
    build_head,
    chunk,
    echo,
    error_body,
    phrase,
    to_bytes,
)


class Settings(Protocol):
    """A server, as far as its replies go."""

    @property
    def reply(self) -> Reply | None:
        """What is answered."""

    framing: Framing
    pause: float
    status: int
    headers: Mapping[str, str | None] | None
    gate: Gate | None


@dataclass(frozen=True)
class Order:
    """A request, and how it is to be answered."""

    request: ReceivedRequest
    number: int
    fault: Fault
    server: Settings  # a copy: its settings are those at the request's arrival

    def answer(self, *, keep_alive: bool) -> Answer:
        """What goes over the wire; raises what `reply` raises."""
        fault, server = self.fault, self.server
        if fault.verbatim is not None:
            return Answer(b"", [fault.verbatim], bytes, b"", closes=fault.closing)
        status, kind, said = (200, TEXT, fault.text) if fault.text is not None else self.reply()
        status = fault.code or status
        pieces: Iterable[bytes] = filter(None, map(to_bytes, [said] if isinstance(said, (str, bytes)) else said))
        pieces = fault.edit(pieces) if fault.edit else pieces
        fields: dict[str, str | None] = {"content-type": kind, "x-request-id": f"req-{self.number}"}
        frame: Callable[[bytes], bytes] = bytes
        first = end = b""
        if status in (204, 304):
            pieces = ()  # these have no body, and no framing of one
        elif server.framing == "chunked":
            fields["transfer-encoding"], frame, end = "chunked", chunk, b"0\r\n\r\n"
        elif server.framing == "one-chunk":
            pieces, size = _measured(pieces, fault)
            fields["transfer-encoding"], first, end = "chunked", b"%x\r\n" % size, b"\r\n0\r\n\r\n" if size else b"\r\n"
        elif server.framing == "length":
            pieces, size = _measured(pieces, fault)
            fields["content-length"] = str(size)
        elif server.framing == "close":
            keep_alive = False
        else:
            raise ValueError(f"framing must be chunked, one-chunk, length or close, not {server.framing!r}")
        if not keep_alive:
            fields["connection"] = "close"
        fields |= {name.lower(): value for name, value in (server.headers or {}).items()}
        fields |= dict(fault.head_fields)
        closes = not keep_alive or fields.get("connection") == "close"
        return Answer(build_head(status, fields) + first, pieces, frame, end, closes)

    def reply(self) -> tuple[int, str, Pieces]:
        status, reply, chat = self.server.status, self.server.reply, self.request.json or {}
        if reply is not None:
            return status, TEXT, reply(chat) if callable(reply) else reply
        if status >= 400:
            return status, JSON, error_body(phrase(status))
        return status, TEXT, echo(chat)


@dataclass(frozen=True)
class Answer:
    head: bytes
    pieces: Iterable[bytes]
    frame: Callable[[bytes], bytes]
    end: bytes
    closes: bool


def _measured(pieces: Iterable[bytes], fault: Fault) -> tuple[list[bytes], int]:
    listed = list(pieces)
    cut_after_all = fault.ending and (fault.after is None or fault.after >= len(listed))
    return listed, sum(map(len, listed)) + bool(cut_after_all)  # one byte that never comes: that, too, is a cut reply
