"""What a request says, in every form that clients of this wire are known to send."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk._secrets import Secret
from acytoo_sdk._wire.payloads import FORMATS
from acytoo_sdk.server.failures import Failure, upstream_failure
from acytoo_sdk.server.settings import Settings
from acytoo_sdk.server.wire import (
    CHAT_PATHS,
    TEXT_HEADERS,
    Question,
    curl_line,
    header_table,
    index_page,
    read_question,
)

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
ASSISTANT = {"role": "assistant", "content": "Yes?"}


def read(said: object, authorization: str = "") -> Question:
    return read_question(json.dumps(said).encode(), authorization=authorization)


def refusal(body: bytes) -> str:
    with pytest.raises(Failure) as failure:
        read_question(body)
    assert (failure.value.status, failure.value.how, failure.value.type) == (
        400,
        "bad request",
        "invalid_request_error",
    )
    return failure.value.message


def part(text: object, kind: str = "text", **more: object) -> dict[str, object]:
    return {"type": kind, "text": text, **more}


MESSAGES: dict[str, tuple[dict[str, Any], list[dict[str, str]]]] = {
    # https://github.com/xtekky/gpt4free at 0.1.9.3, g4f/Provider/Acytoo.py
    "g4f's": (
        {
            "key": "",
            "model": "gpt-3.5-turbo",
            "messages": [USER | {"createdAt": 1695000000000}],
            "temperature": 0.5,
            "password": "",
        },
        [USER],
    ),
    # https://github.com/ourongxing/chatgpt-vercel, src/components/Chat/index.tsx
    "chatgpt-vercel's": (
        {"messages": [USER | {"type": "locked"}, ASSISTANT, USER], "temperature": 0.6, "password": "", "model": "m"},
        [USER, ASSISTANT, USER],
    ),
    # https://github.com/anse-app/chatgpt-demo, src/components/Generator.tsx
    "chatgpt-demo's": ({"messages": [SYSTEM, USER], "time": 1, "pass": None, "sign": "00ff"}, [SYSTEM, USER]),
    # https://github.com/mckaywrigley/chatbot-ui before 2024, pages/api/chat.ts
    "chatbot-ui's": (
        {
            "model": {"id": "m", "name": "M", "maxLength": 12000, "tokenLimit": 4000},
            "messages": [USER, ASSISTANT, USER],
            "key": "",
            "prompt": "Be brief.",
            "temperature": 1,
        },
        [SYSTEM, USER, ASSISTANT, USER],
    ),
    # https://github.com/vercel/ai, packages/ai/src/ui/http-chat-transport.ts
    "the AI SDK's": (
        {
            "id": "1",
            "messages": [
                {"id": "a", "role": "user", "parts": [part("H"), part("i", state="done")]},
                {
                    "id": "b",
                    "role": "assistant",
                    "metadata": {},
                    "parts": [
                        {"type": "step-start"},
                        part("Hm", "reasoning"),
                        part("Ye"),
                        {"type": "data-weather", "data": {"text": "sun"}},
                        {"type": "source-url", "url": "http://127.0.0.1"},
                        {"type": "tool-clock", "state": "output-available", "output": "12"},
                        part("s?"),
                    ],
                },
                {"id": "c", "role": "user", "parts": [part("Hi")]},
            ],
            "trigger": "submit-message",
            "messageId": None,
        },
        [USER, ASSISTANT, USER],
    ),
    "the AI SDK's of old, with both": ({"messages": [USER | {"parts": [part("Hi")]}]}, [USER]),
    "the AI SDK's of old, its parts empty": ({"messages": [USER | {"parts": [{"type": "step-start"}]}]}, [USER]),
    "parts that are none": ({"messages": [USER | {"parts": None}]}, [USER]),
    # the same, call-completion-api.ts
    "a completion's": ({"prompt": "Hi"}, [USER]),
    "a completion's beside nothing": ({"prompt": "Hi", "messages": None}, [USER]),
    "a completion's beside no messages": ({"prompt": "Hi", "messages": []}, [USER]),
    "an empty prompt beside messages": ({"prompt": "", "messages": [USER]}, [USER]),
    "OpenAI's parts": (
        {"messages": [{"role": "user", "content": [part("H"), "", part("i", "input_text"), part("", "output_text")]}]},
        [USER],
    ),
    "turns of the assistant in which nothing was said": (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "assistant", "parts": [{"type": "tool-clock"}]},
                {"role": "assistant", "content": ""},
                {"role": "assistant"},
                USER,
            ]
        },
        [USER, USER],
    ),
    "an empty turn of the user's": ({"messages": [{"role": "user", "content": ""}]}, [{"role": "user", "content": ""}]),
    "a role of its own": (
        {"messages": [{"role": "developer", "content": "x"}]},
        [{"role": "developer", "content": "x"}],
    ),
    "halves of characters": (
        {"messages": [{"role": "user", "content": "a\ud83d\udc4b\ud83d"}]},
        [{"role": "user", "content": "a👋\ufffd"}],
    ),
    "halves of characters in a part": (
        {"messages": [{"role": "user", "content": [part("\ud83d"), part("\udc4b")]}]},
        [{"role": "user", "content": "\ufffd\ufffd"}],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_messages_of_every_known_client_are_read(name: str) -> None:
    said, messages = MESSAGES[name]

    assert read(said).messages == tuple(messages)


def test_everything_but_a_question_may_be_missing_or_null() -> None:
    nothing = Question((USER,), "", None, Secret(""), ())
    names = ("key", "model", "temperature", "password", "pass", "prompt")

    assert read({"messages": [USER]}) == nothing
    assert read({"messages": [USER]} | dict.fromkeys(names)) == nothing
    assert read({"messages": [USER], "stream": True, "max_tokens": 5, "model": "", "password": ""}) == nothing


def test_what_this_packages_own_clients_send_is_read() -> None:
    values = {"key": "k", "model": "m", "messages": [SYSTEM, USER], "temperature": 0.5, "password": "p"}
    questions = {name: read(make(values)) for name, make in FORMATS.items() if name != "prompt"}

    assert questions.pop("acytoo") == Question((SYSTEM, USER), "m", 0.5, Secret("k"), (Secret("p"), Secret("k")))
    assert all(question.messages == (SYSTEM, USER) for question in questions.values())
    assert read(FORMATS["prompt"](values | {"messages": [USER]})).messages == (USER,)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_body_may_be_in_any_encoding_of_json(encoding: str) -> None:
    assert read_question('{"prompt": "Привет"}'.encode(encoding)).messages[0]["content"] == "Привет"


@pytest.mark.parametrize(
    ("model", "read_as"),
    [("m", "m"), (None, ""), ({"id": "m"}, "m"), ({"name": "m"}, "m"), ({"id": "", "name": "m"}, "m"), ({}, "")],
)
def test_a_model_is_a_name_or_an_object_that_has_one(model: object, read_as: str) -> None:
    assert read({"messages": [USER], "model": model}).model == read_as


@pytest.mark.parametrize("temperature", [0, 0.5, 1, -1, 10**400])
def test_a_temperature_is_any_number(temperature: float) -> None:
    assert read({"messages": [USER], "temperature": temperature}).temperature == temperature


@pytest.mark.parametrize("temperature", ["true", '"0.5"', "NaN", "Infinity", "-Infinity", "1e999", "[]"])
def test_a_temperature_that_is_no_number_is_refused(temperature: str) -> None:
    assert refusal(b'{"prompt": "Hi", "temperature": %s}' % temperature.encode()) == "temperature must be a number"


NO_QUESTION = "there is no question: messages must be a list that is not empty, or prompt a text"
PLACE = "messages[0].content"
NO_CONTENT = f"{PLACE} must be a text, or a list of parts that are"
NO_TEXT = "is not a part of type text, and this server passes on text alone"
NO_PART = "messages[0].parts[0] must be an object with a type"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"messages=Hi", "the body is not JSON"),
        (b'{"prompt": "\xff"}', "the body is not JSON"),
        (b"[" * 500_000, "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b'"Hi"', "the body is not a JSON object"),
        (b"null", "the body is not a JSON object"),
        (b"{}", NO_QUESTION),
        (b'{"messages": [], "prompt": ""}', NO_QUESTION),
        (b'{"messages": [{"role": "assistant"}]}', NO_QUESTION),
        (b'{"prompt": ["Hi"]}', "prompt must be a text"),
        (b'{"messages": "Hi"}', "messages must be a list"),
        (b'{"messages": {}}', "messages must be a list"),
        (b'{"messages": ["Hi"]}', "messages[0] must be an object"),
        (b'{"messages": [{"role": "user", "content": "Hi"}, {"content": "Hi"}]}', "messages[1].role must be a text"),
        (b'{"messages": [{"role": "", "content": "Hi"}]}', "messages[0].role must be a text"),
        (b'{"messages": [{"role": 1, "content": "Hi"}]}', "messages[0].role must be a text"),
        (b'{"messages": [{"role": "user"}]}', NO_CONTENT),
        (b'{"messages": [{"role": "user", "content": 1}]}', NO_CONTENT),
        (b'{"messages": [{"role": "assistant", "content": {"a": 1}}]}', NO_CONTENT),
        (
            b'{"messages": [{"role": "user", "content": ["a", {"type": "image_url"}]}]}',
            f"messages[0].content[1] {NO_TEXT}",
        ),
        (b'{"messages": [{"role": "user", "content": [1]}]}', f"messages[0].content[0] {NO_TEXT}"),
        (b'{"messages": [{"role": "user", "content": [{"type": "text"}]}]}', f"{PLACE}[0].text must be a text"),
        (b'{"messages": [{"role": "user", "parts": ["Hi"]}]}', NO_PART),
        (b'{"messages": [{"role": "user", "parts": [{"text": "Hi"}]}]}', NO_PART),
        (b'{"messages": [{"role": "user", "parts": [{"type": "text"}]}]}', "messages[0].parts[0].text must be a text"),
        (
            b'{"messages": [{"role": "user", "parts": [{"type": "text", "text": "a"}, {"type": "file"}]}]}',
            "messages[0].parts[1] is a file, and this server passes on text alone",
        ),
        (b'{"messages": [{"role": "user", "parts": [{"type": "step-start"}]}]}', NO_CONTENT),
        (b'{"prompt": "Hi", "model": 1}', "model must be a text"),
        (b'{"prompt": "Hi", "model": {"id": 1}}', "model must be a text"),
        (b'{"prompt": "Hi", "key": 1}', "key must be a text"),
        (b'{"prompt": "Hi", "password": {}}', "password must be a text"),
        (b'{"prompt": "Hi", "pass": []}', "pass must be a text"),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_with_the_place(body: bytes, message: str) -> None:
    assert refusal(body) == message


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=3),
        lambda inside: (
            st.lists(inside, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "role", "content", "parts", "type", "text", "prompt", "model", "key", "id"]
                ),
                inside,
            )
        ),
    ),
    st.text(max_size=9),
)
def test_any_json_is_a_question_of_texts_or_a_bad_request(said: object, authorization: str) -> None:
    for each in (said, {"messages": said}, {"messages": [said]}, {"messages": [USER, {"role": "user", "parts": said}]}):
        with suppress(Failure):
            question = read(each, authorization)
            assert question.messages
            for message in question.messages:
                assert set(message) == {"role", "content"}
                message["content"].encode()
            question.model.encode()


# Secrets


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        ("Bearer t", "t"),
        ("  bearer   t  ", "t"),
        ("BEARER t u", "t u"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Basic t", ""),
        ("t", ""),
        ("", ""),
        ("Bearer\tt", ""),
    ],
)
def test_a_bearers_token_is_a_key_or_a_password(authorization: str, token: str) -> None:
    question = read({"messages": [USER]}, authorization)

    assert question.key == Secret(token)
    assert question.passwords == ((Secret(token),) if token else ())


def test_a_key_in_the_body_is_the_key_and_all_are_passwords() -> None:
    question = read({"messages": [USER], "key": "a", "password": "b", "pass": "c"}, "Bearer d")

    assert question.key == Secret("a")
    assert question.passwords == (Secret("b"), Secret("a"), Secret("c"), Secret("d"))


def test_a_question_and_the_settings_show_no_secret() -> None:
    question = read({"messages": [USER], "key": "sesame-1", "password": "sesame-2"}, "Bearer sesame-3")
    settings = Settings(upstream_key=Secret("sesame-4"), password=Secret("sesame-5"))

    assert "sesame" not in f"{question!r} {question} {settings!r} {settings}"


# What goes out


def test_questions_are_posted_where_the_known_clients_post_them() -> None:
    assert set(CHAT_PATHS) == {
        *("/api/completions", "/api", "/api/ai", "/api/chat", "/api/completion", "/api/generate"),
    }


def test_a_reply_is_text_that_nobody_keeps_holds_back_or_takes_for_a_page() -> None:
    assert TEXT_HEADERS == {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-accel-buffering": "no",
    }


def test_the_page_says_what_this_is_and_how_to_ask_it() -> None:
    page = index_page("http://127.0.0.1:8000")

    assert curl_line("http://127.0.0.1:8000") in page
    assert 'Client("http://127.0.0.1:8000")' in page
    assert all(path in page for path in (*CHAT_PATHS, "/healthz"))


def test_the_question_of_the_curl_line_is_one() -> None:
    assert read_question(curl_line("http://x").split("'")[1].encode()).messages == (USER,)


def test_a_header_that_comes_twice_is_no_single_value() -> None:
    fields = [("Host", "127.0.0.1"), ("X", "1"), ("HOST", "evil.example"), ("host", "x")]

    assert header_table(fields) == {"host": "127.0.0.1, evil.example, x", "x": "1"}


def test_a_failure_is_an_error_object_in_ascii() -> None:
    failure = upstream_failure("нет\ud83d", "no", status=503)

    assert (failure.status, failure.how, failure.type, failure.headers) == (503, "no", "upstream_error", {})
    assert json.loads(failure.body) == {"error": {"message": "нет\ud83d", "type": "upstream_error"}}
    assert failure.body.isascii()
    assert upstream_failure("x", "y").status == 502
    assert Failure(400, "x", "y").type == "invalid_request_error"
