"""The provider that g4f 0.1.9.3 had for this wire, against the relay: `g4f_client.py RELAY LLMOCK`, their addresses."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from loopback import stay_here

from .llmock import TEXT, fail, reply, requests, script, stream_fault

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Привет, как дела?", "createdAt": "2023-09-01"},
]
MODEL = "gpt-3.5-turbo"


def check_whole(provider: Any, llmock: str) -> None:
    async def blocks() -> str:
        return "".join([block async for block in provider.create_async_generator(MODEL, MESSAGES)])

    for ask in (
        lambda: asyncio.run(blocks()),
        lambda: "".join(provider.create_completion(MODEL, MESSAGES, True)),
        lambda: asyncio.run(provider.create_async(MODEL, MESSAGES)),
    ):
        script(llmock, reply())
        assert ask() == TEXT
        [request] = requests(llmock, 1)
        said = [{"role": message["role"], "content": message["content"]} for message in MESSAGES]
        assert request["body"] == {"model": "gpt-4o", "messages": said, "stream": True, "temperature": 0.5}, request


def check_failures(provider: Any, llmock: str) -> None:
    """It has no errors of its own: aiohttp's come through, and none of them may be missing."""
    import aiohttp

    broken = aiohttp.ClientPayloadError
    for behaviours, expected in (
        ([reply(), stream_fault("disconnect", 3)], broken),
        ([reply(), stream_fault("truncate", 3)], broken),
        ([reply(finish_reason="content_filter")], broken),
        ([reply("")], 502),
        ([fail(429, retry_after=7)], 429),
        ([fail(401)], 401),
    ):
        script(llmock, *behaviours)
        text, error = asyncio.run(blocks_and_error(provider))
        assert expected in (type(error), getattr(error, "status", None)), (behaviours, error)
        assert bool(text) is (expected is broken), (behaviours, text)
        assert TEXT.startswith(text), text


async def blocks_and_error(provider: Any) -> tuple[str, Exception | None]:
    text = ""
    try:
        async for block in provider.create_async_generator(MODEL, MESSAGES):
            text += block
    except Exception as error:
        return text, error
    return text, None


def main(relay: str, llmock: str) -> None:
    stay_here()
    import g4f
    from g4f.Provider.deprecated import Acytoo

    g4f.debug.version_check = False
    Acytoo.url = relay
    check_whole(Acytoo, llmock)
    check_failures(Acytoo, llmock)
    print("g4f 0.1.9.3: its Acytoo gets whole replies from the relay, and sees that others are not")


if __name__ == "__main__":
    main(*sys.argv[1:])
