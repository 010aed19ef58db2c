"""The server stays up: whoever is slow, silent, gone or too many costs the others nothing, and its end is orderly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import select
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from fault_server import FaultServer, Script, fin, flood, held, pause, rst, stall, told, wait_for
from raw_client import RawClient, Reply, head, post
from scripted_upstream import END, HEAD, STOP, WHOLE, answer, arrived, by_model, chunk, delta, sends, until_stuck
from served import Program, Served

from acytoo_sdk import AcytooError, AsyncClient, Client
from acytoo_sdk.server.listener import Listener

# Clients that leave.

LEAVING: dict[str, list[bytes]] = {
    "before the head": [],
    "before the first text": [HEAD],
    "after the first text": [HEAD + sends("Hi")],
    "in the middle of a character": [HEAD + sends(b'{"choices": [{"delta": {"content": "\\ud83d"}}]}')],
}


@pytest.mark.parametrize("when", LEAVING)
@pytest.mark.parametrize("how", [fin, rst], ids=["closing", "resetting"])
def test_upstream_is_left_as_soon_as_the_client_has_left(when: str, how: object) -> None:
    there = threading.Event()
    with FaultServer([[*LEAVING[when], told(there), stall]]) as upstream, Served(upstream=upstream.url) as served:
        with RawClient(served.port) as client:
            client.send(post())
            assert there.wait(5.0)
            if "after" in when:
                assert client.read_chunk(client.read_head(Reply())) == b"Hi"
            if how is rst:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert upstream.wait_until(lambda: not upstream.open_connections)
        (line,) = served.log.wait()
        assert line.endswith("s client left")


def test_upstream_that_sends_and_sends_is_left_too() -> None:
    with FaultServer([[HEAD, flood(sends("x" * 1000))]]) as upstream, Served(upstream=upstream.url) as served:
        with RawClient(served.port) as client:
            client.send(post())
            client.read_chunk(client.read_head(Reply()))
        assert upstream.wait_until(lambda: not upstream.open_connections)


def test_signs_of_life_behind_a_finished_text_do_not_keep_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.upstream._AFTER_FINISH_SECONDS", 0.2)
    pings = flood(chunk(b": ping\n\n"), gap=0.02)
    with (
        FaultServer([[HEAD + sends("Hi", delta(None, "stop")), pings]]) as upstream,
        Served(upstream=upstream.url) as served,
    ):
        assert served.ask(post()).text == "Hi"


@pytest.mark.parametrize(("secure", "connections"), [(True, 2), (False, 5)])
def test_connection_to_the_upstream_is_used_again_over_tls_and_after_a_whole_reply_only(
    secure: bool, connections: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acytoo_sdk.server.upstream._AFTER_DONE_SECONDS", 5.0)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    whole: Script = [HEAD + sends("Hi") + STOP, pause(0.02), END]
    scripts: list[Script] = [
        *[whole] * 3,
        [HEAD + sends("Hi", {"error": "oh"}), stall],
        [HEAD + sends("Hi") + WHOLE],
    ]
    with (
        FaultServer(scripts, tls=tls if secure else None) as upstream,
        Served(upstream=upstream.url) as served,
        RawClient(served.port) as client,
    ):
        assert [client.ask(post()).end for _ in range(4)] == ["whole", "whole", "whole", "cut"]
        assert served.ask().end == "whole"
        assert upstream.connections == connections


# Slow clients.


def test_upstream_of_a_client_that_reads_nothing_is_read_no_further() -> None:
    """Its clock stands still meanwhile: it is not the one that is slow."""
    counts: list[int] = []
    stuck, gate = threading.Event(), threading.Event()
    piece = sends("x" * 1000)
    script: Script = [HEAD, arrived, until_stuck(piece, counts), told(stuck), held(gate), fin]
    with (
        FaultServer([script, [HEAD + sends("Hi") + WHOLE]]) as upstream,
        Served(upstream=upstream.url, idle_timeout=0.2) as served,
        RawClient(served.port, receive_buffer=4096) as slow,
    ):
        slow.send(post())
        assert stuck.wait(20.0)  # it was silent for longer than it may be, as far as this server reads
        assert served.ask().text == "Hi"
        assert served.log.wait(1) == served.log.lines[:1]
        assert len(served.log.lines) == 1
        gate.set()
        reply = slow.read_reply()
        assert (reply.status, reply.end) == (200, "cut")
        assert len(reply.body) >= counts[0] // len(piece) * 1000


def test_client_that_takes_nothing_for_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.app.STALL_SECONDS", 0.2)
    with (
        FaultServer([[HEAD, flood(sends("x" * 1000))]]) as upstream,
        Served(upstream=upstream.url) as served,
        RawClient(served.port, receive_buffer=4096) as slow,
    ):
        slow.send(post())
        served.log.wait_for("client left")
        assert upstream.wait_until(lambda: not upstream.open_connections)


# Limits on the upstream's silence.


def test_comments_are_signs_of_life() -> None:
    lively: Script = [step for _ in range(8) for step in (chunk(b": still here\n\n"), pause(0.1))]
    with (
        FaultServer([[HEAD, *lively, sends("Hi"), WHOLE]]) as upstream,
        Served(upstream=upstream.url, first_byte_timeout=0.5, idle_timeout=0.5) as served,
    ):
        assert served.ask().text == "Hi"


def test_silence_within_its_limit_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.upstream._LOOK_SECONDS", 0.01)
    with (
        FaultServer([[HEAD, pause(0.1), sends("Hi"), pause(0.1), WHOLE]]) as upstream,
        Served(upstream=upstream.url) as served,
    ):
        assert served.ask().text == "Hi"


# Many streams.


def test_more_streams_than_may_be_are_told_to_come_again() -> None:
    gate = threading.Event()
    script: Script = [HEAD + sends("Hi"), held(gate), WHOLE]
    with (
        FaultServer([script]) as upstream,
        Served(upstream=upstream.url, max_streams=2) as served,
        RawClient(served.port) as one,
        RawClient(served.port) as other,
    ):
        for client in (one, other):
            client.send(post())
            assert client.read_chunk(client.read_head(Reply())) == b"Hi"
        refused = served.ask()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (refused.error["type"], len(upstream.requests)) == ("server_error", 2)
        assert served.ask(head("GET", "/healthz")).status == 200
        gate.set()
        served.log.wait_for("complete", 2)
        assert served.ask().text == "Hi"


FATES: dict[str, Script] = {
    "whole": [HEAD + sends("Hello") + WHOLE],
    "cut": [HEAD + sends("Hello"), fin],
    "reset": [HEAD + sends("Hello"), arrived, rst],
    "stall": [HEAD + sends("Hello"), stall],
    "error": [HEAD + sends("Hello", {"error": {"message": "oh"}}) + END],
    "ollama": [HEAD + sends("Hello", "") + END],
    "silent": [stall],
    "empty": [HEAD + WHOLE],
    "busy": [answer("429 Busy", b"{}")],
    "page": [answer("200 OK", b"<html>", kind="text/html")],
}
EXPECTED = {
    "whole": ("Hello", "", True),
    "cut": ("Hello", "StreamInterruptedError", False),
    "reset": ("Hello", "StreamInterruptedError", False),
    "stall": ("Hello", "StreamInterruptedError", False),
    "error": ("Hello", "StreamInterruptedError", False),
    "ollama": ("Hello", "StreamInterruptedError", False),
    "silent": ("", "ServerError", False),
    "empty": ("", "ServerError", False),
    "busy": ("", "RateLimitError", False),
    "page": ("", "ServerError", False),
}


def test_100_streams_that_fail_in_every_way_at_once_are_told_apart_by_both_clients() -> None:
    def ask(client: Client, model: str) -> tuple[str, tuple[str, str, bool | None]]:
        stream = client.stream("Hi", model=model)
        error = ""
        try:
            stream.read()
        except AcytooError as caught:
            error = type(caught).__name__
        return model, (stream.text, error, stream.whole)

    async def ask_async(client: AsyncClient, model: str) -> tuple[str, tuple[str, str, bool | None]]:
        stream = client.stream("Hi", model=model)
        error = ""
        try:
            await stream.read()
        except AcytooError as caught:
            error = type(caught).__name__
        return model, (stream.text, error, stream.whole)

    async def ask_all(url: str) -> list[tuple[str, tuple[str, str, bool | None]]]:
        async with AsyncClient(url, retry=1) as client:
            return await asyncio.gather(*(ask_async(client, model) for model in list(FATES) * 5))

    with (
        FaultServer([by_model(FATES)]) as upstream,
        Served(upstream=upstream.url, first_byte_timeout=1.5, idle_timeout=1.0) as served,
    ):
        outcomes: list[tuple[str, tuple[str, str, bool | None]]] = []
        with Client(served.url, retry=1) as client:
            threads = [
                threading.Thread(target=lambda model=model: outcomes.append(ask(client, model)))
                for model in list(FATES) * 5
            ]
            for thread in threads:
                thread.start()
            outcomes += asyncio.run(ask_all(served.url))
            for thread in threads:
                thread.join(10.0)
        assert Counter(outcomes) == dict.fromkeys(EXPECTED.items(), 10)
        served.log.wait(100)


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 16384:
        pytest.skip("this machine allows fewer open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 16384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_1000_streams_at_once_come_through_whole() -> None:
    """All are open before the first one ends."""
    count = 1000

    async def converse(served: Served, opened: asyncio.Event) -> list[bytes]:
        waiting: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request_head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", request_head, re.IGNORECASE)
            assert length
            await reader.readexactly(int(length[1]))  # else the end would be a reset
            writer.write(HEAD + sends("Hel"))
            waiting.append(writer)
            if len(waiting) == count:
                opened.set()
            await opened.wait()
            writer.write(sends("lo") + WHOLE)
            await writer.drain()
            writer.close()

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(connection="close"))
            reply = await reader.read(-1)
            writer.close()
            await writer.wait_closed()
            return reply

        listening = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
        try:
            return await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(count))), 40.0)
        finally:
            listening.close()

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Served(upstream=f"http://127.0.0.1:{port}") as served:
        replies = asyncio.run(converse(served, asyncio.Event()))
        ends = Counter(line.split(" s ")[1] for line in served.log.wait(count))
        assert ends == {"complete": count}
        bodies = {reply.partition(b"\r\n\r\n")[2] for reply in replies}
        assert bodies <= {b"3\r\nHel\r\n2\r\nlo\r\n0\r\n\r\n", b"5\r\nHello\r\n0\r\n\r\n"}


# Idle connections, and slow heads.


@pytest.mark.usefixtures("many_files")
def test_request_is_served_in_spite_of_3000_idle_connections_which_are_bounded() -> None:
    with contextlib.ExitStack() as stack, Served(max_streams=100) as served:
        for number in range(3000):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            if number % 2:
                idle.sendall(b"POST /api HTTP/1.1\r\nhost: 127.0.0.1\r\nx")
        assert served.ask().status == 200
        assert wait_for(lambda: served.run(lambda: len(served.connections)) <= 1101)


def test_longest_idle_connection_makes_room_and_busy_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.app._SPARE_CONNECTIONS", 1)
    gate = threading.Event()
    with (
        FaultServer([[HEAD + sends("Hi"), held(gate), WHOLE]]) as upstream,
        Served(upstream=upstream.url, max_streams=2) as served,
        RawClient(served.port) as busy,
        contextlib.ExitStack() as stack,
    ):
        busy.send(post())
        reply = busy.read_head(Reply())
        assert busy.read_chunk(reply) == b"Hi"
        idle = [stack.enter_context(RawClient(served.port)) for _ in range(4)]
        assert idle[0].is_closed()
        assert idle[3].ask(head("GET", "/healthz")).status == 200
        gate.set()
        assert busy.read_chunk(reply) == b""
        assert idle[1].is_closed()  # for the one that was busy


def test_connection_that_was_used_a_moment_ago_is_not_the_longest_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.app._SPARE_CONNECTIONS", 1)
    with Served(max_streams=1) as served, contextlib.ExitStack() as stack:
        used, unused = (stack.enter_context(RawClient(served.port)) for _ in range(2))
        assert used.ask(post()).end == "whole"
        served.log.wait()
        stack.enter_context(RawClient(served.port))
        assert unused.is_closed()
        assert used.ask(post()).end == "whole"


def test_few_open_files_bound_idle_connections_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (9, 9))
    with Served() as served, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(RawClient(served.port)) for _ in range(4)]
        assert idle[0].is_closed()


@pytest.mark.parametrize("said", [b"", b"POST /api HTTP/1.1\r\nhost: 127."])
def test_connection_without_a_whole_head_is_ended(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.listener._IDLE_SECONDS", 0.2)
    with Served() as served, RawClient(served.port) as client:
        client.send(said)
        assert client.is_closed()


def test_connection_that_is_not_used_again_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.listener._IDLE_SECONDS", 0.2)
    with Served() as served, RawClient(served.port) as client:
        assert client.ask(post()).end == "whole"
        assert client.is_closed()


# The end.


def test_replies_may_end_and_nobody_else_gets_in() -> None:
    gate = threading.Event()
    with (
        FaultServer([[HEAD + sends("Hi"), held(gate), sends(" you") + WHOLE]]) as upstream,
        Served(upstream=upstream.url, grace=20.0) as served,
        RawClient(served.port) as busy,
        RawClient(served.port) as idle,
        RawClient(served.port) as uploading,
    ):
        uploading.send(post()[:-1])
        busy.send(post())
        reply = busy.read_head(Reply())
        assert busy.read_chunk(reply) == b"Hi"
        done = served.end()
        assert idle.is_closed()
        assert uploading.is_closed()
        with pytest.raises(OSError, match=r"refused|reset"):
            RawClient(served.port)
        gate.set()
        assert busy.read_chunk(reply) == b" you"
        assert busy.read_chunk(reply) == b""
        assert busy.is_closed()
        assert done.wait(5.0)
        assert [line.split(" s ")[1] for line in served.log.lines] == ["cut at the end of the server", "complete"]


@pytest.mark.parametrize(("version", "end"), [("1.1", "cut"), ("1.0", "reset")])
@pytest.mark.parametrize("twice", [False, True], ids=["grace is over", "told twice"])
def test_reply_that_does_not_end_is_cut_as_broken(version: str, end: str, twice: bool) -> None:
    with (
        FaultServer([[HEAD + sends("Hi"), stall]]) as upstream,
        Served(upstream=upstream.url, grace=60.0 if twice else 0.1) as served,
        RawClient(served.port) as client,
    ):
        client.send(post(version=version))
        assert upstream.wait_until(lambda: bool(upstream.requests))
        wait_for(lambda: bool(select.select([client.socket], [], [], 0)[0]))
        done = served.end()
        if twice:
            served.end_at_once()
        reply = client.read_reply()
        assert (reply.text, reply.end) == ("Hi", end)
        assert done.wait(5.0)
        assert upstream.wait_until(lambda: not upstream.open_connections)
        assert served.log.wait()[0].endswith("cut at the end of the server")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_end_does_not_wait_for_a_client_that_reads_nothing(version: str) -> None:
    stuck = threading.Event()
    script: Script = [HEAD, arrived, until_stuck(sends("x" * 1000), []), told(stuck), stall]
    with (
        FaultServer([script]) as upstream,
        Served(upstream=upstream.url, grace=0.0) as served,
        RawClient(served.port, receive_buffer=4096) as slow,
    ):
        slow.send(post(version=version))
        assert stuck.wait(20.0)
        assert served.end().wait(10.0)
        assert slow.read_reply().end == ("cut" if version == "1.1" else "reset")


def test_question_at_the_last_moment_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ending = threading.Event(), threading.Event()

    async def read(*_: object) -> bytes:
        asked.set()
        while not ending.is_set():
            await asyncio.sleep(0.001)
        return b'{"prompt": "Hi"}'

    monkeypatch.setattr("acytoo_sdk.server.app.Server._read_body", read)
    monkeypatch.setattr(Listener, "close_when_idle", lambda self: ending.set())
    with Served(grace=5.0) as served, RawClient(served.port) as client:
        client.send(post())
        assert asked.wait(5.0)
        served.end()
        assert client.read_reply().status == 503


def test_signals_end_the_program_with_success() -> None:
    """Both kinds, in turn; the second one ends it at once."""
    gate = threading.Event()
    with FaultServer([[HEAD + sends("Hi"), held(gate), WHOLE], [HEAD + sends("Hi"), stall]]) as upstream:
        options = ("--upstream", upstream.url, "--grace", "60")
        for first, second in ((signal.SIGTERM, None), (signal.SIGINT, signal.SIGTERM)):
            with Program(*options) as program, RawClient(program.port) as client, RawClient(program.port) as idle:
                client.send(post())
                assert client.read_chunk(client.read_head(Reply())) == b"Hi"
                program.process.send_signal(first)
                assert idle.is_closed()
                if second is None:
                    gate.set()
                    assert client.read_chunk(Reply()) == b""
                else:
                    program.process.send_signal(second)
                    with pytest.raises(EOFError):
                        client.read_chunk(Reply())
                assert program.process.wait(10.0) == 0
            assert program.out == ""
            assert program.err.splitlines()[2].split(" s ")[1] == (
                "cut at the end of the server" if second else "complete"
            )


def test_stderr_that_nobody_reads_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    try:
        with Program("--pause", "0", stderr=writing) as program:
            for _ in range(3):
                assert program.ask().status == 200
        assert program.process.returncode == 0
    finally:
        os.close(reading)
        os.close(writing)
