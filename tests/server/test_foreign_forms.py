"""What servers of others were seen to send, word for word, and how they were seen to end.

`tests/with_relay` runs these servers themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

import pytest
from fault_server import ClientLeft, Connection, FaultServer, Script, Step, fin, stall

from acytoo_sdk import AsyncClient, ServerError, StreamInterruptedError
from acytoo_sdk._secrets import Mask
from acytoo_sdk.server.app import Server
from acytoo_sdk.server.completions import CompletionReader
from acytoo_sdk.server.log import Log
from acytoo_sdk.server.settings import Settings

_DONE = "data: [DONE]\n\n"


def _litellm_event(delta: dict[str, str], **more: str) -> str:
    choice = {"index": 0, "delta": delta, **more}
    chunk = {"id": "chatcmpl-b382ded6", "object": "chat.completion.chunk", "created": 1795727909, "model": "whole"}
    said = json.dumps({**chunk, "choices": [choice]}, ensure_ascii=False, separators=(",", ":"))
    return f"data: {said}\n\n"


def _llama_event(delta: dict[str, str], finish_reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {"id": "chatcmpl-5f031c17", "model": "m.gguf", "created": 1795729631, "object": "chat.completion.chunk"}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"


_LITELLM = _litellm_event({"role": "assistant", "content": "Хор"}) + _litellm_event({"content": "ошо"})
_PING = ": ping - 2026-11-26 21:31:00.279805+00:00\n\n"
_LLAMA = (
    _llama_event({"role": "assistant"}) + _PING + _llama_event({"content": "Хор"}) + _llama_event({"content": "ошо"})
)


def _litellm_error(kind: str, code: int) -> str:
    return f'data: {{"error": {{"message": "litellm.{kind}", "type": null, "param": null, "code": "{code}"}}}}\n\n'


def _read(body: str, *, cut: int) -> CompletionReader:
    """A reader to which a whole body came in two parts; its text is in order."""
    reader = CompletionReader(Mask(()))
    reader.receive_head(200, {"content-type": "text/event-stream; charset=utf-8"})
    data = body.encode()
    text = reader.receive_data(data[:cut]) + reader.receive_data(data[cut:]) + reader.receive_eof()
    assert text == ("Хорошо" if "content" in body else "")
    return reader


@pytest.mark.parametrize(
    "body",
    [
        _LITELLM + _litellm_event({}, finish_reason="stop") + _DONE,
        _LITELLM + _litellm_event({}, finish_reason="length") + _DONE,
        _LLAMA + _llama_event({}, "length") + _DONE,
    ],
    ids=["litellm", "litellm at its limit", "llama-cpp-python"],
)
def test_whole_replies_of_litellm_and_llama_are_whole(body: str) -> None:
    for cut in range(len(body.encode())):
        assert _read(body, cut=cut).failure is None


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (_LITELLM + _litellm_error("RateLimitError: slow down", 429), "error object"),
        (_LITELLM + _litellm_error("APIConnectionError: Connection error.", 500), "error object"),
        (_LITELLM + _litellm_event({}, finish_reason="content_filter") + _DONE, "finish reason content_filter"),
        (_LITELLM, "ended in the middle"),
        (_LLAMA, "ended in the middle"),
        ("", "ended before any text"),  # llama-cpp-python's answer to a prompt that is too long
        (_PING, "ended before any text"),
    ],
)
def test_failures_of_litellm_and_llama_are_failures(body: str, how: str) -> None:
    for cut in range(len(body.encode()) + 1):
        failure = _read(body, cut=cut).failure
        assert failure is not None
        assert failure.how == how


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"llm_provider-retry-after": "60"}, "60"),
        ({"llm_provider-retry-after": "60", "retry-after": "7"}, "7"),
    ],
)
def test_litellms_name_for_retry_after_is_understood(headers: dict[str, str], seconds: str) -> None:
    reader = CompletionReader(Mask(()))
    reader.receive_head(429, headers)
    reader.receive_data(b'{"error": {"message": "litellm.RateLimitError: RPM limit=1", "code": "429"}}')
    reader.receive_eof()
    assert reader.failure is not None
    assert reader.failure.headers == {"retry-after": seconds}


_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("steps", "ends_well"),
    [
        ([b"0\r\n\r\n"], True),  # vLLM
        ([stall], True),  # whoever forgets to end it
        ([fin], False),  # llama-cpp-python, for which another question was more important
        ([b"3\r\nabc\r\n", fin], False),
    ],
)
def test_done_without_a_reason_is_a_good_end_if_it_is_not_cut_off(steps: list[Step], ends_well: bool) -> None:
    body = (_LLAMA + _DONE).encode()

    async def ask(url: str) -> None:
        async with AsyncClient(url, retry=1) as client:
            stream = client.stream("Hi")
            text = ""
            with contextlib.nullcontext() if ends_well else pytest.raises(StreamInterruptedError):
                async for piece in stream:
                    text += piece
            assert text == "Хорошо"

    with FaultServer([[_CHUNKED_HEAD, b"%x\r\n%b\r\n" % (len(body), body), *steps]]) as upstream:
        _with_server(f"{upstream.url}/v1", ask)


def _end_with_next_question(connection: Connection) -> None:
    connection.socket.recv(1)
    raise ClientLeft


def _with_server(upstream: str, ask: Callable[[str], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server(Settings(port=0, upstream=upstream), Log(None))
        await server.start()
        try:
            await ask(server.url)
        finally:
            await server.close(at_once=asyncio.Event())

    asyncio.run(main())


def test_connection_that_a_server_is_about_to_close_meets_no_question() -> None:
    """llama-cpp-python ends a failure like a reply, and its connection a moment later."""
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n"
    body = (_LLAMA + _llama_event({}, "stop") + _DONE).encode()

    async def ask(url: str) -> None:
        async with AsyncClient(url, retry=1) as client:
            with pytest.raises(ServerError, match="ended before any text"):
                await client.complete("far too long")
            assert await client.complete("Hi") == "Хорошо"

    scripts: list[Script] = [
        [head.format(0).encode(), _end_with_next_question],
        [head.format(len(body)).encode(), body],
    ]
    with FaultServer(scripts) as upstream:
        _with_server(f"{upstream.url}/v1", ask)
        assert upstream.connections == 2
