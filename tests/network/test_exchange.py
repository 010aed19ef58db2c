"""One request and its reply, up to the bytes of the body: in each framing, cut, aborted, and mocked."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import responses

from acytoo_sdk import APIConnectionError, APITimeoutError, Timeout
from acytoo_sdk._network.exchange import Exchange
from acytoo_sdk._network.transport import Transport
from acytoo_sdk._secrets import Mask
from acytoo_sdk._wire.framing import FramingError, framing_of, join_headers
from acytoo_sdk.protocol import build_request
from acytoo_sdk.testing import FakeServer, Fault, Framing, Gate

FRAMINGS: tuple[Framing, ...] = ("chunked", "one-chunk", "length", "close")


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(verify=True, proxy="", connections=1)
    yield transport
    transport.close()


def exchange(transport: Transport, url: str, timeout: Timeout | None = None) -> Exchange:
    request = build_request("Hi", base_url=url)
    return Exchange(transport, request, timeout=timeout or Timeout(), deadline=None, mask=Mask())


def head_of(one: Exchange) -> tuple[int, list[tuple[str, str]]]:
    """Sends, and waits for the head."""
    one.send()
    head = one.receive_head()
    assert head is not None, "the socket waits"
    return head


def opened(transport: Transport, url: str) -> Exchange:
    """An exchange whose head has come, and which knows the framing of its body."""
    one = exchange(transport, url)
    status, headers = head_of(one)
    assert status == 200
    one.read_by(framing_of(status, join_headers(headers)))
    return one


def rest(one: Exchange) -> bytes:
    return b"".join(iter(one.receive, None))


@pytest.mark.parametrize("framing", FRAMINGS)
def test_what_arrived_comes_at_once_and_none_at_the_end(transport: Transport, framing: Framing) -> None:
    gate = Gate()
    with FakeServer(["Hel", "lo"], framing=framing, gate=gate, pause=0) as server:
        one = opened(transport, server.url)
        gate.release()
        assert one.receive() == b"Hel"
        unfinished = one.whole
        gate.release()
        assert rest(one) == b"lo"
        assert one.receive() is None
        assert (unfinished, one.whole) == (False, None if framing == "close" else True)
        one.close()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_connection_is_kept_after_a_body_that_its_framing_ends(transport: Transport, framing: Framing) -> None:
    with FakeServer("Hello", framing=framing) as server:
        for _ in range(3):
            one = opened(transport, server.url)
            assert rest(one) == b"Hello"
            one.close()
        assert server.connections == (3 if framing == "close" else 1)


def test_a_connection_is_closed_before_the_end_of_its_body(transport: Transport) -> None:
    with FakeServer(["Hel", "lo"], faults=[Fault.stall(after=1)]) as server:
        one = opened(transport, server.url)
        assert one.receive() == b"Hel"
        one.close()
        server.wait_until(lambda: not server.open_connections)


def test_surplus_bytes_after_a_body_end_its_connection(transport: Transport) -> None:
    surplus = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHelloHTTP/1.1 200 OK\r\n\r\nPOISON"
    with FakeServer("Hello", faults=[Fault.raw(surplus, close=False)]) as server:
        for _ in range(2):
            one = opened(transport, server.url)
            assert rest(one) == b"Hello"
            one.close()
        assert server.connections == 2


def test_a_break_comes_after_the_bytes_before_it_and_leaves_the_body_not_whole(transport: Transport) -> None:
    with FakeServer(["Hel", "lo"], faults=[Fault.cut(after=1)]) as server:
        one = opened(transport, server.url)
        assert one.receive() == b"Hel"
        with pytest.raises(APIConnectionError, match="the connection ended before the reply did"):
            one.receive()
        assert one.whole is False
        one.close()


def test_an_abort_wakes_the_thread_that_waits_for_the_head_and_the_one_that_waits_for_more(
    transport: Transport,
) -> None:
    with FakeServer("Hello", faults=[Fault.no_head(), Fault.stall(after=0)]) as server:
        for requests in (1, 2):
            one = exchange(transport, server.url)

            def receive(one: Exchange) -> None:
                head_of(one)
                one.receive()

            def abort(one: Exchange = one, requests: int = requests) -> None:
                server.wait_until(lambda: len(server.requests) == requests)
                one.abort()

            other = threading.Thread(target=abort)
            other.start()
            with pytest.raises(APIConnectionError, match="cancelled"):
                receive(one)
            other.join()
            assert one.aborted
            one.close()


def test_an_exchange_that_was_aborted_before_it_began_sends_nothing(transport: Transport) -> None:
    with FakeServer("Hello") as server:
        one = exchange(transport, server.url)
        one.abort()
        with pytest.raises(APIConnectionError, match="cancelled"):
            one.send()
        one.close()
        assert (server.connections, server.requests) == (0, [])


def test_a_silent_body_ends_at_its_limit(transport: Transport) -> None:
    with FakeServer(["Hel", "lo"], faults=[Fault.stall(after=1)]) as server:
        one = exchange(transport, server.url, Timeout(idle=0.1))
        head_of(one)
        assert one.receive() is not None
        with pytest.raises(APITimeoutError) as late:
            one.receive()
        assert late.value.phase == "idle"
        one.close()


def test_a_head_that_says_no_certain_length_is_shown_before_it_is_judged(transport: Transport) -> None:
    """The protocol's judgement of the head says more than urllib3's of its lengths, and it is the only one."""
    lengths = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nHello"
    with FakeServer(faults=[Fault.raw(lengths, close=False)]) as server:
        one = exchange(transport, server.url)
        status, headers = head_of(one)
        assert (status, headers) == (200, [("content-length", "3"), ("content-length", "5")])
        with pytest.raises(FramingError):
            framing_of(status, join_headers(headers))
        one.close()
        server.wait_until(lambda: not server.open_connections)


@pytest.mark.parametrize("status", [200, 204])
@responses.activate
def test_the_body_of_a_mock_has_no_framing_that_proves_its_end(transport: Transport, status: int) -> None:
    named = {"x-request-id": "req-1"}
    responses.post("http://chat.example/api/completions", body="Привет", headers=named, status=status)
    one = exchange(transport, "http://chat.example")
    got, headers = head_of(one)
    one.read_by(framing_of(got, join_headers(headers)))

    assert (got, dict(headers)["x-request-id"]) == (status, "req-1")
    assert rest(one).decode() == "Привет"
    assert one.whole is None
    one.close()
