"""Async streams over every way that bytes may take: proxies, tunnels, TLS, TLS inside TLS, and mocks."""

from __future__ import annotations

import contextlib
import io
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
import responses
import trustme
from fault_server import FaultServer, Step, held, stall
from local_proxy import http_proxy, socks5_proxy
from loops import on_both, readers, until

from acytoo_sdk import (
    APIConnectionError,
    AsyncClient,
    AsyncStream,
    StreamCancelledError,
    StreamInterruptedError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault

NAME = "chat.example"
PIECES = ["Hel", "lo ", "you"]
WAYS = ["http proxy", "tunnel", "socks5", "socks5 and tls", "tls", "tls in tls"]
SLACK = 1.0


class Trust:
    """An authority, and a server's context for the name that only proxies know, and for loopback."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.bundle)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME, "127.0.0.1").configure_cert(self.context)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@contextlib.contextmanager
def reached(way: str, trust: Trust, fault: Fault | None = None) -> Iterator[tuple[FakeServer, AsyncClient]]:
    """A server, and a client that comes to it this way."""
    tls = None if way in ("http proxy", "socks5") else trust.context
    base_url = f"{'https' if tls else 'http'}://{NAME}"
    with contextlib.ExitStack() as servers:
        server = servers.enter_context(FakeServer(PIECES, faults=[fault] * 20, tls=tls))
        proxy = None
        if way.startswith("socks5"):
            socks = servers.enter_context(FaultServer([socks5_proxy(server.url, [])]))
            proxy = f"socks5h://127.0.0.1:{socks.port}"
        elif way != "tls":
            outer = way == "tls in tls"
            script = http_proxy(server.url, [], tls=outer)
            proxy = servers.enter_context(FaultServer([script], tls=trust.context if outer else None)).url
        client = AsyncClient(server.url if way == "tls" else base_url, proxy=proxy, verify=trust.bundle, retry=1)
        yield server, client


@pytest.mark.parametrize("way", WAYS)
@on_both
async def test_texts_come_whole(way: str, trust: Trust) -> None:
    texts: list[str] = []

    async def ask() -> None:
        texts.append(await client.complete("Hi"))

    with reached(way, trust) as (server, client):
        async with client, anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
        await until(lambda: not server.open_connections and not readers())
    assert texts == ["Hello you"] * 20


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [Fault.cut(after=2), Fault.reset(after=2)], ids=["cut", "reset"])
@on_both
async def test_what_breaks_is_told_with_its_text(way: str, fault: Fault, trust: Trust) -> None:
    async def ask() -> None:
        stream = client.stream("Hi")
        with pytest.raises(StreamInterruptedError) as caught:
            await stream.read()
        told.append((caught.value.partial_text, stream.whole))

    told: list[tuple[str, bool | None]] = []
    with reached(way, trust, fault) as (server, client):
        async with client, anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
        await until(lambda: not server.open_connections and not readers())
    assert told == [("Hello ", False)] * 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [-1, 1], ids=["awaiting the head", "in the middle"])
@on_both
async def test_who_waits_is_cancelled_at_once(way: str, after: int, trust: Trust) -> None:
    async def ask(number: int) -> None:
        with pytest.raises(StreamCancelledError):
            await streams[number].read()
        cancelled.append(streams[number].text)

    cancelled: list[str] = []
    with reached(way, trust, Fault(after=after, ending="stall")) as (server, client):
        streams = [client.stream("Hi") for _ in range(6)]
        text = "Hel" if after == 1 else ""
        async with anyio.create_task_group() as outer:
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(ask, number)
                for number in (4, 5):
                    outer.start_soon(streams[number].read)
                await until(lambda: len(server.requests) == 6 and all(stream.text == text for stream in streams))
                began = time.monotonic()
                for number in range(4):
                    threading.Thread(target=streams[number].cancel).start()
            outer.cancel_scope.cancel()
        await until(lambda: not server.open_connections and not readers())
        assert time.monotonic() - began < SLACK
        await client.aclose()
    assert cancelled == [text] * 4


# Records of TLS

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9999999\r\n\r\n"
RECORD, RECEIVE = 2**14, 2**16
SIZES = sorted(
    {1, 2 * RECEIVE + 7, 5 * RECORD}
    | {edge + step for edge in (RECORD, 2 * RECORD, RECEIVE, RECEIVE + RECORD) for step in (-1, 0, 1)}
    | {RECORD - len(HEAD) + step for step in (-1, 0, 1)}
    | {RECEIVE - len(HEAD) + step for step in (-1, 0, 1)}
)


@pytest.mark.parametrize("way", ["tls", "tls in tls"])
@on_both
async def test_a_record_is_never_left_in_part_until_the_next_one_comes(way: str, trust: Trust) -> None:
    """Each size comes with the head, then once more when that was read; then the server says nothing more."""
    went_on = [threading.Event() for _ in SIZES]
    scripts: list[list[Step]] = [
        [HEAD + text_of(size), held(event), text_of(size), stall] for size, event in zip(SIZES, went_on, strict=True)
    ]
    with contextlib.ExitStack() as servers:
        server = servers.enter_context(FaultServer(scripts, tls=trust.context))
        proxy = None
        if way == "tls in tls":
            proxy = servers.enter_context(FaultServer([http_proxy(server.url, [], tls=True)], tls=trust.context)).url
        async with AsyncClient(server.url, proxy=proxy, verify=trust.bundle, timeout=Timeout(total=60)) as client:
            for size, event in zip(SIZES, went_on, strict=True):
                async with client.stream("Hi") as stream:
                    with anyio.fail_after(5):
                        while len(stream.text) < size:
                            await anext(stream)
                        assert stream.text == text_of(size).decode()
                        event.set()
                        while len(stream.text) < 2 * size:
                            await anext(stream)
                    assert stream.text == 2 * text_of(size).decode()


def text_of(size: int) -> bytes:
    return b"".join(b"%07d|" % number for number in range(size // 8 + 1))[:size]


# Mocks


class MockedBody(io.RawIOBase):
    """What arrives of a mocked reply; then it waits, if it has something to wait for, and breaks."""

    def __init__(self, waits_for: threading.Event | None = None) -> None:
        self.parts = [b"Hel", b"lo "]
        self._waits_for = waits_for

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.parts:
            if self._waits_for is not None:
                self._waits_for.wait(10)
            raise requests.exceptions.ChunkedEncodingError("broken off")
        part = self.parts.pop(0)
        buffer[: len(part)] = part
        return len(part)


@on_both
async def test_mocked_replies_come_whole_and_side_by_side() -> None:
    with responses.RequestsMock() as mock:
        mock.post("http://mocked.example/api/completions", "Hello you")
        texts: list[str] = []

        async def ask() -> None:
            texts.append(await client.complete("Hi"))

        async with AsyncClient("http://mocked.example") as client, anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
    assert texts == ["Hello you"] * 20


@on_both
async def test_a_mocked_reply_that_breaks_is_told() -> None:
    with responses.RequestsMock() as mock:
        mock.post("http://mocked.example/api/completions", io.BufferedReader(MockedBody()))
        async with AsyncClient("http://mocked.example", retry=1) as client:
            with pytest.raises(APIConnectionError, match="broken off"):
                await client.complete("Hi")


@on_both
async def test_who_waits_for_a_mocked_reply_is_cancelled_at_once() -> None:
    """The thread that reads it cannot be woken; others are, and have another place."""
    late = threading.Event()
    body = MockedBody(late)
    with responses.RequestsMock() as mock:
        mock.post("http://mocked.example/api/completions", io.BufferedReader(body))
        mock.post("http://other.example/api/completions", "Hello you")
        async with AsyncClient("http://mocked.example", retry=1) as client, anyio.create_task_group() as tasks:
            stream = client.stream("Hi")
            tasks.start_soon(expect_cancelled, stream)
            await until(lambda: not body.parts)
            other = client.with_options(base_url="http://other.example")
            assert await other.complete("Hi") == "Hello you", "a stuck mock holds up nobody"
            began = time.monotonic()
            stream.cancel()
        assert time.monotonic() - began < SLACK
        late.set()
        await until(lambda: not readers())


async def expect_cancelled(stream: AsyncStream) -> None:
    with pytest.raises(StreamCancelledError):
        await stream.read()
