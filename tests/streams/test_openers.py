"""The threads of a client, and whose turn it is; with calls that the test plays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from fault_server import wait_for
from played_calls import AHEAD, Played, all_gone, news, reader_of, stream_threads

from acytoo_sdk import APIConnectionError
from acytoo_sdk._streams.openers import ReaderPool
from acytoo_sdk._streams.reader import Reader


def added(pool: ReaderPool, *steps: Any, **how: Any) -> tuple[Reader, Any]:
    """A reader of this pool, and its call."""
    call: Any = Played(*steps, **how)
    reader = Reader(call, pool.resume)
    pool.add(reader)
    return reader, call


def text_of(reader: Reader) -> str:
    """All of its text; waits for it."""
    text = ""
    while True:
        news(reader)
        if not reader.pieces:
            return text
        text += reader.take()


def test_as_many_readers_run_as_there_are_places_and_the_others_in_the_order_they_came() -> None:
    pool = ReaderPool(2)
    begun: list[int] = []
    readers, calls = [], []
    for number in range(5):
        reader, call = added(pool, opens=lambda number=number: begun.append(number))
        readers.append(reader)
        calls.append(call)

    for number, call in enumerate(calls):  # one ends, one begins
        assert wait_for(lambda number=number: len(begun) == min(number + 2, 5))  # type: ignore[misc]
        assert pool.waiting == max(3 - number, 0)
        call.play(f"piece of {number}", None)
        assert text_of(readers[number]) == f"piece of {number}"
        assert call.closed.wait(10)
    assert begun[2:] == [2, 3, 4]
    assert {*begun[:2]} == {0, 1}
    assert all_gone()


def test_who_has_ended_makes_room_for_the_next() -> None:
    pool = ReaderPool(1)
    for _ in range(3):
        _, call = added(pool, None)
        assert call.closed.wait(10)
        assert all_gone()


def test_a_reader_that_waits_for_its_turn_can_be_taken_out_of_the_queue() -> None:
    pool = ReaderPool(1)
    runs, first = added(pool)
    waits, _ = added(pool)
    assert wait_for(lambda: runs.begun)
    assert not waits.begun

    assert pool.remove(waits)
    assert not pool.remove(waits)
    assert not pool.remove(runs)
    assert waits.ended
    assert pool.waiting == 0
    first.play(None)
    assert first.closed.wait(10)
    assert all_gone()


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

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_finalise)
        _, call = added(pool, None)
        assert call.closed.wait(10)

    assert removed == [False]
    assert all_gone()


def test_a_pool_of_any_size_begins_with_nothing() -> None:
    pool = ReaderPool(10**9)

    assert pool.waiting == 0
    assert len(pool._readers._places) <= 100_000


def no_thread_starts(patched: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    by_threading = FunctionType(refuse.__code__, {"__name__": "threading", "__builtins__": __builtins__})
    patched.setattr(threading.Thread, "start", by_threading)


def test_where_no_thread_can_be_started_the_place_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ReaderPool(1)
    with monkeypatch.context() as patched:
        no_thread_starts(patched)
        refused, _ = added(pool, None)
    _, call = added(pool, None)

    assert refused.ended
    error = refused.take_error()
    assert isinstance(error, APIConnectionError)
    assert "no more threads" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
    assert call.closed.wait(10)
    assert all_gone()


def test_an_exception_of_a_signal_handler_comes_out_of_starting_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise RuntimeError("the job took too long")

    pool = ReaderPool(1)
    call: Any = Played(None)
    reader = Reader(call, pool.resume)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(RuntimeError, match="the job"):
            pool.add(reader)

    assert call.closed.wait(10)
    assert wait_for(lambda: len(pool._readers._places) == 1)
    assert all_gone()


def test_an_exception_of_a_signal_handler_is_the_one_that_comes_out_however_far_the_thread_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        thread.join(10)
        raise RuntimeError("the job took too long")

    pool = ReaderPool(1)
    call: Any = Played(None)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(RuntimeError, match="the job"):
            pool.add(Reader(call, pool.resume))
    assert all_gone()


def test_a_thread_that_has_left_already_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody is refused who has come in another thread, which is about to start one."""
    start = threading.Thread.start
    pool = ReaderPool(2)
    call: Any = Played("a", None)
    late = Reader(call, pool.resume)

    def start_and_wait(thread: threading.Thread) -> None:
        patched.undo()
        start(thread)
        thread.join(10)
        pool._readers.queue.append(late)  # as another thread does first

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_wait)
        added(pool, None)
    _, call = added(pool, None)
    assert text_of(late) == "a"
    assert late.take_error() is None
    assert call.closed.wait(10)
    assert all_gone()


