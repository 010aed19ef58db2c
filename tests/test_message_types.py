"""Messages as people write them are taken by strict type checkers as well: mypy reads this file with all the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import anyio
import pytest

from acytoo_sdk import AsyncClient, Client, Message
from acytoo_sdk.testing import FakeServer


class Own(TypedDict, total=False):
    """A message of an application that has further keys, and gives none of them always."""

    role: str
    content: str
    createdAt: int


WHOLE: Message = {"role": "user", "content": "Hi"}
EXTENDED: dict[str, object] = {"role": "user", "content": "Hi", "createdAt": 1}
LOADED: dict[str, Any] = {"role": "user", "content": "Hi", "tags": ["a"]}
TEXTS: dict[str, str] = {"role": "user", "content": "Hi"}
OWN: Own = {"role": "user", "content": "Hi", "createdAt": 1}
WHOLES: list[Message] = [WHOLE]
EXTENDEDS: list[dict[str, object]] = [EXTENDED]
LOADEDS: list[dict[str, Any]] = [LOADED]
TEXTSS: list[dict[str, str]] = [TEXTS]
OWNS: list[Own] = [OWN]
FROZEN: tuple[Mapping[str, object], ...] = (EXTENDED, TEXTS)
MIXED: Sequence[Message | Mapping[str, object]] = [WHOLE, EXTENDED]


def streams(client: Client) -> None:
    client.stream("Hi").close()
    client.stream({"role": "user", "content": "Hi"}).close()
    client.stream({"role": "user", "content": "Hi", "createdAt": 1}).close()
    client.stream([{"role": "user", "content": "Hi"}]).close()
    client.stream([{"role": "user", "content": "Hi", "createdAt": 1}]).close()
    client.stream([{"role": "system", "content": "Hi"}, {"role": "user", "content": "Hi", "createdAt": 1}]).close()
    client.stream([WHOLE, {"role": "user", "content": "Hi", "tags": ["a"]}, EXTENDED, TEXTS, OWN]).close()
    for one in (WHOLE, EXTENDED, LOADED, TEXTS, OWN):
        client.stream(one).close()
    client.stream(WHOLES).close()
    client.stream(EXTENDEDS).close()
    client.stream(LOADEDS).close()
    client.stream(TEXTSS).close()
    client.stream(OWNS).close()
    client.stream(FROZEN).close()
    client.stream(MIXED).close()


def completes(client: Client) -> None:
    client.complete({"role": "user", "content": "Hi", "createdAt": 1})
    client.complete([{"role": "user", "content": "Hi", "createdAt": 1}])
    client.complete(LOADEDS)


def talks(client: Client) -> None:
    client.conversation(messages=[{"role": "user", "content": "Hi", "createdAt": 1}])
    client.conversation(messages=EXTENDEDS)
    client.conversation(messages=TEXTSS)
    client.conversation(messages=OWNS)
    turns: list[Message] = client.conversation(messages=WHOLES).messages
    client.conversation(messages=turns[:1]).send(turns[0]["content"]).close()


def completes_in_async_code(client: Client) -> None:
    async def main() -> None:
        async with AsyncClient(client.options.base_url) as other:
            await other.complete({"role": "user", "content": "Hi", "createdAt": 1})
            await other.stream([{"role": "user", "content": "Hi", "createdAt": 1}]).read()
            await other.conversation(messages=EXTENDEDS).ask("Hi")

    anyio.run(main)


@pytest.mark.parametrize("use", [streams, completes, talks, completes_in_async_code])
def test_messages_are_taken_as_people_write_them(use: Callable[[Client], None]) -> None:
    with FakeServer("Hello!") as server, Client(server.url) as client:
        use(client)
