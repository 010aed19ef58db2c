"""`Stream` keeps its promises, on real sockets: its pieces, what it tells at each moment, and how it ends."""

from __future__ import annotations

import collections.abc
import copy
import threading
import traceback
import types
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from lifetimes import no_collector

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    Client,
    EmptyReplyError,
    InvalidRequestError,
    Message,
    ReplyTooLargeError,
    RetryPolicy,
    Stats,
    StreamCancelledError,
    StreamInterruptedError,
    UnexpectedReplyError,
)
from acytoo_sdk._streams.base import call_of
from acytoo_sdk._streams.call import Call
from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Gate

BASE = "http://chat.example"
AT_ONCE = RetryPolicy(wait_initial=0)
PIECES = ["Пр", "иве", "т", "!"]
USER: Message = {"role": "user", "content": "Hi"}


# From the first piece to the last


def test_complete_is_the_joined_stream() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        assert client.complete("Hi") == "".join(client.stream("Hi")) == "Привет!"


def test_a_stream_tells_what_it_knows_at_each_moment() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert (stream.text, stream.notice, stream.head, stream.whole) == ("", None, None, False)
        assert stream.stats == Stats(attempts=0, first_piece_after=None, elapsed=0.0, pieces=0, characters=0)
        assert repr(stream) == "<Stream not started, 0 characters>"
        gate.release()
        assert next(stream) == "Пр"
        assert (stream.text, stream.whole) == ("Пр", False)
        assert stream.head is not None
        assert (stream.head.status, stream.head.request_id) == (200, "req-1")
        assert stream.head.headers["content-type"] == "text/plain; charset=utf-8"
        assert repr(stream) == "<Stream running, 2 characters>"
        gate.open()
        assert stream.read() == "Привет!"
        assert (stream.text, stream.notice, stream.whole) == ("Привет!", None, True)
        stats = stream.stats
        assert (stats.attempts, stats.characters) == (1, 7)
        assert 2 <= stats.pieces <= 4
        assert stats.first_piece_after is not None
        assert 0 < stats.first_piece_after <= stats.elapsed
        assert stream.stats == stats, "the clock stopped at the end"
        assert repr(stream) == "<Stream whole, 7 characters>"


def test_the_end_of_a_connection_proves_nothing() -> None:
    with FakeServer(PIECES, framing="close") as server, Client(server.url) as client:
        stream = client.stream("Hi")
        stream.read()
        assert stream.whole is None
        assert repr(stream) == "<Stream ended, 7 characters>"


def test_nothing_is_sent_before_the_first_next() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        client.stream("Hi").close()
        client.stream("Hi").cancel()
        assert server.connections == 0
        assert next(stream)
        assert server.connections == 1


def test_arguments_are_checked_at_once() -> None:
    with FakeServer() as server, Client(server.url) as client:
        with pytest.raises(InvalidRequestError, match=r"messages\[0\].content"):
            client.stream([{"role": "user", "content": None}])
        assert server.connections == 0


def test_pieces_come_as_they_are_sent() -> None:
    gate = Gate()
    with FakeServer(PIECES, gate=gate) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        for piece in PIECES:
            gate.release()
            assert next(stream) == piece
        assert list(stream) == []


def test_read_returns_what_was_handed_out_too() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        next(stream)
        assert stream.read() == stream.read() == "Привет!"


def test_text_grows_by_any_number_of_pieces() -> None:
    pieces = [f"{number} " for number in range(5000)]
    with FakeServer(pieces, pause=0) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        seen = ""
        for number, piece in enumerate(stream):
            seen += piece
            if number % 700 == 0:
                assert stream.text == seen
        assert stream.text == seen == "".join(pieces)
        assert stream.text is stream.text, "one copy"