def test_no_thread_is_asked_whether_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python before 3.13, it is an `AssertionError` where two ask at the same moment of one that has just ended."""
    pool = ReaderPool(2)
    with monkeypatch.context() as patched:
        patched.delattr(threading.Thread, "is_alive")
        for reader, _ in [added(pool, "a", None) for _ in range(10)]:
            assert text_of(reader) == "a"
    assert all_gone()


def test_a_reader_that_a_bug_ends_gives_its_place_to_the_next() -> None:
    class Broken:
        def due(self, waiter: object) -> None:
            raise ZeroDivisionError("a bug")

        def wake(self) -> None:
            """Nobody comes as far as that."""

    pool = ReaderPool(1)
    for _ in range(4):
        call: Any = Played()
        reader = Reader(call, pool.resume)
        reader.on_ready(Broken(), None)
        pool.add(reader)
        assert call.closed.wait(10), "its connection is open"
        assert wait_for(lambda reader=reader: reader.ended)  # type: ignore[misc]
        error = reader.take_error()
        assert isinstance(error, APIConnectionError)
        assert isinstance(error.__cause__, ZeroDivisionError)
    reader, _ = added(pool, "a", None)
    assert text_of(reader) == "a"
    assert all_gone()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_places_of_its_own() -> None:
    pool = ReaderPool(1)
    _, call = added(pool)
    child = os.fork()
    if child == 0:
        reader, _ = added(pool, "a", None)
        os._exit(0 if wait_for(lambda: reader.begun) else 1)
    _, status = os.waitpid(child, 0)
    call.play(None)
    assert call.closed.wait(10)

    assert os.waitstatus_to_exitcode(status) == 0
    assert all_gone()


def test_a_thread_stays_some_pages_ahead_and_goes_on_when_half_of_them_were_taken() -> None:
    reader, call = added(ReaderPool(1), *["x" * 1024] * 200, None)
    taken = furthest = 0
    while taken < 200:
        news(reader)
        furthest = max(furthest, call.read - taken)
        reader.take()
        taken += 1

    assert call.closed.wait(10)
    assert furthest <= AHEAD // 1024 + 2
    assert all_gone()


def test_a_reader_that_waits_for_room_is_ended_by_stop() -> None:
    reader, call = added(ReaderPool(1), "x" * (AHEAD + 1), "more", None)
    news(reader)
    reader.stop()

    assert call.closed.wait(10)
    assert call.read == 1
    assert reader.ready()
    assert all_gone()


# Openers that are stuck


class Slow:
    """Servers that take no connection before they are let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.waiting += 1
        assert self.open.wait(20)


def test_a_lone_stream_takes_one_thread_while_it_is_opened_and_when_it_is_watched() -> None:
    slow = Slow()
    reader, call = added(ReaderPool(10), opens=slow)
    assert wait_for(lambda: slow.waiting == 1)
    assert len(stream_threads()) == 1
    slow.open.set()
    assert wait_for(lambda: reader.descriptor is not None)
    call.play("a")
    news(reader)
    assert len(stream_threads()) == 1
    call.play(None)
    assert text_of(reader) == "a"
    assert all_gone()


