"""However a call is interrupted, wherever it is, it ends at once, and nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from fault_server import Connection, FaultServer, Script, raw, stall

from acytoo_sdk import (
    AcytooError,
    Client,
    InvalidRequestError,
    RetryPolicy,
    Stream,
    StreamCancelledError,
    Timeout,
)
from acytoo_sdk._network.pool import Pool
from acytoo_sdk.testing import FakeServer, Fault, Framing, Gate

AT_ONCE = 1.0
"""Seconds; what is promised is 0.5, on a machine that does nothing else."""
PIECES = ["Hel", "lo ", "you"]
UNLIMITED = RetryPolicy(attempts=5, wait_initial=3600, wait_max=3600)


@contextlib.contextmanager
def blackhole() -> Iterator[str]:
    """An address at which no connection comes about: the listener's queue is full, and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as fillers:
        address = listener.getsockname()
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


@contextlib.contextmanager
def connecting() -> Iterator[str]:
    with blackhole() as url:
        yield url


@contextlib.contextmanager
def waiting_for_the_head() -> Iterator[str]:
    with FakeServer(faults=[Fault.no_head()] * 9) as server:
        yield server.url


@contextlib.contextmanager
def waiting_for_the_first_text() -> Iterator[str]:
    with FakeServer(faults=[Fault.stall(after=0)] * 9) as server:
        yield server.url


@contextlib.contextmanager
def backing_off() -> Iterator[str]:
    with FakeServer(faults=[Fault.status(503)] * 9) as server:
        yield server.url


@contextlib.contextmanager
def shaking_hands() -> Iterator[str]:
    with FaultServer([[raw, stall]]) as server:
        yield server.url.replace("http", "https")


WHERE = [connecting, shaking_hands, waiting_for_the_head, waiting_for_the_first_text, backing_off]


