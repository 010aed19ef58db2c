"""Payloads: the JSON bodies that a request can have, each made of the five values of a call.

A format has a name here if its source can be cited; any other is a function of the caller's, of the same values. A
value that a format has no place for is refused by name, never dropped. Only `model` and `temperature` are left out of
the formats in which the server chooses them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from ..errors import InvalidRequestError

Role = Literal["system", "developer", "user", "assistant", "function", "tool"]


class Message(TypedDict):
    """One turn of a conversation: who speaks, and what is said.

    Further keys, of any JSON up to 100 levels deep, pass through to the server untouched.

    Attributes:
        role: who speaks: "user", "assistant" (the model), "system" or "developer" (instructions), "function" or "tool".
        content: what is said; "" is allowed.
    """

    role: Role
    content: str


# What a caller may pass. A message with further keys is no `Message` to a type checker, but a mapping.
MessageLike = Message | Mapping[str, object]
Messages = str | MessageLike | Sequence[MessageLike]

PayloadName = Literal["acytoo", "ai-sdk", "prompt"]
PayloadFunction = Callable[[dict[str, Any]], Mapping[str, Any]]
Payload = PayloadName | PayloadFunction
"""The format of a body: its name, or a function of `key`, `model`, `messages`, `temperature` and `password`."""


def message_list(messages: Messages) -> list[Message]:
    """Copies the messages of a call into a list. Pure: it checks nothing.

    Args:
        messages: a `str`, which is one user message; a single message; or a sequence of messages, oldest first.

    Returns:
        A new list of new dicts, in the same order.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    turns = [messages] if isinstance(messages, Mapping) else messages
    return [cast(Message, dict(turn)) for turn in turns]


def payload_body(payload: Payload, values: dict[str, Any]) -> bytes:
    """The body: what the format makes of the five values, as UTF-8 JSON."""
    make = FORMATS[payload] if isinstance(payload, str) else payload
    return json.dumps(dict(make(values)), ensure_ascii=False, allow_nan=False).encode()


def acytoo_payload(values: dict[str, Any]) -> dict[str, Any]:
    """The five values, as they are and in their order.

    Source:
        g4f 0.1.9.3, `g4f/Provider/Acytoo.py`.
    """
    return {name: values[name] for name in ("key", "model", "messages", "temperature", "password")}


def ai_sdk_payload(values: dict[str, Any]) -> dict[str, Any]:
    """UI messages, as `useChat` sends them to an endpoint that answers with `toTextStreamResponse`.

    Each text is one part. The format demands ids. That of a message is made from all that is said up to it, so that it
    stays the same while the conversation grows; that of the chat is made from everything, so that a server which stores
    chats by their ids never takes one for another. A message may bring an `id` of its own, and its further keys, for
    instance `metadata`, pass through.

    Raises:
        InvalidRequestError: UI messages know no such role, or a message sets `parts`, which is made from its content.

    Source:
        npm, `ai` 6.0 and 7.0: `http-chat-transport.ts` for the body, `validate-ui-messages.ts` for the messages in it.
    """
    from uuid import NAMESPACE_URL, uuid5  # on demand: few need it

    messages, id_so_far = [], NAMESPACE_URL
    for index, message in enumerate(values["messages"]):
        id_so_far = uuid5(id_so_far, json.dumps(message))
        messages.append(_ui_message(f"messages[{index}]", message, str(id_so_far)))
    return {"id": str(uuid5(id_so_far, "chat")), "messages": messages, "trigger": "submit-message"}


def prompt_payload(values: dict[str, Any]) -> dict[str, Any]:
    """One text, as `useCompletion` sends it.

    Raises:
        InvalidRequestError: the messages are not one text of the user's alone.

    Source:
        npm, `ai` 6.0 and 7.0: `call-completion-api.ts`.
    """
    turns = values["messages"]
    if len(turns) != 1:
        raise InvalidRequestError(
            f"messages has {len(turns)} of them, and payload='prompt' sends one text: pass one message of the user's, "
            "or as payload= a function that joins them"
        )
    if (role := turns[0]["role"]) != "user":
        raise InvalidRequestError(
            f"messages[0].role is {role!r}, and payload='prompt' sends a text of the user's alone"
        )
    for name in turns[0]:
        if name not in ("role", "content"):
            raise InvalidRequestError(
                f"messages[0].{name} has no place in payload='prompt', which sends the text alone"
            )
    return {"prompt": turns[0]["content"]}


FORMATS: dict[str, PayloadFunction] = {
    "acytoo": acytoo_payload,
    "ai-sdk": ai_sdk_payload,
    "prompt": prompt_payload,
}
"""Every format that has a name."""

MESSAGES_ALONE = ("ai-sdk", "prompt")
"""The formats that send nothing else: they have no place for a key, a password, a model or a temperature."""

_UI_ROLES = ("system", "user", "assistant")


def _ui_message(place: str, message: Mapping[str, Any], made_id: str) -> dict[str, Any]:
    role, further = message["role"], {name: value for name, value in message.items() if name not in ("role", "content")}
    if role not in _UI_ROLES:
        raise InvalidRequestError(f"{place}.role is {role!r}, and payload='ai-sdk' knows {', '.join(_UI_ROLES)} alone")
    if "parts" in further:
        raise InvalidRequestError(f"{place}.parts cannot be set: payload='ai-sdk' makes it of the content")
    if not isinstance(id_ := further.pop("id", made_id), str) or not id_:
        raise InvalidRequestError(f"{place}.id must be a str that is not empty, not {type(id_).__name__}")
    return {"id": id_, "role": role, "parts": [{"type": "text", "text": message["content"]}], **further}
