"""Small proxies for tests, as scripts of a `FaultServer`: whatever name is asked for, they go to one local server."""

from __future__ import annotations

import select
import socket
import ssl
from base64 import b64encode
from urllib.parse import urlsplit

from fault_server import ClientLeft, Connection, Script, Step, raw, unread


def http_proxy(target: str, seen: list[bytes], *, credentials: str = "", tls: bool = False) -> Script:
    """Forwards plain requests and CONNECT.

    Args:
        target: the URL of the server that stands for all hosts.
        seen: gets the head of every request.
        credentials: `USER:PASSWORD` that are asked for.
        tls: the proxy itself speaks TLS.
    """

    def step(connection: Connection) -> None:
        head, rest = read_head(connection.socket)
        seen.append(head)
        if credentials and b"Basic " + b64encode(credentials.encode()) not in head:
            connection.socket.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n"
                b"Proxy-Authenticate: Basic realm=x\r\nConnection: close\r\n\r\n"
            )
            raise ClientLeft
        with connect(target) as upstream:
            if head.startswith(b"CONNECT"):
                connection.socket.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(head + rest)
            relay(connection.socket, upstream)
        raise ClientLeft

    return [unread if tls else raw, step]


def answering(reply: bytes, seen: list[bytes], *after: Step) -> Script:
    """Answers every request with these bytes, then does what comes after."""

    def step(connection: Connection) -> None:
        seen.append(read_head(connection.socket)[0])
        connection.socket.sendall(reply)

    return [raw, step, *after, leave]


def socks5_proxy(target: str, seen: list[bytes]) -> Script:
    """Speaks SOCKS5 without credentials; `seen` gets the host that is asked for."""

    def step(connection: Connection) -> None:
        client = connection.socket
        client.recv(2 + 255)
        client.sendall(b"\x05\x00")
        request = client.recv(4 + 1 + 255 + 2)
        seen.append(request[4:-2])
        with connect(target) as upstream:
            client.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0")
            relay(client, upstream)
        raise ClientLeft

    return [raw, step]


def leave(connection: Connection) -> None:
    raise ClientLeft


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (received := client.recv(65536)):
            raise ClientLeft
        data += received
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


def connect(target: str) -> socket.socket:
    parts = urlsplit(target)
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), 10)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Bytes in both directions, until either end is closed."""
    while True:
        for readable in select.select([one, other], [], [])[0]:
            if not (data := readable.recv(65536)):
                return
            while isinstance(readable, ssl.SSLSocket) and readable.pending():  # of which the system knows nothing
                data += readable.recv(65536)
            (other if readable is one else one).sendall(data)
