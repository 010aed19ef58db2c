"""The wire from the server's side: what comes in, what may go out, and how it is written as bytes. No socket here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

Pieces = str | bytes | Iterable[str | bytes]
Reply = Pieces | Callable[[dict[str, Any]], Pieces]
"""What a server answers: one text, its pieces, or a function from the request's JSON to either."""

Framing = Literal["chunked", "one-chunk", "length", "close"]
"""How the end of a reply is told: see `FakeServer`."""

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came over the wire.

    Attributes:
        method: as it was sent, such as "POST".
        path: with its query.
        headers: the names in lower case; the values of a repeated one are joined by a comma.
        body: its bytes.
        json: the body as a JSON object; None where it is none.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    json: dict[str, Any] | None


def build_head(status: int, fields: Mapping[str, str | None]) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"HTTP/1.1 {status} {phrase(status)}\r\n{''.join(lines)}\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def to_bytes(piece: str | bytes) -> bytes:
    if isinstance(piece, (str, bytes)):
        return piece.encode() if isinstance(piece, str) else piece
    raise TypeError(f"a piece of a reply must be str or bytes, not {type(piece).__name__}")


def error_body(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # 520 to 529 are Cloudflare's own
        return "Unknown"


def read_chat(body: bytes) -> tuple[dict[str, Any] | None, str]:
    """The body as a JSON object, or what is wrong with it."""
    try:
        chat = json.loads(body)
    except (ValueError, RecursionError) as error:
        return None, f"the body is not JSON: {error}"
    if not isinstance(chat, dict):
        return None, "the body is not a JSON object"
    return chat, ""


def echo(chat: dict[str, Any]) -> list[str]:
    """What the user said last, in whichever format, word by word."""
    messages = chat.get("messages")
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    said = [_text(turn) for turn in turns if turn.get("role") == "user"] or [chat.get("prompt", "nothing")]
    count = len(messages) if isinstance(messages, list) else 0
    model = f"model {chat['model']}, " if "model" in chat else ""
    text = f"You said: {said[-1]} ({model}{count} message{'' if count == 1 else 's'})"
    return re.findall(r"\S+\s*", text.encode(errors="replace").decode())


def _text(turn: dict[str, Any]) -> object:
    """Of a message, or of a UI message of the AI SDK."""
    parts = turn.get("parts")
    if isinstance(parts, list):
        return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
    return turn.get("content")
