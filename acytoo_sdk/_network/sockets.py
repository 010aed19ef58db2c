"""Sockets that keep the limits of the attempt they serve, and that can be aborted from any thread.

A socket's own timeout bounds a single receive, so a server that sends a byte now and then outlives it for ever. Here
every operation of a socket first asks the scope of its attempt how long it may still take: limits end a hung read at
their moment, and no thread has to watch the clock.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._wire.framing import CloseDelimitedReader, FramingReader
from .limits import Limits
from .provenance import is_foreign
from .tls import own_outcome, tells_cuts

_TLS_RECORD = 2**14  # bytes at most, RFC 8446, 5.1
_MOST_AT_ONCE = 2**16  # bytes


class SocketScope:
    """What a cancel scope is to tasks, for the socket of one attempt: its limits, and its end from any thread.

    Whoever does something to the socket has the turn meanwhile. Whoever finds that another has it does nothing to the
    socket, and leaves it to that one to close what is to be closed. So a socket's number is not given to another socket
    while somebody is using it: `shutdown` would reach a stranger's connection. Nobody waits for the turn: a finaliser,
    or a signal handler, may abort what the code that it interrupts is closing.

    Args:
        limits: of the attempt.

    Attributes:
        limits: of the attempt.
        sent: whether the request was sent, or as much of it as the server took.
        aborted: whether `abort` was called.
        closed: whether `close` was called.
        late: whether a limit had run out when the body was to be received: what has arrived is all that is taken.
        blocking: whether a receive waits; else, somebody else waits for many sockets, and looks after the limits.
        had_turn: where it does not wait, whether one receive of the head was made since this was last reset.
        reply: http.client's reply, once it is awaited.
        head_received: whether its head is there.
        before_close: what is to be done before the socket is closed, or given back, by whoever watches it.
        framing: takes the body out of its framing; set by whoever judged the head.
    """

    __slots__ = (
        "_queue",
        "_socket",
        "_to_close",
        "aborted",
        "before_close",
        "blocking",
        "closed",
        "framing",
        "had_turn",
        "head_received",
        "late",
        "limits",
        "reply",
        "sent",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sent = False
        self.aborted = False
        self.late = False
        self.blocking = True
        self.had_turn = False
        self.reply: http.client.HTTPResponse | None = None
        self.head_received = False
        self.before_close: Callable[[], None] | None = None
        self.framing: FramingReader = CloseDelimitedReader()
        self.closed = False
        self._socket: socket.socket | None = None  # which carries the attempt
        self._queue: list[object] = []  # of those who want to do something to it: the first one has the turn
        self._to_close: list[Callable[[], None]] = []  # by whoever has the turn

    def abort(self) -> None:
        """Ends the attempt from any thread: whoever reads wakes at once, and nothing read from now on is used."""
        self.aborted = True
        # Not the socket's own method: an SSLSocket's drops its TLS layer, and its reader would go on with ciphertext.
        self._use_socket(lambda sock: socket.socket.shutdown(sock, socket.SHUT_RDWR))

    def check(self) -> None:
        """Raises if the attempt was aborted.

        Raises:
            ConnectionAbortedError: it was.
        """
        if self.aborted:
            raise ConnectionAbortedError("cancelled")

    def adopt(self, sock: socket.socket) -> None:
        """From now on this socket carries the attempt."""
        sock.scope = self  # type: ignore[attr-defined]
        self._socket = sock
        self.check()

    def release(self) -> None:
        """The socket may serve others: from now on it is none of this attempt's.

        Raises:
            ConnectionAbortedError: the attempt was aborted, and the socket is of no more use.
        """
        mine = object()
        try:
            self._queue.append(mine)
            sock = self._socket
            if self._queue[0] is not mine or self.aborted or sock is None:
                raise ConnectionAbortedError("cancelled")
            self._socket = sock.scope = None  # type: ignore[attr-defined]
            self.reply = None
        finally:
            self._leave(mine)

    def let_go(self) -> None:
        """Has whoever watches the socket forget it."""
        act, self.before_close = self.before_close, None
        if act is not None:
            act()

    def close(self) -> None:
        """Closes the socket, for the thread that reads; after `release`, nothing is left to close."""
        self.closed = True
        self.let_go()
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.close()
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def close_in_turn(self, close: Callable[[], None]) -> None:
        """Closes a socket of this attempt, or has it closed by whoever is just doing something to it."""
        self._to_close.append(close)
        self._close_what_is_left()

    def connect(self, host: str, port: int, options: list[tuple[int, int, int | bytes]]) -> socket.socket:
        """A socket connected to the first address of a host that answers; all of them share the time that is left."""
        failure = OSError("the host has no address")
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise socket.gaierror(socket.EAI_NONAME, "no host can have this name") from error
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
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError) or is_foreign(error):
                    raise
                failure = error
                self.check()
        raise failure

    def request_sent(self) -> None:
        """The request was sent: the limit on the first byte of the body runs from now on."""
        self.sent = True
        self.limits.connected()

    def drop_unsent(self) -> None:
        """Has closing reset the connection, where a server did not take all of the request.

        Otherwise the system would keep the rest, and not tell the server that nobody is there any more.
        """
        self._use_socket(lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)))

    def time_left(self) -> float | None:
        """How long the next operation may take, as `Limits.time_left` says.

        Raises:
            TimeoutError: its time has run out.
            ConnectionAbortedError: the attempt was aborted.
        """
        self.check()
        return self.limits.time_left()

    def receive_time_left(self) -> float | None:
        """Like `time_left`, for a receive: when time is over, what has arrived of a body is still there to be taken."""
        if not self.blocking:
            self.check()
            if not self.head_received:
                self._take_turn()
            return 0.0
        try:
            return self.time_left()
        except TimeoutError:
            if not self.head_received:
                raise
            self.late = True
            return 0.0

    def _take_turn(self) -> None:
        """Of a head, one receive a turn: interim replies may come as fast as they are read, and others wait."""
        self.limits.time_left()
        if self.had_turn:
            raise BlockingIOError(errno.EAGAIN, "others have their turn")
        self.had_turn = True

    def _use_socket(self, use: Callable[[socket.socket], object]) -> None:
        """Does something to the socket, unless somebody else is just doing something to it."""
        mine = object()
        try:
            self._queue.append(mine)
            if self._queue[0] is mine and (sock := self._socket) is not None:
                use(sock)
        except OSError as error:
            if error.errno is None:  # not the system's word that it is not connected yet, or closed already
                raise
        finally:
            self._leave(mine)

    def _leave(self, mine: object) -> None:
        """The end of a turn, or of the wish for one."""
        with suppress(ValueError):  # a signal handler raised before it was queued
            self._queue.remove(mine)
        if self._to_close and not self._queue:  # the last one to leave sees what all the others left
            self._close_what_is_left()

    def _close_what_is_left(self) -> None:
        mine = object()
        try:
            self._queue.append(mine)
            while self._queue[0] is mine and self._to_close:
                self._to_close.pop()()
        finally:
            self._leave(mine)


class LimitedSocket(socket.socket):
    """Asks the scope before each operation how long it may take; hands nothing out after an abort.

    Attributes:
        closed_by_peer: whether the other end said, by TLS's closure alert, that nothing more will come.
        would_block: whether the last receive was not to wait, and found nothing.
    """

    scope: SocketScope | None = None
    closed_by_peer = False
    would_block = False

    def makefile(self, mode: Any = "r", buffering: int | None = None, **how: Any) -> Any:
        """The file that a reply is read from: large enough for a record of TLS, so that each is taken as a whole.

        What TLS held back of a record, no selector would see.
        """
        return super().makefile(mode, _TLS_RECORD if buffering is None else buffering, **how)

    def recv_into(self, buffer: Any, nbytes: int | None = 0, flags: int = 0) -> int:
        if (scope := self.scope) is None:
            return super().recv_into(buffer, nbytes or len(buffer), flags)  # gevent's takes no 0 for all of it
        self.would_block = False
        try:
            self._limit(scope.receive_time_left())
            received = super().recv_into(buffer, nbytes or len(buffer), flags)
        except (BlockingIOError, ssl.SSLWantReadError) as error:
            if scope.blocking or scope.late:
                raise TimeoutError("nothing more had arrived") from error
            self.would_block = True
            raise BlockingIOError(errno.EAGAIN, "nothing more has arrived") from None  # over TLS, too
        scope.check()
        if not received and not self.closed_by_peer:
            self.getpeername()  # raises after a reset, which TLS takes for an end before Python 3.13
        return received

    def receive_now(self) -> bytes:
        """What has arrived of a body, from a socket that does not wait; nothing at the end, or if it `would_block`."""
        try:
            data = super().recv(_MOST_AT_ONCE)
        except (BlockingIOError, ssl.SSLWantReadError):
            self.would_block = True
            return b""
        if (scope := self.scope) is not None and scope.aborted:
            scope.check()
        if not data:
            self.would_block = False
            if not self.closed_by_peer:
                self.getpeername()  # as above
        return data

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if (scope := self.scope) is None:
            return super().recv(buflen, flags)
        self._limit(scope.receive_time_left())
        try:
            received = super().recv(buflen, flags)
        except (BlockingIOError, ssl.SSLWantReadError) as error:
            raise TimeoutError("nothing more had arrived") from error
        scope.check()
        return received

    def send(self, data: Any, flags: int = 0, timeout: object = None) -> int:  # gevent passes one; the scope's counts
        if self.scope is not None:
            self._limit(self.scope.time_left())
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self.scope is not None and data:  # TLS inside TLS sends nothing whenever it has received
            self._limit(self.scope.time_left())
        super().sendall(data, flags)

    def close(self) -> None:
        """Closes it, as soon as nobody is just doing something to it; once it was released, nobody does."""
        if (scope := self.scope) is None:
            super().close()
        else:
            scope.close_in_turn(super().close)

    def _limit(self, seconds: float | None) -> None:
        # Setting it is a system call, and in the long middle of a reply it does not change.
        if seconds != self.gettimeout():
            self.settimeout(seconds)


class LimitedTLSSocket(LimitedSocket, ssl.SSLSocket):
    """A TLS socket within the limits of its scope."""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - as it is called there
        self.suppress_ragged_eofs = False
        try:
            received = own_outcome(super().read, len, buffer)
        except ssl.SSLEOFError:
            return b"" if buffer is None else 0
        self.closed_by_peer = not received and tells_cuts(self.context)
        return received

    def send(self, data: Any, flags: int = 0, timeout: object = None) -> int:
        return own_outcome(super().send, data, flags, timeout)

    def do_handshake(self, block: bool = False) -> None:
        if (scope := current_scope()) is not None:
            scope.adopt(self)
            # OpenSSL's handshake is many receives, but one operation for the timeout: drips do not stretch it.
            self.settimeout(scope.time_left())
        super().do_handshake()  # gevent's takes no argument, and nobody passes one


_thread = threading.local()


class use_scope:  # noqa: N801 - reads like the context manager it is
    """While it is entered, this thread's new connections and replies belong to a scope.

    Neither requests nor urllib3 hands anything of the caller's down to the connection it opens, or takes from its pool.
    A signal handler, or a finaliser, may make a call of its own in the middle of another: that one has its scope back
    afterwards.
    """

    def __init__(self, scope: SocketScope) -> None:
        self._scope = scope
        self._interrupted: SocketScope | None = None

    def __enter__(self) -> None:
        interrupted = current_scope()
        # A closed one is left over from an attempt whose `__exit__` was interrupted.
        self._interrupted = None if interrupted is None or interrupted.closed else interrupted
        _thread.scope = self._scope

    def __exit__(self, *error: object) -> None:
        _thread.scope = self._interrupted


def current_scope() -> SocketScope | None:
    """The scope that this thread uses, if any."""
    return getattr(_thread, "scope", None)
