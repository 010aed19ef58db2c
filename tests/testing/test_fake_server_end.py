"""The local server notices who leaves and closes at once, over TLS too: seen through a client that is not ours."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from bare_client import CHAT, FRAMINGS, NEVER, dial, read_all, request

from acytoo_sdk.testing import FakeServer, Fault, Framing, Gate

pytestmark = pytest.mark.usefixtures("nothing_stays_for_a_moment")


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


# Leaving and closing


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


def test_a_pause_over_tls_may_end_to_the_nanosecond(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a receive within a timeout ends as one that must not wait."""
    receive = ssl.SSLSocket.recv

    def receive_in_no_time(sock: ssl.SSLSocket, *arguments: int) -> bytes:
        if sock.server_side and sock.gettimeout():
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
        return receive(sock, *arguments)

    monkeypatch.setattr(ssl.SSLSocket, "recv", receive_in_no_time)
    with (
        FakeServer(["Hel", "lo"], framing="close", tls=server_tls) as server,
        dial(server) as plain,
        client_tls.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(request(CHAT))
        assert read_all(client).endswith(b"Hello")


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


# What cannot be accepted

STARVED = """
import resource, sys
from acytoo_sdk.testing import FakeServer

with FakeServer("Hello") as server:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    print(server.url, flush=True)
    server.wait_until(lambda: server.errors, timeout=10)
    print("starved", flush=True)
    sys.stdin.readline()
print(server.connections, {error.errno for error in server.errors})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="bounds on descriptors are POSIX's")
def test_the_server_goes_on_when_it_had_no_descriptor_left() -> None:
    command = [sys.executable, "-c", STARVED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = ("127.0.0.1", int(process.stdout.readline().rpartition(":")[2]))
            with contextlib.ExitStack() as stack:
                for _ in range(30):
                    stack.enter_context(socket.create_connection(address, timeout=10))
                assert process.stdout.readline() == "starved\n"
            with socket.create_connection(address, timeout=10) as sock:
                sock.sendall(request(CHAT, "connection: close"))
                assert b"Hello" in read_all(sock)
            assert process.communicate("\n", timeout=10)[0] == f"31 {{{errno.EMFILE}}}\n"
        finally:
            process.kill()


def test_a_server_without_descriptors_says_so_once_waits_and_closes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    tried_thrice = threading.Event()

    def accept(listener: socket.socket) -> None:
        tries.append(time.monotonic())
        if len(tries) == 3:
            tried_thrice.set()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket.socket, "accept", accept)
    server = FakeServer().start()
    assert tried_thrice.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # close() warns if it gave up on a thread
        server.close()
    assert [str(error) for error in server.errors] == ["[Errno 24] Too many open files"]  # once, though it lasted
    assert tries[2] - tries[0] > 0.1  # and it does not keep the machine busy


def test_a_client_that_left_before_it_was_accepted_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    accept, left = socket.socket.accept, iter(range(1000))

    def aborted_at_first(listener: socket.socket) -> tuple[socket.socket, Any]:
        if next(left, None) is not None:
            raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", aborted_at_first)
    with FakeServer("Hello") as server, dial(server, request(CHAT, "connection: close")) as sock:
        assert b"Hello" in read_all(sock)
    assert server.errors == []


# TLS


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
