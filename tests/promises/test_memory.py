"""Memory stays flat whatever is sent, and a long text is kept once."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_server import FaultServer, Script, flood

from acytoo_sdk import Client
from acytoo_sdk._streams.text import GrowingText
from acytoo_sdk.testing import FakeServer

MIB = 2**20
ALLOWED = 20 * MIB
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
LINE = b"x" * 4096
CHUNK = b"1000\r\n" + LINE + b"\r\n"

CHILD = """
import json, sys
from acytoo_sdk import AcytooError, Client

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

for line in sys.stdin:
    url, arguments = json.loads(line)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # the peak begins anew
    before, outcome = peak(), "end"
    with Client(url, retry=1, **arguments) as client:
        stream = client.stream("Hi")
        try:
            for piece in stream:
                pass
        except AcytooError as error:
            outcome = type(error).__name__
        print(json.dumps([outcome, peak() - before, stream.stats.characters]), flush=True)
"""


class Gauge:
    """A process of its own, which makes calls and measures them."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", CHILD]
        self.process = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def growth(self, server: FaultServer | FakeServer, **arguments: object) -> tuple[str, int, int]:
        """What a call ends in, the memory it took at its peak, and the length of its text."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([server.url, {"timeout": 30, **arguments}]) + "\n")
        self.process.stdin.flush()
        outcome, grown, characters = json.loads(self.process.stdout.readline())
        return outcome, grown, characters


@pytest.fixture(scope="module")
def gauge() -> Iterator[Gauge]:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux")
    gauge = Gauge()
    with gauge.process, FakeServer("warm") as server:
        gauge.growth(server)  # imports everything
        yield gauge
        assert gauge.process.stdin
        gauge.process.stdin.close()


@functools.cache
def bomb(size: int) -> bytes:
    """So many zeros, in gzip."""
    gzip = zlib.compressobj(9, wbits=31)
    zeros = bytes(4 * MIB)
    return b"".join(gzip.compress(zeros) for _ in range(size // len(zeros))) + gzip.flush()


ENDLESS: dict[str, tuple[Script, str]] = {
    "body": ([OK + b"\r\n", flood(LINE)], "ReplyTooLargeError"),
    "body, in chunks": ([OK + b"Transfer-Encoding: chunked\r\n\r\n", flood(CHUNK)], "ReplyTooLargeError"),
    "body, in tiny chunks": (
        [OK + b"Transfer-Encoding: chunked\r\n\r\n", flood(b"1\r\nx\r\n" * 512)],
        "ReplyTooLargeError",
    ),
    "body that might be a notice": ([OK + b"\r\n\n\n", flood(b" " * 4096)], "ReplyTooLargeError"),
    "page": ([b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", flood(LINE)], "UnexpectedReplyError"),
    "blanks before a page": (
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", flood(b" ")],
        "ReplyTooLargeError",
    ),
    "JSON": ([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": "', flood(LINE)], "ReplyTooLargeError"),
    "error": ([b"HTTP/1.1 500 No\r\n\r\n", flood(LINE)], "ServerError"),
    "error, in chunks": ([b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", flood(CHUNK)], "ServerError"),
    "redirect": ([b"HTTP/1.1 307 Go\r\nLocation: http://elsewhere.example\r\n\r\n", flood(LINE)], "RedirectError"),
    "redirect, of a length": (
        [b"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 99999999999\r\n\r\n", flood(LINE)],
        "RedirectError",
    ),
    "status line": ([flood(LINE)], "APIConnectionError"),
    "headers": ([OK, flood(b"X-Header: x\r\n")], "APIConnectionError"),
    "header": ([OK + b"X-Header: ", flood(LINE)], "APIConnectionError"),
    "chunk size": ([OK + b"Transfer-Encoding: chunked\r\n\r\n", flood(b"0" * 4096)], "APIConnectionError"),
    "chunk extension": ([OK + b"Transfer-Encoding: chunked\r\n\r\n1;", flood(LINE)], "APIConnectionError"),
    "trailers": (
        [OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", flood(b"X-Trailer: x\r\n")],
        "StreamInterruptedError",
    ),
    "coded body": ([OK + b"Content-Encoding: gzip\r\n\r\n", flood(LINE)], "UnexpectedReplyError"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_memory_stays_flat_against_an_endless(what: str, gauge: Gauge) -> None:
    script, outcome = ENDLESS[what]
    with FaultServer([script]) as server:
        ended_in, grown, characters = gauge.growth(server, max_reply_bytes=MIB // 4)
    assert ended_in == outcome
    assert characters <= MIB // 4
    assert grown < characters + ALLOWED


@pytest.mark.parametrize("label", [b"gzip", b"identity, x-gzip", b"identity"])
def test_a_bomb_does_not_go_off_whatever_its_label(label: bytes, gauge: Gauge) -> None:
    data = bomb(128 * MIB)
    head = OK + b"Content-Encoding: " + label + b"\r\nContent-Length: %d\r\n\r\n" % len(data)
    with FaultServer([[head, data]]) as server:
        ended_in, grown, _ = gauge.growth(server)
    assert ended_in in ("UnexpectedReplyError", "DecodeError")
    assert grown < ALLOWED


def test_a_bomb_in_an_error_does_not_go_off(gauge: Gauge) -> None:
    data = bomb(128 * MIB)
    head = b"HTTP/1.1 503 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    with FaultServer([[head, data]]) as server:
        ended_in, grown, _ = gauge.growth(server)
    assert ended_in == "ServerError"
    assert grown < ALLOWED


def test_the_default_bounds_an_endless_body(gauge: Gauge) -> None:
    with FaultServer([[OK + b"\r\n", flood(LINE)]]) as server:
        ended_in, grown, characters = gauge.growth(server)
    assert (ended_in, characters) == ("ReplyTooLargeError", 16 * MIB)
    assert grown < 2 * characters + ALLOWED  # its pieces, and for a moment the text that they are joined to


def test_a_long_reply_is_kept_once() -> None:
    """16 MiB in pieces of 1 KiB: 1.5 times the text while it is read, 1.25 times once it was looked at."""
    with FakeServer(["x" * 1024] * (16 * 1024), pause=0) as server, Client(server.url) as client:
        client.complete("Hi")  # imports everything
        tracemalloc.start()
        try:
            stream = client.stream("Hi")
            before = tracemalloc.get_traced_memory()[0]
            for _ in stream:
                pass
            size = stream.stats.characters
            assert size == 16 * MIB
            assert tracemalloc.get_traced_memory()[1] - before < 1.5 * size
            text = stream.text
            assert len(text) == size
            assert tracemalloc.get_traced_memory()[0] - before < 1.25 * size
        finally:
            tracemalloc.stop()


def test_a_long_text_of_tiny_pieces_is_kept_once() -> None:
    """A piece of five characters takes more than ten times as much, while it is one."""
    text, count = GrowingText(), 200_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            text.add(f"{number:05d}"[-5:])
        assert tracemalloc.get_traced_memory()[1] - before < 1.5 * 5 * count
        joined = text.joined()
        assert tracemalloc.get_traced_memory()[0] - before < 1.25 * 5 * count
    finally:
        tracemalloc.stop()
    assert joined == "".join(f"{number:05d}"[-5:] for number in range(count))
