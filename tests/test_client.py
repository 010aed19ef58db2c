"""`Client` keeps its promises: payloads by mocks, all about connections on real sockets."""

from __future__ import annotations

import copy
import json
import os
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses
from lifetimes import no_collector
from responses.matchers import header_matcher, json_params_matcher

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    Client,
    ClientClosedError,
    InvalidRequestError,
    Message,
    RateLimitError,
    RetryPolicy,
    ServerError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault, Gate

URL = "http://chat.example/api/completions"
BASE = "http://chat.example"
AT_ONCE = RetryPolicy(wait_initial=0)
PIECES = ["Пр", "иве", "т", "!"]
USER: Message = {"role": "user", "content": "Hi"}


# What is sent, and what becomes of whole replies


@responses.activate
def test_complete_sends_the_wire_s_five_keys() -> None:
    body = {"key": "", "model": "gpt-3.5-turbo", "messages": [USER], "temperature": 0.5, "password": ""}
    sent = {"accept": "*/*", "content-type": "application/json", "accept-encoding": "identity"}
    responses.post(URL, "Hello", match=[json_params_matcher(body), header_matcher(sent)])
    assert Client(BASE).complete("Hi") == "Hello"
    assert list(json.loads(responses.calls[0].request.body or "")) == list(body)


@responses.activate
def test_arguments_reach_the_wire_and_those_of_the_call_win() -> None:
    body = {"key": "k", "model": "call", "messages": [USER], "temperature": 2, "password": "p"}
    responses.post(
        "http://chat.example/v2/chat", "Hello", match=[json_params_matcher(body), header_matcher({"x-team": "blue"})]
    )
    client = Client(BASE, key="k", password="p", model="client", path="/v2/chat", headers={"x-team": "blue"})
    assert client.complete([USER], model="call", temperature=2) == "Hello"


@pytest.mark.parametrize(
    ("arguments", "variables", "used"),
    [
        ({"key": "a", "password": "a", "model": "a"}, "b", "a"),
        ({}, "b", "b"),
    ],
)
@responses.activate
def test_an_argument_beats_its_variable(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], variables: str, used: str
) -> None:
    for name in ("KEY", "PASSWORD", "MODEL"):
        monkeypatch.setenv(f"ACYTOO_{name}", variables)
    monkeypatch.setenv("ACYTOO_BASE_URL", BASE)
    responses.post(URL, "Hello")
    assert Client(**arguments).complete("Hi") == "Hello"  # type: ignore[arg-type]
    sent = json.loads(responses.calls[0].request.body or "")
    assert (sent["key"], sent["password"], sent["model"]) == (used, used, used)


def test_an_explicit_base_url_beats_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACYTOO_BASE_URL", "http://environment.example")
    assert "environment.example" in repr(Client())
    assert "argument.example" in repr(Client("http://argument.example"))


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACYTOO_BASE_URL", "")
    monkeypatch.setenv("ACYTOO_MODEL", "")
    assert repr(Client()) == "Client(base_url='https://chat.acytoo.com', model='gpt-3.5-turbo')"


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [(401, AuthenticationError, 1), (429, RateLimitError, 3), (503, ServerError, 3), (501, ServerError, 1)],
)
@responses.activate
def test_an_error_status_is_its_error(status: int, kind: type[AcytooError], attempts: int) -> None:
    responses.post(URL, json={"error": {"message": "no luck"}}, status=status, headers={"x-request-id": "r1"})
    with pytest.raises(kind, match="no luck") as caught:
        Client(BASE, retry=AT_ONCE).complete("Hi")
    assert len(responses.calls) == attempts
    assert caught.value.request_id == "r1"


@responses.activate
def test_the_second_attempt_may_succeed() -> None:
    responses.post(URL, status=503)
    responses.post(URL, body=requests.ConnectionError("refused"))
    responses.post(URL, "Hello")
    stream = Client(BASE, retry=AT_ONCE).stream("Hi")
    assert stream.read() == "Hello"
    assert stream.stats.attempts == 3


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (requests.ConnectionError("refused"), APIConnectionError),
        (requests.exceptions.SSLError("bad certificate"), APIConnectionError),
        (requests.exceptions.ChunkedEncodingError("cut"), APIConnectionError),
        (requests.ConnectTimeout("slow"), APITimeoutError),
        (requests.ReadTimeout("slow"), APITimeoutError),
        (ConnectionResetError("reset"), APIConnectionError),
    ],
)
@responses.activate
def test_what_requests_raises_becomes_ours(raised: Exception, kind: type[AcytooError]) -> None:
    responses.post(URL, body=raised)
    with pytest.raises(APIConnectionError) as caught:
        Client(BASE, retry=1).complete("Hi")
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised


@responses.activate
def test_a_mocked_reply_cannot_tell_whether_it_is_whole() -> None:
    responses.post(URL, "Hello")
    stream = Client(BASE).stream("Hi")
    assert stream.read() == "Hello"
    assert stream.whole is None


# A client: its connections, its copies, its end


def test_connections_are_kept_for_the_next_call() -> None:
    faults = [None, Fault.status(401), None, Fault.empty()]
    with FakeServer(PIECES, faults=faults) as server, Client(server.url, retry=AT_ONCE) as client:
        client.complete("Hi")
        with pytest.raises(AuthenticationError):
            client.complete("Hi")
        client.complete("Hi")
        client.complete("Hi")
        assert len(server.requests) == 5
        assert server.connections == 1


