"""The provider this package grew out of, from g4f 0.1.9.3, and ours: same server, same requests, same text."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from loopback import stay_here

from acytoo_sdk.provider import Acytoo, provider
from acytoo_sdk.testing import FakeServer

TEXT = "Хорошо, спасибо! 👋 — и вам?"
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Привет, как дела?", "createdAt": "2023-09-01"},
]


async def blocks_of(provider_class: Any, **arguments: Any) -> list[str]:
    blocks = provider_class.create_async_generator("gpt-3.5-turbo", MESSAGES, **arguments)
    return [block async for block in blocks]


def check_same_text(old: Any, server: FakeServer) -> None:
    for framing in ("chunked", "one-chunk", "length", "close"):
        server.framing = framing
        for arguments in ({}, {"temperature": 0.9}, {"temperature": 1, "unknown": object(), "auth": "x"}):
            theirs = asyncio.run(blocks_of(old, **arguments))
            ours = asyncio.run(blocks_of(Acytoo, **arguments))
            assert "".join(theirs) == "".join(ours) == TEXT, (framing, theirs, ours)
            assert server.requests[-2].json == server.requests[-1].json
            assert list(server.requests[-2].json or ()) == list(server.requests[-1].json or ())
            assert server.requests[-2].path == server.requests[-1].path
            assert "".join(old.create_completion("gpt-3.5-turbo", MESSAGES, True, **arguments)) == TEXT
            assert "".join(Acytoo.create_completion("gpt-3.5-turbo", MESSAGES, True, **arguments)) == TEXT
            assert asyncio.run(old.create_async("gpt-3.5-turbo", MESSAGES, **arguments)) == TEXT
            assert asyncio.run(Acytoo.create_async("gpt-3.5-turbo", MESSAGES, **arguments)) == TEXT


def check_cut_characters(old: Any) -> None:
    with FakeServer([bytes((byte,)) for byte in TEXT.encode()]) as server:
        old.url = server.url
        try:
            asyncio.run(blocks_of(old))
        except UnicodeDecodeError:
            pass
        else:
            raise AssertionError("the old provider was better than we say")
        assert "".join(asyncio.run(blocks_of(provider(server.url)))) == TEXT


def check_chat_completion(server: FakeServer) -> None:
    import g4f

    ours = provider(server.url)
    assert g4f.ChatCompletion.create("gpt-3.5-turbo", MESSAGES, ours) == TEXT
    assert "".join(g4f.ChatCompletion.create("gpt-3.5-turbo", MESSAGES, ours, stream=True)) == TEXT
    assert asyncio.run(g4f.ChatCompletion.create_async("gpt-3.5-turbo", MESSAGES, ours)) == TEXT


def main() -> None:
    stay_here()
    import g4f
    from g4f.Provider.deprecated import Acytoo as Old

    g4f.debug.version_check = False
    shared = ("supports_message_history", "supports_gpt_35_turbo", "supports_stream", "needs_auth")
    assert [getattr(Old, name) for name in shared] == [getattr(Acytoo, name) for name in shared]
    assert (Old.url, Old.working, Old.__name__) == (Acytoo.url, Acytoo.working, Acytoo.__name__)
    with FakeServer([TEXT[:8], TEXT[8:]]) as server:
        Old.url = server.url
        os.environ["ACYTOO_BASE_URL"] = server.url
        check_same_text(Old, server)
        check_chat_completion(server)
        count = len(server.requests)
    check_cut_characters(Old)
    print(f"g4f 0.1.9.3: its Acytoo and ours got the same text, from one server, in {count} requests")


if __name__ == "__main__":
    main()
