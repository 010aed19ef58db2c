"""Today's g4f with our provider class: its `Client`, `AsyncClient` and `ChatCompletion`, streaming and not."""

from __future__ import annotations

import asyncio
from typing import Any

from loopback import stay_here

from acytoo_sdk import RateLimitError
from acytoo_sdk.provider import Acytoo, provider
from acytoo_sdk.testing import FakeServer, Fault

TEXT = "Хорошо, спасибо! 👋 — и вам?"
PIECES = [bytes((byte,)) for byte in TEXT.encode()]  # every character is cut
MODEL = "gpt-3.5-turbo"
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Привет!"},
    {"role": "assistant", "content": "Привет!"},
    {"role": "user", "content": "Как дела?"},
]


def messages() -> list[dict[str, str]]:
    """A copy: g4f takes repeated turns out of the list it is given."""
    return [dict(message) for message in MESSAGES]


def joined(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def check_client(ours: type[Acytoo]) -> None:
    from g4f.client import Client

    client = Client(provider=ours, api_key="of another service")
    whole = client.chat.completions.create(messages(), MODEL, max_tokens=1000, stop=["never"], temperature=0.25)
    assert whole.choices[0].message.content == TEXT, whole
    assert joined(client.chat.completions.create(messages(), MODEL, stream=True)) == TEXT
    assert joined(client.chat.completions.stream("Hi")) == TEXT  # no model: our default
    assert client.models.get_all() == [MODEL]


async def check_async_client(ours: type[Acytoo]) -> None:
    from g4f.client import AsyncClient

    client = AsyncClient(provider=ours)
    whole = await client.chat.completions.create(messages(), MODEL)
    assert whole.choices[0].message.content == TEXT, whole
    assert (whole.provider, whole.model) == ("Acytoo", MODEL), whole
    chunks = client.chat.completions.create(messages(), MODEL, stream=True, stream_timeout=10)
    assert joined([chunk async for chunk in chunks]) == TEXT
    several = await asyncio.gather(*(client.chat.completions.create(messages(), MODEL) for _ in range(5)))
    assert [each.choices[0].message.content for each in several] == [TEXT] * 5


def check_chat_completion(ours: type[Acytoo]) -> None:
    import g4f

    assert g4f.ChatCompletion.create(MODEL, messages(), ours) == TEXT
    assert "".join(g4f.ChatCompletion.create(MODEL, messages(), ours, stream=True)) == TEXT

    async def main() -> None:
        assert await g4f.ChatCompletion.create_async(MODEL, messages(), ours) == TEXT
        blocks = g4f.ChatCompletion.create_async(MODEL, messages(), ours, stream=True)
        assert "".join([block async for block in blocks]) == TEXT

    asyncio.run(main())


def check_errors(ours: type[Acytoo]) -> None:
    import g4f
    from g4f.errors import ProviderNotWorkingError

    before, seconds = ours.live, None
    try:
        g4f.Client(provider=ours).chat.completions.create(messages(), MODEL)
    except RateLimitError as error:
        seconds = error.retry_after
    assert seconds == 120, seconds
    assert ours.live == before - 1
    try:
        g4f.ChatCompletion.create(MODEL, messages(), Acytoo)
    except ProviderNotWorkingError:
        pass
    else:
        raise AssertionError("the class that points to no server of the user's claims to work")


def main() -> None:
    stay_here()
    import g4f

    g4f.debug.version_check = False
    with FakeServer(lambda request: PIECES, pause=0) as server:
        ours = provider(server.url, retry=1)
        check_client(ours)
        asyncio.run(check_async_client(ours))
        check_chat_completion(ours)
        live = ours.live
        assert live >= 10, live
        for request in server.requests:
            assert request.json is not None
            assert request.json["key"] == "", "the key of another service was sent"
            said = [{"role": message["role"], "content": message["content"]} for message in request.json["messages"]]
            assert said in (MESSAGES, [{"role": "user", "content": "Hi"}]), said
        assert [request.json and request.json["temperature"] for request in server.requests][:2] == [0.25, 0.5]
        count = len(server.requests)
    with FakeServer("", faults=[Fault.status(429, retry_after=120)]) as server:
        check_errors(provider(server.url))
    print(f"g4f {g4f.version.utils.current_version}: {count} replies through Client, AsyncClient and ChatCompletion")


if __name__ == "__main__":
    main()
