"""The one thread that reads the replies of many calls; with calls that the test plays."""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from fault_server import wait_for
from played_calls import AHEAD, Played, Step, ThreadWaker, news

from acytoo_sdk import APIConnectionError, APITimeoutError
from acytoo_sdk._streams.reader import Reader, Wait
from acytoo_sdk._streams.watch import Watch


class Watched:
    """A watch, and what it tells of its readers.

    Attributes:
        reopened: readers whose next attempt is due.
        closed: readers that have ended.
    """

    def __init__(self) -> None:
        self.reopened: list[Reader] = []
        self.closed: list[Reader] = []
        self.watch = Watch(reopen=self.reopened.append, close=self.closed.append)
        self.threads: list[threading.Thread] = []

    def reader(self, *steps: Step, **how: Any) -> tuple[Reader, Any]:
        """One that was opened, and its call."""
        call: Any = Played(*steps, **how)
        reader = Reader(call, self.watch.resume)
        return reader, call

    def add(self, reader: Reader, *, until: Wait = Wait.SERVER) -> bool:
        """Reads it up to there, and has it watched; returns whether that took a thread of its own."""
        while (wait := reader.read(time.monotonic())) is not until:
            assert wait is not Wait.NOTHING
        if not self.watch.add(reader, wait):
            return False
        self.start()
        return True

    def start(self) -> None:
        """Has a thread of its own watch."""
        self.threads.append(threading.Thread(target=self.watch.run, daemon=True))
        self.threads[-1].start()

    def added(self, *steps: Step, until: Wait = Wait.SERVER, **how: Any) -> tuple[Reader, Any]:
        reader, call = self.reader(*steps, **how)
        self.add(reader, until=until)
        return reader, call


@contextmanager
def watched() -> Iterator[Watched]:
    one = Watched()
    yield one
    for thread in one.threads:
        thread.join(10)
        assert not thread.is_alive(), "it watches nobody"


def ended(reader: Reader) -> bool:
    return wait_for(lambda: reader.ended)


def text_of(reader: Reader) -> str:
    text = ""
    while True:
        news(reader)
        if not reader.pieces:
            return text
        text += reader.take()


# Arrivals


def test_one_thread_reads_all_readers_as_long_as_there_are_any() -> None:
    with watched() as one:
        added = [one.added() for _ in range(20)]
        assert len(one.threads) == 1
        for number, (_, call) in enumerate(added):
            call.play(f"piece of {number}")
        for number, (reader, call) in enumerate(added):
            news(reader)
            assert reader.take() == f"piece of {number}"
            call.play(None)
        for reader, _ in added:
            assert ended(reader)
        assert wait_for(lambda: len(one.closed) == 20)
        assert {*one.closed} == {reader for reader, _ in added}
        assert wait_for(lambda: not one.threads[0].is_alive())
        reader, call = one.added()
        assert len(one.threads) == 2, "another one, after the first had left"
        call.play(None)


def test_a_silent_reader_holds_up_nobody() -> None:
    with watched() as one:
        silent, slow = one.added()
        quick, call = one.added()
        call.play("a", "b", None)
        assert text_of(quick) == "ab"
        assert not silent.ready()
        slow.play(None)


def test_whoever_comes_as_the_thread_leaves_is_watched() -> None:
    """By it, or by another one."""
    for _ in range(200):
        with watched() as one:
            _, first = one.added()
            first.play(None)
            second, call = one.added()
            call.play("a", None)
            assert text_of(second) == "a"


def test_a_pipe_that_is_written_to_as_the_thread_leaves_is_closed_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its number might be another socket's by then, which the byte would go to."""
    writes, over, numbers = threading.Event(), threading.Event(), []

    def write_slowly(pipe: socket.socket) -> None:
        writes.set()
        assert over.wait(5)
        numbers.append(pipe.fileno())

    monkeypatch.setattr("acytoo_sdk._streams.watch._SelfPipe.write", write_slowly)
    with watched() as one:
        reader, call = one.added()
        call.play("a")
        news(reader)  # it is watched by now
        reader.take()
        writer = threading.Thread(target=one.watch.resume, args=(reader,))
        writer.start()
        assert writes.wait(5)
        call.play(None)
        assert ended(reader)
        one.threads[0].join(5)
        over.set()
        writer.join(5)
    assert numbers[0] > 0


