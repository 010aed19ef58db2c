"""TLS inside TLS: a server that speaks it, behind a proxy that does, is the same to a caller as one without a proxy."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from fault_server import Connection, FaultServer, Script, fin, stall, unread, wait_for
from local_proxy import http_proxy, leave, read_head

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    AsyncStream,
    Client,
    Stream,
    StreamCancelledError,
    StreamInterruptedError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault, Framing

PIECES = ["Hel", "lo ", "you"]
FRAMINGS: tuple[Framing, ...] = ("chunked", "one-chunk", "length", "close")
Outcome = tuple[str, "type[AcytooError] | None", "bool | None", "str | None"]


class Trust:
    """An authority, and a server's context for loopback."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.bundle)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@contextlib.contextmanager
def proxied(trust: Trust, server: FakeServer) -> Iterator[FaultServer]:
    """A proxy that speaks TLS, before a server that does."""
    seen: list[bytes] = []
    with FaultServer([http_proxy(server.url, seen, tls=True)], tls=trust.context) as proxy:
        yield proxy
    assert all(head.startswith(b"CONNECT ") for head in seen)


def read(
    flavour: str,
    url: str,
    *,
    calls: int = 1,
    begun: Callable[[Stream | AsyncStream], object] = lambda stream: None,
    meanwhile: Callable[[Stream | AsyncStream], object] = lambda stream: None,
    **options: Any,
) -> list[Outcome]:
    """What comes of some calls, one after the other, by one client; something happens before, and at each piece."""
    outcomes: list[Outcome] = []

    def note(stream: Stream | AsyncStream, error: AcytooError | None) -> None:
        assert error is None or error.partial_text == stream.text
        phase = getattr(error, "phase", None)
        outcomes.append((stream.text, None if error is None else type(error), stream.whole, phase))

    def read_blocking() -> None:
        with Client(url, **options) as client:
            for _ in range(calls):
                stream = client.stream("Hi")
                begun(stream)
                try:
                    for _ in stream:
                        meanwhile(stream)
                except AcytooError as error:
                    note(stream, error)
                else:
                    note(stream, None)

    async def read_async() -> None:
        async with AsyncClient(url, **options) as client:
            for _ in range(calls):
                stream = client.stream("Hi")
                begun(stream)
                try:
                    async for _ in stream:
                        meanwhile(stream)
                except AcytooError as error:
                    note(stream, error)
                else:
                    note(stream, None)

    read_blocking() if flavour == "blocking" else anyio.run(read_async, backend=flavour)
    return outcomes


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_whole_reply_comes_through_and_is_known_to_be_whole(framing: Framing, flavour: str, trust: Trust) -> None:
    with FakeServer(PIECES, framing=framing, pause=0, tls=trust.context) as server, proxied(trust, server) as proxy:
        outcomes = read(flavour, server.url, proxy=proxy.url, verify=trust.bundle)
        assert outcomes == read(flavour, server.url, verify=trust.bundle) == [("Hello you", None, True, None)]


def test_a_connection_is_kept_and_serves_again(flavour: str, trust: Trust) -> None:
    with FakeServer(PIECES, pause=0, tls=trust.context) as server, proxied(trust, server) as proxy:
        outcomes = read(flavour, server.url, calls=3, proxy=proxy.url, verify=trust.bundle)
        assert outcomes == [("Hello you", None, True, None)] * 3
        assert (proxy.connections, server.connections, len(server.requests)) == (1, 1, 3)


def test_a_kept_connection_that_ended_meanwhile_is_replaced(trust: Trust) -> None:
    kept = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello"
    with FakeServer(PIECES, faults=[Fault.raw(kept)], tls=trust.context) as server, proxied(trust, server) as proxy:
        with Client(server.url, proxy=proxy.url, verify=trust.bundle, retry=1) as client:
            assert client.complete("Hi") == "Hello"
            assert proxy.wait_until(lambda: not proxy.open_connections)
            assert client.complete("Hi") == "Hello you"
        assert (proxy.connections, server.connections) == (2, 2)


@pytest.mark.parametrize("framing", FRAMINGS[:-1])
@pytest.mark.parametrize("fault", [Fault.cut(after=1), Fault.reset(after=1)], ids=["cut", "reset"])
def test_a_cut_keeps_the_text_and_is_told_as_without_a_proxy(
    fault: Fault, framing: Framing, flavour: str, trust: Trust
) -> None:
    with (
        FakeServer(PIECES, framing=framing, faults=[fault] * 2, tls=trust.context) as server,
        proxied(trust, server) as proxy,
    ):
        outcomes = read(flavour, server.url, proxy=proxy.url, verify=trust.bundle, retry=1)
        direct = read(flavour, server.url, verify=trust.bundle, retry=1)
        assert outcomes == direct == [("Hel", StreamInterruptedError, False, None)]


def test_a_cut_that_no_framing_and_no_closure_alert_tells_from_an_end_is_left_open(flavour: str, trust: Trust) -> None:
    """The proxy's own alert, outside, says nothing of the server's."""
    with (
        FakeServer(PIECES, framing="close", faults=[Fault.cut(after=1)], tls=trust.context) as server,
        proxied(trust, server) as proxy,
    ):
        outcomes = read(flavour, server.url, proxy=proxy.url, verify=trust.bundle, retry=1)
        assert outcomes == [("Hel", None, None, None)]


