"""`payload=`: what every attempt sends is in the format that the client was told, be it a function of the caller's."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from talks import Talk, spoken

from acytoo_sdk import AsyncClient, Client, InvalidRequestError, RetryPolicy
from acytoo_sdk._options import Options
from acytoo_sdk.provider import provider
from acytoo_sdk.testing import FakeServer, Fault

BASE = "http://chat.example"
KEY, PASSWORD = "key-4f", "pass-word-7c"
AT_ONCE = RetryPolicy(wait_initial=0)
USER: dict[str, Any] = {"role": "user", "content": "Hi"}
CLIENTS: list[Callable[..., Any]] = [Client, AsyncClient]


def question(told: dict[str, Any]) -> dict[str, Any]:
    """A payload function that pickles."""
    return {"question": told["messages"][-1]["content"], "by": told["model"]}


def refused(call: Callable[[], object], *words: str) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
    return caught.value


def sent_by(server: FakeServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in server.requests]


# Named formats


@spoken
async def test_a_conversation_is_sent_as_ui_messages_and_a_turn_keeps_its_id(flavour: str) -> None:
    with FakeServer(["Hel", "lo!"], pause=0) as server:
        talk = Talk(flavour, server.url, client={"path": "/api/chat", "payload": "ai-sdk"}, system="Be brief.")
        for text in ("Hi", "And?"):
            assert await talk.ask(text) == "Hello!"
        first, second = sent_by(server)
        assert {request.path for request in server.requests} == {"/api/chat"}
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["messages"][-1]["parts"] == [{"type": "text", "text": "And?"}]
    assert second["messages"][:2] == first["messages"]


@spoken
async def test_a_prompt_is_one_question_and_a_second_is_refused(flavour: str) -> None:
    with FakeServer(pause=0) as server:
        talk = Talk(flavour, server.url, client={"payload": "prompt"})
        assert await talk.ask("Hi") == "You said: Hi (0 messages)"
        refused(lambda: talk.send("And?"), "messages has 3")
        assert [message["content"] for message in talk.messages][:1] == ["Hi"]
        assert len(talk.messages) == 2
        assert sent_by(server) == [{"prompt": "Hi"}]


@pytest.mark.parametrize("make", CLIENTS)
def test_roles_that_ui_messages_lack_are_refused_before_anything_is_sent(make: Callable[..., Any]) -> None:
    with FakeServer() as server:
        client = make(server.url, payload="ai-sdk")
        refused(lambda: client.stream([USER, {"role": "tool", "content": "42"}]), "messages[1].role", "tool")
        assert server.connections == 0


@pytest.mark.parametrize("make", CLIENTS)
@pytest.mark.parametrize("payload", ["ai-sdk", "prompt"])
@pytest.mark.parametrize("name", ["key", "password"])
def test_a_secret_that_the_format_has_no_place_for_is_refused(
    make: Callable[..., Any], payload: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"{name}= ", f"payload={payload!r}", "headers=", f"{name}=''")
    for call in (
        lambda: make(BASE, payload=payload, **{name: "tell-nobody"}),
        lambda: make(BASE, payload=payload).with_options(**{name: "tell-nobody"}),
        lambda: make(BASE, **{name: "tell-nobody"}).with_options(payload=payload),
    ):
        assert "nobody" not in repr(refused(call, *words))
    monkeypatch.setenv(f"ACYTOO_{name.upper()}", "tell-nobody")
    refused(lambda: make(BASE, payload=payload), f"ACYTOO_{name.upper()}", *words)
    assert make(BASE, payload=payload, headers={"authorization": "Bearer x"}, **{name: ""})
    assert make(BASE, payload=question, **{name: "tell-nobody"})


def test_with_options_changes_the_format_and_leaves_the_client_as_it_was() -> None:
    with FakeServer(pause=0) as server, Client(server.url) as client:
        other = client.with_options(payload="prompt", path="/api/completion")
        assert other.complete("Hi") == "You said: Hi (0 messages)"
        assert client.complete("Hi") == "You said: Hi (model gpt-3.5-turbo, 1 message)"
        assert (client.options.payload, other.options.payload) == ("acytoo", "prompt")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("openai", "acytoo, ai-sdk, prompt"),
        ("", "a function"),
        (None, "None"),
        (1, "int"),
        ({}, "dict"),
        (b"x", "bytes"),
    ],
)
@pytest.mark.parametrize("make", CLIENTS)
def test_a_format_is_one_of_the_names_or_a_function(make: Callable[..., Any], payload: Any, said: str) -> None:
    error = refused(lambda: make(BASE, payload=payload), "payload", said)
    assert "openai" not in str(error)  # what stands in the wrong place may be a secret
    refused(lambda: make(BASE).with_options(payload=payload), "payload", said)


def test_a_provider_of_another_format() -> None:
    with FakeServer(pause=0) as server:
        mine = provider(server.url, path="/api/chat", payload="ai-sdk")
        assert "".join(mine.create_completion("", [USER])) == "You said: Hi (1 message)"
        with pytest.raises(InvalidRequestError, match="key= "):
            mine.create_completion("", [USER], key=KEY)
    with pytest.raises(InvalidRequestError, match="payload"):
        provider(BASE, payload="openai")  # type: ignore[arg-type]


# Functions


@spoken
async def test_a_function_is_called_once_for_all_attempts_in_the_caller_s_thread(flavour: str) -> None:
    told: list[tuple[dict[str, Any], int]] = []

    def make(values: dict[str, Any]) -> Mapping[str, Any]:
        told.append((copy.deepcopy(values), threading.get_ident()))
        return MappingProxyType({"call": len(told), "text": "Привет"})

    with FakeServer("Hello!", faults=[Fault.status(503)] * 2) as server:
        options = {"payload": make, "key": KEY, "password": PASSWORD, "retry": AT_ONCE}
        talk = Talk(flavour, server.url, client=options)
        reply = talk.send("Hi")
        assert told == [
            (
                {"key": KEY, "model": "gpt-3.5-turbo", "messages": [USER], "temperature": 0.5, "password": PASSWORD},
                threading.get_ident(),
            )
        ]
        assert list(told[0][0]) == ["key", "model", "messages", "temperature", "password"]
        assert await reply.read() == "Hello!"
        assert {request.body for request in server.requests} == {'{"call": 1, "text": "Привет"}'.encode()}
        assert len(server.requests) == 3


@pytest.mark.parametrize("make", CLIENTS)
def test_a_function_gets_copies_of_its_own(make: Callable[..., Any]) -> None:
    def spoil(values: dict[str, Any]) -> dict[str, Any]:
        values["messages"][0]["x"]["deep"].append("changed")
        values["messages"].clear()
        values["key"] = ""
        return values

    messages = [{**USER, "x": {"deep": []}}]
    client = make(BASE, payload=spoil, key=KEY)
    for _ in range(2):
        assert client.stream(messages)
    assert messages == [{**USER, "x": {"deep": []}}]


def looped() -> dict[str, Any]:
    body: dict[str, Any] = {}
    body["x"] = [body]
    return body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "payload must return a mapping, for a JSON object, not None"),
        (["Hi"], "payload must return a mapping, for a JSON object, not list"),
        ("Hi", "not str"),
        ({5: "x"}, "what payload returned has a key that is not a str but int"),
        ({"x": {1}}, "what payload returned cannot be written as JSON: Object of type set"),
        ({"x": float("nan")}, "what payload returned cannot be written as JSON"),
        ({"key": KEY, "x": "\ud800"}, "what payload returned cannot be written as JSON: 'utf-8'"),
        (looped(), "what payload returned.x nests deeper"),
    ],
)
@pytest.mark.parametrize("make", CLIENTS)
def test_what_a_function_returns_is_a_json_object_or_refused(make: Callable[..., Any], body: Any, said: str) -> None:
    with FakeServer() as server:
        client = make(server.url, payload=lambda values: body, key=KEY)
        error = refused(lambda: client.stream("Hi"), said)
        assert server.connections == 0
    assert KEY not in repr([vars(error), error.args])
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("make", CLIENTS)
def test_messages_may_nest_as_deep_in_what_a_function_returns(make: Callable[..., Any]) -> None:
    deep: Any = {**USER, "x": []}
    for _ in range(97):
        deep["x"] = [deep["x"]]
    assert make(BASE, payload=lambda values: {"wrapped": {"in": values["messages"]}}).stream([deep])


class Oddity(Exception):
    """Of the caller's own."""


