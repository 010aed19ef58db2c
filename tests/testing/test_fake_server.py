"""The local server replies as it was told to: seen through a client that is not ours."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bare_client import CHAT, ECHO, FRAMINGS, answer, ask, chunks, connected, dial, raw, read_all, request

from acytoo_sdk.testing import FakeServer, Framing, Gate, ReceivedRequest

pytestmark = pytest.mark.usefixtures("nothing_stays_for_a_moment")


# Replies


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_default_reply_tells_what_was_said(framing: Framing) -> None:
    with FakeServer(framing=framing, pause=0) as server:
        response, text = answer(server)
    assert (response.status, text) == (200, ECHO)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-request-id"] == "req-1"


def test_the_default_reply_keeps_every_character_and_counts_messages() -> None:
    said = {"role": "user", "content": "  two\n\n  lines\t"}
    with FakeServer(pause=0) as server:
        _, text = answer(server, {"model": "m", "messages": [{"role": "system", "content": "Hush"}, said]})
    assert text == "You said:   two\n\n  lines\t (model m, 2 messages)"


def test_the_default_reply_comes_in_words() -> None:
    with FakeServer(pause=0) as server:
        words = chunks(raw(server)[1])
    assert words[:3] == [b"You ", b"said: ", "Привет, ".encode()]


@pytest.mark.parametrize(
    "said", [{}, {"messages": ["x", {"role": "user"}]}, {"messages": [{"role": "user", "content": "\ud800"}]}]
)
def test_the_default_reply_survives_odd_messages(said: Any) -> None:
    with FakeServer(pause=0) as server:
        _, text = answer(server, {"messages": [], **said})
    assert text.startswith("You said: ")


def test_the_framing_is_the_one_asked_for() -> None:
    with FakeServer(["при", "вет"], pause=0) as server:
        assert chunks(raw(server)[1]) == ["при".encode(), "вет".encode()]
        server.framing = "one-chunk"
        assert chunks(raw(server)[1]) == ["привет".encode()]
        server.framing = "length"
        head, body = raw(server)
        assert b"content-length: 12" in head
        assert body == "привет".encode()
        server.framing = "close"
        head, body = raw(server)
        assert b"connection: close" in head
        assert b"content-length" not in head
        assert b"transfer-encoding" not in head
        assert body == "привет".encode()


def test_a_text_is_one_piece_and_empty_pieces_are_none() -> None:
    with FakeServer("one text", pause=0) as server:
        assert chunks(raw(server)[1]) == [b"one text"]
        server.reply = b"\xff\xfe"
        assert chunks(raw(server)[1]) == [b"\xff\xfe"]
        server.reply = ["a", "", b"", b"b"]
        assert chunks(raw(server)[1]) == [b"a", b"b"]
        for server.framing in FRAMINGS:
            server.reply = ""
            assert answer(server)[1] == ""


def test_an_iterator_serves_every_request() -> None:
    with FakeServer(iter(["a", "b"]), pause=0) as server:
        assert [answer(server)[1], answer(server)[1]] == ["ab", "ab"]


def test_a_function_answers_from_the_json() -> None:
    with FakeServer(lambda chat: chat["messages"][0]["content"].upper(), pause=0) as server:
        assert answer(server)[1] == "ПРИВЕТ, КАК ДЕЛА?"
        server.reply = lambda chat: ["a", b"b"]
        assert answer(server)[1] == "ab"


def test_pieces_of_a_generator_go_out_as_they_come() -> None:
    go_on = threading.Event()

    def pieces(chat: dict[str, Any]) -> Iterator[str]:
        yield "first"
        assert go_on.wait(10)
        yield "second"

    with FakeServer(pieces, pause=0) as server, connected(server) as connection, ask(connection) as response:
        assert response.read1() == b"first"
        go_on.set()
        assert response.read() == b"second"


def test_many_pieces_arrive_complete() -> None:
    with FakeServer([b"12345"] * 20_000, pause=0) as server:
        assert answer(server)[1] == "12345" * 20_000


def test_headers_are_added_replaced_and_removed_in_any_case() -> None:
    with FakeServer(headers={"X-New": "1", "X-Request-Id": "mine", "Content-Type": None}, pause=0) as server:
        response, _ = answer(server)
    assert (response.headers["x-new"], response.headers.get_all("x-request-id")) == ("1", ["mine"])
    assert "content-type" not in response.headers


def test_an_error_status_has_a_json_error_unless_a_reply_is_given() -> None:
    with FakeServer(status=429, pause=0) as server:
        response, text = answer(server)
        assert (response.status, response.headers["content-type"]) == (429, "application/json")
        assert json.loads(text) == {"error": {"message": "Too Many Requests"}}
        server.reply, server.status = "slow down", 529
        response, text = answer(server)
        assert (response.status, text) == (529, "slow down")


def test_a_204_has_no_body_and_keeps_the_connection() -> None:
    with FakeServer(status=204) as server, connected(server) as connection:
        for _ in range(2):
            assert ask(connection).read() == b""
        assert server.connections == 1


# Requests and connections


def test_a_request_is_recorded_before_its_reply_begins() -> None:
    gate = Gate()
    with FakeServer(gate=gate) as server, connected(server) as connection:
        connection.request("POST", "/any/path?x=1", json.dumps(CHAT), {"X-Twice": "a", "Authorization": "Bearer k"})
        gate.wait_until_waiting()
        (received,) = server.requests
    assert (received.method, received.path, received.json) == ("POST", "/any/path?x=1", CHAT)
    assert (received.headers["x-twice"], received.headers["authorization"]) == ("a", "Bearer k")
    assert json.loads(received.body) == CHAT


def test_repeated_headers_are_joined() -> None:
    with FakeServer(pause=0) as server, dial(server, request(CHAT, "A: 1", "a:2", "connection: close")) as sock:
        read_all(sock)
    assert server.requests[0].headers["a"] == "1, 2"


def test_a_request_is_answered_by_the_settings_at_its_arrival() -> None:
    gate = Gate()
    with FakeServer(["old", " reply"], gate=gate, pause=0) as server, connected(server) as connection:
        connection.request("POST", "/", json.dumps(CHAT))
        gate.wait_until_waiting()
        server.reply, server.status, server.gate, server.headers = "new", 500, None, {"x-new": "1"}
        gate.open()
        response = connection.getresponse()
        assert (response.status, response.read(), response.headers["x-new"]) == (200, b"old reply", None)
        response = ask(connection)
        assert (response.status, response.read(), response.headers["x-new"]) == (500, b"new", "1")


def test_a_reply_function_sets_only_the_replies_to_come() -> None:
    def reply(chat: dict[str, Any]) -> str:
        server.framing, server.headers = "length", {"x-new": "1"}
        return "Hi"

    with FakeServer(reply) as server:
        assert [answer(server)[0].headers["x-new"] for _ in range(2)] == [None, "1"]


@pytest.mark.parametrize("framing", ["chunked", "one-chunk", "length"])
def test_connections_are_kept_alive_and_requests_counted(framing: Framing) -> None:
    with FakeServer(framing=framing, pause=0) as server, connected(server) as connection:
        for number in (1, 2, 3):
            response = ask(connection)
            assert response.read().decode() == ECHO
            assert response.headers["x-request-id"] == f"req-{number}"
        assert (server.connections, server.open_connections, len(server.requests)) == (1, 1, 3)


@pytest.mark.parametrize("data", [request(CHAT, "Connection: close"), request().replace(b"HTTP/1.1", b"HTTP/1.0")])
def test_a_client_that_wants_no_keep_alive_gets_none(data: bytes) -> None:
    with FakeServer(pause=0) as server, dial(server, data) as sock:
        assert b"connection: close" in read_all(sock)


def test_pipelined_requests_are_answered_in_order() -> None:
    with FakeServer(lambda chat: chat["model"], pause=0) as server:
        data = request({"model": "one", "messages": []}) + request(
            {"model": "two", "messages": []}, "connection: close"
        )
        with dial(server, data) as sock:
            everything = read_all(sock)
    assert everything.index(b"one") < everything.index(b"two")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_recorded_and_refused(body: bytes, problem: str) -> None:
    with FakeServer() as server, connected(server) as connection:
        connection.request("POST", "/", body)
        response = connection.getresponse()
        assert response.status == 400
        assert problem in json.loads(response.read())["error"]["message"]
    assert server.requests[0].body == body
    assert server.requests[0].json is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": "Hi"}, "You said: Hi (0 messages)"),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}, "You said: Hi (1 message)"),
        ({"messages": [{"role": "user", "parts": [None, {"type": "step-start"}]}]}, "You said:  (1 message)"),
        ({"messages": ["Hi"], "model": "m"}, "You said: nothing (model m, 1 message)"),
        ({"messages": 5}, "You said: nothing (0 messages)"),
        ({}, "You said: nothing (0 messages)"),
    ],
)
def test_any_json_object_is_answered(body: dict[str, Any], said: str) -> None:
    with FakeServer(pause=0) as server, connected(server) as connection:
        connection.request("POST", "/", json.dumps(body))
        assert connection.getresponse().read().decode() == said
    assert server.requests[0].json == body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_other_methods_are_refused(method: str) -> None:
    with FakeServer() as server, connected(server) as connection:
        connection.request(method, "/")
        assert connection.getresponse().status == 405
    assert server.requests == [ReceivedRequest(method, "/", server.requests[0].headers, b"", None)]


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02", b"GET\r\n\r\n", b"P" * 70_000, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"],
)
def test_what_is_not_a_request_is_refused_at_once(data: bytes) -> None:
    with FakeServer() as server, dial(server, data) as sock:
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")
        assert server.requests == []


def test_expect_100_continue_is_answered_before_the_body() -> None:
    head, _, body = request(CHAT, "Expect: 100-continue", "connection: close").partition(b"\r\n\r\n")
    with FakeServer("Hi") as server, dial(server, head + b"\r\n\r\n") as sock:
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_many_clients_are_served_at_once() -> None:
    gate = Gate()
    with FakeServer(gate=gate, pause=0) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(dial(server, request(CHAT, "connection: close"))) for _ in range(50)]
        server.wait_until(lambda: len(server.requests) == 50)
        assert (server.connections, server.open_connections) == (50, 50)
        gate.open()
        assert all(read_all(client).endswith(b"0\r\n\r\n") for client in clients)


# What reply raises


def test_an_error_in_the_reply_function_is_answered_500_and_kept() -> None:
    def reply(chat: dict[str, Any]) -> str:
        raise LookupError("no such model")

    with FakeServer(reply) as server:
        response, text = answer(server)
    assert response.status == 500
    assert "no such model" in json.loads(text)["error"]["message"]
    assert [str(error) for error in server.errors] == ["no such model"]


@pytest.mark.parametrize("error", [LookupError("broken"), ConnectionResetError("not ours")])
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_an_error_in_the_middle_of_a_reply_cuts_it_and_is_kept(framing: Framing, error: Exception) -> None:
    def pieces(chat: dict[str, Any]) -> Iterator[str]:
        yield "first"
        raise error

    with FakeServer(pieces, framing=framing, pause=0) as server:
        body = raw(server)[1]
        server.wait_until(lambda: server.errors == [error])
    assert b"first" in body
    assert not body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("reply", [lambda chat: None, lambda chat: 5])
def test_a_reply_that_is_no_text_is_an_error(reply: Any) -> None:
    with FakeServer(reply) as server:
        assert answer(server)[0].status == 500
    assert isinstance(server.errors[0], TypeError)


def test_a_piece_that_is_no_text_is_an_error() -> None:
    with FakeServer([5], framing="length") as server:  # type: ignore[list-item]
        assert "str or bytes, not int" in answer(server)[1]


def test_an_unknown_framing_is_an_error() -> None:
    with FakeServer(framing="pigeon") as server:  # type: ignore[arg-type]
        assert "not 'pigeon'" in answer(server)[1]
