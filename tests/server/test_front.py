"""The front: what may be asked, where and how, and what the answers look like; on a real socket, byte by byte."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest
from fault_server import FaultServer, Script, held, pause
from raw_client import RawClient, Reply, head, post
from scripted_upstream import HEAD, WHOLE, chunk, delta, event, sends
from served import Served

PATHS = ("/api/completions", "/api", "/api/ai", "/api/chat", "/api/completion", "/api/generate")
KEYS = {"key": "k", "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "password": "p"}
SAID = "You said: Hi (model none, 1 message)"
REPLY_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",
    "transfer-encoding": "chunked",
}


@pytest.fixture
def client() -> Iterator[RawClient]:
    with Served() as served, RawClient(served.port) as client:
        yield client


def ask(client: RawClient, said: object = None, **options: str | None) -> Reply:
    reply = client.ask(post(KEYS if said is None else said, **options))  # type: ignore[arg-type]
    assert reply.end == "whole"
    return reply


# Questions.


@pytest.mark.parametrize("path", PATHS)
def test_questions_are_taken_at_every_path_of_the_field(client: RawClient, path: str) -> None:
    assert ask(client, path=path).text == "You said: Hi (model m, 1 message)"
    assert ask(client, path=f"{path}?a=b").status == 200


@pytest.mark.parametrize(
    "path", ["/api/completions/", "//api", "/API", "/v1/chat/completions", "/favicon.ico", "/%61pi/x"]
)
def test_other_paths_are_a_404(client: RawClient, path: str) -> None:
    assert ask(client, path=path).status == 404


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain;charset=UTF-8", "a", "image/png"])
def test_no_content_type_matters(client: RawClient, content_type: str | None) -> None:
    assert ask(client, content_type=content_type).status == 200


def test_each_of_the_five_keys_may_be_missing_or_null(client: RawClient) -> None:
    for name in ("key", "model", "temperature", "password"):
        assert ask(client, {each: value for each, value in KEYS.items() if each != name}).status == 200
        assert ask(client, KEYS | {name: None}).status == 200
    assert ask(client, {"prompt": "Hi"}).text == SAID
    assert ask(client, KEYS | {"messages": None, "prompt": "Hi"}).status == 200
    assert ask(client, KEYS | {"other": {"a": [1]}}).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ('{"prompt": "é"}'.encode("latin-1"), "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no question"),
        (b'{"messages": {}}', "messages must be a list"),
        (b'{"messages": [{"role": "user", "content": 1}]}', "messages[0].content"),
        (b'{"prompt": "Hi", "temperature": "warm"}', "temperature"),
        (b'{"prompt": "Hi", "temperature": NaN}', "temperature"),
    ],
)
def test_question_that_is_none_is_a_400_that_says_why(client: RawClient, body: bytes, words: str) -> None:
    reply = client.ask(post(body=body))
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert words in reply.error["message"]


def test_question_may_come_in_chunks_and_pieces(client: RawClient) -> None:
    body = json.dumps(KEYS).encode()
    start = post(body=b"", content_length=None, transfer_encoding="chunked")
    client.send(start[:10])
    client.send(start[10:] + chunk(body[:7]))
    assert client.ask(chunk(body[7:]) + b"0\r\n\r\n").status == 200


def test_whoever_expects_to_be_told_to_go_on_is_told(client: RawClient) -> None:
    body = json.dumps(KEYS).encode()
    client.send(head("POST", "/api", content_length=str(len(body)), expect="100-continue"))
    assert client.read_reply().status == 100
    assert client.ask(body).status == 200


def test_nobody_is_told_to_send_what_is_too_large() -> None:
    with Served(max_body=100) as served, RawClient(served.port) as client:
        reply = client.ask(head("POST", "/api", content_length="101", expect="100-continue"))
        assert (reply.status, reply.error["message"]) == (413, "the question is longer than 100 bytes")


def test_question_that_is_too_large_is_a_413() -> None:
    small, large = {"prompt": "x" * 80}, {"prompt": "x" * 100}
    with Served(max_body=100) as served:
        assert served.ask(post(small)).status == 200
        assert served.ask(post(large)).status == 413
        start = post(body=b"", content_length=None, transfer_encoding="chunked")
        assert served.ask(start + chunk(json.dumps(small).encode()) + b"0\r\n\r\n").status == 200
        assert served.ask(start + chunk(json.dumps(large).encode())).status == 413  # it is not waited for the end


def test_question_that_is_compressed_is_a_415(client: RawClient) -> None:
    assert ask(client, content_encoding="gzip").status == 415


def test_question_that_does_not_come_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.app._BODY_SECONDS", 0.05)
    with Served() as served:
        assert served.ask(post()[:-1]).status == 408


# Other requests.


def test_page_tells_how_to_ask(client: RawClient) -> None:
    page = client.ask(head("GET", "/"))
    assert (page.status, page.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    (url,) = set(re.findall(r"http://[^/\"]+", page.text))
    assert f"curl --no-buffer {url}/api/completions --data '" in page.text
    assert f'Client("{url}")' in page.text
    assert client.ask(head("GET", "/healthz")).text == "ok\n"


def test_head_is_get_without_the_body(client: RawClient) -> None:
    for path in ("/", "/healthz"):
        got, asked = client.ask(head("GET", path)), client.ask(head("HEAD", path))
        assert (asked.status, asked.body) == (200, b"")
        assert asked.headers["content-length"] == str(len(got.body))
    assert client.ask(head("HEAD", "/nothing")).status == 404
    assert client.ask(head("HEAD", "/api")).status == 405


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_a_405_that_names_the_right_ones(client: RawClient, method: str) -> None:
    for path in PATHS:
        reply = client.ask(head(method, path))
        assert (reply.status, reply.headers["allow"], bool(reply.error)) == (405, "POST, OPTIONS", True)
    if method != "GET":
        reply = client.ask(head(method, "/"))
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert client.ask(post(path="/healthz")).status == 405


def test_options_tells_the_methods(client: RawClient) -> None:
    reply = client.ask(head("OPTIONS", "/api"))
    assert (reply.status, reply.headers["allow"], reply.body) == (204, "POST, OPTIONS", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        head("FOO", "/"),
        head("GET", "/").replace(b"1.1", b"3.0"),
        head("GET", "/", x="\0"),
        head("GET", "/").replace(b"host: ", b"host : "),
        head("GET", f"/{'a' * 100_000}"),
        head("GET", "/", x="a" * 100_000),
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000,
        head("POST", "/api", content_length="-1"),
        post(body=b"0\r\n\r\n", transfer_encoding="chunked"),
        post(body=b"what?\r\n", content_length=None, transfer_encoding="chunked"),
    ],
)
def test_what_is_no_request_is_a_400_in_our_form(client: RawClient, data: bytes) -> None:
    reply = client.ask(data)
    assert (reply.status, reply.error["type"], reply.end) == (400, "invalid_request_error", "whole")
    assert reply.error["message"] == "the request is not HTTP that this server understands"
    assert re.fullmatch("[0-9a-f]{16}", reply.headers["x-request-id"])
    assert client.is_closed()


def test_body_that_stops_being_framed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.app._BODY_SECONDS", 0.2)
    with Served() as served, RawClient(served.port) as client:
        client.send(post(body=b"", content_length=None, transfer_encoding="chunked") + chunk(b"{"))
        reply = client.ask(b"what?\r\n")
        assert (reply.status in (400, 408), bool(reply.error)) == (
            True,
            True,
        )  # aiohttp may only see that nothing comes
        assert client.is_closed()


# Answers.


def test_headers_of_replies(client: RawClient) -> None:
    reply = ask(client)
    assert reply.headers.items() >= REPLY_HEADERS.items()
    assert reply.headers["server"].startswith("acytoo-sdk/")
    assert "access-control-allow-origin" not in reply.headers


def test_headers_of_errors(client: RawClient) -> None:
    reply = ask(client, {})
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.error["message"].isascii()


def test_every_answer_has_an_id_of_its_own_which_the_log_tells() -> None:
    with Served() as served:
        replies = [
            served.ask(each) for each in (post(), post(), post({}), head("GET", "/"), head("GET", "/x"), b"?\r\n\r\n")
        ]
        ids = [reply.headers["x-request-id"] for reply in replies]
        assert len(set(ids)) == len(ids)
        assert [line.split()[0] for line in served.log.wait(len(ids))] == ids


def test_requests_on_one_connection_are_answered_in_order_after_errors_too() -> None:
    with Served() as served, RawClient(served.port) as client:
        client.send(post() + post(path="/x") + post(body=b"{") + post(origin="http://evil.example") + post({}) + post())
        replies = [client.read_reply() for _ in range(6)]
        assert [reply.status for reply in replies] == [200, 404, 400, 403, 400, 200]
        assert ask(client).status == 200
        assert ask(client, connection="close").headers["connection"] == "close"
        assert client.is_closed()


def test_upgrade_that_is_asked_for_is_not_made(client: RawClient) -> None:
    """Java's client asks for one with its first request."""
    upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABkAAQAAP__"}
    assert ask(client, **upgrade).status == 200
    assert ask(client).status == 200


