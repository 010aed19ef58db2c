"""Upstreams that play listed bytes: scripts for a `FaultServer`, in the words of chat completions."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections.abc import Mapping
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

from fault_server import Connection, FaultServer, Script, Step

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(said: object) -> bytes:
    return b"data: %b\n\n" % (said if isinstance(said, bytes) else json.dumps(said).encode())


def delta(text: str | None, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def sends(*said: object) -> bytes:
    """Events, each in a chunk: a text is a delta, bytes are an event's data, anything else its JSON."""
    return b"".join(chunk(event(delta(each) if isinstance(each, str) else each)) for each in said)


STOP = sends(delta("", "stop"), b"[DONE]")
WHOLE = STOP + END


def answer(status: str, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    """A reply with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def arrived(connection: Connection) -> None:
    """Waits until the relay's kernel has taken everything."""
    while count_unsent(connection):
        connection.wait(0.002)


def count_unsent(connection: Connection) -> int:
    """Bytes that the relay's kernel has not taken yet."""
    return int.from_bytes(ioctl(connection.socket.fileno(), TIOCOUTQ, bytes(4)), "little")


def by_model(scripts: Mapping[str, Script]) -> Script:
    """Plays the script of the model that is asked for."""

    def step(connection: Connection) -> None:
        asked = json.loads(connection.request.partition(b"\r\n\r\n")[2])["model"]
        FaultServer.perform(scripts[asked], connection)

    return [step]


def until_stuck(piece: bytes, taken: list[int]) -> Step:
    """Sends a piece again and again until the relay takes no more; `taken` gets the bytes that its kernel took."""

    def step(connection: Connection) -> None:
        data, sent = piece * 64, 0
        connection.socket.setblocking(False)
        while select.select([], [connection.socket], [], 0.3)[1]:
            with contextlib.suppress(BlockingIOError):
                sent += connection.socket.send(data[sent % len(piece) :])
        connection.socket.setblocking(True)
        taken.append(sent - count_unsent(connection))

    return step


def listening_nowhere() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
