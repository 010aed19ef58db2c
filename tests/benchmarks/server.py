"""The benchmarks' server: a process of its own that sends pre-rendered bytes, and tells how much CPU it used.

    POST /hello             "Hello!", at once
    POST /fast              20,000 chunks of five bytes, at once
    POST /fast/chat/completions    the same texts as the events of an OpenAI server
    POST /alone             5,000 chunks, each of which arrives alone and bears the time of its sending
    POST /big               16 MiB in chunks of 1 KiB, each of which arrives alone
    POST /paced/N/RATE/FRAMING     N pieces, RATE of them a second, each with the time of its sending
    POST /paced/N/RATE/events/chat/completions     the same as the events of an OpenAI server
    POST /cpu               the CPU seconds used so far

Nothing is parsed but the path and the length of the request, and nothing is rendered twice but the times.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from tempfile import TemporaryDirectory

FAST_CHUNKS = 20_000
ALONE_CHUNKS = 5_000
BIG_CHUNKS = 16 * 1024
STAMP = 20  # characters of a paced piece: the time of its sending, on the monotonic clock, in nanoseconds
FRAMINGS = ("chunked", "length", "close", "one-chunk")  # and "events"

# The system makes about 0.16 ms of it, as long as the slowest client takes for a chunk on a busy machine.
_APART = 0.0001
_GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples, modulo 1, are evenly spread, however many they are
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n"
_CHUNKED = _HEAD + b"transfer-encoding: chunked\r\n\r\n"
_EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_REQUEST = re.compile(rb"POST (\S+) .*?\r\ncontent-length: *([0-9]+)(?=\r\n).*?\r\n\r\n", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Served:
    """Where the server is.

    Attributes:
        url: without TLS.
        tls_url: with TLS; "" if trustme is not installed.
        authority: the file of the certificate to trust there.
    """

    url: str
    tls_url: str
    authority: str


@contextmanager
def running() -> Iterator[Served]:
    """A server in a process of its own, for as long as this is entered."""
    with TemporaryDirectory() as folder:
        authority = f"{folder}/authority.pem"
        command = [sys.executable, "-m", __name__, authority]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield Served(process.stdout.readline().strip(), process.stdout.readline().strip(), authority)
            finally:
                assert process.stdin is not None
                process.stdin.close()


def allow_many_sockets() -> None:
    """Raises this process's limit on open files to the highest that it may set."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _stamp() -> bytes:
    return b"%0*d" % (STAMP, time.monotonic_ns())


def _event(text: str | None, reason: str | None = None) -> bytes:
    delta = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": reason}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
    return b"data: " + json.dumps(head).encode() + b"\n\n"


_DONE = b"data: [DONE]\n\n"
_EVENT_BEFORE, _EVENT_AFTER = _event("|").split(b"|")
_FIVE_BYTES, _KIBIBYTE = _chunk(b"abcd "), _chunk(b"abcdefgh" * 128)
_FIXED = {
    "/hello": _CHUNKED + _chunk(b"Hello!") + _LAST_CHUNK,
    "/hello/chat/completions": _EVENTS + _chunk(_event("Hello!") + _DONE) + _LAST_CHUNK,
    "/fast": _CHUNKED + _FIVE_BYTES * FAST_CHUNKS + _LAST_CHUNK,
    "/fast/chat/completions": (_EVENTS + _chunk(_event("abcd ")) * FAST_CHUNKS + _chunk(_DONE) + _LAST_CHUNK),
}
_ALONE: dict[str, tuple[Callable[[], bytes], int]] = {
    "/alone": (lambda: _chunk(_stamp()), ALONE_CHUNKS),
    "/big": (lambda: _KIBIBYTE, BIG_CHUNKS),
}

_paced = count()  # the paced replies so far


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        request = _REQUEST.match(self._received)
        if request is not None and len(self._received) >= request.end() + int(request[2]):
            self._received = b""
            self._reply(request[1].decode())

    def _reply(self, path: str) -> None:
        if path in _FIXED:
            self._transport.write(_FIXED[path])
        elif path in _ALONE:
            self._send_apart(*_ALONE[path])
        elif path == "/cpu":
            self._transport.write(_CHUNKED + _chunk(b"%f" % time.process_time()) + _LAST_CHUNK)
        else:
            _, _, number, rate, framing, *_ = path.split("/")
            _Paced(self._transport, int(number), 1 / float(rate), framing)

    def _send_apart(self, chunk: Callable[[], bytes], number: int) -> None:
        # Nobody else is served meanwhile: the loop's own timers are too coarse.
        self._transport.write(_CHUNKED)
        for _ in range(number):
            time.sleep(_APART)
            self._transport.write(chunk())
        self._transport.write(_LAST_CHUNK)


class _Paced:
    """Sends pieces at a steady pace, each at its own time and not after the one before."""

    def __init__(self, transport: asyncio.Transport, number: int, interval: float, framing: str) -> None:
        self._transport = transport
        self._left = number
        self._interval = interval
        self._framing = framing
        self._loop = asyncio.get_running_loop()
        length = number * STAMP
        transport.write(
            {
                "chunked": _CHUNKED,
                "length": _HEAD + b"content-length: %d\r\n\r\n" % length,
                "close": _HEAD + b"connection: close\r\n\r\n",
                "one-chunk": _CHUNKED + b"%x\r\n" % length,
                "events": _EVENTS,
            }[framing]
        )
        # Evenly spread however fast they are opened: what comes in bursts costs less, and comes late.
        phase = next(_paced) * _GOLDEN_RATIO % 1 * interval
        self._due = phase + math.ceil((self._loop.time() - phase) / interval) * interval
        self._loop.call_at(self._due, self._send)

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        piece = _stamp()
        if self._framing == "events":
            piece = _EVENT_BEFORE + piece + _EVENT_AFTER
        self._transport.write(_chunk(piece) if self._framing in ("chunked", "events") else piece)
        self._left -= 1
        if self._left:
            self._due += self._interval
            self._loop.call_at(self._due, self._send)
        elif self._framing == "close":
            self._transport.close()
        elif self._framing == "events":
            self._transport.write(_chunk(_event(None, "stop") + _DONE) + _LAST_CHUNK)
        elif self._framing != "length":
            self._transport.write((b"\r\n" if self._framing == "one-chunk" else b"") + _LAST_CHUNK)


async def _serve(authority: str) -> None:
    allow_many_sockets()
    print(await _listen(), flush=True)
    print(await _listen_with_tls(authority), flush=True)
    await asyncio.to_thread(sys.stdin.read)  # ends with whoever started this


async def _listen(context: ssl.SSLContext | None = None) -> str:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=4096, ssl=context)
    host, port = server.sockets[0].getsockname()
    return f"{'http' if context is None else 'https'}://{host}:{port}"


async def _listen_with_tls(authority: str) -> str:
    try:
        import trustme
    except ImportError:
        return ""
    maker = trustme.CA()
    maker.cert_pem.write_to_path(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    maker.issue_cert("127.0.0.1").configure_cert(context)
    return await _listen(context)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
