"""The body of a request: five keys in their order, and the turns of the conversation as they were given."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any, cast

import pytest

from acytoo_sdk._wire.payloads import Message, acytoo_payload, message_list

USER: Message = {"role": "user", "content": "Hi"}
ANSWER: Message = {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize("text", ["Hi", "", "role"])
def test_a_text_is_one_message_of_the_user(text: str) -> None:
    assert message_list(text) == [{"role": "user", "content": text}]


@pytest.mark.parametrize("one", [USER, MappingProxyType(USER)])
def test_a_single_message_is_a_list_of_one(one: Any) -> None:
    assert message_list(one) == [USER]


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_conversation_keeps_its_order(kind: Any) -> None:
    assert message_list(kind([USER, ANSWER])) == [USER, ANSWER]


def test_no_turns_are_an_empty_list() -> None:
    assert message_list([]) == []


def test_a_turn_of_any_mapping_becomes_a_dict() -> None:
    turns = message_list(cast(Any, [MappingProxyType(USER)]))

    assert [type(turn) for turn in turns] == [dict]
    assert json.dumps(turns) == '[{"role": "user", "content": "Hi"}]'


def test_further_keys_of_a_turn_pass_through() -> None:
    turn = {"role": "tool", "content": "42", "name": "answer", "extra": [1, {"a": None}]}

    assert message_list(cast(Any, [turn])) == message_list(cast(Any, turn)) == [turn]


def test_the_list_and_its_turns_are_neither_the_caller_s_nor_shared() -> None:
    given = [dict(USER)]

    taken = message_list(cast(Any, given))
    taken[0]["content"] = "changed"
    taken.append(ANSWER)

    assert given == [USER]
    one = message_list(USER)
    one[0]["content"] = "changed"
    assert USER["content"] == "Hi"


def test_the_payload_has_the_five_keys_in_their_order() -> None:
    payload = acytoo_payload(key="k", model="m", messages=[USER], temperature=0.5, password="p")

    assert json.dumps(payload) == (
        '{"key": "k", "model": "m", "messages": [{"role": "user", "content": "Hi"}], '
        '"temperature": 0.5, "password": "p"}'
    )


def test_empty_secrets_are_sent_as_empty_strings() -> None:
    payload = acytoo_payload(key="", model="m", messages=[], temperature=0, password="")

    assert (payload["key"], payload["password"]) == ("", "")
