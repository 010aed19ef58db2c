"""`start` waits for the first piece, and hands it out later, blocking and async alike."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fault_server import wait_for
from loops import on_both

from acytoo_sdk import (
    AsyncClient,
    AuthenticationError,
    Client,
    EmptyReplyError,
    InvalidRequestError,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk.testing import FakeServer, Fault, Gate

PIECES = ["При", "вет", "!"]
REFUSED = [Fault.status(401)]


@on_both
async def test_the_first_piece_is_there_and_is_handed_out_once() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server, Client(server.url) as client:
        gate.release()
        stream = client.stream("Hi").start()
        assert (stream.text, stream.stats.pieces, stream.whole) == ("При", 1, False)
        gate.open()
        assert list(stream.start()) == PIECES
        assert (stream.text, stream.stats.pieces, stream.whole) == ("Привет!", 3, True)
        assert list(stream.start()) == []

    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server:
        async with AsyncClient(server.url) as aclient:
            gate.release()
            twin = await aclient.stream("Hi").start()
            assert (twin.text, twin.stats.pieces, twin.whole) == ("При", 1, False)
            gate.open()
            assert [piece async for piece in await twin.start()] == PIECES
            assert (twin.text, twin.stats.pieces, twin.whole) == ("Привет!", 3, True)
            assert [piece async for piece in await twin.start()] == []


def test_one_thread_reads_or_starts_at_a_time() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        reader = threading.Thread(target=stream.start)
        reader.start()
        gate.wait_until_waiting()
        with pytest.raises(InvalidRequestError, match="another thread"):
            next(stream)
        gate.open()
        reader.join(10)
        assert list(stream) == PIECES


@pytest.mark.parametrize("raw", [True, False])
def test_display_shows_the_first_piece_once(raw: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(["Hel", "lo!"]) as server, Client(server.url) as client:
        client.stream("Hi").start().display(raw=raw)

        async def main() -> None:
            async with AsyncClient(server.url) as aclient:
                await (await aclient.stream("Hi").start()).display(raw=raw)

        asyncio.run(main())
    assert capsys.readouterr().out.split() == ["Hello!", "Hello!"]


@on_both
async def test_what_happened_before_the_first_piece_is_raised_there() -> None:
    with FakeServer(faults=[*REFUSED * 2, *[Fault.empty()] * 2]) as server, Client(server.url, retry=1) as client:
        async with AsyncClient(server.url, retry=1) as aclient:
            for kind in (AuthenticationError, EmptyReplyError):
                with pytest.raises(kind):
                    client.stream("Hi").start()
                with pytest.raises(kind):
                    await aclient.stream("Hi").start()


@on_both
async def test_a_break_after_the_first_piece_comes_after_it() -> None:
    with FakeServer(PIECES, faults=[Fault.cut(after=1)] * 2) as server, Client(server.url) as client:
        stream = client.stream("Hi").start()
        assert next(stream) == "При"
        with pytest.raises(StreamInterruptedError) as broken:
            next(stream)
        assert broken.value.partial_text == "При"

        async with AsyncClient(server.url) as aclient:
            twin = await aclient.stream("Hi").start()
            assert await anext(twin) == "При"
            with pytest.raises(StreamInterruptedError) as broken:
                await anext(twin)
            assert broken.value.partial_text == "При"


@on_both
async def test_a_started_stream_ends_like_any_other() -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=1)] * 8) as server, Client(server.url) as client:
        client.stream("Hi").start()  # dropped
        client.stream("Hi").start().close()
        with pytest.raises(ZeroDivisionError):
            client.stream("Hi").start().throw(ZeroDivisionError)
        stream = client.stream("Hi").start()
        stream.cancel()
        with pytest.raises(StreamCancelledError):
            next(stream)

        async with AsyncClient(server.url) as aclient:
            await aclient.stream("Hi").start()  # dropped
            await (await aclient.stream("Hi").start()).aclose()
            with pytest.raises(ZeroDivisionError):
                await (await aclient.stream("Hi").start()).athrow(ZeroDivisionError)
            twin = await aclient.stream("Hi").start()
            twin.cancel()
            with pytest.raises(StreamCancelledError):
                await anext(twin)
            assert wait_for(lambda: server.open_connections == 0)
    assert len(server.requests) == 8


@on_both
async def test_one_that_ended_before_is_not_started() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        stream.close()
        assert list(stream.start()) == []
        stream = client.stream("Hi")
        stream.cancel()
        with pytest.raises(StreamCancelledError):
            stream.start()

        async with AsyncClient(server.url) as aclient:
            twin = aclient.stream("Hi")
            await twin.aclose()
            assert [piece async for piece in await twin.start()] == []
            twin = aclient.stream("Hi")
            twin.cancel()
            with pytest.raises(StreamCancelledError):
                await twin.start()
    assert server.requests == []
