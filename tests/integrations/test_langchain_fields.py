"""The fields of `ChatAcytoo`: checked, copied, written down, and never shown where they are secrets."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, dumps, load
from langchain_models import KEY, PASSWORD, TOKEN, asked, chat
from pydantic import SecretStr, ValidationError
from raised_frames import frames

from acytoo_sdk import (
    AuthenticationError,
    InvalidRequestError,
    RetryPolicy,
    Timeout,
)
from acytoo_sdk._options import OPTIONS
from acytoo_sdk.integrations.langchain import ChatAcytoo
from acytoo_sdk.testing import FakeServer

PROXY_PASSWORD = "password-of-a-proxy"
SECRETS = (KEY, PASSWORD, TOKEN, PROXY_PASSWORD)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(pause=0) as server:
        yield server


# Copies


def test_a_copy_with_changes_asks_what_it_says(server: FakeServer) -> None:
    model = chat(server, api_key=KEY, model="tiny")
    with FakeServer("from elsewhere") as elsewhere:
        assert model.model_copy(update={"base_url": elsewhere.url}).invoke("Hi").content == "from elsewhere"
    copied = model.model_copy(update={"temperature": 2, "model": "other", "headers": {"x-token": TOKEN}, "stop": "("})
    assert copied.invoke("Hi").content == "You said: Hi "
    assert (asked(server)["temperature"], asked(server)["model"]) == (2, "other")
    assert server.requests[-1].headers["x-token"] == TOKEN

    model.invoke("Hi")
    assert (asked(server)["temperature"], asked(server)["model"], asked(server)["key"]) == (0.5, "tiny", KEY)
    model.temperature = 1
    model.invoke("Hi")
    assert asked(server)["temperature"] == 1


def test_a_copy_with_changes_is_the_model_that_was_made_so(server: FakeServer) -> None:
    copied = chat(server, model="tiny").model_copy(update={"model": "other"})
    assert copied == chat(server, model="other") != chat(server, model="tiny")


def test_a_copy_through_another_proxy_has_connections_of_its_own(server: FakeServer) -> None:
    with FakeServer("from the proxy") as proxy:
        model = chat(server)
        copied = model.model_copy(update={"proxy": proxy.url})
        assert copied.invoke("Hi").content == "from the proxy"
        assert model.invoke("Hi").content != "from the proxy"


def test_a_change_that_is_not_usable_is_refused_at_the_next_call(server: FakeServer) -> None:
    model = chat(server).model_copy(update={"temperature": 3})
    with pytest.raises(InvalidRequestError, match="temperature must be 0 to 2, not int 3"):
        model.invoke("Hi")
    assert server.requests == []


def test_a_copy_takes_the_names_that_the_constructor_takes_and_no_others(server: FakeServer) -> None:
    copied = chat(server).model_copy(update={"key": KEY, "model_name": "other"})
    copied.invoke("Hi")
    assert (asked(server)["key"], asked(server)["model"]) == (KEY, "other")

    with pytest.raises(InvalidRequestError, match="ChatAcytoo has no option 'passwrd'") as raised:
        chat(server).model_copy(update={"passwrd": PASSWORD})
    left = [frame for _, frame in frames(raised.value, but=__file__)]
    assert not [frame for frame in left if PASSWORD in repr(frame.f_locals)]


def test_a_copy_without_a_server_is_refused_at_the_next_call(server: FakeServer) -> None:
    copied = chat(server).model_copy(update={"base_url": None})
    for _ in range(2):  # nothing of the first call is kept
        with pytest.raises(InvalidRequestError, match="no server: pass base_url=, or set ACYTOO_BASE_URL"):
            copied._current_clients()


def test_a_cached_reply_is_not_that_of_a_copy(server: FakeServer) -> None:
    model = chat(server, model="tiny", cache=InMemoryCache())
    copied = model.model_copy(update={"model": "other"})
    for _ in range(2):
        assert model.invoke("Hi").content == "You said: Hi (model tiny, 1 message)"
        copied = model.model_copy(update={"model": "other"})
        assert copied.invoke("Hi").content == "You said: Hi (model other, 1 message)"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("api_key", KEY, "another"),
        ("password", PASSWORD, "another"),
        ("headers", {"x-token": TOKEN}, {"x-token": "another"}),
        ("proxy", f"http://user:{PROXY_PASSWORD}@127.0.0.1:9", "http://user:another@127.0.0.1:9"),
        ("payload", lambda values: {"prompt": values["messages"]}, lambda values: {"text": values["messages"]}),
        ("path", "/ask", "/tell"),
        ("stop", ["("], ["["]),
    ],
)
def test_models_that_may_be_answered_differently_do_not_share_cached_replies(
    name: str, value: Any, other: Any, server: FakeServer
) -> None:
    model = chat(server)
    keys = [model.model_copy(update={name: each})._get_llm_string() for each in (value, other, value)]
    assert len({*keys, model._get_llm_string()}) == 3
    assert keys[0] == keys[2]
    assert not [secret for secret in SECRETS if secret in keys[0]]


def test_what_cannot_change_a_reply_does_not_keep_it_from_being_shared(server: FakeServer) -> None:
    model = chat(server, model="tiny")
    same = chat(server, model="tiny", timeout=7, max_retries=0, tags=["t"])
    assert same._get_llm_string(retry=1, temperature=1) == model._get_llm_string(timeout=3, temperature=1)


def test_a_cache_on_disk_serves_another_process_where_there_is_no_secret(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = chat(server), chat(server, api_key=KEY)
    plain, secret = [model._get_llm_string() for model in models]
    monkeypatch.setattr("acytoo_sdk.integrations.langchain.clients._KEY", b"of another process")
    assert models[0]._get_llm_string() == plain
    assert models[1]._get_llm_string() != secret


def test_a_model_pickles_with_what_the_environment_said(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACYTOO_BASE_URL", server.url)
    monkeypatch.setenv("ACYTOO_KEY", KEY)
    model = ChatAcytoo(model="tiny", timeout=Timeout(idle=7))
    model.invoke("Hi")
    data = pickle.dumps(model)
    monkeypatch.delenv("ACYTOO_BASE_URL")
    monkeypatch.delenv("ACYTOO_KEY")

    read: ChatAcytoo = pickle.loads(data)
    assert read == model == model.model_copy() == model.model_copy(deep=True)
    assert read.invoke("Hi").content == "You said: Hi (model tiny, 1 message)"
    assert asked(server)["key"] == KEY
    assert server.connections == 2


# Options


def test_every_option_of_a_client_is_a_field_with_the_same_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new option of `Client` is a line here, too."""
    names = {"key": "api_key"}
    fields = ChatAcytoo.model_fields
    assert {names.get(name, name) for name in OPTIONS} <= set(fields)

    from acytoo_sdk import Client

    monkeypatch.setenv("ACYTOO_BASE_URL", "http://127.0.0.1:1")
    assert ChatAcytoo()._current_clients().blocking.options == Client().options
    assert ChatAcytoo()._current_clients().asynchronous.options == Client().options


