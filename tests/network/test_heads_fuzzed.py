"""Any head and any framing mean what RFC 9112 says, or the reply is refused and its connection never used again."""

from __future__ import annotations

import contextlib
import http.client
import io
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wired_exchanges import Head, read_body, wired

from acytoo_sdk import APIConnectionError, Timeout
from acytoo_sdk._network.connections import Connection
from acytoo_sdk._network.limits import Limits
from acytoo_sdk._network.sockets import SocketScope, use_scope
from acytoo_sdk._wire.framing import FramingError, framing_of, join_headers


class Refused(Exception):
    """No head that HTTP/1.1 knows, or none that says where the body ends."""


@dataclass(frozen=True)
class Meaning:
    """What a reply means.

    Attributes:
        status: of its final head.
        fields: of that head, names in lower case.
        body: its bytes, up to a fault.
        whole: whether the framing proves the body complete; None where it cannot tell.
        reusable: whether the connection may serve again.
    """

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    whole: bool | None
    reusable: bool


# What the RFC says


def meaning(wire: bytes) -> Meaning:
    """What a reply means, by RFC 9112; the connection ends behind it."""
    while True:
        lines, wire = head_lines(wire)
        status_line = re.fullmatch(rb"HTTP/([01]\.[0-9])[ \t]+([1-9][0-9][0-9])([ \t].*)?", lines[0], re.DOTALL)
        if status_line is None:
            raise Refused("status line")
        status, fields = int(status_line[2]), fields_of(lines[1:])
        if status == 101:
            raise Refused("another protocol")
        if status >= 200:
            break
    persistent, body, whole = body_of(status, fields, wire)
    options = {each.strip(" \t").lower() for name, value in fields if name == "connection" for each in value.split(",")}
    old = status_line[1] < b"1.1"
    if "close" in options or (old and ("keep-alive" not in options or "transfer-encoding" in dict(fields))):
        persistent = False
    return Meaning(status, fields, body, whole, persistent)