def test_a_half_read_connection_is_not_used_again() -> None:
    with FakeServer(PIECES, pause=0) as server, Client(server.url) as client:
        for _ in range(3):
            for _ in client.stream("Hi"):
                break
            assert client.complete("Hi") == "Привет!"


def test_with_options_shares_the_connections() -> None:
    with FakeServer() as server, Client(server.url, key="k", model="a", headers={"x-team": "blue"}) as client:
        other = client.with_options(model="b", temperature=1, timeout=5, retry=1)
        client.complete("Hi")
        other.complete("Hi")
        assert server.connections == 1
        assert [request.json["model"] for request in server.requests if request.json] == ["a", "b"]
        assert {request.headers["x-team"] for request in server.requests} == {"blue"}
        assert {request.json["key"] for request in server.requests if request.json} == {"k"}
        assert client.with_options(key="").with_options().complete("Hi")
        assert server.requests[2].json is not None
        assert server.requests[2].json["key"] == ""


@pytest.mark.parametrize("changes", [{"verify": False}, {"proxy": "http://proxy.example"}, {"colour": "red"}])
def test_with_options_refuses_what_belongs_to_the_connections(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(changes))):
        Client(BASE).with_options(**changes)


def test_with_options_checks_like_the_constructor() -> None:
    with pytest.raises(InvalidRequestError, match="temperature"):
        Client(BASE).with_options(temperature=3)


def test_a_closed_client_says_so_at_every_call() -> None:
    with FakeServer() as server:
        client = Client(server.url)
        made_before = client.stream("Hi")
        client.close()
        client.close()
        for call in (lambda: client.stream("Hi"), lambda: client.complete("Hi"), lambda: next(made_before)):
            with pytest.raises(ClientClosedError):
                call()
        assert list(made_before) == []
        assert server.connections == 0


@pytest.mark.parametrize("closed", [0, 1])
def test_closing_one_of_those_that_share_closes_all(closed: int) -> None:
    with FakeServer() as server, Client(server.url) as client:
        both = client, client.with_options(model="b")
        both[0].complete("Hi")
        both[closed].close()
        server.wait_until(lambda: server.open_connections == 0)
        for one in both:
            with pytest.raises(RuntimeError, match="closed"):
                one.complete("Hi")


def test_leaving_with_closes_idle_connections_at_once() -> None:
    with FakeServer() as server, no_collector():
        with Client(server.url) as client:
            stream = client.stream("Hi")  # it still lives below
            stream.read()
            assert server.open_connections == 1
        server.wait_until(lambda: server.open_connections == 0)


def test_a_stream_that_ended_is_unaffected_by_the_client_s_end() -> None:
    with FakeServer(PIECES) as server:
        client = Client(server.url)
        stream = client.stream("Hi")
        stream.read()
        client.close()
        assert list(stream) == []
        assert stream.text == "Привет!"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_client_pickles_as_its_configuration(protocol: int) -> None:
    with FakeServer() as server, Client(server.url, key="k", headers={"x-team": "blue"}, retry=7) as client:
        client.complete("Hi")
        with pickle.loads(pickle.dumps(client, protocol)) as clone, copy.copy(client) as copied:
            assert repr(clone) == repr(copied) == repr(client)
            clone.complete("Hi")
            copied.complete("Hi")
        assert server.connections == 3, "connections of its own"
        client.complete("Hi")
        assert server.connections == 3
        assert len({request.body for request in server.requests}) == 1
        assert {request.headers["x-team"] for request in server.requests} == {"blue"}


def test_ten_threads_at_once_mix_nothing_up() -> None:
    def reply(chat: dict[str, Any]) -> list[str]:
        return list(chat["messages"][0]["content"] * 50)

    texts: dict[int, str] = {}
    barrier = threading.Barrier(10)
    with FakeServer(reply, pause=0) as server, Client(server.url) as client:

        def run(number: int) -> None:
            barrier.wait(10)
            texts[number] = "".join(client.complete(f"{number}-{turn} ") for turn in range(5))

        in_threads([lambda number=number: run(number) for number in range(10)])  # type: ignore[misc]
        assert server.connections <= 10
    assert texts == {number: "".join(f"{number}-{turn} " * 50 for turn in range(5)) for number in range(10)}


def in_threads(targets: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own_and_leaves_the_parent_s_alone() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        gate.release()
        assert next(stream) == "Пр"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                gate_of_parent = client.stream("child")
                client.close()  # does not shut the parent's stream down
                code = 0 if not gate_of_parent.text else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        gate.open()
        assert stream.read() == "Привет!"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_does_not_use_the_parent_s_idle_connection() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        client.complete("parent")
        child = os.fork()
        if child == 0:
            try:
                client.complete("child")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        client.complete("parent")
        assert [request.json["messages"][0]["content"] for request in server.requests if request.json] == [
            "parent",
            "child",
            "parent",
        ]
        assert server.connections == 2


def test_a_local_server_needs_no_name_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """`total` cannot interrupt the resolver, so nothing but the connection itself may ask it."""
    asked: list[object] = []
    getaddrinfo = socket.getaddrinfo

    def spy(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return getaddrinfo(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    with FakeServer() as server, Client(server.url, timeout=Timeout(connect=1)) as client:
        client.complete("Hi")
        client.complete("Hi")
    assert asked == ["127.0.0.1"]
