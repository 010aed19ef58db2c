"""Bytes become events, in every cut, within a bound."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from completion_readers import cuts_of
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk.server import sse
from acytoo_sdk.server.sse import MAX_EVENT_BYTES, Event, EventReader


def events_of(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.receive_data(piece)]
    return [*events, *reader.receive_eof()]


FORMS: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "a space behind the colon": (b"data: a\n\n", [(b"", b"a")]),
    "no space": (b"data:a\n\n", [(b"", b"a")]),
    "only the first of two spaces goes": (b"data:  a \n\n", [(b"", b" a ")]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    "both line ends": (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\rdata: c\r\n\r", [(b"", b"a"), (b"", b"b"), (b"", b"c")]),
    "several data lines": (b"data: a\ndata:\ndata: b\n\n", [(b"", b"a\n\nb")]),
    "a mark before all": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "a mark later is none": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
    "comments": (b": OPENROUTER PROCESSING\n\n:\n\ndata: a\n: ping\ndata: b\n\n", [(b"", b"a\nb")]),
    "bare pings of llama.cpp": (b":\n\n:\n\n", []),
    "ids, retries and fields of no meaning": (
        b"id: 1\nretry: 5\nfoo: bar\ndata\ndatas: x\ndata: a\n\n",
        [(b"", b"\na")],
    ),
    "a name": (b"event: message\ndata: a\n\ndata: b\n\n", [(b"message", b"a"), (b"", b"b")]),
    "a name without data": (b"event: ping\n\ndata: a\n\n", [(b"", b"a")]),
    "an error without data": (b"event: error\n\n", [(b"error", b"")]),
    "the field of llama.cpp": (b'data: a\n\nerror: {"code": 500}\n\n', [(b"", b"a"), (b"error", b'{"code": 500}')]),
    "an error field beside data": (b"data: a\nerror: b\n\n", [(b"error", b"a\nb")]),
    "empty data": (b"data:\n\ndata\n\n", [(b"", b""), (b"", b"")]),
    "blank lines": (b"\n\n\r\n\r\n\ndata: a\n\n\n\n\n", [(b"", b"a")]),
    "no blank line at the end": (b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
    "no line end at the end": (b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
    "a name alone at the end": (b"data: a\n\nevent: x", [(b"", b"a")]),
    "an error alone at the end": (b"data: a\n\nevent: error", [(b"", b"a"), (b"error", b"")]),
    "other white space ends no line": (b"data: a\x0bb\x0cc\x85d\x1ce\n\n", [(b"", b"a\x0bb\x0cc\x85d\x1ce")]),
    "colons in the value": (b"data: a:b: c\n\n", [(b"", b"a:b: c")]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_in_every_cut(name: str) -> None:
    data, events = FORMS[name]

    for pieces in cuts_of(data):
        assert events_of(pieces) == events, pieces


def test_an_event_is_there_with_its_last_byte() -> None:
    for end in (b"\n", b"\r", b"\r\n"):
        reader = EventReader()
        assert reader.receive_data(b"data: a" + end) == []
        assert reader.receive_data(end[:1]) == [Event(b"", b"a")], "a line feed that may follow is not waited for"


def test_no_bytes_are_no_line_feed() -> None:
    reader = EventReader()

    assert reader.receive_data(b"data: a\r") == []
    assert reader.receive_data(b"") == []
    assert reader.receive_data(b"\ndata: b\n\n") == [Event(b"", b"a\nb")]


def test_only_one_line_feed_belongs_to_a_carriage_return() -> None:
    reader = EventReader()

    assert reader.receive_data(b"data: a\r") == []
    assert reader.receive_data(b"\n") == []
    assert reader.receive_data(b"\n") == [Event(b"", b"a")]


@given(data=st.binary(max_size=200) | st.text("data:error event\r\n", max_size=60).map(str.encode), seed=st.data())
def test_any_bytes_are_read_alike_in_any_cut(data: bytes, seed: st.DataObject) -> None:
    places = sorted(seed.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    pieces = [data[one:other] for one, other in zip([0, *places], [*places, len(data)], strict=True)]

    assert events_of(pieces) == events_of([data])


@pytest.mark.parametrize(
    "before",
    [b"data: 4567", b": 23456789", b"data\ndata\n", b"event: 789", b"\nunknown: ", b"data: 456\r\n"],
    ids=["data", "a comment", "fields without a value", "a name", "an unknown field", "both line ends"],
)
def test_an_event_may_have_so_many_bytes_in_every_cut_and_not_one_more(
    before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 20)
    size = len(before.replace(b"\r\n", b"\n").lstrip())
    first = b"data: 6789012345\n\n"  # an event before it does not count

    for more, full in ((20 - size - 2, False), (20 - size - 1, True)):
        data = first + before + b"x" * more + b"\n\n"
        for pieces in cuts_of(data):
            reader = EventReader()
            events = [event for piece in pieces for event in reader.receive_data(piece)]
            assert reader.full is full, pieces
            assert events[0] == Event(b"", b"6789012345"), "what came before it is not lost"
            if full:
                assert len(events) == 1
                assert reader.receive_data(b"\n\ndata: a\n\n") == []
                assert reader.receive_eof() == []


@pytest.mark.parametrize("piece", [b"x" * 65536, b": " + b"x" * 65536 + b"\n", b"data:\n" * 1000, b"event: x\n" * 1000])
def test_an_event_that_has_no_end_is_not_kept_for_ever(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", MAX_EVENT_BYTES // 16)
    reader = EventReader()
    tracemalloc.start()
    try:
        for _ in range(MAX_EVENT_BYTES // len(piece)):
            assert reader.receive_data(piece) == []
        assert reader.full
        assert tracemalloc.get_traced_memory()[1] < MAX_EVENT_BYTES // 2
    finally:
        tracemalloc.stop()


def test_a_long_event_in_small_pieces_takes_time_in_proportion() -> None:
    """Four times the bytes in four times the time, not in sixteen times."""

    def seconds(count: int) -> float:
        reader, began = EventReader(), time.perf_counter()
        for _ in range(count):
            reader.receive_data(b"x" * 64)
        return time.perf_counter() - began

    quotients = [seconds(60_000) / seconds(15_000) for _ in range(3)]

    assert min(quotients) < 10
