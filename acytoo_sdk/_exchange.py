"""The exchange: one request and its reply on one socket, the limits they keep, and their cancellation from any thread.

A socket's timeout bounds one receive, so drips outlive it for ever; here every operation of the socket first asks its
exchange how long it may still take. No thread watches. Sockets, TLS and http.client's reply are made to ask; who sends
is `_transport`.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
import sys
import threading
import time
from email.errors import MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect
from typing import Any

from ._options import Timeout
from .errors import Phase

# A socket's timeout must fit into milliseconds of 31 bits.
_LONGEST_TIMEOUT = 2_000_000.0
_KERNEL_LIMITS = sys.platform == "linux"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FOLD = re.compile(r"[ \t]*[\r\n]+[ \t]*")


class Exchange:
    """The limits of one attempt, the socket it uses, and how far it got.

    Args:
        timeout: the limits.
        deadline: the limit on everything, on the monotonic clock; None for none.

    Attributes:
        phase: what is waited for: a connection, the first byte of the body, or more of it.
        expired: the limit that applies to the running operation, and that has run out where it raised `TimeoutError`.
        sent: whether the request was sent, or as much of it as the server took.
        aborted: whether `abort` was called.
        late: whether a limit had run out when the body was to be received: what has arrived is all that is taken.
        reply: http.client's reply, once its head is there.
    """

    def __init__(self, timeout: Timeout, deadline: float | None) -> None:
        self.phase: Phase = "connect"
        self.expired: Phase | None = None
        self.sent = False
        self.aborted = False
        self.late = False
        self.reply: Reply | None = None
        self._timeout = timeout
        self._deadline = deadline
        self._until = _from_now(timeout.connect)  # when the phase must be over; None while it is "idle"
        self._socket: socket.socket | None = None
        self._lock = threading.RLock()  # a signal handler may abort what its own thread is doing

    def abort(self) -> None:
        """Ends the exchange from any thread: who reads wakes at once, and nothing read from now on is used."""
        with self._lock:
            self.aborted = True
            if self._socket is not None:
                try:
                    # Not the socket's own method: an SSLSocket's drops its TLS layer, and its reader would go on with
                    # ciphertext.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    pass  # not connected yet, or closed already

    def check(self) -> None:
        """Raises if the exchange was aborted.

        Raises:
            ConnectionAbortedError: it was.
        """
        if self.aborted:
            raise ConnectionAbortedError("cancelled")

    def adopt(self, sock: socket.socket) -> None:
        """From now on this socket carries the exchange."""
        sock.exchange = self  # type: ignore[attr-defined]
        self._socket = sock
        self.check()

    def release(self) -> None:
        """The socket may serve others: from now on it is none of this exchange's."""
        with self._lock:
            if self._socket is not None:
                self._socket.exchange = None  # type: ignore[attr-defined]
            self._socket = self.reply = None

    def close(self) -> None:
        """Closes the socket, for the thread that reads; after `release`, nothing is left to close."""
        with self._lock:
            sock, self._socket = self._socket, None
        if self.reply is not None:
            self.reply.close()
            self.reply = None
        if sock is not None:
            sock.close()

    def connect(self, host: str, port: int, options: list[tuple[int, int, int | bytes]]) -> socket.socket:
        """A socket connected to the first address of a host that answers; they share the time that is left."""
        failure = OSError("the host has no address")
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for index, (family, kind, proto, _, address) in enumerate(addresses):
            left = self.time_left()
            sock = LimitedSocket(family, kind, proto)
            try:
                self.adopt(sock)
                for option in options:
                    sock.setsockopt(*option)
                sock.settimeout(None if left is None else left / (len(addresses) - index))
                sock.connect(address)
                return sock
            except OSError as error:
                failure = error
                sock.close()
                self.check()
            except BaseException:
                sock.close()
                raise
        raise failure

    def connected(self) -> None:
        """There is a connection: sending the request may take as long as the first byte of the reply."""
        self.phase, self._until = "first_byte", _from_now(self._timeout.first_byte)

    def request_sent(self) -> None:
        """The request was sent: the limit on the first byte of the body runs from now on."""
        self.sent = True
        self.connected()

    def drop_unsent(self) -> None:
        """Closing will reset the connection: or the system would keep what a server does not take, and not tell it."""
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass  # closed already

    def body_received(self) -> None:
        """A byte of the body is there: from now on each silence has its own limit."""
        self.phase, self._until = "idle", None

    def time_left(self) -> float | None:
        """How long the next operation on the socket may take, in seconds; None for no limit.

        Raises:
            TimeoutError: its time has run out.
            ConnectionAbortedError: the exchange was aborted.
        """
        self.check()
        left, self.expired = self._timeout.idle if self.phase == "idle" else None, self.phase
        if self._until is not None:
            left = self._until - time.monotonic()
        if self._deadline is not None:
            total_left = self._deadline - time.monotonic()
            if left is None or total_left < left:
                left, self.expired = total_left, "total"
        if left is None:
            return None
        if left <= 0:
            raise TimeoutError("no time is left")
        return min(left, _LONGEST_TIMEOUT)

    def receive_time_left(self) -> float | None:
        """Like `time_left`, for a receive: when time is over, what has arrived of a body is still there to be taken."""
        try:
            return self.time_left()
        except TimeoutError:
            if self.reply is None:
                raise
            self.late = True
            return 0.0