def test_before_http_1_1_the_end_of_the_connection_is_the_end_of_the_reply() -> None:
    with Served() as served:
        reply = served.ask(post(version="1.0"))
        assert (reply.text, reply.end) == (SAID, "whole")
        assert "transfer-encoding" not in reply.headers


def test_pieces_come_at_once_and_so_does_the_head() -> None:
    """The upstream sends each piece after the one before was received."""
    words = ["One", " two", " три", " 四", " 🙂"]
    gates = [threading.Event() for _ in words]
    script: Script = [HEAD]
    for word, gate in zip(words, gates, strict=True):
        script = [*script, sends(word), held(gate)]
    with (
        FaultServer([[*script, WHOLE]]) as upstream,
        Served(upstream=upstream.url) as served,
        RawClient(served.port) as client,
    ):
        client.send(post())
        reply = client.read_head(Reply())
        for word, gate in zip(words, gates, strict=True):
            assert client.read_chunk(reply).decode() == word
            gate.set()
        assert client.read_chunk(reply) == b""


TEXT = "Привет, 四 🙂!"


@pytest.mark.parametrize("escaped", [True, False])
def test_no_chunk_ends_inside_a_character_wherever_the_upstream_cuts(escaped: bool) -> None:
    said = event(json.dumps(delta(TEXT), ensure_ascii=escaped).encode())
    bytewise: Script = [step for byte in said for step in (chunk(bytes((byte,))), pause(0.001))]
    with FaultServer([[HEAD, *bytewise, WHOLE]]) as upstream, Served(upstream=upstream.url) as served:
        assert [part.decode() for part in served.ask().chunks] == [TEXT]


def test_character_in_two_events_is_held_until_it_is_whole() -> None:
    halves = [
        b'{"choices": [{"delta": {"content": "a\\ud83d"}}]}',
        b'{"choices": [{"delta": {"content": "\\ude42b"}}]}',
    ]
    with FaultServer([[HEAD + sends(*halves) + WHOLE]]) as upstream, Served(upstream=upstream.url) as served:
        reply = served.ask()
        assert all(part.decode() for part in reply.chunks)
        assert reply.text == "a🙂b"
