"""The server: a listener and its connections, which end at once when they are told; and what they have seen."""

from __future__ import annotations

import copy
import errno
import itertools
import socket
import ssl
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from ._answers import Order
from ._connection import Connection
from ._faults import Fault
from ._gate import Gate
from ._wire import Framing, ReceivedRequest, Reply

# For want of these, nobody can be accepted: a moment later there may be some again.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORTAGE_PAUSE = 0.1  # seconds


class FakeServer:
    """A chat server on a free port of 127.0.0.1, with a thread for each connection, and keep-alive.

    It answers every POST, whatever the path and the payload. A body that is no JSON object is answered 400, another
    method 405, and an exception in `reply` 500. `close()`, or leaving `with`, ends everything at once: no socket and no
    thread stays behind, whatever the clients did. The attributes `reply`, `framing`, `pause`, `status`, `headers` and
    `gate` may be set at any time: a request is answered by the values at its arrival. All methods may be called from
    any thread; none needs an event loop.

        with FakeServer(["Hel", "lo"], faults=[Fault.drop()]) as server:
            print(Client(server.url).complete("Hi"))  # the second attempt

    Args:
        reply: a text (one piece), the pieces one by one (an iterator is read at once, and serves every request), or a
            function from the request's JSON to either, called in the thread of the connection. The pieces of a
            generator that it returns go out as they come; one that raises cuts its connection. None: what was said
            comes back, word by word.
        framing: "chunked" (each piece a chunk), "one-chunk" (one chunk, its size first, then piece by piece), "length"
            (Content-Length, then piece by piece) or "close" (the end of the connection is the end of the reply).
            "one-chunk" and "length" need all pieces before the first goes out.
        pause: seconds between two pieces.
        status: of every reply; from 400 on, the default reply is a JSON error.
        headers: added to those of every reply, or replacing them; None as a value removes one.
        gate: stands before every piece; None: no gate.
        faults: one for each request in order of arrival, None for a normal reply; all are normal after the last.
        tls: a server-side context, which makes it an https server; None: it is an http server.

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
        """`http://127.0.0.1:PORT`, or `https://...`; it stays after `close()`, when nobody answers there any more.

        Raises:
            RuntimeError: the server was not started yet.
        """
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
        """Begins to listen, unless it does already; `with` does so by itself. It does not block.

        Returns:
            The server itself.

        Raises:
            RuntimeError: the server was closed; make a new one.
        """
        if self._closed:
            raise RuntimeError("this server was closed; make a new one")
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            self._url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
            self._run(self._accept, self._listener)
        return self

    def close(self) -> None:
        """Ends the listener, every connection and every thread, now. Closing twice is fine.

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
        """Blocks until `predicate()` is true; it is asked again when `requests`, `errors` or the connections change.

        Args:
            predicate: for example `lambda: server.open_connections == 0`; it must not block.
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: the predicate stayed false; the message tells what the server has seen.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                seen = f"{len(self.requests)} requests, {self._accepted} connections, {len(self._open)} of them open"
                raise TimeoutError(f"what the test waits for did not happen within {timeout:g} s ({seen})")

    def _accept(self, listener: socket.socket) -> None:
        short = False
        while True:
            try:
                accepted, _ = listener.accept()
            except ConnectionAbortedError:  # the client left before it was its turn
                continue
            except OSError as error:
                if self._closed:
                    return None
                if error.errno not in _SHORTAGES:
                    return self._fail(error)
                if not short:
                    self._fail(error)
                short = True
                with self._changed:
                    self._changed.wait(_SHORTAGE_PAUSE)  # a connection that ends gives back what is missing
                continue
            short = False
            with self._changed:
                if self._closed:
                    return accepted.close()
                try:
                    connection = Connection(
                        accepted, self._tls, receive=self._receive, fail=self._fail, leave=self._leave
                    )
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

    def _receive(self, request: ReceivedRequest) -> Order:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return Order(request, next(self._numbers), next(self._faults, None) or Fault(), copy.copy(self))

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    def _leave(self, connection: Connection) -> None:
        with self._changed:  # closing under the lock: close() never shuts down a number that was given away again
            connection.socket.close()
            self._open.discard(connection)
            self._changed.notify_all()
