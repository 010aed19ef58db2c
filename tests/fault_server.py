"""A raw-socket server that does to each connection what a script says; for faults no decent server would commit.

A script is a list of steps, run on a connection after its request was read: bytes are sent, functions are called with
the connection. It knows no HTTP but the end of a request.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

_LENGTH = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)


class ClientLeft(Exception):
    """The client, or the server's end, ended the connection."""


class Connection:
    """One client's connection, and what a script may do with it; `request` is the last one that was read."""

    request = b""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = accepted
        self._ahead = b""

    def read_request(self) -> bytes:
        """The next request, head and body."""
        while not (found := re.search(rb"\r\n\r\n", self._ahead)):
            self._receive()
        length = _LENGTH.search(self._ahead, 0, found.end())
        end = found.end() + (int(length[1]) if length else 0)
        while len(self._ahead) < end:
            self._receive()
        request, self._ahead = self._ahead[:end], self._ahead[end:]
        return request

    def wait(self, seconds: float | None) -> None:
        """Waits, unless the client leaves; None waits for that alone. Reads nothing."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        if poll.poll(None if seconds is None else seconds * 1000):
            raise ClientLeft

    def _receive(self) -> None:
        if not (data := self.socket.recv(65536)):
            raise ClientLeft
        self._ahead += data


Step = bytes | Callable[[Connection], None]
Script = Sequence[Step]


def raw(connection: Connection) -> None:
    """First in a script: it starts when the connection is accepted, before TLS, and reads no request."""


def unread(connection: Connection) -> None:
    """First in a script: it starts when the connection is open, and reads no request."""


def stall(connection: Connection) -> None:
    """Silence until the client leaves."""
    connection.wait(None)


def fin(connection: Connection) -> None:
    """Ends the connection; over TLS without a close_notify. Then waits for the client to do the same."""
    socket.socket.shutdown(connection.socket, socket.SHUT_WR)
    connection.wait(None)


def bye(connection: Connection) -> None:
    """Ends the connection as it should be, over TLS too."""
    if isinstance(connection.socket, ssl.SSLSocket):
        connection.socket.settimeout(0)
        with contextlib.suppress(OSError):  # the client's own close_notify is not waited for
            connection.socket.unwrap()
    fin(connection)


def rst(connection: Connection) -> None:
    """Resets the connection."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ClientLeft


def pause(seconds: float) -> Step:
    """Silence for some time."""
    return lambda connection: connection.wait(seconds)


def held(gate: threading.Event) -> Step:
    """Silence until the test sets the event, or the client leaves."""

    def step(connection: Connection) -> None:
        while not gate.is_set():
            connection.wait(0.002)

    return step


def told(bell: threading.Event) -> Step:
    """Tells the test that the script came here."""
    return lambda connection: bell.set()


def drip(data: bytes, gap: float = 0.05) -> Step:
    """The bytes one by one."""

    def step(connection: Connection) -> None:
        for byte in data:
            connection.socket.sendall(bytes((byte,)))
            connection.wait(gap)

    return step


def flood(data: bytes, gap: float = 0) -> Step:
    """The same bytes again and again until the client leaves: as fast as it takes them, or with gaps."""
    block = data * max(1, 16384 // len(data))

    def step(connection: Connection) -> None:
        while True:
            connection.socket.sendall(block)
            connection.wait(gap)

    return step


class FaultServer:
    """Runs the n-th script on the n-th request (or raw connection), and the last one on all that follow.

    After its last step a script leaves the connection open for the next request. `close()` ends everything at once.

    Args:
        scripts: at least one.
        tls: a server-side context makes it an https server.
    """

    def __init__(self, scripts: Sequence[Script], *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._scripts = itertools.chain(scripts, itertools.repeat(scripts[-1]))
        self._next = next(self._scripts)
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._run(self._accept)

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def wait_until(self, predicate: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Whether the predicate became true in time; it is asked whenever something changes."""
        with self._changed:
            return self._changed.wait_for(predicate, timeout)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        self._listener.close()

    def __enter__(self) -> FaultServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="FaultServer", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if self._closed:
                    accepted.close()
                    return
                self.connections += 1
                connection = Connection(accepted)
                self._open.add(connection)
                self._changed.notify_all()
            self._run(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: Connection) -> None:
        try:
            if self._next and self._next[0] is raw:
                self.perform(self._take(), connection)
            if self._tls:
                connection.socket = self._tls.wrap_socket(
                    connection.socket, server_side=True, do_handshake_on_connect=False
                )
                connection.socket.do_handshake()
            while True:
                if self._next and self._next[0] is unread:
                    self.perform(self._take(), connection)
                request = connection.request = connection.read_request()
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                self.perform(self._take(), connection)
        except (OSError, ClientLeft):
            pass
        finally:
            with self._changed:
                connection.socket.close()
                self._open.discard(connection)
                self._changed.notify_all()

    def _take(self) -> Script:
        with self._changed:
            script, self._next = self._next, next(self._scripts)
        return script

    @staticmethod
    def perform(script: Script, connection: Connection) -> None:
        for step in script:
            if isinstance(step, bytes):
                connection.socket.sendall(step)
            else:
                step(connection)


def wait_for(predicate: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Whether something nobody announces became true in time."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True