@pytest.mark.parametrize("framing", ["length", "close"])
def test_what_had_arrived_when_time_ran_out_is_handed_out(framing: Framing, flavour: str, trust: Trust) -> None:
    """The caller's own pauses count into `total`."""
    pieces = ["Hel", "lo ", "you"]
    with (
        FakeServer(pieces, framing=framing, pause=0, faults=[Fault.stall(after=2)] * 2, tls=trust.context) as server,
        proxied(trust, server) as proxy,
    ):

        def pause(stream: Stream | AsyncStream) -> None:
            if len(stream.text) == 3:
                time.sleep(0.6)

        through = read(flavour, server.url, meanwhile=pause, proxy=proxy.url, verify=trust.bundle, timeout=0.5, retry=1)
        direct = read(flavour, server.url, meanwhile=pause, verify=trust.bundle, timeout=0.5, retry=1)
        assert through == direct == [("Hello ", APITimeoutError, False, "total")]


@pytest.mark.parametrize(("limit", "after"), [("first_byte", 0), ("idle", 1), ("total", 0), ("total", 1)])
def test_limits_hold(limit: str, after: int, flavour: str, trust: Trust) -> None:
    with (
        FakeServer(PIECES, faults=[Fault.stall(after=after)], tls=trust.context) as server,
        proxied(trust, server) as proxy,
    ):
        timeout = Timeout(**{limit: 0.4})
        began = time.monotonic()
        outcomes = read(flavour, server.url, proxy=proxy.url, verify=trust.bundle, timeout=timeout, retry=1)
        assert 0.4 <= time.monotonic() - began < 4
        assert outcomes == [("Hel" * after, APITimeoutError, False, limit)]
        server.wait_until(lambda: not server.open_connections)


@pytest.mark.parametrize("untrusted", ["the proxy", "the server"])
def test_a_certificate_that_is_not_trusted_is_told_by_whose_it_is(untrusted: str, trust: Trust, tmp_path: Path) -> None:
    stranger = Trust(tmp_path)
    of_proxy, of_server = (stranger, trust) if untrusted == "the proxy" else (trust, stranger)
    with FakeServer(PIECES, tls=of_server.context) as server, proxied(of_proxy, server) as proxy:
        port = proxy.port if untrusted == "the proxy" else server.url.rpartition(":")[2]
        with (
            Client(server.url, proxy=proxy.url, verify=trust.bundle) as client,
            pytest.raises(APIConnectionError, match=f"certificate of 127.0.0.1:{port} is not to be trusted") as caught,
        ):
            client.complete("Hi")
        assert not caught.value.retryable
        assert (proxy.connections, len(server.requests)) == (1, 0)


def tunnelling_to(*steps: Callable[[Connection], None]) -> Script:
    """A proxy that makes a tunnel, at whose end there is no server."""

    def step(connection: Connection) -> None:
        read_head(connection.socket)
        connection.socket.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

    return [unread, step, *steps]


def test_the_handshake_inside_meets_the_connect_limit(flavour: str, trust: Trust) -> None:
    with FaultServer([tunnelling_to(stall)], tls=trust.context) as proxy:
        timeout = Timeout(connect=0.3)
        began = time.monotonic()
        outcomes = read(flavour, "https://127.0.0.1:1", proxy=proxy.url, verify=trust.bundle, timeout=timeout, retry=1)
        assert 0.3 <= time.monotonic() - began < 4
        assert outcomes == [("", APITimeoutError, False, "connect")]
        assert proxy.wait_until(lambda: not proxy.open_connections)


@pytest.mark.parametrize("how", [leave, fin])
def test_a_proxy_that_ends_the_handshake_inside_is_told_of(
    how: Callable[[Connection], None], flavour: str, trust: Trust
) -> None:
    with FaultServer([tunnelling_to(how)], tls=trust.context) as proxy:
        outcomes = read(flavour, "https://127.0.0.1:1", proxy=proxy.url, verify=trust.bundle, retry=1)
        assert outcomes == [("", APIConnectionError, False, None)]


@pytest.mark.parametrize("after", [0, 1])
def test_cancel_wakes_who_waits(after: int, flavour: str, trust: Trust) -> None:
    fault = Fault.no_head() if after == 0 else Fault.stall(after=after)
    cancelled: list[float] = []
    cancelling: list[threading.Thread] = []
    with FakeServer(PIECES, faults=[fault], tls=trust.context) as server, proxied(trust, server) as proxy:

        def cancel_soon(stream: Stream | AsyncStream) -> None:
            def cancel() -> None:
                assert wait_for(lambda: len(server.requests) == 1 and stream.text == "Hel" * after)
                time.sleep(0.05)
                cancelled.append(time.monotonic())
                stream.cancel()

            cancelling.append(threading.Thread(target=cancel))
            cancelling[0].start()

        outcomes = read(flavour, server.url, begun=cancel_soon, proxy=proxy.url, verify=trust.bundle)
        assert time.monotonic() - cancelled[0] < 1
        cancelling[0].join()
        assert outcomes == [("Hel" * after, StreamCancelledError, False, None)]
        server.wait_until(lambda: not server.open_connections)
        assert proxy.wait_until(lambda: not proxy.open_connections)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_cancel_lets_nothing_out_but_the_text_before_it(framing: Framing, flavour: str, trust: Trust) -> None:
    pieces = ["x" * 4096] * 500
    with FakeServer(pieces, framing=framing, pause=0, tls=trust.context) as server, proxied(trust, server) as proxy:

        def cancel_early(stream: Stream | AsyncStream) -> None:
            if len(stream.text) > 10_000:
                stream.cancel()

        outcomes = read(
            flavour, server.url, calls=4, meanwhile=cancel_early, proxy=proxy.url, verify=trust.bundle, retry=1
        )
        for text, error, whole, _ in outcomes:
            assert (error, whole) == (StreamCancelledError, False)
            assert set(text) == {"x"}
            assert len(text) < sum(map(len, pieces))
