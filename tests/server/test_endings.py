"""How a connection is ended whose reply is not whole, by real transports and peers that read or do not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from acytoo_sdk.server.endings import break_off, reset


class Watched(asyncio.Protocol):
    """Tells when its connection is over."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, Watched, socket.socket]]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    transport, protocol = await loop.connect_accepted_socket(Watched, accepted)
    try:
        yield transport, protocol, peer
    finally:
        peer.close()
        if not protocol.lost.is_set():
            transport.abort()
        await protocol.lost.wait()


def read_end(peer: socket.socket) -> tuple[int, str]:
    """How much comes, and what kind of end it has."""
    peer.settimeout(10.0)
    count = 0
    try:
        while data := peer.recv(1 << 20):
            count += len(data)
    except ConnectionResetError:
        return count, "reset"
    return count, "closed"


@pytest.mark.parametrize(("framed", "end"), [(True, "closed"), (False, "reset")])
def test_all_that_was_written_arrives_before_the_end(framed: bool, end: str) -> None:
    async def converse() -> tuple[int, str]:
        async with connected() as (transport, _, peer):
            transport.write(bytes(8 << 20))
            breaking = asyncio.ensure_future(break_off(transport, framed=framed))
            await asyncio.sleep(0)
            seen = await asyncio.to_thread(read_end, peer)
            await breaking
            return seen

    assert asyncio.run(converse()) == (8 << 20, end)


@pytest.mark.parametrize("framed", [True, False])
def test_peer_that_takes_nothing_is_given_up(framed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.endings.STALL_SECONDS", 0.1)

    async def converse() -> int:
        async with connected() as (transport, protocol, peer):
            transport.write(bytes(8 << 20))
            await break_off(transport, framed=framed)
            await asyncio.wait_for(protocol.lost.wait(), 5.0)
            return (await asyncio.to_thread(read_end, peer))[0]

    assert asyncio.run(converse()) < 8 << 20


def test_whoever_ends_an_unframed_reply_that_is_being_broken_off_resets_it() -> None:
    async def converse() -> tuple[int, str]:
        async with connected() as (transport, _, peer):
            transport.write(bytes(8 << 20))
            breaking = asyncio.ensure_future(break_off(transport, framed=False))
            await asyncio.sleep(0)
            transport.abort()
            await breaking
            return await asyncio.to_thread(read_end, peer)

    assert asyncio.run(converse())[1] == "reset"


def test_peer_that_leaves_ends_the_wait_for_it() -> None:
    async def converse() -> None:
        async with connected() as (transport, protocol, peer):
            transport.write(bytes(8 << 20))
            breaking = asyncio.ensure_future(break_off(transport, framed=False))
            await asyncio.sleep(0)
            peer.close()
            await asyncio.wait_for(breaking, 5.0)
            await asyncio.wait_for(protocol.lost.wait(), 5.0)

    asyncio.run(converse())


def test_where_the_system_does_not_tell_what_is_unsent_it_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError

    async def converse() -> tuple[int, str]:
        async with connected() as (transport, _, peer):
            transport.write(b"x")
            await break_off(transport, framed=False)
            return await asyncio.to_thread(read_end, peer)

    monkeypatch.setattr("fcntl.ioctl", fail)
    assert asyncio.run(converse()) == (1, "reset")


def test_nothing_is_done_to_a_connection_that_is_gone() -> None:
    reset(None)
    asyncio.run(break_off(None, framed=True))