def head_lines(wire: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a head, and what follows it. A line may end in a bare LF: RFC 9112, 2.2."""
    lines: list[bytes] = []
    while True:
        line, end, wire = wire.partition(b"\n")
        line = line.removesuffix(b"\r")
        if not end or b"\r" in line or b"\0" in line:
            raise Refused("line")
        if not line and lines:
            return lines, wire
        lines.append(line)


def fields_of(lines: list[bytes]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for line in (each.decode("latin-1") for each in lines):
        if line[0] in " \t":
            if not fields:
                raise Refused("folded into the status line")
            name, value = fields.pop()
            fields.append((name, f"{value} {line}".strip(" \t")))
            continue
        found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)", line, re.DOTALL)
        if found is None:
            raise Refused("field")
        fields.append((found[1].lower(), found[2].strip(" \t")))
    return fields


def body_of(status: int, fields: list[tuple[str, str]], wire: bytes) -> tuple[bool, bytes, bool | None]:
    """Whether the connection may go on behind the body, the body, and whether it is whole: RFC 9112, 6.3."""
    codings = [value for name, value in fields if name == "transfer-encoding"]
    lengths = [each.strip(" \t") for name, value in fields if name == "content-length" for each in value.split(",")]
    if status in (204, 304):
        return not wire, b"", True
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise Refused("coding")
        reusable, body, whole = chunks_of(wire)
        return reusable and not lengths, body, whole
    if not lengths:
        return False, wire, None
    if len(set(lengths)) > 1 or not re.fullmatch("[0-9]{1,18}", lengths[0]):
        raise Refused("length")
    length = int(lengths[0])
    return len(wire) == length, wire[:length], len(wire) >= length


def chunks_of(wire: bytes) -> tuple[bool, bytes, bool]:
    body = b""
    while found := re.match(rb"([0-9A-Fa-f]{1,16})[ \t]*(;[^\r\n]*)?\r\n", wire):
        size, wire = int(found[1], 16), wire[found.end() :]
        if not size:
            return re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*\r\n", wire) is not None, body, True
        body += wire[:size]
        if wire[size : size + 2] != b"\r\n":
            break
        wire = wire[size + 2 :]
    return False, body, False


# What we read


class Parts(io.RawIOBase):
    """A connection that takes any request, brings these parts, then ends."""

    def __init__(self, parts: list[bytes]) -> None:
        self.left = deque(part for part in parts if part)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.left:
            return 0
        part = self.left.popleft()
        if len(part) > len(buffer):
            self.left.appendleft(part[len(buffer) :])
        buffer[: len(part)] = part[: len(buffer)]
        return min(len(part), len(buffer))

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def settimeout(self, seconds: float | None) -> None:
        """It never waits."""

    def sendall(self, data: bytes) -> None:
        """It is taken."""

    def close(self) -> None:
        """Whoever reads from it goes on, as from a socket's file."""


class Lender:
    """Stands for urllib3's pool, which lent the connection."""

    def __init__(self) -> None:
        self.given_back = False

    def _put_conn(self, connection: object) -> None:
        self.given_back = True


def read(parts: list[bytes]) -> Meaning:
    """The same reply, by what the client reads with.

    Raises:
        http.client.HTTPException, OSError, FramingError: its head is refused.
    """
    sock, scope, lender = Parts(parts), SocketScope(Limits(Timeout(), None)), Lender()
    connection: Any = Connection("chat.example")
    connection.sock = sock
    scope.limits.connected()
    with use_scope(scope):
        connection.request("POST", "/")
        reply = connection.getresponse()
    reply._connection, reply._pool = connection, lender  # as urllib3 does
    with contextlib.closing(reply):
        if not reply.receive_head():
            raise AssertionError("it waits for the head")
        if reply.status < 200:
            raise FramingError("an interim reply is the last")
        fields = [(name.lower(), value) for name, value in reply.headers.items()]
        scope.adopt(sock)  # type: ignore[arg-type]
        scope.framing = framing_of(reply.status, join_headers(fields))
        body = b""
        try:
            for part in reply.stream():
                assert part
                body += part
        except FramingError:
            assert not lender.given_back
            assert scope.framing.whole is False
        # Where http.client let go of the connection, what is given back is not connected. What came after the end was
        # seen is found by whoever takes up the connection.
        reusable = lender.given_back and connection.sock is not None and not sock.left
        return Meaning(reply.status, fields, body, scope.framing.whole, reusable)


def read_watched(parts: list[bytes]) -> Meaning:
    """The same, by who waits for none of the parts: a reader of many replies.

    Raises:
        AcytooError, FramingError: its head is refused.
    """
    with wired() as (exchange, server):
        head: Head | None = None
        body, over, broken = b"", False, False
        left = deque([*filter(None, parts), b""])
        while left and not over:
            if part := left.popleft():
                server.say(part)
            else:
                server.end()
            for _ in range(20):  # a turn brings a part of what has arrived
                if head is None:
                    head = exchange.receive_head()
                    if head is None:
                        continue
                    if head[0] < 200:
                        raise FramingError("an interim reply is the last")
                    read_body(exchange, head)
                try:
                    data = exchange.receive()
                except APIConnectionError:
                    broken = over = True
                    break
                body += data or b""
                over = data is None
        assert head is not None, "the connection has ended"
        fields = [(name.lower(), value) for name, value in head[1]]
        whole = False if broken else exchange.whole
        assert not (broken and server.given_back)
        reusable = server.given_back and server.is_drained() and not any(left)
        return Meaning(head[0], fields, body, whole, reusable)


# Replies


def mostly(usual: list[bytes], *unusual: bytes) -> st.SearchStrategy[bytes]:
    """One of the usual ones, three times out of four."""
    return st.integers(0, 3).flatmap(lambda number: st.sampled_from(usual if number else [*unusual]))


BLANKS = [b" ", b"\t", b"\v", b"\f", b"\x1c", b"\x1f", b"\x85", b"\xa0", b"\0", b"\r", b"\n "]
ends = mostly([b"\r\n"], b"\n", b"\r", b"\r\r\n", b"\n\r", b"")
status_lines = mostly(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 503 No", b"HTTP/1.1 204 None"],
    *(b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1 2_00 OK", b"HTTP/1.1 +200 OK", b"HTTP/1.1 0200 OK"),
    *(b"HTTP/1.1\xa0200\xa0OK", b"HTTP/1.1\t200 OK", b"HTTP/1.9 200 OK", b"HTTP/2 200 OK", b"HTTP/0.9 200 OK", b"OK"),
    *(b"HTTP/1.1 304 No", b"HTTP/1.1 99 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 200OK", b"", b" "),
    *(b"HTTP/1.1 101 Other", b"HTTP/1.1 103 Hints", b"http/1.1 200 OK", b"HTTP/1.1 200 \xff\0", b"HTTP/1.1 200 a\rb"),
    *(b"HTTP/1.10 200 OK", b"HTTP/1. 200 OK", b"HTTP/1.x 200 OK", b"HTTP/1.1 200 OK\x85x: y", b" HTTP/1.1 200 OK"),
)
interims = st.one_of(
    st.just(b""),
    st.sampled_from(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n",
            b"HTTP/1.1 102 Wait\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 Continue\n\nHTTP/1.0 199 Odd\n\n",
            b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n",
            b"HTTP/1.1 103 Hints\r\nno colon\r\n\r\n",
        ]
    ),
)
colons = mostly([b": ", b":"], b" :", b"", b"\t:", b":\t ", b"::")
names = mostly(
    [b"Content-Length", b"Transfer-Encoding", b"Connection", b"X"],
    *(
        b"content-length",
        b"TRANSFER-ENCODING",
        b"Content-Length\xa0",
        b"X Y",
        b"",
        b"\xe9",
        b" X",
        b"\tX",
        b"X\0",
        b"X\r",
    ),
    *(b"Transfer_Encoding", b"From ", b"From x", b">From ", b"X\nContent-Length: 1", b"\x85Transfer-Encoding", b"(X)"),
)
values = mostly(
    [b"5", b"5", b"0", b"12", b"chunked", b"chunked", b"Chunked", b"close", b"keep-alive", b"x"],
    *(
        b"",
        b"+5",
        b"-5",
        b"5, 5",
        b"5,5,",
        b"5 5",
        b"5,6",
        b"0x5",
        b"5.0",
        b"5_0",
        b"05",
        b"\xb2",
        b"9" * 19,
        b"9" * 18,
    ),
    *(
        b"gzip, chunked",
        b"chunked, chunked",
        b"chunked,",
        b",chunked",
        b"chunked;q=1",
        b"identity",
        b'"chunked"',
        b"xchunked",
    ),
    *(
        b"closed",
        b"keep-alive, close",
        b"Close",
        b"a\r\n b",
        b"5\r\n ",
        b"\r\n 5",
        b"\r\n \r\n\tchunked",
        b"chunked\n chunked",
    ),
    *(b"\xd0\x9f", b"a\0", b"a\rb", b"=?utf-8?b?NQ==?=", b"a\x85b: c", b"x" * 70_000),
)
blanks = mostly([b""], *BLANKS)
field_lines = st.tuples(names, colons, blanks, values, blanks, ends).map(b"".join)
honest_lines = st.sampled_from(
    [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: keep-alive\r\n", b"X: y\r\n"]
)
heads = st.tuples(
    interims,
    status_lines,
    ends,
    st.lists(honest_lines | field_lines, max_size=4).map(b"".join),
    mostly([b"\r\n"], b"\n", b"", b" \r\n\r\n", b"\r\n\r\n"),
).map(b"".join)
chunks = st.tuples(
    mostly([b"5", b"5", b"05", b"A", b"a"], b"0", b"-5", b"+5", b"0x5", b"5_", b"", b"5" * 17, b"0" * 15 + b"5", b" 5"),
    mostly([b""], b";x", b' ; n="v"', b"\t", b"\xa0", b";\0", b";a\nb", b" x", b"\v"),
    ends,
    st.sampled_from([b"Hello", b"HelloHello", b"Hell", b"5\r\n", b"\r\n\r\n5"]),
    ends,
).map(b"".join)
trailers = mostly([b""], b"A: b\r\n", b"A: b\n", b"A: b\r", b"no colon\r\n", b"A: \0\r\n", b" A: b\r\n", b"A: b\n\r\n")
chunk_ends = mostly([b"\r\n"], b"\n\r", b"\r", b"\n", b"", b"xx")
chunked = st.tuples(
    st.lists(st.just(b"5\r\nHello\r\n") | chunks, max_size=3).map(b"".join),
    mostly([b"0"], b"00", b"", b"-0", b"0;x", b"0 "),
    ends,
    trailers,
    ends,
).map(b"".join)
surplus = mostly([b""], b"\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nForged", b"more", b"\r\n")
wild = st.tuples(heads, st.sampled_from([b"", b"Hello", b"Hello"]) | chunked, surplus).map(b"".join)


@st.composite
def nearly_honest(draw: st.DrawFn) -> bytes:
    """A reply that could do well, but for a line too many, its trailers, or what comes behind it."""
    status_line = draw(st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n"]))
    length, coding = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
    options = st.sampled_from([b"close", b"keep-alive", b"x, CLOSE", b"Keep-Alive,x", b"closed"])
    connection = options.map(lambda option: b"Connection: " + option + b"\r\n")
    framing = draw(st.sampled_from([length, coding]))
    lines = [framing, *draw(st.lists(connection | st.sampled_from([length, coding]) | field_lines, max_size=2))]
    body = b"Hello" if framing == length else b"5\r\nHello" + draw(chunk_ends) + b"0\r\n" + draw(trailers) + b"\r\n"
    return status_line + b"".join(draw(st.permutations(lines))) + b"\r\n" + body + draw(surplus)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


@settings(max_examples=9 * settings().max_examples)
@example(wire=b"HTTP/1.1 2_00 OK\r\nContent-Length: 5\r\n\r\nHello", cuts=[])
@example(wire=b"HTTP/1.1 200 OK\r\nFrom Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nHello", cuts=[])
@example(wire=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nFrom : x\r\n\r\nHello", cuts=[])
@example(wire=b"HTTP/1.1 200 OK\r\nContent-Length: 5\v\r\n\r\nHello", cuts=[])
@example(wire=b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\x1cchunked\r\n\r\n0\r\n\r\n", cuts=[])
@example(wire=b"HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nHello", cuts=[])
@example(wire=CHUNKED.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n0\r\n\r\n", cuts=[])
@example(wire=b"HTTP/1.0 200 OK\r\nConnection: keep-alive\v\r\nContent-Length: 5\r\n\r\nHello", cuts=[])
@example(wire=b"HTTP/1.0 200 OK\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n\r\nHello", cuts=[])
@example(wire=CHUNKED + b"\r\n0\r\nno colon\r\n\r\n", cuts=[])
@given(wire=wild | nearly_honest(), cuts=st.lists(st.integers(0, 400), max_size=6))
@pytest.mark.parametrize("read", [read, read_watched])
def test_a_reply_means_what_the_rfc_says_or_is_refused(
    read: Callable[[list[bytes]], Meaning], wire: bytes, cuts: list[int]
) -> None:
    cuts = sorted(cuts)
    parts = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    try:
        meant = meaning(wire)
    except Refused:
        meant = None
    try:
        ours = read(parts)
    except (http.client.HTTPException, OSError, FramingError, APIConnectionError):
        assert meant is None or is_too_large(wire), "an honest reply was refused"
        return
    assert meant is not None, "a reply that means nothing certain was taken"
    assert ours.status == meant.status
    assert [(name, value.split()) for name, value in ours.fields] == [(n, v.split()) for n, v in meant.fields]
    assert ours.body == meant.body
    assert ours.whole is meant.whole
    assert meant.reusable or not ours.reusable


def is_too_large(wire: bytes) -> bool:
    return len(wire) > 65_536
