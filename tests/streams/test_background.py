"""Streams that are read in the background: whole, with one word at the end, and never a part for the whole."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from fake_exchanges import FakeExchange, FakePool, call_on
from fault_server import wait_for
from lifetimes import no_collector
from played_calls import AHEAD, all_gone

from acytoo_sdk import APIConnectionError, ClientClosedError, StreamCancelledError, StreamInterruptedError, _display
from acytoo_sdk._streams.background import BackgroundStream
from acytoo_sdk._streams.call import Call
from acytoo_sdk._streams.openers import ReaderPool
from acytoo_sdk._streams.reader import Wait


class Told:
    """A waker that keeps who was to be woken."""

    def __init__(self) -> None:
        self.waiters: list[object] = []
        self.due = self.waiters.append

    def wake(self) -> None:
        """Nobody waits."""


def stream_on(monkeypatch: pytest.MonkeyPatch, *exchanges: FakeExchange, **options: Any) -> BackgroundStream:
    return BackgroundStream(call_on(monkeypatch, *exchanges, **options), ReaderPool(1), _display)


def test_the_end_is_told_once_and_no_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    told, told_by = Told(), list[int]()
    exchange = FakeExchange(b"a", b"b", b"c", late=2, on=lambda _: told_by.append(len(told.waiters)))
    stream = stream_on(monkeypatch, exchange)
    stream.start(told, "waiter")
    assert wait_for(lambda: stream.ended and bool(told.waiters))
    assert (stream.complete(), stream.text, stream.whole, stream.stats.pieces) == ("abc", "abc", True, 3)
    assert all_gone()
    assert told.waiters == ["waiter"]
    assert not any(told_by), "while there was something to read"


def test_a_long_reply_is_read_to_its_end_though_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_on(monkeypatch, FakeExchange(*[b"x" * 1024] * 200))
    stream.start(Told(), None)
    assert wait_for(lambda: stream.ended)
    assert len(stream.complete()) == 200 * 1024 > 2 * AHEAD
    assert all_gone()


def test_a_broken_reply_is_an_error_with_what_had_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_on(monkeypatch, FakeExchange(b"ab", b"c", APIConnectionError("the server hung up")))
    stream.start(Told(), None)
    assert wait_for(lambda: stream.ended)
    with pytest.raises(StreamInterruptedError) as raised:
        stream.complete()
    assert (raised.value.partial_text, stream.text, stream.whole) == ("abc", "abc", False)
    assert all_gone()


def test_a_closed_client_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = FakePool()
    stream = stream_on(monkeypatch, FakeExchange(), pool=pool)
    pool.closed = True
    with pytest.raises(ClientClosedError):
        stream.start(Told(), None)


def test_cancelling_is_told_at_once_and_frees_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    first = stream_on(monkeypatch, FakeExchange(b"a"))
    queued = BackgroundStream(first._call, first._readers, _display)
    first._readers._readers._places.clear()  # another stream has it
    queued.start(told, "waiter")
    assert not queued.ended
    queued.cancel()
    assert told.waiters == ["waiter"]
    assert not queued._readers.waiting
    with pytest.raises(StreamCancelledError):
        queued.complete()


@pytest.mark.parametrize("where", [file_of(BackgroundStream.start), file_of(Call.deliver)], ids=["stream", "call"])
def test_whenever_it_is_cancelled_no_part_is_taken_for_the_whole(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt(step: int) -> int:
        stream = stream_on(monkeypatch, FakeExchange(b"ab", b"cd", b"ef"))
        stream._call.start()
        read: Callable[[], object] = lambda: [*iter(lambda: stream._reader.read(time.monotonic()), Wait.NOTHING)]  # noqa: E731
        steps = run_interrupted(read, {step: stream.cancel}, file=where)
        if step < steps:
            with pytest.raises(StreamCancelledError) as raised:
                stream.complete()
            assert "abcdef".startswith(raised.value.partial_text)
        else:
            assert stream.complete() == "abcdef"
        return steps

    assert interrupt_at_each_step(attempt, stride=3) > 50


def test_one_that_is_dropped_ends_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = FakeExchange(b"a", b"b")
    with no_collector():
        stream = stream_on(monkeypatch, exchange)
        stream._call.start()
        assert stream._reader.read(0.0) is Wait.SERVER
        dropped = weakref.ref(stream)
        del stream
        assert dropped() is None
    assert exchange.aborts == exchange.closes == 1


def test_one_that_was_never_made_can_be_dropped() -> None:
    stream = object.__new__(BackgroundStream)
    stream.__del__()
