"""The prompts of a batch: how a line of its input becomes the messages that are sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from ..._checks import check_messages, check_text, type_name
from ..._templates import Template
from ...errors import InvalidRequestError
from ...protocol import Message
from .source import Source

_JSON_NAMES = (".jsonl", ".ndjson", ".json")
_FIELD = "prompt"  # that is asked, unless another is named
_TEXT = "text"  # what a template calls a row, or the field that is named
_MOST_NAMES = 5  # of fields, in a message


class Prompts:
    """The prompts of a source, each as its messages; a line is read and checked only when its prompt is asked for.

    Args:
        source: of the lines.
        is_json: whether each is JSON; None: if the name says so, or a field is named.
        field: of a row that is an object: the prompt; None: "prompt", or its `messages`.
        template: makes the prompt; `{text}` is the line, or the field, and `{name}` a field of the row.
        system: goes before each prompt that has no instructions of its own; "" for none.
        limit: so many prompts at most; None: all.

    Raises:
        InvalidRequestError: the template is none, or speaks of fields where there are none.
    """

    def __init__(
        self,
        source: Source,
        *,
        is_json: bool | None,
        field: str | None,
        template: str | None,
        system: str,
        limit: int | None,
    ) -> None:
        if is_json is None:
            is_json = field is not None or source.name.lower().endswith(_JSON_NAMES)
        self._source, self._limit = source, limit
        self._field = field
        self._template = None if template is None else _template(template, is_json=is_json)
        self._system: list[Message] = [{"role": "system", "content": system}] if system else []
        self._read: Callable[[str, str], list[Message]] = self._of_json if is_json else self._of_line

    def __iter__(self) -> Iterator[list[Message]]:
        return islice((self._read(place, line) for place, line in self._source.lines()), self._limit)

    def _of_line(self, place: str, line: str) -> list[Message]:
        return self._of_text(place, line if self._template is None else self._template.fill({_TEXT: line}))

    def _of_json(self, place: str, line: str) -> list[Message]:
        row = _parsed(place, line)
        if self._template is not None:
            return self._of_text(place, self._filled(place, self._template, row))
        if isinstance(row, str):
            return self._of_text(place, row)
        if isinstance(row, list):
            return self._of_messages(place, row)
        if not isinstance(row, dict):
            raise InvalidRequestError(f"{place} must be a text, an object or a list of messages, not {type_name(row)}")
        if self._field is None and "messages" in row:
            return self._of_messages(f"{place}: messages", row["messages"])
        name = self._field or _FIELD
        value = _value(place, row, name)
        if isinstance(value, list):
            return self._of_messages(f"{place}: {name}", value)
        return self._of_text(f"{place}: {name}", value)

    def _of_text(self, place: str, text: object) -> list[Message]:
        return [*self._system, {"role": "user", "content": check_text(place, text)}]

    def _of_messages(self, place: str, messages: object) -> list[Message]:
        checked = check_messages(messages, name=place)
        return checked if checked[0]["role"] == "system" else [*self._system, *checked]

    def _filled(self, place: str, template: Template, row: object) -> str:
        fields: dict[str, Any] = row if isinstance(row, dict) else {_TEXT: row}
        if self._field is not None:
            fields = {**fields, _TEXT: _value(place, fields, self._field)}
        return template.fill({name: _text(_value(place, fields, name)) for name in template.names})


def _template(text: str, *, is_json: bool) -> Template:
    check_text("--template", text)
    try:
        template = Template(text)
    except ValueError as error:
        raise InvalidRequestError(f"--template: {error}; {{{{ and }}}} stand for braces") from None
    if not template.names:
        raise InvalidRequestError("--template has no {name} in it: every prompt would be the same")
    if not is_json and (strange := [name for name in template.names if name != _TEXT]):
        raise InvalidRequestError(
            f"--template: a line has no field {strange[0]!r}, only {{{_TEXT}}}; --jsonl reads objects with fields"
        )
    return template


def _parsed(place: str, line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        why = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequestError(f"{place} is not JSON{why}") from None


def _value(place: str, row: Mapping[str, Any], name: str) -> object:
    value = row.get(name)
    if value is None:
        there = ", ".join(map(repr, [*row][:_MOST_NAMES])) or "nothing"
        what = f"no field {name!r}, but {there}" if name not in row else f"nothing in its field {name!r}"
        raise InvalidRequestError(f"{place} has {what}")
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
