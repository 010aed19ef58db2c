"""The local server keeps its promises: seen through sockets and http.client, not the client it is there to test."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import json
import os
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import trustme

from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Framing, Gate, ReceivedRequest

FRAMINGS: tuple[Framing, ...] = ("chunked", "one-chunk", "length", "close")
CHAT = {
    "key": "",
    "model": "gpt-3.5-turbo",
    "messages": [{"role": "user", "content": "Привет, как дела?"}],
    "temperature": 0.5,
    "password": "",
}
ECHO = "You said: Привет, как дела? (model gpt-3.5-turbo, 1 message)"
NEVER = 3600.0  # a pause that must be interrupted, or the test would not end


def sockets() -> set[str]:
    links = set()
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):
            links.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {link for link in links if link.startswith("socket:")}


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    threads, before = set(threading.enumerate()), sockets()
    yield
    assert set(threading.enumerate()) <= threads
    assert sockets() <= before


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextlib.contextmanager
def connected(server: FakeServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    with contextlib.closing(connection):
        yield connection


def ask(connection: http.client.HTTPConnection, chat: Any = CHAT) -> http.client.HTTPResponse:
    connection.request("POST", "/api/completions", json.dumps(chat))
    return connection.getresponse()


def answer(server: FakeServer, chat: Any = CHAT) -> tuple[http.client.HTTPResponse, str]:
    with connected(server) as connection, ask(connection, chat) as response:
        return response, response.read().decode()


def dial(server: FakeServer, data: bytes = b"") -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(data)
    return sock


def request(chat: Any = CHAT, *fields: str) -> bytes:
    body = json.dumps(chat).encode()
    lines = ["POST /api/completions HTTP/1.1", "host: test", f"content-length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def raw(server: FakeServer) -> tuple[bytes, bytes]:
    """Head and body, as they are on the wire."""
    with dial(server, request(CHAT, "connection: close")) as sock:
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
        return head, body


def chunks(body: bytes) -> list[bytes]:
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        found.append(body[: int(size, 16)])
        assert body[int(size, 16) :][:2] == b"\r\n"
        body = body[int(size, 16) + 2 :]
    assert found.pop() == b""
    return found


# --- replies


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


# --- requests and connections


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
        (b"{}", '"messages"'),
    ],
)
def test_a_body_that_is_not_the_wires_json_is_recorded_and_refused(body: bytes, problem: str) -> None:
    with FakeServer() as server, connected(server) as connection:
        connection.request("POST", "/", body)
        response = connection.getresponse()
        assert response.status == 400
        assert problem in json.loads(response.read())["error"]["message"]
    assert server.requests[0].body == body
    assert server.requests[0].json is None


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


# --- what reply raises


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


# --- gates


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_gate_stands_before_every_piece_but_not_before_the_end(framing: Framing) -> None:
    gate = Gate()
    with FakeServer(["a", "b", "c"], framing=framing, gate=gate, pause=0) as server, connected(server) as connection:
        response = ask(connection)  # the head came through
        for piece in (b"a", b"b"):
            gate.wait_until_waiting()
            gate.release()
            assert response.read1(100) == piece
        gate.release()
        assert response.read() == b"c"


def test_released_pieces_may_come_later() -> None:
    gate = Gate()
    gate.release(2)
    with FakeServer(["a", "b", "c"], gate=gate, pause=0) as server, connected(server) as connection:
        response = ask(connection)
        gate.wait_until_waiting()
        assert gate.waiting == 1
        gate.release()
        assert response.read() == b"abc"


def test_a_reply_that_waits_again_has_sent_the_piece_before() -> None:
    gate = Gate()
    with FakeServer([b"x"] * 200, framing="close", gate=gate, pause=0) as server, dial(server, request()) as sock:
        gate.wait_until_waiting()
        assert sock.recv(65536).endswith(b"\r\n\r\n")
        sock.setblocking(False)
        for _ in range(199):
            gate.release()
            gate.wait_until_waiting()
            assert sock.recv(65536) == b"x"


def test_releasing_never_waits_for_the_reply() -> None:
    gate = Gate()
    with FakeServer([b"x"] * 2000, gate=gate, pause=0) as server, connected(server) as connection:
        response = ask(connection)
        gate.wait_until_waiting()
        with gate._changed:  # the reply cannot answer the bell
            for _ in range(2000):
                gate.release()
        assert len(response.read()) == 2000


def test_one_gate_serves_several_servers_and_outlives_one() -> None:
    gate = Gate()
    with FakeServer("a", gate=gate) as first, connected(first) as connection:
        with FakeServer("b", gate=gate) as second, dial(second, request()):
            second.wait_until(lambda: gate.waiting == 1 or len(second.requests) == 1)
            gate.wait_until_waiting()
        response = ask(connection)
        gate.wait_until_waiting()
        assert gate.waiting == 1
        gate.open()
        assert response.read() == b"a"
        assert ask(connection).read() == b"a"


def test_waiting_for_what_does_not_happen_says_so() -> None:
    with FakeServer() as server, pytest.raises(TimeoutError, match=r"within 0\.01 s \(0 requests, 0 connections"):
        server.wait_until(lambda: server.requests, timeout=0.01)
    with pytest.raises(TimeoutError, match="no reply came to the gate"):
        Gate().wait_until_waiting(timeout=0.01)


# --- faults


def test_faults_are_consumed_in_order_and_then_all_is_well() -> None:
    with FakeServer("fine", faults=[Fault.status(503), None, Fault.status(429)], pause=0) as server:
        assert [answer(server)[0].status for _ in range(5)] == [503, 200, 429, 200, 200]


def test_faults_may_have_no_end() -> None:
    with FakeServer(faults=itertools.repeat(Fault.status(502))) as server:
        assert [answer(server)[0].status for _ in range(3)] == [502, 502, 502]


def test_fault_status() -> None:
    faults = [
        Fault.status(503, retry_after=1),
        Fault.status(520, retry_after="soon", body="down", headers={"X-Why": "1"}),
        Fault.status(401),
    ]
    with FakeServer("fine", faults=faults) as server:
        response, text = answer(server)
        assert (response.status, response.headers["retry-after"]) == (503, "1")
        assert json.loads(text) == {"error": {"message": "Service Unavailable"}}
        response, text = answer(server)
        assert (response.status, response.headers["retry-after"], text) == (520, "soon", "down")
        assert response.headers["x-why"] == "1"
        assert "retry-after" not in answer(server)[0].headers


@pytest.mark.parametrize("after", [0, 2, 3, 9])
@pytest.mark.parametrize("framing", ["chunked", "one-chunk", "length"])
def test_fault_cut_is_seen_in_every_framing_that_can_show_it(framing: Framing, after: int) -> None:
    sent = "abc"[:after]
    wire = {
        "chunked": "".join(f"1\r\n{letter}\r\n" for letter in sent),
        "one-chunk": f"{max(3, len(sent) + 1)}\r\n{sent}",
        "length": sent,
    }
    with FakeServer("abc", framing=framing, faults=[replace(Fault.drip(0), after=after, ending="cut")] * 2) as server:
        with connected(server) as connection, ask(connection) as response, pytest.raises(http.client.IncompleteRead):
            response.read()
        assert raw(server)[1].decode() == wire[framing]


def test_fault_cut_of_a_closing_reply_closes() -> None:
    with FakeServer(["a", "b", "c"], framing="close", faults=[Fault.cut(2)], pause=0) as server:
        assert raw(server)[1] == b"ab"


def test_fault_reset_resets() -> None:
    with FakeServer(["a", "b"], faults=[Fault.reset(), Fault.reset(after=1)], pause=0) as server:
        with connected(server) as connection, pytest.raises(ConnectionResetError):
            ask(connection)
        with dial(server, request()) as sock, pytest.raises(ConnectionResetError):
            read_all(sock)


def test_fault_drop_sends_nothing() -> None:
    with FakeServer(faults=[Fault.drop()]) as server, dial(server, request()) as sock:
        assert read_all(sock) == b""
        assert len(server.requests) == 1


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_fault_stall_is_silent_until_the_client_leaves(framing: Framing, after: int) -> None:
    with FakeServer(["a", "b"], framing=framing, faults=[Fault.stall(after)], pause=0) as server:
        with connected(server) as connection:
            response = ask(connection)
            assert response.status == 200
            assert [response.read1(1) for _ in range(after)] == [b"a", b"b"][:after]
            assert server.open_connections == 1
            response.close()
        server.wait_until(lambda: server.open_connections == 0)


def test_fault_slow_head_drips_and_then_replies() -> None:
    with FakeServer("Hi", faults=[Fault.slow_head(0.01), Fault.slow_head(NEVER)]) as server:
        assert answer(server)[1] == "Hi"
        with dial(server, request()) as sock:
            assert sock.recv(65536) == b"H"


def test_fault_drip_sends_byte_by_byte() -> None:
    with FakeServer(["да", "b"], pause=NEVER, faults=[Fault.drip(pause=0)]) as server:
        assert chunks(raw(server)[1]) == [b"\xd0", b"\xb4", b"\xd0", b"\xb0", b"b"]


def test_fault_split_characters_cuts_inside_them_without_a_pause() -> None:
    with FakeServer("aй€😀", pause=NEVER, faults=[Fault.split_characters()]) as server:
        parts = chunks(raw(server)[1])
    assert parts == [b"a\xd0", b"\xb9\xe2", b"\x82", b"\xac\xf0", b"\x9f", b"\x98", b"\x80"]


def test_fault_html_page() -> None:
    with FakeServer(status=500, faults=[Fault.html_page("<wait>"), Fault.html_page(challenge=True)]) as server:
        response, text = answer(server)
        assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "<title>&lt;wait&gt;</title>" in text
        assert "cf-mitigated" not in response.headers
        assert answer(server)[0].headers["cf-mitigated"] == "challenge"


@pytest.mark.parametrize(
    ("fault", "status", "field", "text"),
    [
        (Fault.json_error("busy"), 200, ("content-type", "application/json"), '{"error": {"message": "busy"}}'),
        (Fault.empty(), 200, ("content-type", "text/plain; charset=utf-8"), ""),
        (Fault.notice(), 200, ("content-type", "text/plain; charset=utf-8"), "Hello" + NOTICE),
        (Fault.redirect("https://elsewhere.test/"), 307, ("location", "https://elsewhere.test/"), ""),
        (Fault.redirect("/", status=301), 301, ("location", "/"), ""),
    ],
)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_faults_that_replace_the_reply(
    fault: Fault, status: int, field: tuple[str, str], text: str, framing: Framing
) -> None:
    with FakeServer(["Hel", "lo"], framing=framing, faults=[fault], pause=0) as server:
        response, got = answer(server)
    assert (response.status, response.headers[field[0]], got) == (status, field[1], text)


def test_fault_event_stream() -> None:
    with FakeServer(faults=[Fault.event_stream()]) as server:
        response, text = answer(server)
    assert response.headers["content-type"] == "text/event-stream"
    assert text.startswith("data: {")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_fault_compressed(framing: Framing) -> None:
    server = FakeServer(["Hel", "lo"], framing=framing, faults=[Fault.compressed()], pause=0)
    with server, connected(server) as connection, ask(connection) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(response.read()) == b"Hello"


def test_fault_raw_sends_these_very_bytes() -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi"
    with FakeServer("fine", faults=[Fault.raw(reply, close=False), Fault.raw(b"SSH-2.0\r\n")]) as server:
        with connected(server) as connection:
            assert ask(connection).read() == b"Hi"
            with pytest.raises(http.client.BadStatusLine, match="SSH"):
                ask(connection)
        assert server.connections == 1


def test_faults_combine_with_each_other_and_with_gates() -> None:
    gate = Gate()
    fault = replace(Fault.drip(pause=0), after=3, ending="cut")
    with FakeServer("Hello", gate=gate, faults=[fault]) as server, dial(server, request()) as sock:
        gate.wait_until_waiting()
        gate.release(3)
        assert read_all(sock).endswith(b"\r\n\r\n1\r\nH\r\n1\r\ne\r\n1\r\nl\r\n")
    assert Fault.drip() == Fault.drip()


def test_the_notice_has_its_three_sentences_after_a_blank_line() -> None:
    assert NOTICE.startswith("\n\nYou can try our new always-free website: https://chat.acytoo.com" + " " * 160 + "Or ")
    assert NOTICE.endswith("For developers, you can use https://api.acytoo.net directly." + " " * 160)


# --- leaving and closing


def endless(chat: dict[str, Any]) -> Iterator[bytes]:
    return itertools.repeat(b"x" * 65536)


WAITS: dict[str, Callable[[], FakeServer]] = {
    "pause": lambda: FakeServer(pause=NEVER),
    "gate": lambda: FakeServer(gate=Gate()),
    "stall": lambda: FakeServer(faults=[Fault.stall()]),
    "no head": lambda: FakeServer(faults=[Fault.no_head()]),
    "slow head": lambda: FakeServer(faults=[Fault.slow_head(NEVER)]),
    "drip": lambda: FakeServer(faults=[Fault.drip(NEVER)]),
    "endless": lambda: FakeServer(endless, pause=0),
}


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_a_client_that_leaves_is_noticed_wherever_its_reply_stands(make: Callable[[], FakeServer]) -> None:
    with make() as server:
        with dial(server, request()):
            server.wait_until(lambda: server.requests)
        server.wait_until(lambda: server.open_connections == 0)
        assert server.connections == 1
    assert server.errors == []


def test_a_generator_is_closed_when_the_client_leaves() -> None:
    closed = threading.Event()

    def pieces(chat: dict[str, Any]) -> Iterator[str]:
        try:
            yield from itertools.repeat("piece")
        finally:
            closed.set()

    with FakeServer(pieces, pause=NEVER) as server:
        with dial(server, request()):
            server.wait_until(lambda: server.requests)
        assert closed.wait(10)


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("sent", [b"", b"POST / HT", request()[:-5], request()], ids=["none", "head", "body", "all"])
def test_close_ends_everything_at_once(make: Callable[[], FakeServer], sent: bytes) -> None:
    server = make().start()
    with dial(server, sent) as sock:
        server.wait_until(lambda: server.connections == 1 and (sent != request() or server.requests))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # close() warns if it gave up on a thread
            server.close()
        assert server.open_connections == 0
        with contextlib.suppress(ConnectionResetError):
            read_all(sock)
        server.close()
    with pytest.raises(ConnectionRefusedError):
        dial(server)


def test_close_ends_a_handshake_that_never_came(server_tls: ssl.SSLContext) -> None:
    server = FakeServer(tls=server_tls).start()
    with dial(server) as sock:
        server.wait_until(lambda: server.open_connections)
        server.close()
        assert read_all(sock) == b""


def test_a_reply_function_that_does_not_return_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = threading.Event()
    server = FakeServer(lambda chat: str(finish.wait(10))).start()
    with dial(server, request()):
        server.wait_until(lambda: server.requests)
        clock = itertools.count(step=10.0)
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda: next(clock))
            with pytest.warns(ResourceWarning, match="still running"):
                server.close()
        finish.set()
        server.wait_until(lambda: server.open_connections == 0)
        server.close()


def test_a_reply_function_may_close_its_own_server() -> None:
    def reply(chat: dict[str, Any]) -> str:
        server.close()
        return "unheard"

    server = FakeServer(reply)
    with server, dial(server, request()) as sock:
        assert read_all(sock) == b""
        server.wait_until(lambda: server.open_connections == 0)


def test_start_and_close_in_any_order() -> None:
    server = FakeServer()
    with pytest.raises(RuntimeError, match="before start"):
        _ = server.url
    assert server.start() is server.start()
    assert server.url.startswith("http://127.0.0.1:")
    server.close()
    server.close()
    with pytest.raises(RuntimeError, match="closed"):
        server.start()
    FakeServer().close()


# --- TLS


def secure(server: FakeServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(dial(server), server_hostname="127.0.0.1", suppress_ragged_eofs=False)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_https_answers_and_says_goodbye(
    framing: Framing, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    with FakeServer("Hello", framing=framing, tls=server_tls) as server, secure(server, client_tls) as sock:
        assert server.url.startswith("https://127.0.0.1:")
        sock.sendall(request(CHAT, "connection: close"))
        assert b"Hello" in read_all(sock)  # without a close_notify: SSLEOFError


def test_https_cut_does_not_say_goodbye(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    server = FakeServer(["a", "b"], framing="close", tls=server_tls, faults=[Fault.cut(1)])
    with server, secure(server, client_tls) as sock:
        sock.sendall(request())
        with pytest.raises(ssl.SSLEOFError):
            read_all(sock)


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_https_clients_are_noticed_leaving_and_cut_by_close(
    make: Callable[[], FakeServer], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = make()
    server._tls = server_tls
    with server:
        with secure(server, client_tls) as sock:
            sock.sendall(request())
            server.wait_until(lambda: server.requests)
        server.wait_until(lambda: server.open_connections == 0)
        with secure(server, client_tls) as sock:
            sock.sendall(request())
            server.wait_until(lambda: len(server.requests) == 2)
            server.close()


def test_a_failed_handshake_ends_its_own_connection_only(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    with FakeServer("Hi", tls=server_tls) as server, dial(server) as waiting:
        with pytest.raises(ssl.SSLCertVerificationError):
            secure(server, ssl.create_default_context())
        with dial(server, b"GET / HTTP/1.1\r\n\r\n") as plain, contextlib.suppress(ConnectionResetError):
            plain.recv(100)
        with secure(server, client_tls) as sock:
            sock.sendall(request(CHAT, "connection: close"))
            assert b"Hi" in read_all(sock)
        assert waiting.fileno() > 0
