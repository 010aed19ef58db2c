"""What is sent: the keys of the wire in their order, the headers, and nothing that is no JSON."""

from __future__ import annotations

import json
import pickle
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk._version import __version__
from acytoo_sdk.protocol import Message, build_request, message_list


def test_the_request_has_the_keys_of_the_wire_in_their_order() -> None:
    request = build_request("Hi", base_url="https://host:1/base", path="/p", key="k", password="p", model="m")

    assert (request.method, request.url) == ("POST", "https://host:1/base/p")
    assert request.body == (
        b'{"key": "k", "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, '
        b'"password": "p"}'
    )


def test_the_request_has_the_defaults_of_the_service() -> None:
    request = build_request("Hi")

    assert request.url == "https://chat.acytoo.com/api/completions"
    assert request.headers == {
        "accept": "*/*",
        "content-type": "application/json",
        "user-agent": f"acytoo-sdk/{__version__}",
        "accept-encoding": "identity",
    }
    payload = json.loads(request.body)
    assert list(payload) == ["key", "model", "messages", "temperature", "password"]
    assert payload == provider_payload([{"role": "user", "content": "Hi"}])


def provider_payload(messages: list[dict[str, Any]], temperature: float = 0.5) -> dict[str, Any]:
    """What `Acytoo._create_payload` of g4f 0.1.9.3 made."""
    return {"key": "", "model": "gpt-3.5-turbo", "messages": messages, "temperature": temperature, "password": ""}


unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | unicode_text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(unicode_text, values, max_size=3),
    max_leaves=5,
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": unicode_text},
    optional={"createdAt": st.integers(), "name": json_values},
)


@given(st.lists(turns), st.floats(0, 2))
def test_any_conversation_is_sent_as_the_old_provider_sent_it(conversation: list[dict[str, Any]], heat: float) -> None:
    request = build_request(cast(list[Message], conversation), temperature=heat)

    assert json.loads(request.body.decode()) == provider_payload(conversation, heat)


def test_further_keys_of_a_message_pass_through() -> None:
    turn = {"role": "user", "content": "Hi", "createdAt": 1694612345678, "x": [{"deep": None}]}

    assert json.loads(build_request(cast(Message, turn)).body)["messages"] == [turn]


def test_the_list_of_the_caller_is_neither_changed_nor_kept() -> None:
    turn: Message = {"role": "user", "content": "Hi"}
    conversation = [turn]

    request, turns_of = build_request(conversation), message_list(conversation)
    turns_of[0]["content"] = "changed"
    turns_of.append(turn)

    assert conversation == [{"role": "user", "content": "Hi"}]
    assert conversation[0] is turn
    conversation.clear()
    assert b"Hi" in request.body


@pytest.mark.parametrize(
    "messages",
    [
        "Hi",
        {"role": "user", "content": "Hi"},
        [{"role": "user", "content": "Hi"}],
        ({"role": "user", "content": "Hi"},),
    ],
    ids=["str", "message", "list", "tuple"],
)
def test_every_way_to_say_one_thing_is_the_same_request(messages: Any) -> None:
    assert build_request(messages) == build_request("Hi")
    assert message_list(messages) == [{"role": "user", "content": "Hi"}]


def test_headers_of_the_caller_are_added_or_replace_in_any_case() -> None:
    headers = {"X-Extra": "1", "ACCEPT": "text/plain", "User-agent": "mine", "Accept-Encoding": "gzip"}

    assert build_request("Hi", headers=headers).headers == {
        "accept": "text/plain",
        "content-type": "application/json",
        "user-agent": "mine",
        "accept-encoding": "gzip",
        "x-extra": "1",
    }
    assert headers["ACCEPT"] == "text/plain"


def test_a_request_does_not_show_its_body_and_headers() -> None:
    request = build_request("my question", key="k-123", password="p-456", headers={"authorization": "a-789"})

    for secret in ("my question", "k-123", "p-456", "a-789"):
        assert secret not in repr(request) + str(request)
    assert pickle.loads(pickle.dumps(request)) == request


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": {1, 2}}], TypeError),
        ([{"content": float("nan")}], ValueError),
        ("\ud800", ValueError),
    ],
)
def test_what_is_no_json_is_not_sent(messages: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        build_request(messages)
