"""What becomes of an upstream's failure: a status before the first text, and after it an end that is none."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_server import FaultServer, Script, drip, fin, flood, held, rst, stall, told, unread
from raw_client import RawClient, Reply, post
from scripted_upstream import (
    END,
    HEAD,
    STOP,
    WHOLE,
    answer,
    arrived,
    by_model,
    chunk,
    delta,
    event,
    listening_nowhere,
    sends,
    until_stuck,
)
from served import Program, Served

from acytoo_sdk import APIStatusError, Client, StreamInterruptedError


@dataclass(frozen=True)
class Case:
    """What an upstream does, and what the client sees: an error's status and words, or a text and its end."""

    name: str
    script: Script
    status: int = 200
    said: str = ""
    text: str = ""
    end: str = "whole"


ERROR = {"error": {"message": "no more today", "type": "limits", "code": 429}}
MANY_LINES = drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000, gap=0.02)

BEFORE_TEXT = (
    Case("a 400", [answer("400 Bad Request", b'{"error": {"message": "too long"}}')], 400, "too long"),
    Case("a 401", [answer("401 Unauthorized", b'{"error": "who is there?"}')], 401, "who is there?"),
    Case("a 418 without words", [answer("418 Teapot", b"")], 418, "418"),
    Case("a 499, which nobody defines", [answer("499 Oops", b"")], 499, "499"),
    Case("a 500 page", [answer("500 Oops", b"<html><title>Oops</title></html>", kind="text/html")], 500, "Oops"),
    Case("a 503 that is cut", [answer("503 Busy", b'{"error": "busy"}').replace(b": 17", b": 99"), fin], 503, "busy"),
    Case("a 500 that stalls", [answer("500 Oops", b"soon").replace(b": 4", b": 9"), stall], 500, "soon"),
    Case("a 101", [b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"], 502, "101"),
    Case("a 204", [b"HTTP/1.1 204 No Content\r\n\r\n"], 502, "before any text"),
    Case("a 302", [answer("302 Found", b"", "location: http://127.0.0.1:9/")], 502, "redirect (302)"),
    Case("a 304", [b"HTTP/1.1 304 Not Modified\r\n\r\n"], 502, "304"),
    Case("a 600", [answer("600 What", b"x")], 502, "600"),
    Case(
        "a web page", [answer("200 OK", b"<html><title>Wait</title></html>", kind="text/html")], 502, "web page: Wait"
    ),
    Case("garbage", [b"\0\1garbage\r\n\r\n", stall], 502, "not answer in HTTP"),
    Case("a greeting that is not HTTP", [unread, b"SSH-2.0-OpenSSH_9\r\n", stall], 502, "not answer in HTTP"),
    Case("a head without an end", [b"HTTP/1.1 200 OK\r\nx", fin], 502, "broke"),
    Case("two lengths", [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n", stall], 502, "HTTP"),
    Case("a huge head", [b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, stall], 502, "not answer in HTTP"),
    Case("a cut before the head", [fin], 502, "broke"),
    Case("a reset before the head", [rst], 502, "broke"),
    Case("a cut before the request", [unread, fin], 502, "broke"),
    Case("a cut before the text", [HEAD, fin], 502, "broke"),
    Case("a reset before the text", [HEAD, arrived, rst], 502, "broke"),
    Case("silence", [stall], 504, "nothing for 0.4 seconds"),
    Case("silence after the head", [HEAD, stall], 504, "nothing for 0.4 seconds"),
    Case("a head that never ends", [MANY_LINES], 504, "nothing for 0.4 seconds"),
    Case("interim heads without end", [flood(b"HTTP/1.1 100 Continue\r\n\r\n", gap=0.01)], 504, "nothing for 0.4"),
    Case("silence after a comment", [HEAD + chunk(b": hello\n\n"), stall], 504, "nothing for 0.3 seconds"),
    Case("an error object", [HEAD + sends(ERROR) + END], 429, "no more today"),
    Case("an error object without a code", [HEAD + sends({"error": {"message": "oh"}}) + END], 502, "oh"),
    Case("an error event", [HEAD + chunk(b'event: error\ndata: {"message": "oh"}\n\n') + END], 502, "oh"),
    Case("a field named error", [HEAD + chunk(b'error: {"code": 503, "message": "oh"}\n\n') + END], 503, "oh"),
    Case("compression", [answer("200 OK", b"\x1f\x8b", "content-encoding: gzip")], 502, "compressed"),
    Case("nothing", [answer("200 OK", b"")], 502, "before any text"),
    Case("[DONE] alone", [HEAD + sends(b"[DONE]") + END], 502, "no text"),
    Case("a reason alone", [HEAD + WHOLE], 502, "finish reason stop"),
    Case("a call for a tool", [HEAD + sends(delta(None, "tool_calls"), b"[DONE]") + END], 502, "tool"),
    Case("an event without end", [HEAD + b"900000\r\ndata: " + b"x" * (5 << 20), stall], 502, "too large"),
    Case("bytes that are no text", [HEAD + chunk(b'data: {"a": "\xff"}\n\n') + END], 502, "not JSON"),
)
AFTER_TEXT = (
    Case("a cut", [HEAD + sends("Hi"), fin], text="Hi", end="cut"),
    Case("a reset", [HEAD + sends("Hi"), arrived, rst], text="Hi", end="cut"),
    Case("a stall", [HEAD + sends("Hi"), stall], text="Hi", end="cut"),
    Case(
        "a length that is not reached",
        [answer("200 OK", event(delta("Hi"))).replace(b": 8", b": 98"), fin],
        text="Hi",
        end="cut",
    ),
    Case("an error object", [HEAD + sends("Hi", ERROR) + END], text="Hi", end="cut"),
    Case("an error event", [HEAD + sends("Hi") + chunk(b"event: error\ndata: oh\n\n") + END], text="Hi", end="cut"),
    Case("a field named error", [HEAD + sends("Hi") + chunk(b"error: {}\n\n") + END], text="Hi", end="cut"),
    Case(
        "the reason content_filter",
        [HEAD + sends("Hi", delta("", "content_filter"), b"[DONE]") + END],
        text="Hi",
        end="cut",
    ),
    Case("the reason error", [HEAD + sends("Hi", delta("", "error"), b"[DONE]") + END], text="Hi", end="cut"),
    Case("an event that is not JSON", [HEAD + sends("Hi", b"{oops", b"[DONE]") + END], text="Hi", end="cut"),
    Case("an end without a reason", [HEAD + sends("Hi", "") + END], text="Hi", end="cut"),
    Case("stop", [HEAD + sends("Hi", delta("", "stop")) + END], text="Hi"),
    Case("length", [HEAD + sends("Hi", delta("", "length"), b"[DONE]") + END], text="Hi"),
    Case("[DONE] alone", [HEAD + sends("Hi", b"[DONE]") + END], text="Hi"),
    Case("stop, then a cut", [HEAD + sends("Hi", delta("", "stop")), fin], text="Hi"),
    Case("stop, then a reset", [HEAD + sends("Hi", delta("", "stop")), arrived, rst], text="Hi"),
    Case("stop, then silence", [HEAD + sends("Hi", delta("", "stop")), stall], text="Hi"),
    Case("[DONE], then silence", [HEAD + sends("Hi") + STOP, stall], text="Hi"),
    Case("interim heads first", [b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + sends("Hi") + WHOLE], text="Hi"),
    Case("no framing", [b"HTTP/1.0 200 OK\r\n\r\n" + event(delta("Hi")) + event(b"[DONE]"), fin], text="Hi"),
)
TABLE = [pytest.param(case, id=f"{case.name} before text") for case in BEFORE_TEXT]
TABLE += [pytest.param(case, id=f"{case.name} after text") for case in AFTER_TEXT]


def check(case: Case, reply: Reply) -> None:
    assert (reply.status, reply.end) == (case.status, case.end)
    if case.status == 200:
        assert reply.text == case.text
    else:
        assert case.said in reply.error["message"]


@pytest.mark.parametrize("case", TABLE)
def test_each_failure_is_told_by_a_status_or_by_the_end(case: Case) -> None:
    with (
        FaultServer([case.script, [HEAD + sends("next") + WHOLE]]) as upstream,
        Served(upstream=f"{upstream.url}/v1", first_byte_timeout=0.4, idle_timeout=0.3) as served,
    ):
        check(case, served.ask())
        (line,) = served.log.wait(1)
        assert "internal" not in line
        assert ("complete" in line) == (case.status == 200 and case.end == "whole")
        assert served.ask().text == "next"


def test_error_that_never_ends_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.upstream._ERROR_BODY_SECONDS", 0.2)
    with (
        FaultServer([[b"HTTP/1.1 500 Oops\r\n\r\n", flood(b"oh no ", gap=0.01)]]) as upstream,
        Served(upstream=upstream.url) as served,
    ):
        reply = served.ask()
        assert (reply.status, reply.error["message"][:6]) == (500, "oh no ")
        assert upstream.wait_until(lambda: not upstream.open_connections)


@pytest.mark.parametrize("nonsense", [b"what?\r\n", b"-5\r\n"])
def test_chunk_that_is_none_breaks_the_reply(nonsense: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.upstream._LOOK_SECONDS", 0.05)
    gate = threading.Event()
    with (
        FaultServer([[HEAD + sends("Hi"), held(gate), sends(" you") + nonsense, stall]]) as upstream,
        Served(upstream=upstream.url) as served,
        RawClient(served.port) as client,
    ):
        client.send(post())
        reply = client.read_head(Reply())
        assert client.read_chunk(reply) == b"Hi"
        gate.set()
        assert client.read_chunk(reply) == b" you"
        with pytest.raises(EOFError):
            client.read_chunk(reply)


def test_nobody_at_the_upstream_is_a_502() -> None:
    with Served(upstream=listening_nowhere()) as served:
        reply = served.ask()
        assert (reply.status, reply.error["type"]) == (502, "upstream_error")
        assert "no connection" in reply.error["message"]


def test_retry_after_is_kept() -> None:
    busy = answer("429 Slow Down", b"{}", "retry-after: 7")
    with FaultServer([[busy]]) as upstream, Served(upstream=upstream.url) as served:
        assert served.ask().headers["retry-after"] == "7"


# Over HTTP/1.0 the end of the connection is the end of the reply: one that is broken ends by a reset.


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in AFTER_TEXT if case.status == 200])
def test_before_http_1_1_a_reply_that_is_not_whole_ends_by_a_reset(case: Case) -> None:
    with (
        FaultServer([case.script]) as upstream,
        Served(upstream=upstream.url, idle_timeout=0.3) as served,
    ):
        reply = served.ask(post(version="1.0"))
        assert (reply.text, reply.end) == (case.text, {"cut": "reset"}.get(case.end, case.end))
        assert "transfer-encoding" not in reply.headers


# A slow client gets everything that had arrived from the upstream before it broke.

PIECE = "x" * 1000
MANY = 6000  # more than all buffers between the two ends hold


@pytest.mark.parametrize("break_off", [fin, stall], ids=["cut", "stall"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_slow_client_gets_all_that_came_before_the_break(break_off: Script, version: str) -> None:
    sent = threading.Event()
    script: Script = [HEAD + sends(PIECE) * MANY, told(sent), break_off]  # type: ignore[list-item]
    with (
        FaultServer([script]) as upstream,
        Served(upstream=upstream.url, idle_timeout=0.3) as served,
        RawClient(served.port, receive_buffer=65536) as client,
    ):
        client.send(post(version=version))
        assert sent.wait(10.0)
        reply = client.read_reply()
        assert reply.end == ("cut" if version == "1.1" else "reset")
        assert len(reply.body) == len(PIECE) * MANY


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_slow_client_gets_all_that_came_before_a_reset(version: str) -> None:
    counts: list[int] = []
    sent = threading.Event()
    piece = sends(PIECE)
    script: Script = [HEAD, arrived, until_stuck(piece, counts), told(sent), rst]
    with (
        FaultServer([script]) as upstream,
        Served(upstream=upstream.url) as served,
        RawClient(served.port, receive_buffer=65536) as client,
    ):
        client.send(post(version=version))
        assert sent.wait(10.0)
        reply = client.read_reply()
        assert reply.end == ("cut" if version == "1.1" else "reset")
        assert len(reply.body) >= counts[0] // len(piece) * len(PIECE)


# TLS, on both sides.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The server's two files."""
    folder = tmp_path_factory.mktemp("certificate")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("case", AFTER_TEXT[:3] + AFTER_TEXT[11:12], ids=lambda case: case.name)
def test_over_tls_too(case: Case, version: str, certificate: dict[str, Any], trusting: ssl.SSLContext) -> None:
    with (
        FaultServer([case.script]) as upstream,
        Served(upstream=upstream.url, idle_timeout=0.3, **certificate) as served,
    ):
        assert served.url.startswith("https://127.0.0.1:")
        reply = served.ask(post(version=version), tls=trusting)
        broken = "cut" if version == "1.1" else "reset"
        assert (reply.text, reply.end) == (case.text, "whole" if case.end == "whole" else broken)


# Python 3.10 forgets to mark the transport closed that ended without a closure alert.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_upstream_over_tls_that_breaks_is_broken(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    scripts: list[Script] = [[HEAD + sends("Hi") + WHOLE], [HEAD + sends("Hi"), fin]]
    with FaultServer(scripts, tls=context) as upstream:
        with Served(upstream=upstream.url) as served:
            reply = served.ask()
            assert (reply.status, reply.error["message"]) == (502, "the upstream server's certificate is not trusted")
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        with Served(upstream=upstream.url) as served:
            whole, broken = served.ask(), served.ask()
            assert [(each.text, each.end) for each in (whole, broken)] == [("Hi", "whole"), ("Hi", "cut")]


def test_upstream_that_speaks_no_tls_is_a_502() -> None:
    with (
        FaultServer([[unread, b"HTTP/1.1 400 Bad Request\r\n\r\n", stall]]) as upstream,
        Served(upstream=upstream.url.replace("http", "https")) as served,
    ):
        reply = served.ask()
        assert (reply.status, reply.error["message"]) == (502, "TLS with the upstream server failed")


# The installed program, and this package's own client.


def test_program_tells_failures_too() -> None:
    cases = {case.name: case for case in (*BEFORE_TEXT[:5], *AFTER_TEXT[:3], *AFTER_TEXT[10:14])}
    scripts = by_model({name: case.script for name, case in cases.items()})
    with FaultServer([scripts]) as upstream:
        with Program("--upstream", f"{upstream.url}/v1", "--idle-timeout", "0.3") as program:
            for name, case in cases.items():
                check(case, program.ask(post({"model": name, "prompt": "Hi"})))
            with Client(program.url, retry=1) as client, pytest.raises(APIStatusError, match="too long") as refused:
                client.complete("Hi", model="a 400")
            assert refused.value.status_code == 400
            with Client(program.url, retry=1) as client, pytest.raises(StreamInterruptedError) as broken:
                client.complete("Hi", model="a stall")
            assert broken.value.partial_text == "Hi"
        assert (program.process.returncode, program.out) == (0, "")
        assert "Traceback" not in program.err
