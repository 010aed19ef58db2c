"""Offline: the answers of a server without an upstream, and its faults, so that any client can be tried."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping

from .._checks import check_number
from ..errors import InvalidRequestError
from ..testing import FakeServer, Fault
from .failures import Failure
from .settings import Settings
from .wire import Question

_FAULTS: dict[str, Callable[..., Fault]] = {
    name.replace("_", "-"): getattr(Fault, name)
    for name, value in vars(Fault).items()
    if isinstance(value, staticmethod) and name != "raw"
}
# The values of faults that need one, where none is given.
_VALUES: dict[str, int | float | str] = {"status": 503, "slow-head": 5.0, "redirect": "http://127.0.0.1:9/"}
_BOUNDS = {"status": (100, 599)}  # of its number; those of others are pieces or seconds, from 0 to a million
FAULT_NAMES = tuple(_FAULTS)
"""The faults that can be rehearsed, by the names of `Fault`'s constructors."""


def make_fault(text: str) -> Fault:
    """The fault `NAME` or `NAME=VALUE`.

    Raises:
        InvalidRequestError: there is none of this name, or its value is not usable.
    """
    name, given, value = text.partition("=")
    make = _FAULTS.get(name)
    if make is None:
        raise InvalidRequestError(f"fault must be one of {', '.join(FAULT_NAMES)}, not {name!r}")
    arguments: list[object] = []
    if given:
        arguments.append(_read(name, value, next(iter(inspect.signature(make).parameters.values()), None)))
    elif name in _VALUES:
        arguments.append(_VALUES[name])
    return make(*arguments)


def _read(name: str, value: str, parameter: inspect.Parameter | None) -> object:
    if parameter is None or parameter.kind is parameter.KEYWORD_ONLY:
        raise InvalidRequestError(f"fault {name} takes no value")
    if parameter.annotation == "str":
        return value
    try:
        number = int(value) if parameter.annotation == "int" else float(value)
    except ValueError:
        raise InvalidRequestError(f"fault {name} takes a number, not {value!r}") from None
    least, most = _BOUNDS.get(name, (0, 1_000_000))
    return type(number)(check_number(f"fault {name}", number, least=least, most=most))


class Offline:
    """Answers without an upstream.

    Args:
        settings: `reply` and `pause` count.
    """

    def __init__(self, settings: Settings) -> None:
        self._reply = settings.reply
        self._pause = settings.pause

    async def ask(self, question: Question, *, key: object) -> OfflineReply:
        """The reply to a question, which nobody else sees."""
        return OfflineReply(_echo(question) if self._reply is None else self._reply, self._pause)

    async def close(self) -> None:
        """There is nothing to close."""


class OfflineReply:
    """A text that comes word by word."""

    failure: Failure | None = None

    def __init__(self, text: str, pause: float) -> None:
        self._words = iter(_words(text))
        self._pause = pause
        self._began = False

    async def receive(self) -> str:
        """The next word, with the blanks behind it; "" at the end."""
        word = next(self._words, "")
        if self._began and word and self._pause:
            await asyncio.sleep(self._pause)
        self._began = True
        return word

    async def close(self) -> None:
        """There is nothing to close."""

    def abort(self) -> None:
        """There is nothing to end."""


def _words(text: str) -> list[str]:
    """Its words, each with the blanks around it."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def _echo(question: Question) -> str:
    said = next((turn["content"] for turn in reversed(question.messages) if turn["role"] == "user"), "nothing")
    count = len(question.messages)
    model = question.model or "none"
    return f"You said: {said} (model {model}, {count} message{'' if count == 1 else 's'})"


class Rehearsal:
    """Requests that go wrong as a `FakeServer` goes wrong: byte by byte what it sends, and how it ends.

    Args:
        settings: `fault`, `reply` and `pause` count.
    """

    def __init__(self, settings: Settings) -> None:
        fault = make_fault(settings.fault)
        reply = None if settings.reply is None else _words(settings.reply)
        self._server = FakeServer(reply, pause=settings.pause, faults=itertools.repeat(fault))
        self._server.start()

    async def answer(self, question: Question, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """What a client is sent, head and all.

        Args:
            question: what was asked.
            headers: further ones, for the head.

        Raises:
            ConnectionResetError: the faulty server has reset its connection, and the client's is to be reset too; after
                any other end, that is to be closed.
        """
        body = json.dumps({"model": question.model, "messages": question.messages}).encode()
        host, _, port = self._server.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            head = f"POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            first_line = bytearray()
            while not first_line.endswith(b"\n") and (data := await reader.read(1)):
                first_line += data
            if first_line.startswith(b"HTTP/1.1 "):
                first_line += "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
            yield bytes(first_line)
            while data := await reader.read(65536):
                yield data
        finally:
            writer.close()

    async def close(self) -> None:
        """Ends the server."""
        await asyncio.to_thread(self._server.close)
