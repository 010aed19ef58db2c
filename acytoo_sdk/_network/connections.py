"""urllib3's connections and pools, on our sockets: each tells the scope of its thread how far it is.

The only file that imports urllib3. Speaking TLS, going through proxies and keeping idle connections is its code; making
a connected socket is left to the scope.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
from collections.abc import Iterator
from typing import Any, cast

import urllib3

# From here, and not from `urllib3.connection`, whose classes may be a cassette's when this is imported.
from urllib3.connectionpool import HTTPConnection, HTTPConnectionPool, HTTPSConnection, HTTPSConnectionPool  # type: ignore[attr-defined]
from urllib3.exceptions import HTTPError as HTTPError
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.ssltransport import SSLTransport

from .head import StrictHTTPResponse
from .provenance import is_of_caught_line
from .sockets import LimitedTLSSocket, SocketScope, current_scope

# At 16 KiB each, more than a system keeps of what arrives; a flood must end.
_MOST_LATE_RECEIVES = 1024


class Connection(HTTPConnection):
    """A connection in the plain."""

    _kept = False
    _awaited: StrictHTTPResponse | None = None
    debuglevel = 0  # http.client's debug lines would print the body, which holds the secrets

    def _new_conn(self) -> socket.socket:
        return scope_in_use().connect(self._dns_host, self.port, list(self.socket_options or ()))

    def connect(self) -> None:
        super().connect()
        scope_in_use().limits.connected()

    def request(self, *args: Any, **kwargs: Any) -> None:
        scope = scope_in_use()
        # Only a kept one is looked at before it serves: on a new one, TLS tickets come unasked.
        self._kept = scope.limits.phase == "connect" and self.sock is not None
        try:
            super().request(*args, **kwargs)
        except BaseException as error:
            scope.drop_unsent()
            if self.sock is None and isinstance(error, ConnectionResetError):
                raise OSError("reset while connecting") from error  # of a bare one, urllib3 would go on to a reply
            raise
        finally:
            if scope.limits.phase == "first_byte":
                scope.request_sent()

    def send(self, data: Any) -> None:
        if self._kept:  # asked as late as possible: something may have come meanwhile
            self._kept = False
            self._take_up(scope_in_use())
        super().send(data)

    def getresponse(self) -> RawReply:  # type: ignore[override]
        """The reply whose head is awaited: by whoever reads it, so that this thread is free for other requests."""
        return RawReply(self, scope_in_use())

    def receive_head(self, reply: StrictHTTPResponse) -> None:
        """Reads the head of the awaited reply, by which http.client knows whether the connection may serve again.

        Raises:
            BlockingIOError: it has not arrived as a whole, and the socket does not wait.
        """
        reply.begin()
        self._awaited = reply
        super(HTTPConnection, self).getresponse()

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> StrictHTTPResponse:  # type: ignore[override]
        """What http.client reads a reply with: the awaited one, or a proxy's to the request for a tunnel."""
        reply, self._awaited = self._awaited, None
        return reply or StrictHTTPResponse(sock, *args, **kwargs)

    def _take_up(self, scope: SocketScope) -> None:
        """A kept connection serves again, unless it ended, or something came that no request asked for."""
        sock: Any = self.sock
        beneath = getattr(sock, "socket", sock)  # of TLS inside TLS
        layers: list[Any] = [beneath, getattr(sock, "sslobj", None)]
        if self.is_connected and not any(layer.pending() for layer in layers if hasattr(layer, "pending")):
            scope.adopt(beneath)
            scope.limits.connected()
        else:
            beneath.close()
            self.sock = None  # for `super().send` to connect anew


class TLSConnection(Connection, HTTPSConnection):
    """A connection over TLS."""

    def connect(self) -> None:
        super().connect()
        # `verify=False` says it in so many words; urllib3's warning about it would repeat it for each connection.
        self.is_verified = True


