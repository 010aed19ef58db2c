"""The local server in the box: a real socket that speaks the wire, and goes wrong on request.

For the tests of everyone who uses this package, and for its own. It shares no code with the client it tests: what the
two agree on is the wire alone. Standard library only.
"""

from __future__ import annotations

import contextlib
import copy
import html
import itertools
import json
import re
import selectors
import socket
import ssl
import struct
import threading
import time
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal

__all__ = ["NOTICE", "FakeServer", "Fault", "Framing", "Gate", "ReceivedRequest", "Reply"]

NOTICE = "\n\n" + "".join(
    sentence + " " * 160
    for sentence in (
        "You can try our new always-free website: https://chat.acytoo.com",
        "Or telegram bot @chatacytoo_bot",
        "For developers, you can use https://api.acytoo.net directly.",
    )
)
"""The advertisement the service was seen to append to its replies (g4f issue 900)."""

Pieces = str | bytes | Iterable[str | bytes]
Reply = Pieces | Callable[[dict[str, Any]], Pieces]
"""What a server answers: one text, its pieces, or a function from the request's JSON to either."""

Framing = Literal["chunked", "one-chunk", "length", "close"]
"""How the end of a reply is told: see `FakeServer`."""

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"


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
        self._open: set[_Connection] = set()
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
                    connection = _Connection(self, accepted, self._tls)
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

    def _received(self, request: ReceivedRequest) -> _Order:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return _Order(request, next(self._numbers), next(self._faults, None) or Fault(), copy.copy(self))

    def _keep(self, error: Exception) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    def _left(self, connection: _Connection) -> None:
        with self._changed:  # closing under the lock: close() never shuts down a number that was given away again
            connection.socket.close()
            self._open.discard(connection)
            self._changed.notify_all()


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came over the wire; header names are in lower case, repeated ones joined by a comma."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    json: dict[str, Any] | None
    """The body, if it is a JSON object with a list of `messages`; else None."""


class Gate:
    """
    Holds pieces back until the test lets them go: order without sleeping. One gate may serve several servers.

    Example:
        >>> import urllib.request
        >>> gate, body = Gate(), b'{"messages": []}'
        >>> with FakeServer(["Hel", "lo"], gate=gate) as server, urllib.request.urlopen(server.url, body) as reply:
        ...     gate.release()
        ...     print(reply.read1())
        ...     gate.open()
        ...     print(reply.read1())
        b'Hel'
        b'lo'
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._permits = 0
        self._is_open = False
        self._bells: set[socket.socket] = set()  # one for each reply that stands here

    @property
    def waiting(self) -> int:
        """How many replies stand at the gate and have not been told to go on."""
        with self._changed:
            return 0 if self._is_open else max(0, len(self._bells) - self._permits)

    def release(self, n: int = 1) -> None:
        """Let `n` more pieces pass, now or when they come."""
        with self._changed:
            self._permits += n
            self._ring()

    def open(self) -> None:
        """Let everything pass, for good."""
        with self._changed:
            self._is_open = True
            self._ring()

    def wait_until_waiting(self, timeout: float = 5.0) -> None:
        """Block until a reply stands at the gate, everything before that piece sent; `TimeoutError` if none comes."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.waiting, timeout):
                raise TimeoutError(f"no reply came to the gate within {timeout:g} s")

    def _ring(self) -> None:
        for bell in self._bells:
            with contextlib.suppress(BlockingIOError):  # full of rings nobody has heard yet
                bell.send(b"!")

    def _admits(self, bell: socket.socket | None = None) -> bool:
        with self._changed:
            if not self._is_open:
                if not self._permits:
                    return False
                self._permits -= 1
            self._bells -= {bell}
            return True

    def _pass(self, client: socket.socket, listen: Callable[[], None]) -> None:
        """Wait to be let through; `listen` is called when `client` has sent something, and raises at its end."""
        if self._admits():
            return
        ear, bell = socket.socketpair()
        bell.setblocking(False)
        with ear, bell, selectors.DefaultSelector() as either:
            either.register(client, selectors.EVENT_READ)
            either.register(ear, selectors.EVENT_READ)
            with self._changed:
                self._bells.add(bell)
                self._changed.notify_all()
            try:
                while not self._admits(bell):
                    for key, _ in either.select():
                        if key.fileobj is ear:
                            ear.recv(4096)
                        else:
                            listen()
            finally:
                with self._changed:
                    self._bells.discard(bell)


