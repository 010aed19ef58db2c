"""The client of the upstream, without a server before it: replies that nobody reads for a while."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import aiohttp
import pytest
from fault_server import FaultServer, Step, fin, held, rst, told
from local_proxy import http_proxy
from raw_client import post
from scripted_upstream import HEAD, WHOLE, arrived, sends
from served import Served

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


@pytest.mark.parametrize(
    ("settings", "asked", "sent"),
    [
        ({}, None, "gpt-3.5-turbo"),
        ({}, "m", "m"),
        ({"model": "own"}, None, "own"),
        ({"model": "own"}, "m", "own"),
        ({"model_map": {"m": "n"}}, "m", "n"),
        ({"model_map": {"m": "n"}}, "o", "o"),
        ({"model": "own", "model_map": {"m": "n"}}, "m", "n"),
        ({"model": "own", "model_map": {"m": "n"}}, "o", "own"),
    ],
)
def test_model_is_the_one_of_the_map_or_the_own_one_or_the_one_asked_for(
    settings: dict[str, Any], asked: str | None, sent: str
) -> None:
    with (
        FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream,
        Served(upstream=f"{upstream.url}/v1", **settings) as served,
    ):
        assert served.ask(post({"prompt": "Hi", "model": asked, "temperature": 0})).text == "Hi"
        assert upstream.requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        body = json.loads(upstream.requests[0].partition(b"\r\n\r\n")[2])
        assert (body["model"], body["temperature"], body["stream"]) == (sent, 0, True)


def test_long_question_is_passed_on() -> None:
    with (
        FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream,
        Served(upstream=upstream.url) as served,
    ):
        assert served.ask(post({"prompt": "x" * 2_000_000})).text == "Hi"
        assert upstream.requests[0].count(b"x") >= 2_000_000


# Proxies of the environment.


def test_no_proxy_stands_before_an_upstream_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream, Served(upstream=upstream.url) as served:
        assert served.ask().text == "Hi"


@pytest.mark.parametrize("credentials", ["", "me:secret-1234"])
def test_proxy_stands_before_any_other(credentials: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    with (
        FaultServer([[HEAD + sends("Hi") + WHOLE]]) as upstream,
        FaultServer([http_proxy(upstream.url, seen, credentials=credentials)]) as proxy,
    ):
        monkeypatch.setenv("HTTP_PROXY", f"http://{credentials + '@' if credentials else ''}127.0.0.1:{proxy.port}")
        with Served(upstream="http://upstream.invalid/v1") as served:
            assert served.ask().text == "Hi"
        assert seen[0].startswith(b"POST http://upstream.invalid/v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_refuses_is_a_502(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer([http_proxy("http://127.0.0.1:9", [], credentials="me:other")]) as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://me:secret-1234@127.0.0.1:{proxy.port}")
        with Served(upstream=f"{scheme}://upstream.invalid/v1") as served:
            reply = served.ask()
            assert (reply.status, "proxy" in reply.error["message"]) == (502, True)
            assert "secret-1234" not in f"{reply}{served.log.wait()}"