def test_options_reach_the_client(server: FakeServer) -> None:
    model = chat(
        server,
        path="/ask",
        payload="prompt",
        headers={"X-Token": TOKEN},
        max_reply_bytes=10_000,
        strip_notices=False,
        timeout={"idle": 3},
    )
    model.invoke("Hi")
    assert (server.requests[0].path, server.requests[0].json) == ("/ask", {"prompt": "Hi"})
    assert server.requests[0].headers["x-token"] == TOKEN
    options = model._current_clients().blocking.options
    assert (options.max_reply_bytes, options.strip_notices, options.timeout) == (10_000, False, Timeout(idle=3))


def test_arguments_beat_the_environment_and_the_fields_say_what_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ChatAcytoo(base_url="http://127.0.0.1:1")
    assert (model.model, model.temperature, model.api_key) == ("gpt-3.5-turbo", 0.5, None)
    for name, value in (("BASE_URL", "http://127.0.0.1:1/"), ("KEY", KEY), ("PASSWORD", PASSWORD), ("MODEL", "tiny")):
        monkeypatch.setenv(f"ACYTOO_{name}", value)
    model = ChatAcytoo()
    assert (model.base_url, model.model, model.api_key) == ("http://127.0.0.1:1", "tiny", SecretStr(KEY))
    assert model.password == SecretStr(PASSWORD)

    model = ChatAcytoo(base_url="http://127.0.0.1:2", model="other", api_key=SecretStr(""))
    assert (model.base_url, model.model, model.api_key) == ("http://127.0.0.1:2", "other", SecretStr(""))
    asked_with = model._current_clients().blocking.options
    assert (asked_with.base_url, asked_with.model, asked_with.key.reveal()) == ("http://127.0.0.1:2", "other", "")


