"""LangChain's messages: what they are on the wire, which of them have no place there, and what a reply is of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ..errors import InvalidRequestError

_ROLES: tuple[tuple[type[BaseMessage], str], ...] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
)


def turns_of(messages: Sequence[BaseMessage]) -> list[dict[str, object]]:
    """The messages as the wire has them.

    Raises:
        InvalidRequestError: the wire has no place for one of them, or for a part of it, which is named.
    """
    return [_turn(f"messages[{index}]", message) for index, message in enumerate(messages)]


def whole_reply(text: str, metadata: dict[str, Any]) -> ChatResult:
    """A reply that arrived."""
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text, response_metadata=metadata))])


def piece_of_reply(text: str) -> ChatGenerationChunk:
    """A piece of a reply that arrives."""
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def end_of_reply(metadata: dict[str, Any]) -> ChatGenerationChunk:
    """What comes after the last piece, once: what LangChain adds up must not be there twice."""
    message = AIMessageChunk(content="", response_metadata=metadata, chunk_position="last")
    return ChatGenerationChunk(message=message)


def _turn(place: str, message: BaseMessage) -> dict[str, object]:
    if isinstance(message, AIMessage) and (
        message.tool_calls or message.invalid_tool_calls or message.additional_kwargs.get("function_call")
    ):
        raise InvalidRequestError(f"{place} calls a tool: the endpoint knows no tools, and takes text alone")
    turn: dict[str, object] = {"role": _role(place, message), "content": _text(f"{place}.content", message.content)}
    return turn if message.name is None else {**turn, "name": message.name}


def _role(place: str, message: BaseMessage) -> str:
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage):
        return message.role
    raise InvalidRequestError(
        f"{place} is a {type(message).__name__}: the endpoint takes system, human and AI messages, and ChatMessage"
    )


def _text(place: str, content: str | list[Any]) -> str:
    """A message's content, its blocks of text joined."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for index, block in enumerate(content):
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        else:
            raise InvalidRequestError(
                f"{place}[{index}] is a block of type {block.get('type')!r}: the endpoint takes text alone"
            )
    return "".join(texts)
