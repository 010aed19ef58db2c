"""A client that sends bytes and takes replies apart: chunk by chunk, and how they end."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def post(
    said: object = CHAT,
    *,
    path: str = "/api/completions",
    version: str = "1.1",
    body: bytes | None = None,
    **headers: str | None,
) -> bytes:
    """A question; a header of None is left out, and underscores in names are dashes."""
    body = json.dumps(said).encode() if body is None else body
    return head("POST", path, version=version, **{"content_length": str(len(body)), **headers}) + body


def head(method: str, path: str, *, version: str = "1.1", **headers: str | None) -> bytes:
    """A request's head."""
    fields = {"host": "127.0.0.1", **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"{method} {path} HTTP/{version}\r\n{''.join(lines)}\r\n".encode()


@dataclass
class Reply:
    """What came: `end` is "whole", "cut" or "reset"; chunks are as they were framed."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    end: str = ""

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails where there is any other body."""
        assert self.headers["content-type"] == "application/json", self
        said = json.loads(self.body)
        assert said.keys() == {"error"}, said
        assert said["error"].keys() == {"message", "type"}, said
        error: dict[str, Any] = said["error"]
        assert all(isinstance(value, str) and value for value in error.values())
        return error


class RawClient:
    """One connection.

    Args:
        port: of the server.
        receive_buffer: bytes that the kernel takes for this client while it reads nothing.
        tls: a client-side context.
    """

    def __init__(self, port: int, *, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10.0)
        try:
            self.socket.connect(("127.0.0.1", port))
        except BaseException:
            self.socket.close()
            raise
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        self._ahead = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> Reply:
        """Sends a request, and reads its reply."""
        self.send(request)
        return self.read_reply(no_body=request.startswith(b"HEAD "))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_reply(self, *, no_body: bool = False) -> Reply:
        """The next reply, to its end; an interim one counts as one."""
        reply = Reply()
        try:
            self.read_head(reply)
            if no_body or reply.status < 200 or reply.status in (204, 304):
                pass
            elif reply.headers.get("transfer-encoding") == "chunked":
                while self.read_chunk(reply):
                    pass
            elif "content-length" in reply.headers:
                reply.chunks.append(self._take(int(reply.headers["content-length"])))
            else:
                while self._receive():
                    pass
                reply.chunks.append(self._take(len(self._ahead)))
            reply.end = "whole"
        except EOFError:
            reply.end = "cut"
        except (ConnectionResetError, ssl.SSLEOFError):
            reply.end = "reset"
            if "transfer-encoding" not in reply.headers:
                reply.chunks.append(self._take(len(self._ahead)))
        return reply

    def read_head(self, reply: Reply) -> Reply:
        lines = self._take_until(b"\r\n\r\n").decode().split("\r\n")
        reply.status = int(lines[0].split(" ")[1])
        fields = [line.split(": ", 1) for line in lines[1:]]
        reply.headers = {name.lower(): value for name, value in fields}
        assert len(reply.headers) == len(fields), "a header came twice"
        return reply

    def read_chunk(self, reply: Reply) -> bytes:
        """The next chunk; b"" for the last one."""
        chunk = self._take(int(self._take_until(b"\r\n"), 16))
        assert self._take(2) == b"\r\n"
        if chunk:
            reply.chunks.append(chunk)
        return chunk

    def is_closed(self) -> bool:
        """Whether the server ends the connection, without another byte."""
        assert not self._ahead
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def _take_until(self, mark: bytes) -> bytes:
        while mark not in self._ahead:
            if not self._receive():
                raise EOFError
        taken, self._ahead = self._ahead.split(mark, 1)
        return taken

    def _take(self, size: int) -> bytes:
        while len(self._ahead) < size:
            if not self._receive():
                raise EOFError
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def _receive(self) -> bool:
        data = self.socket.recv(1 << 20)
        self._ahead += data
        return bool(data)