def test_names_that_users_may_know_stand_for_the_same_fields() -> None:
    fields: dict[str, Any] = {"base_url": "http://127.0.0.1:1", "key": KEY, "model_name": "tiny"}
    model = ChatAcytoo(**fields)
    assert (model.api_key, model.model) == (SecretStr(KEY), "tiny")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"base_url": "example.com"}, "base_url must be a str that begins with http:// or https://"),
        ({"base_url": None, "password": None}, "no server: pass base_url=, or set ACYTOO_BASE_URL"),
        ({"base_url": None, "api_key": KEY}, "and no base_url: pass base_url="),
        ({"temperature": 3}, "temperature must be 0 to 2"),
        ({"temperature": "warm"}, "temperature\n"),
        ({"temperature": True}, "temperature\n  must be a number, not bool"),
        ({"timeout": True}, "timeout\n  must be a number, not bool"),
        ({"max_retries": True}, "max_retries\n  must be a number, not bool"),
        ({"retry": True}, "retry\n  must be a number, not bool"),
        ({"timeout": -1}, "timeout must be more than 0"),
        ({"timeout": {"idle": -1}}, "timeout.idle must be more than 0"),
        ({"max_retries": -1}, "max_retries must be 0 or more, not int -1"),
        ({"retry": 0}, "retry must be 1 or more"),
        ({"model": ""}, "model is an empty str"),
        ({"stop": ["a", ""]}, r"stop\[1\] is an empty str"),
        ({"headers": {"host": TOKEN}}, r"headers\['host'\] cannot be set"),
        ({"payload": "openai"}, "payload"),
        ({"temprature": 1}, "temprature"),
        ({"tools": []}, "tools"),
    ],
)
def test_a_bad_argument_is_named_at_construction_and_no_secret_is_shown(fields: dict[str, Any], sentence: str) -> None:
    given = {"base_url": "http://127.0.0.1:1", "password": PASSWORD, **fields}
    with pytest.raises(ValidationError, match=sentence) as raised:
        ChatAcytoo(**given)
    error = raised.value
    told = f"{error} {error!r} {error.errors()} {error.json()} {error.__context__!r} {error.__cause__!r}"
    assert not [secret for secret in SECRETS if secret in told]


# Secrets