class Reader:
    """A thread that reads a stream, and what became of it."""

    def __init__(self, stream: Stream) -> None:
        self.error: BaseException | None = None
        self.ended = 0.0
        self._stream = stream
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._stream.read()
        except BaseException as error:
            self.error = error
        self.ended = time.monotonic()

    def join(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


def wait_until(predicate: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def let_it_wait(stream: Stream) -> None:
    """Until the stream's reader has begun, and then long enough to be where it waits, most of the time."""
    wait_until(lambda: stream.stats.attempts)
    time.sleep(0.1)


# From another thread


@pytest.mark.parametrize("how", ["cancel", "close", "client.close"])
@pytest.mark.parametrize("where", WHERE)
def test_a_waiting_reader_wakes_at_once(where: Callable[[], contextlib.AbstractContextManager[str]], how: str) -> None:
    with where() as url, Client(url, retry=UNLIMITED, timeout=Timeout(connect=60), verify=False) as client:
        stream = client.stream("Hi")
        reader = Reader(stream)
        let_it_wait(stream)
        began = time.monotonic()
        {"cancel": stream.cancel, "close": stream.close, "client.close": client.close}[how]()
        assert time.monotonic() - began < AT_ONCE, "and so does who ends it"
        reader.join()
        assert reader.ended - began < AT_ONCE
        assert type(reader.error) is StreamCancelledError
        assert reader.error.partial_text == ""
        assert stream.stats.attempts == 1, "not retried"
        assert list(stream) == [], "told once"


@pytest.mark.parametrize("framing", ["chunked", "one-chunk", "length", "close"])
def test_cancel_while_reading_keeps_the_text(framing: Framing) -> None:
    with (
        FakeServer(PIECES, framing=framing, faults=[Fault.stall(after=2)]) as server,
        Client(server.url) as client,
    ):
        stream = client.stream("Hi")
        reader = Reader(stream)
        wait_until(lambda: stream.text == "Hello ")
        began = time.monotonic()
        stream.cancel()
        reader.join()
        assert reader.ended - began < AT_ONCE
        assert isinstance(reader.error, StreamCancelledError)
        assert reader.error.partial_text == stream.text == "Hello "
        assert stream.whole is False
        server.wait_until(lambda: server.open_connections == 0)
        assert len(server.requests) == 1


def test_nothing_grows_after_cancel_has_returned() -> None:
    with FakeServer(["x"] * 100_000, pause=0) as server, Client(server.url) as client:
        for _ in range(20):
            stream = client.stream("Hi")
            reader = Reader(stream)
            wait_until(lambda stream=stream: stream.text)  # type: ignore[misc]
            stream.cancel()
            text = stream.text
            reader.join()
            assert isinstance(reader.error, StreamCancelledError)
            assert stream.text == text == reader.error.partial_text


def test_cancel_at_any_moment_ends_in_the_text_so_far() -> None:
    """Races on purpose: whatever comes first, it is the whole reply, or a cancellation."""
    with FakeServer(PIECES, pause=0) as server, Client(server.url) as client:
        for number in range(100):
            stream = client.stream("Hi")
            reader = Reader(stream)
            if number % 4:
                wait_until(lambda stream=stream, number=number: len(stream.text) >= number % 4)  # type: ignore[misc]
            stream.cancel()
            reader.join()
            if reader.error is None:
                assert (stream.text, stream.whole) == ("Hello you", True)
            else:
                assert isinstance(reader.error, StreamCancelledError)
                assert "Hello you".startswith(stream.text)
        assert client.complete("Hi") == "Hello you"


def test_closing_the_client_at_any_moment_leaves_nothing_running() -> None:
    for number in range(40):
        with FakeServer(PIECES, faults=[Fault.stall(after=number % 3)] * 20) as server:
            client = Client(server.url)
            streams = [client.stream("Hi") for _ in range(4)]
            readers = [Reader(stream) for stream in streams]
            if number % 2:
                wait_until(lambda streams=streams: any(stream.stats.attempts for stream in streams))  # type: ignore[misc]
            client.close()
            for reader in readers:
                reader.join()
                assert type(reader.error).__name__ in ("StreamCancelledError", "ClientClosedError")
            server.wait_until(lambda server=server: server.open_connections == 0)  # type: ignore[misc]


def test_one_stream_in_two_threads_is_an_error_in_the_second_alone() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        reader = Reader(stream)
        gate.wait_until_waiting()
        with pytest.raises(InvalidRequestError, match="another thread") as caught:
            next(stream)
        assert isinstance(caught.value, AcytooError)
        gate.open()
        reader.join()
        assert reader.error is None
        assert stream.text == "Hello you"


# Between pieces, before and after


def test_cancel_before_the_first_next_sends_nothing_and_is_told_once() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        stream.cancel()
        stream.cancel()
        with pytest.raises(StreamCancelledError):
            next(stream)
        assert list(stream) == []
        assert server.connections == 0


def test_cancel_between_the_start_and_the_connection_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment at which there is no socket yet that could be shut down."""
    transport = Pool.transport
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")

        def cancelled_meanwhile(pool: Pool) -> object:
            stream.cancel()
            return transport(pool)

        monkeypatch.setattr(Pool, "transport", cancelled_meanwhile)
        with pytest.raises(StreamCancelledError):
            next(stream)
        assert server.connections == 0


def test_cancel_between_pieces_closes_the_connection_now_and_is_told_once() -> None:
    seen = threading.Event()

    def hold(connection: Connection) -> None:
        seen.wait(10)

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nHel"
    script: Script = [head, hold, stall]
    with FaultServer([script]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert next(stream) == "Hel"
        before = sockets()
        stream.cancel()
        assert len(before - sockets()) == 1, "the descriptor is free again, and not by the server's doing"
        seen.set()
        assert server.wait_until(lambda: server.open_connections == 0)
        stream.cancel()
        with pytest.raises(StreamCancelledError) as caught:
            next(stream)
        assert caught.value.partial_text == stream.text == "Hel"
        assert list(stream) == []
        stream.cancel()
        assert list(stream) == []


def sockets() -> set[str]:
    links = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {link for link in links if link.startswith("socket:")}


def test_cancel_after_the_end_changes_nothing() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert stream.read() == "Hello you"
        stream.cancel()
        assert list(stream) == []
        assert stream.whole is True
        client.complete("Hi")
        assert server.connections == 1, "and its connection serves the next call"


def test_an_exception_in_the_loop_closes_the_connection() -> None:
    def consume(client: Client) -> None:
        for _ in client.stream("Hi"):
            raise KeyError("the caller's own")

    with FakeServer(PIECES, faults=[Fault.stall(after=1)]) as server, Client(server.url) as client:
        try:
            consume(client)
        except KeyError:
            pass
        server.wait_until(lambda: server.open_connections == 0)


# Ctrl-C


pressed: list[float] = []


@contextlib.contextmanager
def ctrl_c(ready: Callable[[], object]) -> Iterator[None]:
    """Presses Ctrl-C once the main thread is ready, and waits there; notes when."""

    def press() -> None:
        wait_until(ready)
        time.sleep(0.1)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    pressed.clear()
    thread = threading.Thread(target=press)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("where", WHERE)
def test_ctrl_c_comes_out_at_once_and_is_not_retried(
    where: Callable[[], contextlib.AbstractContextManager[str]],
) -> None:
    with where() as url, Client(url, retry=UNLIMITED, timeout=Timeout(connect=60), verify=False) as client:
        stream = client.stream("Hi")
        with ctrl_c(lambda: stream.stats.attempts), pytest.raises(KeyboardInterrupt):
            next(stream)
        assert time.monotonic() - pressed[0] < AT_ONCE
        assert stream.stats.attempts == 1
        assert list(stream) == []


def test_ctrl_c_while_reading_keeps_the_text_and_closes_the_connection() -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=2)]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        with ctrl_c(lambda: stream.text == "Hello "), pytest.raises(KeyboardInterrupt):
            stream.read()
        assert time.monotonic() - pressed[0] < AT_ONCE
        assert stream.text == "Hello "
        server.wait_until(lambda: server.open_connections == 0)
        assert client.complete("Hi") == "Hello you"


# The interpreter's end

SCRIPT = """
    import sys, threading
    from acytoo_sdk import Client, RetryPolicy
    from acytoo_sdk.testing import FakeServer, Fault
    server = FakeServer(["Hel", "lo"], faults=[{fault}]).start()
    client = Client(server.url, retry=RetryPolicy(wait_initial=3600, wait_max=3600))
    {then}
"""
EXITS = {
    "a stream that was begun": ("Fault.stall(after=1)", 'stream = client.stream("Hi"); next(stream)'),
    "a stream in a cycle": (
        "Fault.stall(after=1)",
        'stream = client.stream("Hi"); next(stream); cycle = [stream]; cycle.append(cycle)',
    ),
    "a loop that exits": ("Fault.stall(after=1)", 'for piece in client.stream("Hi"): sys.exit(0)'),
    "a reader in a daemon": (
        "Fault.stall(after=1)",
        'stream = client.stream("Hi"); next(stream); threading.Thread(target=stream.read, daemon=True).start()',
    ),
    "a head awaited in a daemon": (
        "Fault.no_head()",
        'threading.Thread(target=client.complete, args=["Hi"], daemon=True).start(); '
        "server.wait_until(lambda: server.requests)",
    ),
    "a wait in a daemon": (
        "Fault.status(503)",
        'threading.Thread(target=client.complete, args=["Hi"], daemon=True).start(); '
        "server.wait_until(lambda: server.requests)",
    ),
    "idle connections": ("None", 'client.complete("Hi")'),
    "a stream unstarted": ("None", 'stream = client.stream("Hi")'),
}


@pytest.mark.parametrize("what", EXITS)
def test_the_interpreter_exits_at_once_and_silently_with(what: str) -> None:
    fault, then = EXITS[what]
    script = textwrap.dedent(SCRIPT.format(fault=fault, then=then)) + '\nprint("end", flush=True)\n'
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()  # the script's end, or its exit
        began = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 2
        assert process.stderr.read() == ""


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("framing", ["chunked", "one-chunk", "length", "close"])
def test_cancel_over_tls_never_lets_ciphertext_out_as_text(
    framing: Framing, authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    pieces = ["x" * 4096] * 2000
    with (
        FakeServer(pieces, framing=framing, pause=0, tls=context) as server,
        Client(server.url, verify=str(bundle)) as client,
    ):
        for number in range(8):
            stream = client.stream("Hi")
            reader = Reader(stream)
            wait_until(lambda stream=stream, number=number: len(stream.text) > number * 10_000)  # type: ignore[misc]
            stream.cancel()
            reader.join()
            assert isinstance(reader.error, StreamCancelledError)
            assert set(stream.text) == {"x"}
            assert len(stream.text) < sum(map(len, pieces))
