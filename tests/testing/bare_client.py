"""Sockets and http.client, for looking at the local server through another client than the one it is there to test."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

from acytoo_sdk.testing import FakeServer, Framing

FRAMINGS: tuple[Framing, ...] = ("chunked", "one-chunk", "length", "close")
CHAT = {
    "key": "",
    "model": "gpt-3.5-turbo",
    "messages": [{"role": "user", "content": "Привет, как дела?"}],
    "temperature": 0.5,
    "password": "",
}
ECHO = "You said: Привет, как дела? (model gpt-3.5-turbo, 1 message)"
NEVER = 3600.0  # a pause that must be interrupted, or the test would not end


@contextlib.contextmanager
def connected(server: FakeServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    with contextlib.closing(connection):
        yield connection


def ask(connection: http.client.HTTPConnection, chat: Any = CHAT) -> http.client.HTTPResponse:
    connection.request("POST", "/api/completions", json.dumps(chat))
    return connection.getresponse()


def answer(server: FakeServer, chat: Any = CHAT) -> tuple[http.client.HTTPResponse, str]:
    with connected(server) as connection, ask(connection, chat) as response:
        return response, response.read().decode()


def dial(server: FakeServer, data: bytes = b"") -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(data)
    return sock


def request(chat: Any = CHAT, *fields: str) -> bytes:
    body = json.dumps(chat).encode()
    lines = ["POST /api/completions HTTP/1.1", "host: test", f"content-length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def raw(server: FakeServer) -> tuple[bytes, bytes]:
    """Head and body, as they are on the wire."""
    with dial(server, request(CHAT, "connection: close")) as sock:
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
        return head, body


def chunks(body: bytes) -> list[bytes]:
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        found.append(body[: int(size, 16)])
        assert body[int(size, 16) :][:2] == b"\r\n"
        body = body[int(size, 16) + 2 :]
    assert found.pop() == b""
    return found
