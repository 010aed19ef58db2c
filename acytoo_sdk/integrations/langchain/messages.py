"""LangChain's messages: what they are on the wire, which have no place there, and replies as messages. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ...errors import InvalidRequestError

_ROLES: tuple[tuple[type[BaseMessage], str], ...] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
)

# The blocks that hold what a model has thought for itself, which is of no use to another one.
_THOUGHTS = ("reasoning", "reasoning_content", "redacted_thinking", "thinking")


def turns_of(messages: Sequence[BaseMessage]) -> list[dict[str, object]]:
    """The messages as the wire has them.

    Raises:
        InvalidRequestError: the wire has no place for one of them, or for a part of it, which is named.
    """
    turns = [_turn(f"messages[{index}]", message) for index, message in enumerate(messages)]
    return [turn for turn in turns if turn is not None]


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


def _turn(place: str, message: BaseMessage) -> dict[str, object] | None:
    """A message; None where there is nothing in it but what a model has thought for itself."""
    content = message.content
    if isinstance(message, AIMessage):
        if message.tool_calls or message.invalid_tool_calls or message.additional_kwargs.get("function_call"):
            raise InvalidRequestError(f"{place} calls a tool: the endpoint knows no tools, and takes text alone")
        if not isinstance(content, str) and content and all(map(_is_thought, content)):
            return None
    turn: dict[str, object] = {"role": _role(place, message), "content": _text(f"{place}.content", message)}
    return turn if message.name is None else {**turn, "name": message.name}


def _is_thought(block: str | dict[Any, Any]) -> bool:
    return not isinstance(block, str) and block.get("type") in _THOUGHTS


def _role(place: str, message: BaseMessage) -> str:
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage):
        if message.role in ("tool", "function"):
            raise InvalidRequestError(
                f"{place} is a ChatMessage of role {message.role!r}: the endpoint knows no tools, and takes text alone"
            )
        return message.role
    raise InvalidRequestError(
        f"{place} is a {type(message).__name__}: the endpoint takes system, human and AI messages, and ChatMessage"
    )


def _text(place: str, message: BaseMessage) -> str:
    """A message's content, its blocks of text joined."""
    content = message.content
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for index, block in enumerate(content):
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif not (isinstance(message, AIMessage) and _is_thought(block)):
            raise InvalidRequestError(
                f"{place}[{index}] is a block of type {block.get('type')!r}: the endpoint takes text alone"
            )
    return "".join(texts)
