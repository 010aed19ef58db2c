"""Answers: a request, the server's settings and a fault become the pieces that go over the wire. No socket here."""

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
    """What of a server its replies depend on."""

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
    """A request, and all that decides how it is answered."""

    request: ReceivedRequest
    number: int
    fault: Fault
    server: Settings  # a copy: its settings are those at the request's arrival

    def answer(self, *, keep_alive: bool) -> Answer:
        """What goes over the wire. What `reply` raises comes out as it is."""
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
        """The status, the content type and the text, without what the fault changes."""
        status, reply, chat = self.server.status, self.server.reply, self.request.json or {}
        if reply is not None:
            return status, TEXT, reply(chat) if callable(reply) else reply
        if status >= 400:
            return status, JSON, error_body(phrase(status))
        return status, TEXT, echo(chat)


@dataclass(frozen=True)
class Answer:
    """What goes over the wire.

    Attributes:
        head: sent first; with "one-chunk", the size of the chunk, too.
        pieces: of the body.
        frame: makes of a piece the bytes that are sent.
        end: sent after the last piece.
        closes: whether the connection is closed afterwards.
    """

    head: bytes
    pieces: Iterable[bytes]
    frame: Callable[[bytes], bytes]
    end: bytes
    closes: bool


def _measured(pieces: Iterable[bytes], fault: Fault) -> tuple[list[bytes], int]:
    """The pieces, and their size as the head names it.

    Where a fault comes after all of them, the size is one byte more, which never comes: else the reply would be whole.
    """
    listed = list(pieces)
    cut_after_all = fault.ending and (fault.after is None or fault.after >= len(listed))
    return listed, sum(map(len, listed)) + bool(cut_after_all)