def test_the_notice_is_stripped_and_kept() -> None:
    with FakeServer(PIECES, faults=[Fault.notice()]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert "".join(stream) == stream.text == "Привет!"
        assert stream.notice == NOTICE.strip()
        assert stream.stats.characters == 7


def test_strip_notices_false_keeps_them_as_text() -> None:
    with FakeServer(PIECES, faults=[Fault.notice()]) as server, Client(server.url, strip_notices=False) as client:
        stream = client.stream("Hi")
        assert stream.read() == "Привет!" + NOTICE
        assert stream.notice is None


def test_max_reply_bytes_hands_out_what_fits_first() -> None:
    with FakeServer(["12345", "67890"]) as server, Client(server.url, max_reply_bytes=7) as client:
        stream = client.stream("Hi")
        with pytest.raises(ReplyTooLargeError, match="max_reply_bytes=7") as caught:
            stream.read()
        assert stream.text == caught.value.partial_text == "1234567"
        assert len(server.requests) == 1
        assert client.with_options(max_reply_bytes=10).complete("Hi") == "1234567890"


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (Fault.cut(after=2), StreamInterruptedError, "Приве"),
        (Fault.reset(after=1), StreamInterruptedError, "Пр"),
        (Fault.html_page(), UnexpectedReplyError, ""),
        (Fault.json_error(), UnexpectedReplyError, ""),
        (Fault.empty(), EmptyReplyError, ""),
        (Fault.drop(), APIConnectionError, ""),
    ],
)
def test_an_error_keeps_the_text_and_ends_the_stream(fault: Fault, kind: type[AcytooError], text: str) -> None:
    with FakeServer(PIECES, faults=[fault]) as server, Client(server.url, retry=1) as client:
        stream = client.stream("Hi")
        with pytest.raises(kind) as caught:
            stream.read()
        assert caught.value.partial_text == stream.text == text
        assert stream.whole is False
        assert list(stream) == []


def test_a_changed_list_of_messages_does_not_reach_the_call() -> None:
    messages: list[Any] = [{"role": "user", "content": "Hi", "createdAt": [1]}]

    def reply(chat: dict[str, Any]) -> Iterator[str]:
        messages[0]["content"] = "changed"
        messages[0]["createdAt"].append(2)
        messages.append("no message at all")
        yield "Hello"

    faults = [Fault.status(503), Fault.drop()]
    with FakeServer(reply, faults=faults) as server, Client(server.url, retry=AT_ONCE) as client:
        stream = client.stream(messages)
        messages[0]["createdAt"].append(2)
        assert stream.read() == "Hello"
        assert len({request.body for request in server.requests}) == 1
        assert server.requests[2].json is not None
        assert server.requests[2].json["messages"] == [{"role": "user", "content": "Hi", "createdAt": [1]}]


def test_the_caller_s_messages_are_not_changed() -> None:
    messages: list[Message] = [{"role": "system", "content": "Be brief"}, USER]
    before = copy.deepcopy(messages)
    with FakeServer() as server, Client(server.url) as client:
        client.complete(messages)
        client.complete(tuple(messages))
        client.complete(USER)
        client.complete(types.MappingProxyType(USER))
        assert [len(request.json["messages"]) for request in server.requests if request.json] == [2, 2, 1, 1]
    assert messages == before


# A stream is a generator


def test_a_stream_is_a_generator() -> None:
    stream = Client(BASE).stream("Hi")
    assert isinstance(stream, collections.abc.Generator)
    assert iter(stream) is stream
    with pytest.raises(KeyError):
        stream.throw(KeyError("mine"))
    assert list(stream) == []


def test_send_is_next() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert stream.send(None)
        assert stream.read() == "Привет!"


@pytest.mark.parametrize("end", ["close", "throw", "with", "cancel", "client"])
def test_ending_a_stream_early_closes_its_connection_at_once(end: str) -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=1)]) as server, Client(server.url) as client, no_collector():
        stream = client.stream("Hi")
        assert next(stream) == "Пр"
        if end == "close":
            stream.close()
        elif end == "throw":
            with pytest.raises(KeyError):
                stream.throw(KeyError("mine"))
        elif end == "with":
            with stream:
                pass
        elif end == "cancel":
            stream.cancel()
        else:
            client.close()
        server.wait_until(lambda: server.open_connections == 0)
        assert (stream.text, stream.whole) == ("Пр", False)
        if end in ("cancel", "client"):
            with pytest.raises(StreamCancelledError):
                next(stream)
        assert list(stream) == []
        stream.close()


