"""The wire from the server's side: what a request says, and what goes out besides text. No I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._secrets import Secret
from .._version import __version__
from ..protocol import DEFAULT_PATH
from .failures import Failure
from .surrogates import join_halves

CHAT_PATHS = (DEFAULT_PATH, "/api", "/api/ai", "/api/chat", "/api/completion", "/api/generate")
"""Where questions are posted: the wire's own path, chatgpt-vercel's two, the AI SDK's two, chatgpt-demo's."""

TEXT_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",  # nginx would hold pieces back
}
"""The headers of a reply."""


@dataclass(frozen=True)
class Question:
    """What a request asks.

    Attributes:
        messages: each with `role` and `content`, and nothing else; at least one.
        model: the one that is asked for; "" for none.
        temperature: None where the request names none.
        key: the client's key of the model's server, "" for none.
        passwords: whatever may be the password of this server.
    """

    messages: tuple[dict[str, str], ...]
    model: str
    temperature: float | None
    key: Secret[str]
    passwords: tuple[Secret[str], ...]


def read_question(body: bytes, *, authorization: str = "") -> Question:
    """Reads a request of any client of this wire.

    Besides the five keys, each of which may be missing or null, these are understood: messages with `parts`, of the AI
    SDK; `content` as a list of parts, as OpenAI's; a lone `prompt`; a `prompt` beside messages, which are then its
    system text, and `model` as an object, both of chatbot-ui; and `pass`, chatgpt-demo's, for `password`.

    Args:
        body: JSON, whatever its content-type says: some clients send it as text/plain.
        authorization: the header; a bearer's token in it is a key or a password.

    Raises:
        Failure: the body is none of that, with a sentence that names the place.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON") from None
    if not isinstance(said, dict):
        raise _bad("the body is not a JSON object")
    scheme, _, credentials = authorization.strip().partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else ""
    key, password, short = (_optional_text(said, name) for name in ("key", "password", "pass"))
    return Question(
        messages=tuple(_messages(said)),
        model=_model(said.get("model")),
        temperature=_temperature(said.get("temperature")),
        key=Secret(key or token),
        passwords=tuple(Secret(each) for each in (password, key, short, token) if each),
    )


def header_table(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case. What comes twice is joined by a comma, so that two hosts are no valid one.

    Source: RFC 9110, section 5.3.
    """
    table: dict[str, str] = {}
    for name, value in fields:
        name = name.lower()
        table[name] = f"{table[name]}, {value}" if name in table else value
    return table


def index_page(url: str) -> str:
    """The page at `/`: what this is, and how to ask it."""
    return (
        f"acytoo-sdk {__version__}: a server that streams chat replies as bare UTF-8 text.\n\n"
        f"Ask it from a terminal:\n\n    {curl_line(url)}\n\n"
        f'or from Python:\n\n    Client("{url}").stream("Hi")\n\n'
        f"Questions are posted to {', '.join(CHAT_PATHS)}; GET /healthz tells whether the server is up.\n"
    )


def curl_line(url: str) -> str:
    """A command that asks the server at this address."""
    question = '{"messages": [{"role": "user", "content": "Hi"}]}'
    return f"curl --no-buffer {url}{DEFAULT_PATH} --data '{question}'"


def _messages(said: Mapping[str, Any]) -> list[dict[str, str]]:
    prompt, turns = _optional_text(said, "prompt"), said.get("messages")
    if turns is None:
        turns = []
    if not isinstance(turns, list):
        raise _bad("messages must be a list")
    messages = [read for index, turn in enumerate(turns) if (read := _message(f"messages[{index}]", turn)) is not None]
    if prompt:
        messages.insert(0, {"role": "system" if messages else "user", "content": prompt})
    if not messages:
        raise _bad("there is no question: messages must be a list that is not empty, or prompt a text")
    return messages


def _message(place: str, turn: object) -> dict[str, str] | None:
    """One turn; None for one of the assistant's in which nothing was said, but a tool called, for instance."""
    if not isinstance(turn, dict):
        raise _bad(f"{place} must be an object")
    role = turn.get("role")
    if not isinstance(role, str) or not role:
        raise _bad(f"{place}.role must be a text")
    if isinstance(turn.get("parts"), list):
        text = "".join(_ui_part(f"{place}.parts[{index}]", part) for index, part in enumerate(turn["parts"]))
        content = text or turn.get("content")
    else:
        content = turn.get("content")
    if isinstance(content, list):
        content = "".join(_part(f"{place}.content[{index}]", part) for index, part in enumerate(content))
    if role == "assistant" and not content:
        return None
    if not isinstance(content, str):
        raise _bad(f"{place}.content must be a text, or a list of parts that are")
    return {"role": role, "content": join_halves(content)}


def _ui_part(place: str, part: object) -> str:
    """The text of a part of the AI SDK's; its steps, reasoning, sources, tools and data say nothing to a model here."""
    if not isinstance(part, dict) or not isinstance(kind := part.get("type"), str):
        raise _bad(f"{place} must be an object with a type")
    if kind == "file":
        raise _bad(f"{place} is a file, and this server passes on text alone")
    return _text(f"{place}.text", part.get("text")) if kind == "text" else ""


def _part(place: str, part: object) -> str:
    """The text of a part of OpenAI's; a picture or a sound that was left out would change the question."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") not in ("text", "input_text", "output_text"):
        raise _bad(f"{place} is not a part of type text, and this server passes on text alone")
    return _text(f"{place}.text", part.get("text"))


def _model(said: object) -> str:
    if isinstance(said, dict):
        said = said.get("id") or said.get("name")
    return "" if said is None else _text("model", said)


def _temperature(said: object) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < math.inf:
        raise _bad("temperature must be a number")
    return said


def _optional_text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return "" if value is None else _text(name, value)


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise _bad(f"{place} must be a text")
    return join_halves(value)


def _bad(message: str) -> Failure:
    return Failure(400, message, "bad request")
