"""One connection of the server: requests are read from its socket, and answers are sent.

What an answer says, and what goes wrong with it, is decided in `_answers` and `_faults`.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Iterator

from ._answers import Answer, Order
from ._faults import BEFORE_HEAD
from ._gate import pass_through
from ._wire import JSON, ReceivedRequest, build_head, error_body, read_chat


class Ended(Exception):
    """The connection is over before its time: the client left, the server closes, a fault or a failed reply cut it."""


class Connection:
    """One client, served in a thread of its own, which alone ends the socket.

    Args:
        accepted: the socket.
        tls: a server-side context, or None.
        receive: called with each request, for how it is to be answered.
        fail: called with what went wrong in the server itself.
        leave: called when the connection is over: it closes the socket.
    """

    def __init__(
        self,
        accepted: socket.socket,
        tls: ssl.SSLContext | None,
        *,
        receive: Callable[[ReceivedRequest], Order],
        fail: Callable[[Exception], None],
        leave: Callable[[Connection], None],
    ) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._receive_order = receive
        self._fail = fail
        self._leave = leave
        self.socket = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) if tls else accepted
        self.ahead = bytearray()  # received, but not read yet

    def hang_up(self) -> None:
        """Ends the connection from another thread: its own thread wakes, wherever it waits."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # not SSLSocket's: it drops the TLS state in use

    def run(self) -> None:
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.do_handshake()
            while self.serve():
                pass
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.settimeout(0)  # say close_notify, but do not wait for the answer
                self.socket.unwrap()
        except (OSError, Ended):
            pass
        finally:
            self._leave(self)

    def serve(self) -> bool:
        """Answers one request, and says whether there may be another."""
        try:
            request, keep_alive = self.read_request()
        except ValueError as problem:
            return self.refuse(400, f"not an HTTP request: {problem}")
        order = self._receive_order(request)
        if request.method != "POST":
            return self.refuse(405, f"{request.method} is not allowed here, only POST")
        if request.json is None:
            return self.refuse(400, read_chat(request.body)[1])
        try:
            answer = order.answer(keep_alive=keep_alive)
        except Exception as error:
            self._fail(error)
            return self.refuse(500, f"{type(error).__name__}: {error}")
        self.send(answer, order)
        return not answer.closes

    def refuse(self, status: int, message: str) -> bool:
        self.socket.sendall(build_head(status, {"content-type": JSON, "connection": "close"}) + error_body(message))
        return False

    def read_request(self) -> tuple[ReceivedRequest, bool]:
        if not self.ahead:
            self.receive()
        if not self.ahead[:1].isalpha():
            raise ValueError("it does not begin with a method")  # TLS, for one, never ends the line we would wait for
        request_line, *lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, path, version = request_line.split(" ")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if "transfer-encoding" in headers:
            raise ValueError("its body must have a Content-Length")
        if headers.get("expect", "").lower() == "100-continue":
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.take(int(headers.get("content-length", "0")))
        keep_alive = version != "HTTP/1.0" and "close" not in headers.get("connection", "").lower()
        return ReceivedRequest(method, path, headers, body, read_chat(body)[0]), keep_alive

    def take_until(self, mark: bytes) -> bytes:
        while (end := self.ahead.find(mark)) < 0:
            if len(self.ahead) > 65536:
                raise ValueError("the head is too long")
            self.receive()
        return self.take(end + len(mark))[:end]

    def take(self, size: int) -> bytes:
        while len(self.ahead) < size:
            self.receive()
        taken = bytes(self.ahead[:size])
        del self.ahead[:size]
        return taken

    def receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise Ended
        self.ahead += data

    def rest(self, seconds: float) -> None:
        """Waits, and reads ahead meanwhile: so a client that leaves ends the wait, and so does a server that closes."""
        # A client that only shuts down its sending half looks the same, and counts as gone.
        deadline = time.monotonic() + seconds
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                self.socket.settimeout(remaining)
                self.receive()
        # CPython's `_ssl` raises the second where a deadline is reached to the nanosecond.
        except (TimeoutError, ssl.SSLWantReadError):
            pass
        finally:
            self.socket.settimeout(None)

    def send(self, answer: Answer, order: Order) -> None:
        fault = order.fault
        if fault.after != BEFORE_HEAD:
            self.send_head(answer.head, fault.head_seconds)
            self.send_pieces(answer, order)
        if fault.ending == "stall":
            while True:
                self.receive()
        if fault.ending == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault.ending:
            raise Ended
        self.socket.sendall(answer.end)

    def send_head(self, head: bytes, seconds: float) -> None:
        if not seconds:
            self.socket.sendall(head)
            return
        began = time.monotonic()
        for sent in range(1, len(head) + 1):
            self.socket.sendall(head[sent - 1 : sent])
            self.rest(began + seconds * sent / len(head) - time.monotonic())

    def send_pieces(self, answer: Answer, order: Order) -> None:
        fault, gate, send, frame = order.fault, order.server.gate, self.socket.sendall, answer.frame
        pause = order.server.pause if fault.gap is None else fault.gap
        for number, piece in enumerate(itertools.islice(self.kept(answer.pieces), fault.after)):
            if pause and number:
                self.rest(pause)
            if gate:
                pass_through(gate, self.socket, lambda: self.rest(0.001))
            for part in fault.split(piece) if fault.split else (piece,):
                send(frame(part))

    def kept(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces. What the user's own generator raises goes to `FakeServer.errors`, and ends the connection."""
        try:
            yield from pieces
        except Exception as error:
            self._fail(error)
            raise Ended from error
