"""What this package's clients send in each of their formats, this server understands."""

from __future__ import annotations

import asyncio
import json

import pytest
from fault_server import FaultServer
from scripted_upstream import HEAD, WHOLE, sends
from served import Served

from acytoo_sdk import AsyncClient, Client
from acytoo_sdk.protocol import Payload
from acytoo_sdk.server.wire import CHAT_PATHS

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Привет, как дела?"},
]


def asked(upstream: FaultServer) -> object:
    """The messages that the upstream was sent last."""
    return json.loads(upstream.requests[-1].partition(b"\r\n\r\n")[2])["messages"]


@pytest.mark.parametrize("path", CHAT_PATHS)
@pytest.mark.parametrize("payload", ["acytoo", "ai-sdk"])
def test_conversation_arrives_turn_by_turn_at_every_path(payload: Payload, path: str) -> None:
    with FaultServer([[HEAD + sends("Хорошо", "!") + WHOLE]]) as upstream, Served(upstream=upstream.url) as served:
        with Client(served.url, path=path, payload=payload, retry=1) as client:
            assert client.complete(TALK) == "Хорошо!"
        assert asked(upstream) == TALK


@pytest.mark.parametrize("payload", ["acytoo", "ai-sdk", "prompt"])
def test_question_arrives_from_the_async_client_too(payload: Payload) -> None:
    async def ask(url: str) -> str:
        async with AsyncClient(url, payload=payload, retry=1) as client:
            return await client.complete("Hi")

    with FaultServer([[HEAD + sends("Hello") + WHOLE]]) as upstream, Served(upstream=upstream.url) as served:
        assert asyncio.run(ask(served.url)) == "Hello"
        assert asked(upstream) == [{"role": "user", "content": "Hi"}]