def test_many_streams_that_are_open_take_few_threads() -> None:
    pool = ReaderPool(50)
    both = [added(pool) for _ in range(50)]
    assert wait_for(lambda: all(reader.descriptor is not None for reader, _ in both))
    assert wait_for(lambda: len(stream_threads()) == 1), "the one that watches"
    for _, call in both:
        call.play("a", None)
    assert [text_of(reader) for reader, _ in both] == ["a"] * 50
    assert all_gone()


def test_a_burst_to_servers_that_take_no_connections_is_opened_by_ever_more_threads() -> None:
    """Twice as many after each moment without progress, until all are on their way; so nobody waits for the others."""
    pool, slow = ReaderPool(40), Slow()
    both = [added(pool, "a", None, opens=slow) for _ in range(40)]
    seen: list[int] = []

    def are_all_opened() -> bool:
        seen.append(slow.waiting)
        return slow.waiting == 40

    assert wait_for(are_all_opened, 15)
    assert seen[0] <= 4, "few at first"
    slow.open.set()
    assert [text_of(reader) for reader, _ in both] == ["a"] * 40
    assert all_gone()


def test_one_slow_server_holds_up_no_other() -> None:
    pool, slow = ReaderPool(10), Slow()
    stuck = [added(pool, None, opens=slow) for _ in range(3)]
    assert wait_for(lambda: slow.waiting >= 2)
    quick, _ = added(pool, "a", None)
    assert text_of(quick) == "a"
    assert not slow.open.is_set()
    slow.open.set()
    for reader, _ in stuck:
        assert text_of(reader) == ""
    assert all_gone()


def test_openers_that_are_stuck_take_no_more_readers_than_there_are_places() -> None:
    pool, slow = ReaderPool(3), Slow()
    both = [added(pool, None, opens=slow) for _ in range(9)]
    assert wait_for(lambda: slow.waiting == 3)
    assert pool.waiting == 6
    assert wait_for(lambda: len(stream_threads()) <= 4)
    slow.open.set()
    for reader, _ in both:
        assert text_of(reader) == ""
    assert slow.waiting == 9
    assert all_gone()


def test_replies_without_a_socket_are_read_by_a_thread_each_and_hold_up_nobody() -> None:
    """A test's mocks, and TLS inside TLS."""
    pool = ReaderPool(10)
    unwatched = [added(pool, watched=False) for _ in range(5)]
    assert wait_for(lambda: all(reader.begun for reader, _ in unwatched))
    quick, _ = added(pool, "a", None)
    assert text_of(quick) == "a"
    for _, call in unwatched:
        call.play("b", None)
    assert [text_of(reader) for reader, _ in unwatched] == ["b"] * 5
    assert all_gone()


def test_a_reply_without_a_socket_waits_for_room_too() -> None:
    reader, call = added(ReaderPool(1), "x" * (AHEAD + 1), "more", None, watched=False)
    news(reader)
    assert wait_for(lambda: not reader.has_room)
    assert call.read == 1
    assert text_of(reader) == "x" * (AHEAD + 1) + "more"
    assert all_gone()


# Next attempts


def test_a_next_attempt_is_made_when_it_is_due_and_keeps_its_place() -> None:
    pool = ReaderPool(1)
    reader, call = added(pool, 0.05, "a", None)
    waits, _ = added(pool, "b", None)
    assert wait_for(lambda: call.opened == 1)
    assert not waits.begun
    assert text_of(reader) == "a"
    assert call.opened == 2
    assert text_of(waits) == "b"
    assert all_gone()


def test_a_wait_between_two_attempts_takes_no_opener() -> None:
    pool = ReaderPool(20)
    waiting = [added(pool, 1000.0) for _ in range(10)]
    assert wait_for(lambda: all(reader.resume_at < 10**9 for reader, _ in waiting))
    quick, _ = added(pool, "a", None)
    assert text_of(quick) == "a"
    for reader, call in waiting:
        reader.stop()
        assert call.closed.wait(10)
    assert all_gone()


# Ends