_BEFORE_HEAD = -1


@dataclass(frozen=True)
class Fault:
    """
    What goes wrong with one reply. Make one by its constructors; all else about the reply stays as the server says.

    The fields underneath may be combined: `dataclasses.replace(Fault.notice(), after=1, ending="reset")`.

    Example:
        >>> from urllib.request import urlopen
        >>> with FakeServer("Hello", faults=[Fault.cut(after=1)]) as server:
        ...     urlopen(server.url, b'{"messages": []}').read()
        Traceback (most recent call last):
        ...
        http.client.IncompleteRead: IncompleteRead(5 bytes read)
    """

    code: int | None = None  # instead of the server's status
    head_fields: tuple[tuple[str, str], ...] = ()  # more headers, or others; names in lower case
    head_seconds: float = 0.0  # how long the head takes to arrive
    text: bytes | None = None  # instead of the server's reply
    edit: Callable[[Iterable[bytes]], Iterable[bytes]] | None = None  # makes other pieces of the pieces
    split: Callable[[bytes], Iterable[bytes]] | None = None  # cuts a piece into parts, sent without a pause
    gap: float | None = None  # instead of the server's pause
    after: int | None = None  # how many pieces come before the ending: None for all, -1 for not even the head
    ending: Literal["", "cut", "reset", "stall"] = ""  # instead of the end of the framing
    verbatim: bytes | None = None  # instead of head, framing and reply
    closing: bool = False  # after `verbatim`

    @staticmethod
    def status(
        code: int,
        *,
        retry_after: str | float | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fault:
        """An error status; without a `body`, a JSON error object; `retry_after` is sent as it is given."""
        fields = {"content-type": _JSON if body is None else _TEXT}
        if retry_after is not None:
            fields["retry-after"] = str(retry_after)
        fields |= {name.lower(): value for name, value in (headers or {}).items()}
        text = _error(_phrase(code)) if body is None else _bytes(body)
        return Fault(code=code, head_fields=tuple(fields.items()), text=text)

    @staticmethod
    def cut(after: int = 2) -> Fault:
        """The head and `after` pieces, then the connection is closed before the end of the framing."""
        return Fault(after=after, ending="cut")

    @staticmethod
    def reset(after: int = 0) -> Fault:
        """The head and `after` pieces, then the connection is reset; 0: not even the head."""
        return Fault(after=after or _BEFORE_HEAD, ending="reset")

    @staticmethod
    def drop() -> Fault:
        """The connection is closed as soon as the request was read."""
        return Fault(after=_BEFORE_HEAD, ending="cut")

    @staticmethod
    def stall(after: int = 1) -> Fault:
        """The head and `after` pieces, then silence until the client leaves or the server closes."""
        return Fault(after=after, ending="stall")

    @staticmethod
    def no_head() -> Fault:
        """Silence before the head."""
        return Fault(after=_BEFORE_HEAD, ending="stall")

    @staticmethod
    def slow_head(seconds: float) -> Fault:
        """The head comes byte by byte, spread over `seconds`."""
        return Fault(head_seconds=seconds)

    @staticmethod
    def drip(pause: float = 0.05) -> Fault:
        """Every byte is a piece, `pause` seconds apart."""
        return Fault(edit=_byte_by_byte, gap=pause)

    @staticmethod
    def split_characters() -> Fault:
        """Each piece is cut inside each of its multi-byte characters, at every byte; the parts are sent at once."""
        return Fault(split=_inside_characters)

    @staticmethod
    def html_page(title: str = "Just a moment...", *, challenge: bool = False) -> Fault:
        """A web page in a 200, as proxies send; `challenge` marks it as Cloudflare does (`cf-mitigated`)."""
        page = f"<!DOCTYPE html><html><head><title>{html.escape(title)}</title></head><body><h1>Wait</h1></body></html>"
        mark = (("cf-mitigated", "challenge"),) if challenge else ()
        return Fault(code=200, head_fields=(("content-type", "text/html; charset=utf-8"), *mark), text=page.encode())

    @staticmethod
    def json_error(message: str = "the model is overloaded") -> Fault:
        """A JSON error object in a 200."""
        return Fault(code=200, head_fields=(("content-type", _JSON),), text=_error(message))

    @staticmethod
    def empty() -> Fault:
        """A 200 without a body."""
        return Fault(code=200, text=b"")

    @staticmethod
    def notice() -> Fault:
        """The reply, then `NOTICE` as one more piece."""
        return Fault(edit=_with_notice)

    @staticmethod
    def redirect(location: str, status: int = 307) -> Fault:
        """A redirect to `location`, its body empty."""
        return Fault(code=status, head_fields=(("location", location),), text=b"")

    @staticmethod
    def event_stream() -> Fault:
        """Server-sent events in a 200, as OpenAI's own endpoint sends."""
        event = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
        return Fault(code=200, head_fields=(("content-type", "text/event-stream"),), text=event)

    @staticmethod
    def compressed() -> Fault:
        """The reply as gzip, flushed after each piece, though nobody asked for it."""
        return Fault(head_fields=(("content-encoding", "gzip"),), edit=_gzip)

    @staticmethod
    def raw(data: bytes, *, close: bool = True) -> Fault:
        """These very bytes instead of a reply, for anything else; then the connection is closed, if `close`."""
        return Fault(verbatim=data, closing=close)


def _byte_by_byte(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return (bytes((byte,)) for piece in pieces for byte in piece)


def _inside_characters(piece: bytes) -> list[bytes]:
    return re.split(rb"(?=[\x80-\xbf])", piece)  # before each UTF-8 continuation byte


def _with_notice(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return itertools.chain(pieces, [NOTICE.encode()])


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gzip = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield gzip.compress(piece) + gzip.flush(zlib.Z_SYNC_FLUSH)
    yield gzip.flush()


@dataclass(frozen=True)
class _Order:
    """A request, and how it is to be answered."""

    request: ReceivedRequest
    number: int
    fault: Fault
    server: FakeServer  # a copy: its settings are those at the request's arrival

    def answer(self, *, keep_alive: bool) -> _Answer:
        """What goes over the wire; raises what `reply` raises."""
        fault, server = self.fault, self.server
        if fault.verbatim is not None:
            return _Answer(b"", [fault.verbatim], bytes, b"", closes=fault.closing)
        status, kind, said = (200, _TEXT, fault.text) if fault.text is not None else self.reply()
        status = fault.code or status
        pieces: Iterable[bytes] = filter(None, map(_bytes, [said] if isinstance(said, (str, bytes)) else said))
        pieces = fault.edit(pieces) if fault.edit else pieces
        fields: dict[str, str | None] = {"content-type": kind, "x-request-id": f"req-{self.number}"}
        frame: Callable[[bytes], bytes] = bytes
        first = end = b""
        if status in (204, 304):
            pieces = ()  # these have no body, and no framing of one
        elif server.framing == "chunked":
            fields["transfer-encoding"], frame, end = "chunked", _chunk, b"0\r\n\r\n"
        elif server.framing == "one-chunk":
            pieces, size = _measured(pieces, fault)
            fields["transfer-encoding"], first, end = "chunked", b"%x\r\n" % size, b"\r\n0\r\n\r\n" if size else b"\r\n"
        elif server.framing == "length":
            pieces, size = _measured(pieces, fault)
            fields["content-length"] = str(size)
        elif server.framing == "close":
            keep_alive = False
        else:
            raise ValueError(f"framing must be chunked, one-chunk, length or close, not {server.framing!r}")
        if not keep_alive:
            fields["connection"] = "close"
        fields |= {name.lower(): value for name, value in (server.headers or {}).items()}
        fields |= dict(fault.head_fields)
        closes = not keep_alive or fields.get("connection") == "close"
        return _Answer(_head(status, fields) + first, pieces, frame, end, closes)

    def reply(self) -> tuple[int, str, Pieces]:
        status, reply, chat = self.server.status, self.server.reply, self.request.json or {}
        if reply is not None:
            return status, _TEXT, reply(chat) if callable(reply) else reply
        if status >= 400:
            return status, _JSON, _error(_phrase(status))
        return status, _TEXT, _echo(chat)


@dataclass(frozen=True)
class _Answer:
    head: bytes
    pieces: Iterable[bytes]
    frame: Callable[[bytes], bytes]
    end: bytes
    closes: bool


def _measured(pieces: Iterable[bytes], fault: Fault) -> tuple[list[bytes], int]:
    listed = list(pieces)
    cut_after_all = fault.ending and (fault.after is None or fault.after >= len(listed))
    return listed, sum(map(len, listed)) + bool(cut_after_all)  # one byte that never comes: that, too, is a cut reply


def _head(status: int, fields: Mapping[str, str | None]) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{''.join(lines)}\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _bytes(piece: str | bytes) -> bytes:
    if isinstance(piece, (str, bytes)):
        return piece.encode() if isinstance(piece, str) else piece
    raise TypeError(f"a piece of a reply must be str or bytes, not {type(piece).__name__}")


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # 520 to 529 are Cloudflare's own
        return "Unknown"


def _read_chat(body: bytes) -> tuple[dict[str, Any] | None, str]:
    """The body as the wire's JSON, or what is wrong with it."""
    try:
        chat = json.loads(body)
    except (ValueError, RecursionError) as error:
        return None, f"the body is not JSON: {error}"
    if not isinstance(chat, dict):
        return None, "the body is not a JSON object"
    if not isinstance(chat.get("messages"), list):
        return None, 'the body has no list "messages"'
    return chat, ""


def _echo(chat: dict[str, Any]) -> list[str]:
    count = len(chat["messages"])
    users = [message for message in chat["messages"] if isinstance(message, dict) and message.get("role") == "user"]
    said = users[-1].get("content") if users else "nothing"
    text = f"You said: {said} (model {chat.get('model')}, {count} message{'' if count == 1 else 's'})"
    return re.findall(r"\S+\s*", text.encode(errors="replace").decode())


class _Ended(Exception):
    """The connection is over before its time: the client left, the server closes, a fault or a failed reply cut it."""


class _Connection:
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
        except (OSError, _Ended):
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
            return self.refuse(400, _read_chat(request.body)[1])
        try:
            answer = order.answer(keep_alive=keep_alive)
        except Exception as error:
            self.server._keep(error)
            return self.refuse(500, f"{type(error).__name__}: {error}")
        self.send(answer, order)
        return not answer.closes

    def refuse(self, status: int, message: str) -> bool:
        self.socket.sendall(_head(status, {"content-type": _JSON, "connection": "close"}) + _error(message))
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
        return ReceivedRequest(method, path, headers, body, _read_chat(body)[0]), keep_alive

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
            raise _Ended
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

    def send(self, answer: _Answer, order: _Order) -> None:
        fault = order.fault
        if fault.after != _BEFORE_HEAD:
            self.send_head(answer.head, fault.head_seconds)
            self.send_pieces(answer, order)
        if fault.ending == "stall":
            while True:
                self.receive()
        if fault.ending == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault.ending:
            raise _Ended
        self.socket.sendall(answer.end)

    def send_head(self, head: bytes, seconds: float) -> None:
        if not seconds:
            self.socket.sendall(head)
            return
        began = time.monotonic()
        for sent in range(1, len(head) + 1):
            self.socket.sendall(head[sent - 1 : sent])
            self.rest(began + seconds * sent / len(head) - time.monotonic())

    def send_pieces(self, answer: _Answer, order: _Order) -> None:
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
            raise _Ended from error