def test_a_secret_under_a_wrong_name_or_of_a_wrong_type_is_not_quoted() -> None:
    wrong: list[dict[str, Any]] = [{"apikey": KEY}, {"api_key": [KEY]}, {"headers": f"authorization: {TOKEN}"}]
    for fields in wrong:
        with pytest.raises(ValidationError, match=next(iter(fields))) as raised:
            ChatAcytoo(base_url="http://127.0.0.1:1", **fields)
        told = f"{raised.value} {raised.value!r} {raised.value.errors()} {raised.value.json()}"
        assert not [secret for secret in SECRETS if secret in told]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"temperature": 9}, ValidationError),
        ({"bogus": 1}, ValidationError),
        ({"passwrd": PASSWORD}, ValidationError),
        ({"proxy": f"zzz://{PROXY_PASSWORD}"}, ValidationError),
        ({"payload": [KEY]}, ValidationError),
        ({"max_tokens": 5}, KeyboardInterrupt),  # while the warning is logged
    ],
)
def test_no_frame_that_a_refused_construction_left_holds_a_secret(
    wrong: dict[str, Any], kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acytoo_sdk.integrations.langchain._log.warning", Mock(side_effect=KeyboardInterrupt))
    secrets: dict[str, Any] = {"api_key": KEY, "password": PASSWORD, "headers": {"x-token": TOKEN}}
    with pytest.raises(kind) as raised:
        ChatAcytoo(base_url="http://127.0.0.1:1", **{**secrets, **wrong})
    left = [frame for _, frame in frames(raised.value, but=__file__)]
    assert left
    assert not [frame for frame in left if any(secret in repr(frame.f_locals) for secret in SECRETS)]


def test_editors_are_shown_the_fields_as_arguments() -> None:
    assert {"base_url", "api_key", "timeout", "on_event"} <= set(inspect.signature(ChatAcytoo).parameters)


def shown(model: ChatAcytoo) -> list[str]:
    """The secrets in what is told of a model."""
    told = f"{model!r} {model} {dumps(model)} {model.asdict()} {model._serialized} {model.model_dump()} {vars(model)}"
    return [secret for secret in SECRETS if secret in told]


def test_nothing_that_is_told_of_a_model_holds_a_secret(server: FakeServer) -> None:
    secrets: dict[str, Any] = {
        "api_key": KEY,
        "password": PASSWORD,
        "headers": {"authorization": f"Bearer {TOKEN}"},
        "proxy": f"http://user:{PROXY_PASSWORD}@127.0.0.1:9",
    }
    model = chat(server, **secrets)
    assert shown(model) == []
    assert "api_key=SecretStr('**********')" in repr(model)
    model._current_clients()
    assert shown(model) == []

    copied = chat(server).model_copy(update=secrets)  # LangChain and pydantic check nothing there
    told = f"{copied!r} {copied} {dumps(copied)} {copied.asdict()} {copied._serialized}"
    assert not [secret for secret in SECRETS if secret in told]

    copied = chat(server).model_copy(update={"base_url": f"http://user:{PASSWORD}@127.0.0.1:9/v1"})
    assert "'http://127.0.0.1:9/v1'" in repr(copied)
    assert PASSWORD not in f"{copied!r} {copied} {dumps(copied)} {copied._serialized}"


def test_no_frame_of_the_package_that_an_error_left_holds_a_secret(server: FakeServer) -> None:
    server.status = 401
    secrets: dict[str, Any] = {"api_key": SecretStr(KEY), "headers": {"x-token": SecretStr(TOKEN)}}
    model = chat(server).model_copy(update=secrets)
    for asks, kind in ((model, AuthenticationError), (model.model_copy(update={"temperature": 3}), ValueError)):
        with pytest.raises(kind) as raised:
            asks.invoke("Hi")
        package = [frame for _, frame in frames(raised.value, but=__file__) if "acytoo_sdk" in frame.f_code.co_filename]
        assert package
        assert not [frame for frame in package if any(secret in repr(frame.f_locals) for secret in SECRETS)]


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_model_is_written_down_without_secrets_and_read_back(server: FakeServer) -> None:
    limits = {"timeout": Timeout(idle=7), "retry": RetryPolicy(attempts=5)}
    model = chat(server, api_key=KEY, model="tiny", stop=["("], headers={"x-token": TOKEN}, **limits)
    written = dumpd(model)
    assert written["kwargs"]["api_key"] == {"lc": 1, "type": "secret", "id": ["ACYTOO_KEY"]}

    secrets: dict[str, Any] = {"ACYTOO_KEY": KEY, "ACYTOO_HEADERS": {"x-token": TOKEN}}
    options: dict[str, Any] = {"allowed_objects": [ChatAcytoo], "valid_namespaces": ["acytoo_sdk"]}
    read: Any = load(written, secrets_map=secrets, **options)
    assert read == model


# Without LangChain


def test_without_langchain_a_sentence_says_what_to_install() -> None:
    code = """
import sys
sys.modules["langchain_core"] = None
try:
    import acytoo_sdk.integrations.langchain
except ModuleNotFoundError as error:
    print(error, error.__cause__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "ChatAcytoo needs LangChain: pip install 'acytoo-sdk[langchain]' None\n"