@pytest.mark.parametrize("place", ["opening", "server", "room", "retry", "no socket"])
def test_a_reader_that_is_stopped_anywhere_gives_its_place_to_the_next(place: str) -> None:
    pool, slow = ReaderPool(1), Slow()
    steps: dict[str, list[Any]] = {"room": ["x" * (AHEAD + 1)], "retry": [1000.0]}
    how: dict[str, dict[str, Any]] = {"opening": {"opens": slow}, "no socket": {"watched": False}}
    reader, call = added(pool, *steps.get(place, []), **how.get(place, {}))
    reached = {
        "opening": lambda: slow.waiting == 1,
        "server": lambda: reader.descriptor is not None,
        "room": lambda: not reader.has_room,
        "retry": lambda: reader.resume_at < 10**9,
        "no socket": lambda: call.opened == 1,
    }
    assert wait_for(reached[place])
    waits, _ = added(pool, "a", None)
    reader.stop()
    slow.open.set()
    if place == "no socket":
        call.play("as the abort of a call does")

    assert call.closed.wait(10)
    assert wait_for(lambda: reader.ended)
    assert text_of(waits) == "a"
    assert all_gone()


def test_where_no_more_threads_can_be_started_nobody_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as one opens, the others have their turn; where it has to watch, they end in an error."""
    pool, slow = ReaderPool(10), Slow()
    first, _ = added(pool, "a", None, opens=slow)
    assert wait_for(lambda: slow.waiting == 1)
    with monkeypatch.context() as patched:
        no_thread_starts(patched)
        second, _ = added(pool, "b", None)
        assert not second.ended
        slow.open.set()
        assert text_of(first) == "a"
        assert text_of(second) == "b" or isinstance(second.take_error(), APIConnectionError)
        assert all_gone()


def test_a_thread_that_cannot_be_started_to_watch_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The opener that is to watch has others open; where none can be started, they end in an error, or are opened."""
    pool = ReaderPool(10)
    first, call = added(pool)
    assert wait_for(lambda: first.descriptor is not None)
    assert wait_for(lambda: len(stream_threads()) == 1)
    with monkeypatch.context() as patched:
        no_thread_starts(patched)
        refused, _ = added(pool, "b", None)
        assert refused.ended
        assert isinstance(refused.take_error(), APIConnectionError)
    call.play("a", None)
    assert text_of(first) == "a"
    assert all_gone()


# Signal handlers and finalisers, between any two bytecodes


@pytest.mark.parametrize("interrupts", ["add", "remove", "resume", "stop"])
@pytest.mark.parametrize("interrupted", ["add", "remove", "resume"])
def test_at_any_step_of_one_another_may_happen_and_every_reader_ends(interrupted: str, interrupts: str) -> None:
    def attempt(step: int) -> int:
        pool = ReaderPool(1)
        first, first_call = added(pool)
        calls: list[Any] = [Played("a", None) for _ in range(3)]
        queued, other, late = (Reader(call, pool.resume) for call in calls)
        pool.add(queued)
        pool.add(other)

        def stop() -> None:
            pool.remove(other)
            other.stop()

        acts: dict[str, Callable[[], object]] = {
            "add": lambda: pool.add(late),
            "remove": lambda: pool.remove(queued),
            "resume": lambda: pool.resume(first),
            "stop": stop,
        }
        again: Any = Played("a", None)
        if interrupted == interrupts == "add":
            acts["add, too"] = lambda: pool.add(Reader(again, pool.resume))
        steps = run_interrupted(
            acts[interrupted], {step: acts.get(f"{interrupts}, too", acts[interrupts])}, file=file_of(ReaderPool.add)
        )
        if "add" not in (interrupted, interrupts if step < steps else ""):
            pool.add(late)
        first_call.play(None)
        assert text_of(first) == ""
        assert text_of(late) == "a"
        assert queued.ended or text_of(queued) == "a"
        assert other.ended or other.stopped or text_of(other) == "a"
        if interrupted == interrupts == "add" and step < steps:
            assert again.closed.wait(10)
        assert all_gone()
        assert len(pool._readers._places) == 1
        return steps

    assert interrupt_at_each_step(attempt, stride=2) > 5