@pytest.mark.parametrize("make", CLIENTS)
def test_what_a_function_raises_comes_out_as_itself_and_its_frames_hold_no_secret(make: Callable[..., Any]) -> None:
    oddity = Oddity("mine")

    def fail(values: dict[str, Any]) -> dict[str, Any]:
        raise oddity

    client = make(BASE, payload=fail, key=KEY, password=PASSWORD)
    with pytest.raises(Oddity) as caught:
        client.stream("Hi")
    assert caught.value is oddity
    lines = [frame.f_code.co_name for frame, _ in traceback.walk_tb(oddity.__traceback__)]
    assert lines[-1] == "fail"
    for frame, _ in traceback.walk_tb(oddity.__traceback__):
        if frame.f_code.co_filename != __file__ or frame.f_code.co_name == "fail":
            assert KEY not in repr(frame.f_locals), frame


def test_a_secret_that_a_function_sends_is_masked_where_a_server_quotes_it() -> None:
    with FakeServer(f"no {KEY}", status=401) as server:
        client = Client(server.url, payload=lambda values: {"token": values["key"]}, key=KEY)
        with pytest.raises(Exception, match=r"no \*\*\*") as caught:
            client.complete("Hi")
    assert KEY not in repr(vars(caught.value))


# Pickles


@pytest.mark.parametrize("make", CLIENTS)
@pytest.mark.parametrize("payload", ["acytoo", "ai-sdk", "prompt", question])
def test_a_client_pickles_with_its_format(make: Callable[..., Any], payload: Any) -> None:
    options: Options = pickle.loads(pickle.dumps(make(BASE, payload=payload))).options
    assert options.payload == payload


def test_a_function_that_does_not_pickle_gives_python_s_own_error() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(Client(BASE, payload=lambda values: values))
