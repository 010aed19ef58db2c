"""The server: a listener, and a thread for each connection, which end at once when they are told."""

from __future__ import annotations

import contextlib
import copy
import itertools
import socket
import ssl
import struct
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType

from ._answers import Answer, Order
from ._faults import BEFORE_HEAD, Fault
from ._gate import Gate
from ._wire import JSON, Framing, ReceivedRequest, Reply, build_head, error_body, read_chat


class FakeServer:
    """
    A chat server on a free port of 127.0.0.1, one thread a connection, with keep-alive.

    It answers every POST, whatever the path. A body that is not the wire's JSON is answered 400, another method 405,
    and an exception in `reply` 500. `close()`, or leaving `with`, ends everything at once: no socket and no thread
    stays behind, whatever the clients did. All attributes may be set between requests; a request is answered by the
    values at its arrival.

        with FakeServer(["Hel", "lo"], faults=[Fault.drop()]) as server:
            print(Client(server.url).complete("Hi"))  # the second attempt

    Args:
        reply: a text (one piece), the pieces one by one (an iterator is read at once, and serves every request), or a
            function from the request's JSON to either; pieces of its generators go out as they come, and a generator
            that raises cuts its connection. None: what was said comes back, word by word.
        framing: "chunked" (each piece a chunk), "one-chunk" (one chunk, its size first, then piece by piece), "length"
            (Content-Length, then piece by piece) or "close" (the end of the connection is the end of the reply).
            "one-chunk" and "length" need all pieces before the first goes out.
        pause: seconds between two pieces.
        status: of every reply; from 400 on, the default reply is a JSON error.
        headers: added to those of every reply, or replacing them; None as a value removes one.
        gate: stands before every piece; None: no gate.
        faults: one for each request in order of arrival, None for a normal reply; all are normal after the last.
        tls: a server-side context makes it an https server.

    Example:
        >>> from urllib.request import urlopen
        >>> body = b'{"key": "", "model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}'
        >>> with FakeServer() as server, urlopen(server.url + "/api/completions", data=body) as reply:
        ...     print(reply.read().decode())
        You said: Hi (model tiny, 1 message)
        >>> server.requests[0].json["model"]
        'tiny'
    """

    requests: list[ReceivedRequest]
    """Every request, once it was read completely and before its reply begins."""
    errors: list[Exception]
    """What `reply` raised, and whatever else went wrong in the server itself."""

    def __init__(
        self,
        reply: Reply | None = None,
        *,
        framing: Framing = "chunked",
        pause: float = 0.02,
        status: int = 200,
        headers: Mapping[str, str | None] | None = None,
        gate: Gate | None = None,
        faults: Iterable[Fault | None] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.reply = reply
        self.framing = framing
        self.pause = pause
        self.status = status
        self.headers = headers
        self.gate = gate
        self.requests = []
        self.errors = []
        self._faults = iter(faults)
        self._numbers = itertools.count(1)
        self._tls = tls
        self._listener: socket.socket | None = None
        self._url = ""
        self._closed = False
        self._accepted = 0
        self._open: set[Connection] = set()
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()  # those that run: nobody else holds them
        self._changed = threading.Condition()

    @property
    def reply(self) -> Reply | None:
        """What is answered; see the class."""
        return self._reply

    @reply.setter
    def reply(self, reply: Reply | None) -> None:
        self._reply: Reply | None
        if reply is None or callable(reply) or isinstance(reply, (str, bytes)):
            self._reply = reply
        else:
            self._reply = tuple(reply)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or `https://...`; still there after `close()`, when nobody answers at it."""
        if not self._url:
            raise RuntimeError("the server has no address before start()")
        return self._url

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._accepted

    @property
    def open_connections(self) -> int:
        """How many of them are open; a client that leaves is noticed even between two pieces."""
        return len(self._open)

    def start(self) -> FakeServer:
        """Listen, and return the server itself; `with` does it for you. A closed server does not start again."""
        if self._closed:
            raise RuntimeError("this server was closed; make a new one")
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            self._url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
            self._run(self._accept, self._listener)
        return self

    def close(self) -> None:
        """
        End the listener, every connection and every thread, now. Closing twice is fine.

        Only a `reply` function that does not return can outlive it: after five seconds that is a `ResourceWarning`.
        """
        with self._changed:
            self._closed = True
            for connection in self._open:
                connection.hang_up()
        if self._listener is None:
            return
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept() on Linux, where closing does not
        except OSError:
            self._listener.close()  # and the other way round elsewhere
        deadline = time.monotonic() + 5.0
        others = [thread for thread in self._threads if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._listener.close()
        if any(thread.is_alive() for thread in others):
            warnings.warn("a reply function is still running in a closed FakeServer", ResourceWarning, stacklevel=2)

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def wait_until(self, predicate: Callable[[], object], timeout: float = 5.0) -> None:
        """
        Block until `predicate()` is true; it is asked again whenever `requests`, `errors` or the connections change.

        Args:
            predicate: for example `lambda: server.open_connections == 0`; it must not block.
            timeout: seconds.

        Raises:
            TimeoutError: the predicate stayed false; the message tells what the server has seen.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                seen = f"{len(self.requests)} requests, {self._accepted} connections, {len(self._open)} of them open"
                raise TimeoutError(f"what the test waits for did not happen within {timeout:g} s ({seen})")

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError as error:
                if not self._closed:
                    self._keep(error)
                return None
            with self._changed:
                if self._closed:
                    return accepted.close()
                try:
                    connection = Connection(self, accepted, self._tls)
                except OSError:  # the client left before the handshake
                    accepted.close()
                    continue
                self._accepted += 1
                self._open.add(connection)
                self._run(connection.run)
                self._changed.notify_all()

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="FakeServer", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _received(self, request: ReceivedRequest) -> Order:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return Order(request, next(self._numbers), next(self._faults, None) or Fault(), copy.copy(self))

    def _keep(self, error: Exception) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    def _left(self, connection: Connection) -> None:
        with self._changed:  # closing under the lock: close() never shuts down a number that was given away again
            connection.socket.close()
            self._open.discard(connection)
            self._changed.notify_all()


class Ended(Exception):
    """The connection is over before its time: the client left, the server closes, a fault or a failed reply cut it."""


class Connection:
    """One client, served in a thread of its own, which alone closes the socket."""

    def __init__(self, server: FakeServer, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server = server
        self.socket = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) if tls else accepted
        self.ahead = bytearray()  # received, but not read yet

    def hang_up(self) -> None:
        """Wake the thread, from another one, wherever it waits."""
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
            self.server._left(self)

    def serve(self) -> bool:
        """Answer one request, and tell whether there may be another."""
        try:
            request, keep_alive = self.read_request()
        except ValueError as problem:
            return self.refuse(400, f"not an HTTP request: {problem}")
        order = self.server._received(request)
        if request.method != "POST":
            return self.refuse(405, f"{request.method} is not allowed here, only POST")
        if request.json is None:
            return self.refuse(400, read_chat(request.body)[1])
        try:
            answer = order.answer(keep_alive=keep_alive)
        except Exception as error:
            self.server._keep(error)
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
        """Wait, reading ahead: so a client that leaves, or a server that closes, ends the wait and the connection."""
        # A client that only shuts down its sending half looks the same, and counts as gone.
        deadline = time.monotonic() + seconds
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                self.socket.settimeout(remaining)
                self.receive()
        except TimeoutError:
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
                gate._pass(self.socket, lambda: self.rest(0.001))
            for part in fault.split(piece) if fault.split else (piece,):
                send(frame(part))

    def kept(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces; what the user's own generator raises goes to `errors`."""
        try:
            yield from pieces
        except Exception as error:
            self.server._keep(error)
            raise Ended from error