class _IdleConnections(queue.LifoQueue[Any]):
    """The idle connections of a pool, without a lock; one for which there is no room is closed.

    A finaliser, or a signal handler, may give one back while the code that it interrupts is taking one. It must not log
    either, as urllib3 does of a full pool: the code that it interrupts may be logging.
    """

    def __init__(self, maxsize: int) -> None:
        self._size = maxsize
        self._connections: list[Any] = []

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError as error:
            if not is_of_caught_line(error):
                raise
            raise queue.Empty from None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self._connections) < self._size:
            self._connections.append(item)
        elif item is not None:
            item.close()

    def qsize(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        """Closes them all; somebody else may be at it, too."""
        with contextlib.suppress(queue.Empty):
            while True:
                if (connection := self.get()) is not None:
                    connection.close()


class _Pool(HTTPConnectionPool):
    """A pool of idle connections that several may close at the same moment, which urllib3's own does not survive."""

    QueueCls = _IdleConnections  # type: ignore[assignment]
    connection_class: type[Connection]

    @property
    def ConnectionCls(self) -> type[Any]:  # type: ignore[override]  # noqa: N802 - urllib3's name
        """Ours; but while a cassette of vcrpy is in use, the connections that it has put into urllib3."""
        inherited = super().ConnectionCls
        return inherited if hasattr(inherited, "cassette") else self.connection_class

    def close(self) -> None:
        idle, self.pool = self.pool, None
        if isinstance(idle, _IdleConnections):
            idle.close()


PoolClasses = dict[str, type[HTTPConnectionPool]]
"""What a pool manager makes its pools of, by scheme."""


def pool_classes(plain: type[Connection], tls: type[TLSConnection]) -> PoolClasses:
    """Pools of these connections."""

    class PlainPool(_Pool):
        connection_class = plain

    class TLSPool(_Pool, HTTPSConnectionPool):  # type: ignore[override]
        connection_class = tls

    return {"http": PlainPool, "https": TLSPool}


def new_tls_context(*, verified: bool) -> ssl.SSLContext:
    """A context whose sockets keep limits; it trusts nobody yet, or, not `verified`, anybody."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if verified else ssl.CERT_NONE)
    context.sslsocket_class = LimitedTLSSocket
    # Or a cut would look like the closure alert; before OpenSSL 3, it never does, and there is no such option.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


class BorrowedContext:
    """A caller's context, as urllib3 and `ssl` see it: its sockets keep limits, and what would be set in it stays here.

    Host names are checked as the context says, which urllib3 would do once more, also where the context says no.

    Args:
        context: left as it is; others may be using it.
    """

    sslsocket_class = LimitedTLSSocket
    check_hostname = True  # for urllib3; OpenSSL asks the context itself

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_alpn_protocols(self, protocols: list[str]) -> None:
        """Nothing: those of the context hold."""

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None) -> Any:
        """A socket that speaks TLS by the context."""
        wrap = ssl.SSLContext.wrap_socket
        if type(self._context).wrap_socket is wrap:
            return cast(Any, wrap)(self, sock, server_hostname=server_hostname)
        # One of truststore's, for instance, checks certificates in there, on a socket of another class than ours.
        return SSLTransport(sock, self._context, server_hostname)


class RawReply(urllib3.HTTPResponse):
    """What requests reads a reply from: urllib3's response, but its head may come later, and its body is framed by us.

    Args:
        connection: brings it.
        scope: knows the framing, once the head was judged.
    """

    def __init__(self, connection: Connection, scope: SocketScope) -> None:
        super().__init__(preload_content=False, request_method="POST")
        self._reply = StrictHTTPResponse(connection.sock, method="POST")
        self._scope = scope
        self._awaited_on: Connection | None = connection
        scope.reply = self._reply

    def receive_head(self) -> bool:
        """Reads the head, if it has arrived; returns whether it had."""
        if self._awaited_on is not None:
            self._scope.had_turn = False
            try:
                self._awaited_on.receive_head(self._reply)
            except BlockingIOError:
                return False
            self._awaited_on = None
            self._scope.head_received = True
            self.status, self.headers = self._reply.status, self._reply.headers  # type: ignore[assignment]
        return True

    def unblock(self) -> int | None:
        """From now on nothing here waits for the socket.

        Returns:
            Its descriptor, for a selector; None where that would not see all that has arrived, and reading waits still.
        """
        descriptor = self._reply.descriptor
        self._scope.blocking = descriptor is None
        return descriptor

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:  # type: ignore[override]
        """The bytes of the body; whatever one receive brought is one item, and nothing is decoded.

        An empty one where nothing has arrived, and the socket does not wait.

        Args:
            amt: not asked: requests' `iter_content` passes it.
            decode_content: likewise.
        """
        scope, reply, framing = self._scope, self._reply, self._scope.framing
        receive, heard, data = reply.receive, False, b""
        while not framing.done:
            data = receive()
            if late := scope.late:
                data = self._with_rest(data)
            if not data:
                if reply.would_block and not late:
                    yield b""
                    continue
                if reply.would_block:
                    raise TimeoutError("no time is left")
                framing.receive_eof(proved=reply.closed_by_peer)
                break
            if body := framing.receive_data(data):
                if not heard:
                    heard = True
                    scope.limits.body_received()
                    receive = receive if scope.blocking else reply.receiving_now()  # the file is empty now
                yield body
            if framing.error is not None:
                raise framing.error
            if late and not framing.done:
                raise TimeoutError("no time is left")
        if data and framing.whole and framing.reusable:  # behind an empty body, nobody looked for a surplus
            scope.let_go()
            reply.close()
            scope.release()
            self.release_conn()

    def close(self) -> None:
        """Closes the connection, unless it was given back."""
        super().close()
        self.release_conn()

    def _with_rest(self, data: bytes) -> bytes:
        """All that had arrived when a limit ran out: from then on a receive does not wait, and one in vain ends it."""
        parts = [data]
        try:
            while parts[-1] and len(parts) < _MOST_LATE_RECEIVES:
                parts.append(self._reply.receive())
        except OSError:
            self._scope.check()
        return b"".join(parts)


def scope_in_use() -> SocketScope:
    """The scope that this thread uses; connections are opened in one alone."""
    scope = current_scope()
    assert scope is not None, "connections are opened by an Exchange"
    return scope
