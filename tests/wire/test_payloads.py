"""The body of a request: what each format makes of the turns of the conversation, and what it has no place for."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import InvalidRequestError
from acytoo_sdk._wire.payloads import (
    FORMATS,
    Message,
    PayloadName,
    ai_sdk_payload,
    message_list,
    payload_body,
    prompt_payload,
)

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


def values(*messages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What a call says."""
    told = {"key": "k", "model": "m", "messages": list(messages), "temperature": 0.5, "password": "p"}
    return {**told, **more}


def said(role: str, content: str, **further: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **further}


def text_of(message: dict[str, Any]) -> str:
    """Of a UI message, whose text is its one part."""
    (part,) = message["parts"]
    assert list(part) == ["type", "text"]
    assert part["type"] == "text"
    return str(part["text"])


# acytoo


def test_the_wire_s_own_format_is_the_five_keys_in_their_order() -> None:
    assert payload_body("acytoo", values(USER)) == (
        b'{"key": "k", "model": "m", "messages": [{"role": "user", "content": "Hi"}], '
        b'"temperature": 0.5, "password": "p"}'
    )


def test_empty_secrets_are_sent_as_empty_strings() -> None:
    payload = json.loads(payload_body("acytoo", values(key="", password="")))

    assert (payload["key"], payload["password"]) == ("", "")


# ai-sdk


def test_ui_messages_have_one_part_for_their_text_and_no_two_ids_are_the_same() -> None:
    turns = [said("system", "Be brief."), said("user", "Привет"), said("assistant", ""), said("user", "Привет")]

    payload = ai_sdk_payload(values(*turns))

    assert list(payload) == ["id", "messages", "trigger"]
    assert payload["trigger"] == "submit-message"
    assert [list(message) for message in payload["messages"]] == [["id", "role", "parts"]] * 4
    assert [said(message["role"], text_of(message)) for message in payload["messages"]] == turns
    ids = [payload["id"], *(message["id"] for message in payload["messages"])]
    assert len(set(ids)) == 5
    assert all(str(UUID(id_)) == id_ for id_ in ids)


def test_no_secret_model_or_temperature_is_in_ui_messages_and_prompts() -> None:
    told = values(USER, key="tell-nobody", password="tell-nobody", model="tell-nobody", temperature=1.25)

    for name in ("ai-sdk", "prompt"):
        body = payload_body(cast(Any, name), told)
        assert b"nobody" not in body
        assert b"1.25" not in body


turns_of_chats = st.lists(
    st.builds(
        said, st.sampled_from(["system", "user", "assistant"]), st.text(st.characters(exclude_categories=["Cs"]))
    ),
    min_size=1,
    max_size=4,
)


@given(turns_of_chats, turns_of_chats)
def test_ids_are_the_same_for_what_was_said_the_same_and_for_nothing_else(one: Any, other: Any) -> None:
    payload, longer = ai_sdk_payload(values(*one)), ai_sdk_payload(values(*one, *other))

    assert payload_body("ai-sdk", values(*one)) == payload_body("ai-sdk", values(*copy.deepcopy(one)))
    assert longer["messages"][: len(one)] == payload["messages"]
    assert longer["id"] != payload["id"]
    assert (ai_sdk_payload(values(*other))["id"] == payload["id"]) == (one == other)


def test_an_id_of_the_caller_s_and_further_keys_reach_the_ui_message() -> None:
    turn = said("user", "Hi", id="mine", metadata={"a": [1]}, createdAt=5)

    (message,) = ai_sdk_payload(values(turn))["messages"]

    assert message == {
        "id": "mine",
        "role": "user",
        "parts": [{"type": "text", "text": "Hi"}],
        "metadata": {"a": [1]},
        "createdAt": 5,
    }
    assert turn == said("user", "Hi", id="mine", metadata={"a": [1]}, createdAt=5)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (said("developer", "Hi"), ("messages[1].role", "'developer'", "system, user, assistant")),
        (said("tool", "Hi"), ("messages[1].role", "'tool'")),
        (said("function", "Hi"), ("messages[1].role", "'function'")),
        (said("user", "Hi", parts=[]), ("messages[1].parts",)),
        (said("user", "Hi", id=""), ("messages[1].id", "str")),
        (said("user", "Hi", id=7), ("messages[1].id", "int")),
        (said("user", "Hi", id=None), ("messages[1].id", "NoneType")),
    ],
)
def test_what_ui_messages_have_no_place_for_is_refused_at_its_place(turn: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ai_sdk_payload(values(USER, turn))
    for word in (*words, "ai-sdk" if "id" not in turn else "id"):
        assert word in str(caught.value)


# prompt


def test_a_prompt_is_the_one_text_of_the_user() -> None:
    assert payload_body("prompt", values(said("user", "Привет"))) == '{"prompt": "Привет"}'.encode()


@pytest.mark.parametrize(
    ("turns", "place"),
    [
        ([], "messages has 0"),
        ([USER, ANSWER, USER], "messages has 3"),
        ([said("system", "Be brief."), USER], "messages has 2"),
        ([said("system", "Be brief.")], "messages[0].role is 'system'"),
        ([said("user", "Hi", createdAt=5)], "messages[0].createdAt"),
    ],
)
def test_what_a_prompt_has_no_place_for_is_refused_by_its_name(turns: Any, place: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(place)) as caught:
        prompt_payload(values(*turns))
    assert "payload='prompt'" in str(caught.value)


# Any other


def test_a_function_makes_the_body_of_the_five_values() -> None:
    def make(told: dict[str, Any]) -> Mapping[str, Any]:
        return MappingProxyType({"keys": list(told), "question": told["messages"][-1]["content"]})

    assert json.loads(payload_body(make, values(USER))) == {
        "keys": ["key", "model", "messages", "temperature", "password"],
        "question": "Hi",
    }


def test_every_format_has_a_name_and_a_function_that_pickles() -> None:
    assert set(FORMATS) == set(get_args(PayloadName))
    for make in FORMATS.values():
        assert pickle.loads(pickle.dumps(make)) is make
        assert "Source:" in (make.__doc__ or "")
