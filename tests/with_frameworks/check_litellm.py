"""LiteLLM's two recipes: whole and streamed, errors by their statuses, and streams that are left."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import litellm
from recipes import KEY, PIECES, TEXT, asked, failing, play, served

from acytoo_sdk.testing import Fault

CHAT = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]
REFUSED = [Fault.status(401, body=f"no {KEY}"), Fault.status(429, retry_after=100)]
FAULTS = [None, None, *REFUSED, Fault.cut(after=1), Fault.stall(after=1)]
ERRORS = [(litellm.AuthenticationError, 401), (litellm.RateLimitError, 429)]


def text_of(chunk: Any) -> str:
    return chunk.choices[0].delta.content or ""


def check_blocking() -> None:
    with served(faults=FAULTS) as server:
        play("litellm")
        assert litellm.completion("acytoo/tiny", CHAT).choices[0].message.content == TEXT
        chunks = list(litellm.completion("acytoo/tiny", CHAT, stream=True))
        assert [text_of(chunk) for chunk in chunks if text_of(chunk)] == PIECES
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert asked(server) == [["Be brief", "Hi"]] * 2
        assert {(request.json or {})["model"] for request in server.requests} == {"tiny"}
        for kind, status in ERRORS:
            with failing(kind) as errors:
                litellm.completion("acytoo/tiny", CHAT)
            assert errors[0].status_code == status
        came = ""
        with failing() as errors:
            for chunk in litellm.completion("acytoo/tiny", CHAT, stream=True):
                came += text_of(chunk)
        assert "The reply broke off" in str(errors[0])
        assert came == PIECES[0]
        stream = litellm.completion("acytoo/tiny", CHAT, stream=True)
        assert text_of(next(stream)) == PIECES[0]
        stream.completion_stream.close()
        due = time.monotonic() + 10
        while server.open_connections:
            assert time.monotonic() < due, "left, and still read"
            time.sleep(0.01)


async def check_async() -> None:
    with served(faults=FAULTS) as server:
        play("litellm", number=1)
        assert (await litellm.acompletion("acytoo/tiny", CHAT)).choices[0].message.content == TEXT
        pieces = [text_of(chunk) async for chunk in await litellm.acompletion("acytoo/tiny", CHAT, stream=True)]
        assert [piece for piece in pieces if piece] == PIECES
        assert asked(server) == [["Be brief", "Hi"]] * 2
        for kind, status in ERRORS:
            with failing(kind) as errors:
                await litellm.acompletion("acytoo/tiny", CHAT)
            assert errors[0].status_code == status
        came = ""
        with failing() as errors:
            async for chunk in await litellm.acompletion("acytoo/tiny", CHAT, stream=True):
                came += text_of(chunk)
        assert "The reply broke off" in str(errors[0])
        assert came == PIECES[0]
        stream = await litellm.acompletion("acytoo/tiny", CHAT, stream=True)
        assert text_of(await anext(stream)) == PIECES[0]
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        due = time.monotonic() + 10
        while server.open_connections:
            assert time.monotonic() < due, "cancelled, and still read"
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    check_blocking()
    asyncio.run(check_async())
    print("LiteLLM: all checks passed")