def test_a_reader_that_was_stopped_before_it_came_is_ended() -> None:
    with watched() as one:
        for wait, steps in ((Wait.SERVER, []), (Wait.ROOM, ["x" * (AHEAD + 1)]), (Wait.RETRY, [1000.0])):
            reader, call = one.reader(*steps)
            while reader.read(time.monotonic()) is not wait:
                pass
            reader.stop()
            if one.watch.add(reader, wait):
                one.watch.run()
            assert (reader.ended, call.closed.is_set(), one.closed) == (True, True, [reader])
            one.closed.clear()


# What is waited for


def test_a_reader_that_waits_for_its_next_attempt_is_reopened_when_it_is_due_and_not_before() -> None:
    with watched() as one:
        later, _ = one.added(1000.0, until=Wait.RETRY)
        soon, _ = one.added(0.05, until=Wait.RETRY)
        due = soon.resume_at
        assert wait_for(lambda: bool(one.reopened))
        assert time.monotonic() >= due
        assert one.reopened == [soon]
        later.stop()
        assert ended(later)
        soon.stop()
        soon.read(0.0)


def test_a_reader_that_waits_for_room_goes_on_when_there_is_some() -> None:
    with watched() as one:
        reader, call = one.added("x" * (AHEAD + 1), "more", None, until=Wait.ROOM)
        assert call.read == 1
        assert text_of(reader) == "x" * (AHEAD + 1) + "more"
        assert ended(reader)


def test_a_reader_without_a_socket_that_has_room_again_is_left_to_those_who_may_wait() -> None:
    with watched() as one:
        other, others = one.added()
        reader, _ = one.added("x" * (AHEAD + 1), "more", watched=False, until=Wait.ROOM)
        reader.take()
        assert wait_for(lambda: one.reopened == [reader])
        others.play("a", None)
        assert text_of(other) == "a", "nobody waited for its server"
        reader.stop()
        reader.read(0.0)


def test_room_that_was_made_before_the_reader_came_is_seen() -> None:
    with watched() as one:
        reader, call = one.reader("x" * (AHEAD + 1), "more", None)
        while reader.read(0.0) is not Wait.ROOM:
            pass
        reader.take()
        assert one.watch.add(reader, Wait.ROOM)
        one.watch.run()
        assert (reader.ended, call.read) == (True, 2)


@pytest.mark.parametrize("wait", [Wait.SERVER, Wait.ROOM, Wait.RETRY])
def test_a_reader_that_is_watched_is_ended_by_stop(wait: Wait) -> None:
    steps: dict[Wait, list[Step]] = {Wait.SERVER: [], Wait.ROOM: ["x" * (AHEAD + 1)], Wait.RETRY: [1000.0]}
    with watched() as one:
        reader, call = one.added(*steps[wait], until=wait)
        reader.stop()
        assert ended(reader)
        assert call.closed.wait(10)
        assert wait_for(lambda: one.closed == [reader])


def test_a_reader_whose_call_is_over_as_it_comes_is_ended_and_no_selector_keeps_its_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Over(Played):
        def before_close(self, act: Callable[[], None]) -> bool:
            return False

    def register(selector: Any, fileobj: Any, events: int, data: Any = None) -> Any:
        registered.append(data)
        return real(selector, fileobj, events, data)

    registered: list[Reader] = []
    real = selectors.DefaultSelector.register
    monkeypatch.setattr(selectors.DefaultSelector, "register", register)
    with watched() as one:
        call: Any = Over()
        reader = Reader(call, one.watch.resume)
        one.add(reader)
        assert ended(reader)
        assert call.closed.wait(10)
        assert reader not in registered


