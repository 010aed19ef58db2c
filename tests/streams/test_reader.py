"""What a reading thread shares with its consumer, and the pool of such threads; with calls that the test plays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from types import FunctionType
from typing import Any

import pytest
from fault_server import wait_for

from acytoo_sdk import APIConnectionError
from acytoo_sdk._streams.reader import Reader, ReaderPool

AHEAD = 64 * 1024


class Played:
    """A call whose texts the test plays: strings, errors, and None for the end."""

    def __init__(self, *texts: str | BaseException | None) -> None:
        self.played: SimpleQueue[str | BaseException | None] = SimpleQueue()
        self.read = 0
        self.closed = threading.Event()
        for text in texts:
            self.played.put(text)

    def texts(self) -> Iterator[str]:
        try:
            while (text := self.played.get(timeout=10)) is not None:
                if isinstance(text, BaseException):
                    raise text
                self.read += 1
                yield text
        finally:
            self.closed.set()


def reader_of(*texts: str | BaseException | None) -> tuple[Reader, Any]:
    call: Any = Played(*texts)
    return Reader(call), call


def running(reader: Reader) -> threading.Thread:
    thread = threading.Thread(target=reader.run)
    thread.start()
    return thread


def news(reader: Reader) -> None:
    """Waits for them, as a consumer does."""
    event = threading.Event()
    while not reader.ready():
        reader.on_ready(event.set)
        if not reader.ready():
            assert event.wait(10)
        event.clear()


def test_pieces_come_in_order_and_then_the_end() -> None:
    reader, _ = reader_of("a", "b", None)
    assert not reader.ready()
    reader.run()

    assert reader.ready()
    assert [reader.take(), reader.take()] == ["a", "b"]
    assert (reader.ended, reader.take_error()) == (True, None)


def test_an_error_comes_after_the_pieces_before_it_once_and_without_frames() -> None:
    reader, _ = reader_of("a", APIConnectionError("broken"))
    reader.run()

    assert reader.take() == "a"
    error = reader.take_error()
    assert isinstance(error, APIConnectionError)
    assert error.__traceback__ is None
    assert reader.take_error() is None


def test_what_is_no_error_of_this_package_keeps_the_frames_that_explain_it() -> None:
    reader, _ = reader_of(ZeroDivisionError("a bug"))
    reader.run()

    error = reader.take_error()
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is not None


def test_a_thread_stays_some_pages_ahead_and_goes_on_when_half_of_them_were_taken() -> None:
    reader, call = reader_of(*["x" * 1024] * 200, None)
    thread = running(reader)
    taken = 0
    furthest = 0
    while taken < 200:
        news(reader)
        furthest = max(furthest, call.read - taken)
        reader.take()
        taken += 1
    thread.join(10)

    assert not thread.is_alive()
    assert furthest <= AHEAD // 1024 + 2


def test_a_thread_that_waits_for_room_is_ended_by_stop() -> None:
    reader, call = reader_of("x" * (AHEAD + 1), "more", None)
    thread = running(reader)
    news(reader)
    reader.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert call.closed.is_set()
    assert call.read == 1
    assert reader.ready()


def test_an_error_after_stop_is_not_told() -> None:
    reader, call = reader_of()
    thread = running(reader)
    reader.stop()
    call.played.put(APIConnectionError("the consequence"))
    thread.join(10)

    assert reader.take_error() is None


def test_who_waits_is_woken_once_by_a_piece_the_end_or_stop() -> None:
    for first, then in (("a", "b"), (None, None)):
        reader, call = reader_of(first, then)
        woken: list[str] = []
        reader.on_ready(lambda woken=woken: woken.append("news"))  # type: ignore[misc]
        call.played.put(None)
        reader.run()
        assert woken == ["news"]
    reader, _ = reader_of()
    woken = []
    reader.on_ready(lambda: woken.append("stop"))
    reader.stop()
    reader.stop()
    assert woken == ["stop"]


def test_as_many_readers_run_as_there_is_room_and_the_others_in_the_order_they_came() -> None:
    pool = ReaderPool(2)
    calls: list[Any] = [Played() for _ in range(5)]
    readers = [Reader(call) for call in calls]

    for reader in readers:
        pool.add(reader)
    for number, call in enumerate(calls):  # one ends, one begins
        call.played.put(f"piece of {number}")
        call.played.put(None)
        news(readers[number])
        assert readers[number].take() == f"piece of {number}"
        assert call.closed.wait(10)


def test_who_has_ended_makes_room_for_the_next() -> None:
    pool = ReaderPool(1)
    for _ in range(3):
        reader, call = reader_of(None)
        pool.add(reader)
        assert call.closed.wait(10)
        for thread in threading.enumerate():
            if thread.name == "acytoo-stream":
                thread.join(10)


def test_a_reader_that_waits_for_its_turn_can_be_taken_out_of_the_queue() -> None:
    pool = ReaderPool(1)
    runs, first = reader_of()
    waits, _ = reader_of()
    pool.add(runs)
    pool.add(waits)
    assert wait_for(lambda: runs.begun)
    assert not waits.begun

    assert pool.remove(waits)
    assert not pool.remove(waits)
    assert not pool.remove(runs)
    assert waits.ended
    first.played.put(None)
    assert first.closed.wait(10)


def test_a_reader_may_be_taken_out_of_the_queue_while_a_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a finaliser does that runs in the thread which is starting, and which is being waited for."""
    pool, other = ReaderPool(1), reader_of()[0]
    removed: list[bool] = []
    start = threading.Thread.start

    def start_and_finalise(thread: threading.Thread) -> None:
        finaliser = threading.Thread(target=lambda: removed.append(pool.remove(other)), daemon=True)
        start(finaliser)
        finaliser.join(5)
        start(thread)

    reader, call = reader_of(None)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_finalise)
        pool.add(reader)

    assert removed == [False]
    assert call.closed.wait(10)


def test_a_pool_of_any_size_begins_with_nothing() -> None:
    assert len(ReaderPool(10**9)._free) <= 100_000


def test_where_no_thread_can_be_started_the_room_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = ReaderPool(1)
    with monkeypatch.context() as patched:
        by_threading = FunctionType(refuse.__code__, {"__name__": "threading", "__builtins__": __builtins__})
        patched.setattr(threading.Thread, "start", by_threading)
        refused, _ = reader_of(None)
        pool.add(refused)
    reader, call = reader_of(None)
    pool.add(reader)

    assert refused.ended
    error = refused.take_error()
    assert isinstance(error, APIConnectionError)
    assert "no more threads" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
    assert call.closed.wait(10)


def test_an_exception_of_a_signal_handler_comes_out_of_starting_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise RuntimeError("the job took too long")

    pool = ReaderPool(1)
    reader, call = reader_of(None)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(RuntimeError, match="the job"):
            pool.add(reader)

    assert call.closed.wait(10)
    assert wait_for(lambda: len(pool._free) == 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_room_of_its_own() -> None:
    pool = ReaderPool(1)
    running_reader, call = reader_of()
    pool.add(running_reader)
    child = os.fork()
    if child == 0:
        reader, _ = reader_of("a", None)
        pool.add(reader)
        os._exit(0 if wait_for(lambda: reader.begun) else 1)
    _, status = os.waitpid(child, 0)
    call.played.put(None)
    assert call.closed.wait(10)

    assert os.waitstatus_to_exitcode(status) == 0
