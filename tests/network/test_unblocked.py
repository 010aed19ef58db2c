"""An exchange that does not wait: somebody watches its socket, and looks after the limits."""

from __future__ import annotations

import fcntl
import math
import select
import ssl
import struct
import termios
import time

import pytest
import responses
import trustme
from wired_exchanges import Wired, arrived, read_body, wired

from acytoo_sdk import APIConnectionError, APITimeoutError, Timeout
from acytoo_sdk._network.exchange import Exchange
from acytoo_sdk._network.transport import Transport
from acytoo_sdk._secrets import Mask
from acytoo_sdk.protocol import build_request
from acytoo_sdk.testing import FakeServer

HOUR = 3600.0
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"

# Heads, and what is read of them.
HEADS: dict[str, tuple[bytes, int, list[tuple[str, str]]]] = {
    "length": (PLAIN, 200, [("Content-Type", "text/plain"), ("Content-Length", "5")]),
    "bare LF": (PLAIN.replace(b"\r\n", b"\n"), 200, [("Content-Type", "text/plain"), ("Content-Length", "5")]),
    "folded": (
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length: 5\r\n\r\n",
        200,
        [("X", "a b c"), ("Content-Length", "5")],
    ),
    "no header": (b"HTTP/1.0 200\r\n\r\n", 200, []),
    "after interims": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n" + PLAIN,
        200,
        [("Content-Type", "text/plain"), ("Content-Length", "5")],
    ),
    "after interims with bare LF": (
        b"HTTP/1.1 102 Wait\nX: y\n\nHTTP/1.1 100 Continue\n\nHTTP/1.1 503 No\nContent-Length: 5\n\n",
        503,
        [("Content-Length", "5")],
    ),
}
# Heads that are refused, and why.
REFUSED: dict[str, tuple[bytes, str]] = {
    "no HTTP": (b"220 chat.example ESMTP\r\n\r\n", "does not speak HTTP/1"),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\n\r\n", "does not speak HTTP/1"),
    "status line": (b"HTTP/1.1 2_00 OK\r\n\r\n", "malformed status line"),
    "header": (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "malformed header"),
    "header of an interim": (b"HTTP/1.1 103 Hints\r\nno colon\r\n\r\n" + PLAIN, "malformed header"),
    "bare CR": (b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "a stray CR or NUL"),
    "long line": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 66_000 + b"\r\n\r\n", "sent a head that is not HTTP/1"),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", "got more than 100 headers"),
}