@pytest.mark.parametrize("others", [0, 1])
def test_who_waits_for_a_reader_that_is_stopped_as_it_comes_is_woken(others: int) -> None:
    """By the thread that watches, which may see that it is stopped before `stop` has looked who waits."""
    with watched() as one:

        def come(_: Reader) -> None:
            must_run = [one.watch.add(each, Wait.SERVER) for each in readers]
            assert must_run[0]
            one.start()
            assert wait_for(lambda: one.closed == [reader])

        calls: list[Any] = [Played() for _ in range(others + 1)]
        readers = [Reader(call, come) for call in calls]
        assert {each.read(0.0) for each in readers} == {Wait.SERVER}
        reader, woken = readers[-1], threading.Event()
        reader.on_ready(ThreadWaker(), woken.set)
        reader.stop()
        assert woken.wait(10), "it waits for ever"
        for silent in calls[:-1]:
            silent.play(None)


def test_a_consumer_s_waker_is_woken_for_each_piece_that_it_waits_for() -> None:
    with watched() as one:
        reader, call = one.added()
        for number in range(50):
            call.play(f"{number}")
            news(reader)
            assert reader.take() == f"{number}"
        call.play(None)
        news(reader)
        assert reader.ended


# Limits


def test_a_server_that_is_silent_for_too_long_ends_its_reader_alone() -> None:
    with watched() as one:
        patient, call = one.added()
        silent, _ = one.added("a", limit=0.05)
        assert text_of(silent) == "a"
        assert isinstance(silent.take_error(), APITimeoutError)
        assert not patient.ended
        call.play(None)


def test_a_server_that_says_something_in_time_again_and_again_is_not_silent() -> None:
    with watched() as one:
        reader, call = one.added(limit=0.3)
        for _ in range(10):
            call.play("a")
            news(reader)
            reader.take()
            assert not threading.Event().wait(0.05)
        call.play(None)
        news(reader)
        assert reader.take_error() is None


def test_a_shorter_limit_that_applies_after_the_first_text_is_looked_after() -> None:
    """The first byte may take an hour, but no silence more than a moment."""

    class Settling(Played):
        def due(self, since: float) -> float:
            return since + (0.05 if self.read else 3600.0)

    with watched() as one:
        call: Any = Settling()
        reader = Reader(call, one.watch.resume)
        one.add(reader)
        call.play("a")
        assert text_of(reader) == "a"
        assert isinstance(reader.take_error(), APITimeoutError)


# Where the system has nothing left


def no_descriptors(*_: object, **__: object) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def assert_refused(reader: Reader, call: Any) -> None:
    """It has ended in an error, and its connection is closed."""
    assert reader.ended
    error = reader.take_error()
    assert isinstance(error, APIConnectionError)
    assert "no more threads, or descriptors" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.EMFILE
    assert call.closed.is_set(), "its connection is open"


