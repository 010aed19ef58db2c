"""The client of the upstream, without a server before it: replies that nobody reads for a while."""

from __future__ import annotations

import asyncio
import threading

import aiohttp
import pytest
from fault_server import FaultServer, Step, fin, held, rst, told
from scripted_upstream import HEAD, arrived, sends

from acytoo_sdk.server.settings import Settings
from acytoo_sdk.server.upstream import Upstream
from acytoo_sdk.server.wire import read_question

QUESTION = read_question(b'{"prompt": "Hi"}')


@pytest.mark.parametrize("break_off", [fin, rst], ids=["cut", "reset"])
@pytest.mark.parametrize("read_some", [False, True])
def test_what_had_arrived_before_a_break_that_was_seen_first_is_not_lost(
    break_off: Step, read_some: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    async def converse(url: str) -> str:
        broke = asyncio.Event()
        set_exception = aiohttp.StreamReader.set_exception

        def tell(self: aiohttp.StreamReader, *arguments: BaseException) -> None:
            set_exception(self, *arguments)
            broke.set()

        monkeypatch.setattr("aiohttp.StreamReader.set_exception", tell)
        upstream = Upstream(Settings(upstream=url))
        reply = await upstream.ask(QUESTION, key=None)
        text = await reply.receive() if read_some else ""
        gate.set()
        await asyncio.wait_for(broke.wait(), 5.0)
        while piece := await reply.receive():
            text += piece
        assert reply.failure is not None
        assert reply.failure.how == "upstream broke"
        await reply.close()
        await upstream.close()
        return text

    with FaultServer([[HEAD + sends("Hel"), held(gate), sends("lo", " you"), arrived, break_off]]) as server:
        assert asyncio.run(converse(server.url)) == "Hello you"


def test_no_more_than_a_little_is_kept_for_who_does_not_read() -> None:
    """The upstream is stuck long before it has sent what the relay's machine could hold."""
    sent = threading.Event()

    async def converse(url: str) -> None:
        upstream = Upstream(Settings(upstream=url))
        reply = await upstream.ask(QUESTION, key=None)
        await asyncio.sleep(0.3)
        assert not sent.is_set()
        reply.abort()
        await upstream.close()

    with FaultServer([[HEAD + sends("x" * 1000) * 32_000, told(sent)]]) as server:
        asyncio.run(converse(server.url))