def cuts_of(wire: bytes) -> range:
    """Every one; of what is long, some."""
    return range(1, len(wire), max(1, len(wire) // 300))


# The head


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_there_as_soon_as_its_last_byte_wherever_it_was_cut(name: str) -> None:
    head, status, headers = HEADS[name]
    wire = head + b"Hello"
    for cut in range(len(wire) + 1):
        with wired() as (exchange, server):
            assert exchange.receive_head() is None, "nothing has come"
            server.say(wire[:cut])
            found = exchange.receive_head()
            assert (found is None) is (cut < len(head))
            server.say(wire[cut:])
            found = found or exchange.receive_head()
            assert found == (status, headers), cut
            assert exchange.receive_head() == found, "it stays"
            read_body(exchange, found)
            server.end()
            assert arrived(exchange) == b"Hello"


@pytest.mark.parametrize("name", HEADS)
def test_a_head_may_come_byte_by_byte(name: str) -> None:
    head, status, headers = HEADS[name]
    with wired() as (exchange, server):
        for at in range(len(head)):
            assert exchange.receive_head() is None
            server.say(head[at : at + 1])
        assert exchange.receive_head() == (status, headers)


@pytest.mark.parametrize("name", REFUSED)
def test_a_head_that_is_refused_is_refused_wherever_it_is_cut(name: str) -> None:
    wire, why = REFUSED[name]
    for cut in cuts_of(wire):
        with wired() as (exchange, server), pytest.raises(APIConnectionError, match=why):
            _receive_in_two(exchange, server, wire[:cut], wire[cut:])


def _receive_in_two(exchange: Exchange, server: Wired, *parts: bytes) -> None:
    for part in parts:
        server.say(part)
        for _ in range(10):  # of a long one, a receive brings a part
            assert exchange.receive_head() is None


def test_a_line_without_an_end_is_refused_as_soon_as_it_is_too_long() -> None:
    with wired() as (exchange, server):
        server.say(b"HTTP/1.1 200 OK\r\nX: ")
        assert exchange.receive_head() is None
        for _ in range(65):
            server.say(b"x" * 1000)
            assert exchange.receive_head() is None
        server.say(b"x" * 1000)
        with pytest.raises(APIConnectionError, match="sent a head that is not HTTP/1"):
            exchange.receive_head()


@pytest.mark.parametrize("name", HEADS)
def test_a_connection_that_ends_inside_a_head_is_told_wherever(name: str) -> None:
    wire = HEADS[name][0]
    for cut in {*range(len(wire))} - {*range(1, len("HTTP/"))}:  # of less, nobody can tell that it is a head
        with wired() as (exchange, server):
            server.say(wire[:cut])
            assert exchange.receive_head() is None
            server.end()
            with pytest.raises(APIConnectionError, match="closed the connection before its reply was complete"):
                exchange.receive_head()


def test_of_a_flood_of_interim_replies_each_turn_takes_a_part() -> None:
    """Whoever reads for others, too, comes back to them."""
    with wired() as (exchange, server):
        server.say(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 3000)
        server.say(PLAIN)
        left, turns = waiting_in(exchange), 0
        while (found := exchange.receive_head()) is None:
            turns += 1
            assert 0 < left - waiting_in(exchange) <= 2**14
            left = waiting_in(exchange)
        assert found[0] == 200
        assert turns >= 3


def waiting_in(exchange: Exchange) -> int:
    """How many bytes the system holds for it."""
    descriptor = exchange.unblock()
    assert descriptor is not None
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return int(count)


# The body


def test_what_has_arrived_comes_at_once_and_nothing_where_nothing_has() -> None:
    with wired() as (exchange, server):
        server.say(PLAIN + b"He")
        head = exchange.receive_head()
        assert head is not None
        read_body(exchange, head)
        assert exchange.receive() == b"He", "it came with the head"
        assert (exchange.receive(), exchange.receive(), exchange.waits) == (b"", b"", True)
        server.say(b"l")
        assert (exchange.receive(), exchange.receive(), exchange.waits) == (b"l", b"", True)
        server.say(b"lo")
        assert (exchange.receive(), exchange.waits, exchange.whole) == (b"lo", False, False)
        assert (exchange.receive(), exchange.waits, exchange.whole) == (None, False, True)
        assert server.given_back


@pytest.mark.parametrize("end", ["length", "chunked", "close"])
def test_a_body_is_the_same_wherever_it_was_cut(end: str) -> None:
    announced, body = {
        "length": (b"Content-Length: 5", b"Hello"),
        "chunked": (b"Transfer-Encoding: chunked", b"3;x=y\r\nHel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n"),
        "close": (b"X: y", b"Hello"),
    }[end]
    for cut in range(len(body) + 1):
        with wired() as (exchange, server):
            server.say(b"HTTP/1.1 200 OK\r\n" + announced + b"\r\n\r\n")
            head = exchange.receive_head()
            assert head is not None
            read_body(exchange, head)
            server.say(body[:cut])
            first = arrived(exchange)
            assert exchange.waits is (cut < len(body) or end == "close")
            server.say(body[cut:])
            if end == "close":
                server.end()
            assert first + arrived(exchange) == b"Hello", cut
            assert exchange.receive() is None
            assert exchange.whole is (None if end == "close" else True)
            assert server.given_back is (end != "close")


@pytest.mark.parametrize("cut", range(5))
def test_a_break_comes_after_the_bytes_before_it(cut: int) -> None:
    with wired() as (exchange, server):
        server.say(PLAIN + b"Hello"[:cut])
        head = exchange.receive_head()
        assert head is not None
        read_body(exchange, head)
        assert arrived(exchange) == b"Hello"[:cut]
        server.end()
        with pytest.raises(APIConnectionError, match="the connection ended before the reply did"):
            exchange.receive()
        assert (exchange.whole, server.given_back) == (False, False)


@pytest.mark.parametrize("secure", [False, True])
def test_its_descriptor_tells_of_all_that_has_arrived(secure: bool) -> None:
    """Of a record of TLS, no part stays where no selector would see it."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    text = "x" * 300_000
    with FakeServer([text], tls=context if secure else None) as server:
        transport = Transport(verify=False, proxy="", connections=1)
        request = build_request("Hi", base_url=server.url)
        exchange = Exchange(transport, request, timeout=Timeout(), deadline=None, mask=Mask())
        exchange.send()
        descriptor = exchange.unblock()
        assert descriptor is not None
        head, body = None, b""
        while head is None:
            assert select.select([descriptor], [], [], 5)[0]
            head = exchange.receive_head()
        read_body(exchange, head)
        while (data := exchange.receive()) is not None:
            body += data
            if not data:
                assert select.select([descriptor], [], [], 5)[0]
        exchange.close()
        transport.close()
    assert len(body) == len(text)


@responses.activate
def test_a_mock_has_no_socket_to_be_watched() -> None:
    responses.post("http://chat.example/api/completions", body="Hi")
    transport = Transport(verify=True, proxy="", connections=1)
    request = build_request("Hi", base_url="http://chat.example")
    exchange = Exchange(transport, request, timeout=Timeout(), deadline=None, mask=Mask())
    assert exchange.unblock() is None
    exchange.send()

    assert exchange.unblock() is None
    head = exchange.receive_head()
    assert head is not None
    read_body(exchange, head)
    assert exchange.receive() == b"Hi"
    exchange.close()
    transport.close()


# The limits, and an abort


def test_the_limit_that_is_due_is_the_one_of_what_is_waited_for() -> None:
    began = time.monotonic()
    with wired(Timeout(first_byte=HOUR, idle=2 * HOUR), deadline=began + 9 * HOUR) as (exchange, server):
        assert began + HOUR <= exchange.due(math.inf) <= time.monotonic() + HOUR, "whenever it was heard"
        server.say(PLAIN)
        head = exchange.receive_head()
        assert head is not None
        read_body(exchange, head)
        assert exchange.due(0.0) <= time.monotonic() + HOUR, "a head is no byte of the body"
        server.say(b"He")
        assert exchange.receive() == b"He"
        assert exchange.due(began) == began + 2 * HOUR
        assert exchange.due(began + 8 * HOUR) == began + 9 * HOUR, "the deadline"


def test_without_limits_nothing_is_due() -> None:
    with wired(Timeout(first_byte=None, idle=None)) as (exchange, _):
        assert exchange.due(0.0) == math.inf


@pytest.mark.parametrize("part", [b"", PLAIN[:30]])
def test_a_limit_that_runs_out_before_the_head_is_told(part: bytes) -> None:
    with wired(Timeout(first_byte=HOUR)) as (exchange, server):
        server.say(part)
        assert exchange.receive_head() is None
        exchange.due(0.0)
        exchange.expire()
        assert not exchange.waits
        with pytest.raises(APITimeoutError) as late:
            exchange.receive_head()
        assert late.value.phase == "first_byte"


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("more", [b"", b"ll"], ids=["nothing", "more"])
def test_when_a_limit_runs_out_what_has_arrived_comes_before_the_error(turns: int, more: bytes) -> None:
    with wired(Timeout(idle=HOUR)) as (exchange, server):
        server.say(PLAIN + b"He")
        head = exchange.receive_head()
        assert head is not None
        read_body(exchange, head)
        assert exchange.receive() == b"He"
        for _ in range(turns):
            assert exchange.receive() == b""
        exchange.due(0.0)
        server.say(more)
        exchange.expire()
        assert not exchange.waits
        if more:
            assert exchange.receive() == more
        with pytest.raises(APITimeoutError) as late:
            exchange.receive()
        assert late.value.phase == "idle"
        assert exchange.whole is False


def test_a_body_that_ends_as_its_limit_runs_out_is_whole() -> None:
    with wired(Timeout(idle=HOUR)) as (exchange, server):
        server.say(PLAIN + b"He")
        head = exchange.receive_head()
        assert head is not None
        read_body(exchange, head)
        assert (exchange.receive(), exchange.receive()) == (b"He", b"")
        server.say(b"llo")
        exchange.expire()
        assert (exchange.receive(), exchange.receive(), exchange.whole) == (b"llo", None, True)


@pytest.mark.parametrize("part", [b"", PLAIN[:30], PLAIN, PLAIN + b"He"])
def test_an_abort_is_seen_by_whoever_watches_and_nothing_is_handed_out(part: bytes) -> None:
    with wired() as (exchange, server):
        server.say(part)
        head = exchange.receive_head()
        if head is not None:
            read_body(exchange, head)
            arrived(exchange)
        server.say(b"llo")
        exchange.abort()
        descriptor = exchange.unblock()
        assert descriptor is not None
        assert select.select([descriptor], [], [], 0)[0]
        with pytest.raises(APIConnectionError, match="cancelled"):
            exchange.receive_head() if head is None else exchange.receive()