@pytest.mark.parametrize("what", ["selector", "pipe", "register"])
def test_without_descriptors_for_a_watch_its_readers_end_in_an_error(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with watched() as one:
        reader, call = one.reader()
        assert reader.read(time.monotonic()) is Wait.SERVER
        with monkeypatch.context() as patched:
            if what == "selector":
                patched.setattr(selectors, "DefaultSelector", no_descriptors)
            elif what == "pipe":
                patched.setattr(socket, "socketpair", no_descriptors)
            else:
                patched.setattr(selectors.DefaultSelector, "register", no_descriptors)
            assert one.watch.add(reader, Wait.SERVER)
            one.watch.run()
        assert one.closed == [reader]
        assert_refused(reader, call)
        later, call = one.added()
        call.play("a", None)
        assert text_of(later) == "a", "that was then"


def test_a_reader_that_cannot_be_watched_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    register = selectors.DefaultSelector.register

    def refuse_second(selector: Any, fileobj: Any, events: int, data: Any = None) -> Any:
        if data is second:
            raise OSError(errno.EMFILE, "Too many open files")
        return register(selector, fileobj, events, data)

    with watched() as one:
        first, call = one.added()
        second, refused = one.reader()
        monkeypatch.setattr(selectors.DefaultSelector, "register", refuse_second)
        one.add(second)
        assert ended(second)
        assert wait_for(lambda: one.closed == [second])
        assert_refused(second, refused)
        call.play("a", None)
        assert text_of(first) == "a"


# Where there is a bug


class Buggy(Played):
    """A call whose limits cannot be told."""

    def due(self, since: float) -> float:
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("waits", ["for its server", "for its next attempt"])
def test_what_a_bug_raises_in_the_thread_that_watches_ends_its_readers_and_not_the_watch(waits: str) -> None:
    """Nobody waits for ever, and whoever comes later is read."""
    with watched() as one:
        others = [one.added() if waits == "for its server" else one.added(1000.0, until=Wait.RETRY) for _ in range(3)]
        call: Any = Buggy()
        buggy = Reader(call, one.watch.resume)
        assert not one.add(buggy)
        for reader, played in (*others, (buggy, call)):
            news(reader)
            error = reader.take_error()
            assert isinstance(error, APIConnectionError)
            assert isinstance(error.__cause__, ZeroDivisionError)
            assert played.closed.wait(10), "its connection is open"
        assert wait_for(lambda: len(one.closed) == 4), "their places are not free"
        later, played = one.added()
        played.play("a", None)
        assert text_of(later) == "a"


def test_those_who_were_to_be_woken_as_a_bug_shows_are_woken() -> None:
    class Broken(ThreadWaker):
        def wake(self) -> None:
            raise ZeroDivisionError("a bug")

    with watched() as one:
        readers = [one.added() for _ in range(5)]
        woken = [threading.Event() for _ in readers]
        for (reader, _), event in zip(readers, woken, strict=True):
            reader.on_ready(ThreadWaker(), event.set)
        readers[0][0].on_ready(Broken(), None)
        for _, call in readers:
            call.play("a")
        for event in woken:
            assert event.wait(10), "it waits for ever"


# Signal handlers and finalisers, between any two bytecodes


def test_a_reader_is_read_whenever_another_one_comes_while_it_is_added() -> None:
    def attempt(step: int) -> int:
        with watched() as one:
            _, anchor = one.added()
            reader, _ = one.reader("a", None)
            other, _ = one.reader("b", None)
            assert reader.read(0.0) is other.read(0.0) is Wait.SERVER
            steps = run_interrupted(
                lambda: one.watch.add(reader, Wait.SERVER),
                {step: lambda: one.watch.add(other, Wait.SERVER)},
                file=file_of(Watch.add),
            )
            assert text_of(reader) == "a"
            if step < steps:
                assert text_of(other) == "b"
            else:
                other.stop()
                other.read(0.0)
            anchor.play(None)
            return steps

    assert interrupt_at_each_step(attempt) > 10


@pytest.mark.parametrize("interrupted", ["add", "resume"])
def test_a_stop_at_any_step_of_adding_or_resuming_ends_the_reader(interrupted: str) -> None:
    """A finaliser's: of that reader, or of another one."""

    def attempt(step: int) -> int:
        with watched() as one:
            _, anchor = one.added()
            reader, _ = one.reader()
            other, _ = one.added()
            assert reader.read(0.0) is Wait.SERVER

            def stop() -> None:
                reader.stop()
                other.stop()

            act: dict[str, Callable[[], object]] = {
                "add": lambda: one.watch.add(reader, Wait.SERVER),
                "resume": lambda: one.watch.resume(other),
            }
            steps = run_interrupted(act[interrupted], {step: stop}, file=file_of(Watch.add))
            if step >= steps:
                stop()
            if interrupted == "resume":
                one.watch.add(reader, Wait.SERVER)
            assert ended(reader)
            assert ended(other)
            anchor.play(None)
            return steps

    assert interrupt_at_each_step(attempt) > 5
