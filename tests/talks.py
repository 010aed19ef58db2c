"""Conversations of either kind, spoken to in one way: blocking, on asyncio, on trio."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import anyio

from acytoo_sdk import AsyncClient, Client, Message
from acytoo_sdk.testing import FakeServer

HI: list[Message] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
RULES: Message = {"role": "system", "content": "Be brief."}


def spoken(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test of one flavour on its loop. (anyio's own plugin leaves a thread of trio's behind.)"""

    @functools.wraps(test)
    def run(flavour: str, **fixtures: Any) -> None:
        anyio.run(functools.partial(test, flavour, **fixtures), backend="trio" if flavour == "trio" else "asyncio")

    return run


class Talk:
    """A conversation of either kind, spoken to in one way."""

    def __init__(self, flavour: str, url: str, *, client: Mapping[str, Any] | None = None, **arguments: Any) -> None:
        options = {"retry": 1, **(client or {})}
        self.client: Any = (Client if flavour == "blocking" else AsyncClient)(url, **options)
        self.conversation: Any = self.client.conversation(**arguments)

    async def ask(self, text: str) -> str:
        return cast(str, await awaited(self.conversation.ask(text)))

    def send(self, text: str) -> Reply:
        return Reply(self.conversation.send(text))

    def retry(self) -> Reply:
        return Reply(self.conversation.retry())

    @property
    def messages(self) -> list[Message]:
        return cast("list[Message]", self.conversation.messages)


class Reply:
    """A stream of either kind, read in one way."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def piece(self) -> str:
        return cast(str, await self.stream.__anext__() if hasattr(self.stream, "__anext__") else next(self.stream))

    async def read(self) -> str:
        return cast(str, await awaited(self.stream.read()))

    async def close(self) -> None:
        if hasattr(self.stream, "aclose"):
            await self.stream.aclose()
        else:
            self.stream.close()


async def awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def turn(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def sent(server: FakeServer, index: int = -1) -> Any:
    request = server.requests[index].json
    assert request is not None
    return request["messages"]


def echo(request: dict[str, Any]) -> str:
    return f"re: {request['messages'][-1]['content']}"