def _from_now(limit: float | None) -> float | None:
    return None if limit is None else time.monotonic() + limit


class Limited(socket.socket):
    """Asks the exchange before each operation how long it may take; hands nothing out after an abort."""

    exchange: Exchange | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = 0, flags: int = 0) -> int:
        if (exchange := self.exchange) is None:
            return super().recv_into(buffer, nbytes or 0, flags)
        self._limit_receive(exchange.receive_time_left())
        try:
            received = super().recv_into(buffer, nbytes or 0, flags)
        except (BlockingIOError, ssl.SSLWantReadError) as error:
            raise TimeoutError("nothing more had arrived") from error
        exchange.check()
        if not received:
            self.getpeername()  # raises after a reset, which TLS takes for an end before Python 3.13
        return received

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if (exchange := self.exchange) is None:
            return super().recv(buflen, flags)
        self._limit(exchange.time_left())
        received = super().recv(buflen, flags)
        exchange.check()
        return received

    def send(self, data: Any, flags: int = 0) -> int:
        if self.exchange is not None:
            self._limit(self.exchange.time_left())
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self.exchange is not None:
            self._limit(self.exchange.time_left())
        super().sendall(data, flags)

    def _limit_receive(self, seconds: float | None) -> None:
        self._limit(seconds)

    def _limit(self, seconds: float | None) -> None:
        # Setting it is a system call, and in the long middle of a reply it does not change.
        if seconds != self.gettimeout():
            self.settimeout(seconds)


class LimitedSocket(Limited):
    """A TCP socket within the limits of its exchange."""

    _kernel_limit: float | None = None

    def _limit_receive(self, seconds: float | None) -> None:
        # Python keeps a timeout by a poll before each receive: where a thousand threads read, one more queue for the
        # interpreter. The kernel's own begins anew after a signal, so it is not for the main thread, which gets them.
        kernel_keeps = _KERNEL_LIMITS and threading.current_thread() is not threading.main_thread()
        by_kernel = (seconds or None) if kernel_keeps else None
        if by_kernel != self._kernel_limit:
            microseconds = 0 if by_kernel is None else max(1, round(by_kernel * 1e6))  # 0: no limit
            timeval = struct.pack("@ll", *divmod(microseconds, 1_000_000))
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
            self._kernel_limit = by_kernel
        self._limit(None if by_kernel else seconds)  # a receive that the kernel ends is a BlockingIOError then


class LimitedTLSSocket(Limited, ssl.SSLSocket):
    """A TLS socket within the limits of its exchange."""

    def do_handshake(self, block: bool = False) -> None:
        if (exchange := current()) is not None:
            exchange.adopt(self)
            # OpenSSL's handshake is many receives, but one operation for the timeout: drips do not stretch it.
            self.settimeout(exchange.time_left())
        super().do_handshake(block)


class Reply(http.client.HTTPResponse):
    """http.client's reply, less credulous about its head.

    http.client takes a head that breaks off for a whole one, a 103 for the reply itself, and drops what follows a
    malformed header line, framing included.
    """

    def begin(self) -> None:
        lines = _HeadLines(self.fp)
        self.fp = lines  # type: ignore[assignment]
        try:
            super().begin()
            while 100 < self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                self.headers = None  # type: ignore[assignment]
                super().begin()
        finally:
            if self.fp is not None:
                self.fp = lines.file
        if any(not _HEADER_NAME.fullmatch(name) for name in self.headers) or self._unread_headers():
            raise http.client.HTTPException("malformed header")
        if (exchange := current()) is not None:
            exchange.reply = self

    def receive(self) -> bytes:
        """What has arrived, as soon as anything has; nothing at the end of the connection."""
        # Into the buffer that is there: `read1` alone would hold one of its own for as long as it waits.
        return self.fp.read1(len(self.fp.peek()))

    def header_list(self) -> list[tuple[str, str]]:
        """The headers, in order of arrival, each on one line."""
        return [(name, _FOLD.sub(" ", value).strip()) for name, value in self.headers.items()]

    def _unread_headers(self) -> bool:
        harmless = (StartBoundaryNotFoundDefect, MultipartInvariantViolationDefect)
        return any(not isinstance(defect, harmless) for defect in self.headers.defects)


class _HeadLines:
    """The lines of a head, in which the connection must not end."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self._begun = False

    def readline(self, limit: int) -> bytes:
        line: bytes = self.file.readline(limit)
        if self._begun and not line:
            raise http.client.RemoteDisconnected("the connection ended inside the head")
        self._begun = True
        return line

    def close(self) -> None:
        self.file.close()


_thread = threading.local()


class opening:  # noqa: N801 - reads like the context manager it is
    """While it is entered, this thread's new connections and replies belong to an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> None:
        _thread.exchange = self._exchange

    def __exit__(self, *error: object) -> None:
        _thread.exchange = None


def current() -> Exchange | None:
    """The exchange that this thread is opening, if any."""
    return getattr(_thread, "exchange", None)
