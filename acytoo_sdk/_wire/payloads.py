"""Payloads: the JSON bodies that a request can have, made of what a call says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, cast

Role = Literal["system", "developer", "user", "assistant", "function", "tool"]


class Message(TypedDict):
    """One turn of a conversation: who speaks, and what is said.

    Further keys, of any JSON up to 100 levels deep, pass through to the server untouched.
    """

    role: Role
    content: str


# What a caller may pass. A message with further keys is no `Message` to a type checker, but a mapping.
MessageLike = Message | Mapping[str, object]
Messages = str | MessageLike | Sequence[MessageLike]


def message_list(messages: Messages) -> list[Message]:
    """The conversation as a list of its own: a `str` is one user message."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    turns = [messages] if isinstance(messages, Mapping) else messages
    return [cast(Message, dict(turn)) for turn in turns]


def acytoo_payload(
    *, key: str, model: str, messages: list[Message], temperature: float, password: str
) -> dict[str, object]:
    """The five keys, in their order.

    Source:
        g4f 0.1.9.3, `g4f/Provider/Acytoo.py`.
    """
    return {"key": key, "model": model, "messages": messages, "temperature": temperature, "password": password}
