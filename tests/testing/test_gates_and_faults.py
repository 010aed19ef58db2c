"""The local server waits at its gates and goes wrong on request: seen through a client that is not ours."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
from dataclasses import replace

import pytest
from bare_client import FRAMINGS, NEVER, answer, ask, chunks, connected, dial, raw, read_all, request

from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Framing, Gate

pytestmark = pytest.mark.usefixtures("nothing_stays_for_a_moment")


# Gates


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


# Faults


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