def test_a_stream_has_ended_for_who_begins_to_read_while_another_thread_closes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = Call.close
    seen: list[str] = []

    def close_while_another_reads(call: Call) -> None:
        if not seen:
            reading = threading.Thread(target=lambda: seen.append(next(stream, "the end")))
            reading.start()
            reading.join()
        close(call)

    with FakeServer(PIECES, faults=[Fault.stall(after=1)]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        assert next(stream) == "Пр"
        monkeypatch.setattr(Call, "close", close_while_another_reads)
        stream.close()
        assert seen == ["the end"]
        assert (stream.text, stream.whole) == ("Пр", False)


def test_close_twice_and_after_the_end_is_fine() -> None:
    with FakeServer(PIECES) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        with stream:
            stream.read()
        stream.close()
        assert stream.whole is True
        unstarted = client.stream("Hi")
        unstarted.close()
        assert list(unstarted) == []
        assert repr(unstarted) == "<Stream ended, 0 characters>"


def test_a_dropped_stream_closes_its_connection_without_the_collector() -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=1)] * 3) as server, Client(server.url) as client, no_collector():
        stream = client.stream("Hi")
        next(stream)
        weak = weakref.ref(stream)
        del stream
        assert weak() is None
        server.wait_until(lambda: server.open_connections == 0)
        for _ in client.stream("Hi"):
            break
        server.wait_until(lambda: len(server.requests) == 2 and server.open_connections == 0)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        Fault.cut(after=1),
        Fault.cut(after=0),
        Fault.drop(),
        Fault.status(503),
        Fault.status(401),
        Fault.redirect("http://elsewhere.example"),
        Fault.html_page(),
        Fault.event_stream(),
        Fault.compressed(),
        Fault.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        Fault.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n"),
        Fault.raw(b"HTTP/1.1 200 OK\r\n\r\n\xff"),
        Fault.raw(b"garbage\r\n\r\n"),
    ],
)
def test_a_stream_is_in_no_reference_cycle_whatever_its_end(fault: Fault | None) -> None:
    with FakeServer(PIECES, faults=[fault] * 4) as server, Client(server.url, retry=RetryPolicy(2, 0)) as client:

        def run() -> list[weakref.ref[Any]]:
            stream = client.stream("Hi")
            try:
                stream.read()
            except AcytooError:
                pass
            return [weakref.ref(stream), weakref.ref(call_of(stream))]

        run()  # the first call imports, and imports leave cycles
        with no_collector():
            assert [weak() for weak in run()] == [None, None], "nor is what keeps its text"


@pytest.mark.parametrize("pieces", [0, 1, 9])
@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt, GeneratorExit, StreamInterruptedError, StopIteration])
def test_an_exception_that_was_thrown_in_holds_no_stream_once_it_is_dropped(
    kind: type[BaseException], pieces: int
) -> None:
    with FakeServer(PIECES, pause=0) as server, Client(server.url) as client, no_collector():
        stream = client.stream("Hi")
        for _ in zip(range(pieces), stream):  # noqa: B905
            pass
        try:
            stream.throw(kind("mine"))
        except (kind, RuntimeError):  # Python turns the end of an iteration into the latter
            pass
        held: list[weakref.ref[Any]] = [weakref.ref(stream), weakref.ref(call_of(stream))]
        del stream
        assert [weak() for weak in held] == [None, None]


def test_a_cancelled_stream_is_in_no_reference_cycle() -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=1)]) as server, Client(server.url) as client, no_collector():
        stream = client.stream("Hi")
        next(stream)
        stream.cancel()
        try:
            next(stream)
        except StreamCancelledError:
            pass
        weak = weakref.ref(stream)
        del stream
        assert weak() is None


def test_a_cancellation_is_told_without_how_the_generator_inside_ended() -> None:
    with FakeServer("Hello") as server, Client(server.url) as client:
        stream = client.stream("Hi")
        stream.cancel()
        with pytest.raises(StreamCancelledError) as cancelled:
            next(stream)
    assert cancelled.value.__suppress_context__
    shown = "".join(traceback.format_exception(cancelled.value))
    assert "During handling" not in shown
    assert "StopIteration" not in shown
