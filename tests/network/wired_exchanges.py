"""Exchanges whose connection is one end of a pair of sockets, and whose server is the test, at the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from acytoo_sdk import Timeout
from acytoo_sdk._network.connections import Connection
from acytoo_sdk._network.exchange import Exchange
from acytoo_sdk._network.proxies import Proxies
from acytoo_sdk._network.sockets import LimitedSocket, SocketScope, use_scope
from acytoo_sdk._secrets import Mask
from acytoo_sdk._wire.framing import framing_of, join_headers
from acytoo_sdk.protocol import Request

Head = tuple[int, list[tuple[str, str]]]


class Wired:
    """Stands for the transport, and for urllib3's pool; and is the server.

    Attributes:
        given_back: whether the connection may serve again.
        server: the other end.
    """

    def __init__(self, timeout: Timeout, deadline: float | None) -> None:
        mine, self.server = socket.socketpair()
        self.given_back = False
        self.proxies = Proxies("", lambda url: None)
        self._sock = LimitedSocket(fileno=mine.detach())
        transport: Any = self
        request = Request("POST", "http://chat.example", {}, b"Hi")
        self.exchange = Exchange(transport, request, timeout=timeout, deadline=deadline, mask=Mask())

    def send(self, request: Request, scope: SocketScope) -> requests.Response:
        connection: Any = Connection("chat.example")
        connection.sock = self._sock
        scope.adopt(self._sock)
        scope.limits.connected()
        with use_scope(scope):
            connection.request(request.method, "/", request.body)
            raw = connection.getresponse()
        raw._connection, raw._pool = connection, self  # as urllib3 does
        response = requests.Response()
        response.raw = raw
        return response

    def say(self, data: bytes) -> None:
        """Sends a part of the reply."""
        self.server.sendall(data)

    def end(self) -> None:
        """Sends no more."""
        self.server.shutdown(socket.SHUT_WR)

    def is_drained(self) -> bool:
        """Whether all that it sent was read."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True

    def close(self) -> None:
        self.exchange.close()
        self.server.close()
        self._sock.close()

    def _put_conn(self, connection: Any) -> None:
        self.given_back = connection.sock is not None  # or http.client let go of it


@contextmanager
def wired(timeout: Timeout | None = None, *, deadline: float | None = None) -> Iterator[tuple[Exchange, Wired]]:
    """An exchange that has sent its request, and does not wait for the reply; and its server."""
    one = Wired(timeout or Timeout(), deadline)
    try:
        one.exchange.send()
        assert one.exchange.unblock() == one._sock.fileno()
        yield one.exchange, one
    finally:
        one.close()


def read_body(exchange: Exchange, head: Head) -> None:
    """From now on `receive` takes the body out of the framing that this head announces."""
    status, headers = head
    exchange.read_by(framing_of(status, join_headers(headers)))


def arrived(exchange: Exchange) -> bytes:
    """What has arrived of the body, up to where there is something to wait for, or its end."""
    body = b""
    while data := exchange.receive():
        body += data
    return body
