"""What the threads that read a call share with its consumer; with calls that the test plays."""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from played_calls import AHEAD, Played, Step, ThreadWaker, reader_of

from acytoo_sdk import AcytooError, APIConnectionError, APITimeoutError
from acytoo_sdk._streams.reader import Reader, Wait, Waker


class Resumed(list[Reader]):
    """A list of the readers that their consumers resumed."""

    def reader_of(self, *steps: Step, **how: Any) -> tuple[Reader, Any]:
        call: Any = Played(*steps, **how)
        return Reader(call, self.append), call


def read(reader: Reader, *, until: Wait = Wait.NOTHING) -> list[Wait]:
    """Reads on, as the one thread that does; returns what it waited for, in turn."""
    waits: list[Wait] = []
    while not waits or waits[-1] is not until:
        waits.append(reader.read(time.monotonic()))
        assert len(waits) < 1000, f"it waits for {waits[-1]}"
    return waits


def told(reader: Reader) -> tuple[list[str], BaseException | None]:
    """All that there is to take."""
    pieces = []
    while reader.pieces:
        pieces.append(reader.take())
    return pieces, reader.take_error()


# Pieces, the end and errors


def test_pieces_come_in_order_and_then_the_end() -> None:
    reader, _ = reader_of("a", "b", None)
    assert not reader.ready()
    read(reader)

    assert reader.ready()
    assert [reader.take(), reader.take()] == ["a", "b"]
    assert (reader.ended, reader.take_error()) == (True, None)


def test_an_error_comes_after_the_pieces_before_it_once_and_without_frames() -> None:
    reader, _ = reader_of("a", APIConnectionError("broken"))
    read(reader)

    assert reader.take() == "a"
    error = reader.take_error()
    assert isinstance(error, APIConnectionError)
    assert error.__traceback__ is None
    assert reader.take_error() is None


def test_what_is_no_error_of_this_package_keeps_the_frames_that_explain_it() -> None:
    reader, _ = reader_of(ZeroDivisionError("a bug"))
    read(reader)

    error = reader.take_error()
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is not None


def test_a_reader_that_is_ended_before_it_was_read_tells_the_error_it_was_given() -> None:
    reader, call = reader_of("a", None)
    refused = APIConnectionError("refused")
    reader.end(refused)

    assert reader.ready()
    assert (reader.ended, reader.take_error(), reader.take_error()) == (True, refused, None)
    assert call.read == 0


# What is waited for


@pytest.mark.parametrize("watched", [True, False])
def test_before_the_server_said_anything_it_is_waited_for(watched: bool) -> None:
    reader, call = reader_of(watched=watched)

    assert read(reader, until=Wait.SERVER) == [Wait.SERVER]
    assert (reader.begun, call.opened) == (True, 1)
    assert (reader.descriptor is not None) is watched
    assert not reader.ready()
    reader.stop()
    read(reader)


def test_its_descriptor_tells_when_the_server_said_something_and_reading_does_not_wait() -> None:
    reader, call = reader_of()
    read(reader, until=Wait.SERVER)
    descriptor = reader.descriptor
    assert descriptor is not None
    assert reader.read(time.monotonic()) is Wait.SERVER, "nobody waits here"
    assert select.select([descriptor], [], [], 0)[0] == []
    call.play("a")

    assert select.select([descriptor], [], [], 5)[0] == [descriptor]
    assert reader.read(time.monotonic()) is Wait.SERVER
    assert (reader.take(), reader.descriptor) == ("a", descriptor)
    call.play(None)
    assert reader.read(time.monotonic()) is Wait.NOTHING


def test_without_a_descriptor_reading_waits_for_the_server() -> None:
    reader, call = reader_of(watched=False)
    read(reader, until=Wait.SERVER)
    server = threading.Thread(target=call.play, args=("a",))
    server.start()

    assert reader.read(time.monotonic()) is Wait.SERVER
    assert reader.take() == "a"
    server.join()
    call.play(None)
    read(reader)


def test_of_two_attempts_the_descriptor_and_the_time_are_each_one_s_own() -> None:
    reader, call = reader_of(1000.0, "a", None)
    began = time.monotonic()
    assert read(reader, until=Wait.RETRY) == [Wait.SERVER, Wait.RETRY]

    assert reader.descriptor is None, "the connection is closed"
    assert began + 1000 <= reader.resume_at <= time.monotonic() + 1000
    assert read(reader)[0] is Wait.SERVER
    assert call.opened == 2
    assert told(reader) == (["a"], None)


def test_a_reader_stays_some_pages_ahead_and_is_resumed_when_half_of_them_were_taken() -> None:
    resumed = Resumed()
    reader, call = resumed.reader_of(*["x" * 1024] * 200, None)
    taken = furthest = rounds = 0
    while taken < 200:
        wait = read(reader, until=Wait.ROOM if 200 - taken > AHEAD // 1024 else Wait.NOTHING)[-1]
        rounds += 1
        furthest = max(furthest, call.read - taken)
        while reader.pieces and not resumed:
            assert wait is Wait.NOTHING or len(reader.pieces) > AHEAD // 2 // 1024, "there was room before"
            reader.take()
            taken += 1
        resumed.clear()

    assert furthest == AHEAD // 1024 + 1
    assert rounds >= 200 // (AHEAD // 1024)


def test_a_reader_that_has_room_is_not_resumed() -> None:
    resumed = Resumed()
    reader, _ = resumed.reader_of("a", "x" * AHEAD, None)
    assert read(reader, until=Wait.ROOM) == [Wait.SERVER, Wait.SERVER, Wait.ROOM]
    assert not reader.has_room
    reader.take()
    assert (reader.has_room, resumed) == (False, [])
    reader.take()

    assert (reader.has_room, resumed) == (True, [reader])
    read(reader)
    assert resumed == [reader], "once"


# Limits


def test_a_limit_counts_from_when_the_server_was_heard() -> None:
    reader, call = reader_of(limit=5.0)
    reader.read(100.0)
    assert (reader.due(), reader.settled) == (105.0, False)
    call.play("a")
    reader.read(200.0)

    assert (reader.due(), reader.settled) == (205.0, True)
    reader.stop()
    read(reader)


def test_without_a_limit_nothing_is_due() -> None:
    reader, _ = reader_of()
    reader.read(100.0)

    assert reader.due() == reader.resume_at == math.inf
    reader.stop()
    read(reader)


def test_when_a_limit_runs_out_what_had_arrived_comes_before_the_error() -> None:
    reader, call = reader_of()
    read(reader, until=Wait.SERVER)
    call.play("a")
    assert reader.expire(time.monotonic()) is Wait.SERVER
    assert reader.read(time.monotonic()) is Wait.NOTHING

    pieces, error = told(reader)
    assert pieces == ["a"]
    assert isinstance(error, APITimeoutError)


# Its end by the consumer


def at(place: str) -> tuple[Reader, Any, Resumed]:
    """A reader that waits there."""
    resumed = Resumed()
    wait = Wait[place] if place in Wait.__members__ else None
    steps: dict[Wait | None, list[Step]] = {Wait.ROOM: ["x" * (AHEAD + 1), "more"], Wait.RETRY: [1000.0]}
    reader, call = resumed.reader_of(*steps.get(wait, []), *([None] if place == "NOTHING" else []))
    if wait is not None:
        read(reader, until=wait)
    return reader, call, resumed


@pytest.mark.parametrize("place", ["not begun", "SERVER", "ROOM", "RETRY"])
def test_a_reader_that_waits_is_ended_by_stop(place: str) -> None:
    reader, call, resumed = at(place)
    before = call.read
    reader.stop()

    assert reader.ready()
    assert resumed == [reader], "whoever reads is told"
    assert reader.read(time.monotonic()) is Wait.NOTHING
    assert reader.ended
    assert call.closed.is_set() or place == "not begun"
    assert (call.read, call.opened) == (before, int(place != "not begun"))
    assert reader.take_error() is None


def test_a_reader_that_has_ended_is_not_changed_by_stop() -> None:
    reader, _, _ = at("NOTHING")
    reader.stop()

    assert reader.read(time.monotonic()) is Wait.NOTHING
    assert (reader.ended, reader.take_error()) == (True, None)


def test_an_error_after_stop_is_not_told() -> None:
    opened = threading.Event()
    reader, call = reader_of(watched=False, opens=opened.set)
    thread = threading.Thread(target=lambda: read(reader))
    thread.start()
    assert opened.wait(10)
    reader.stop()
    call.play(APIConnectionError("the consequence"))
    thread.join(10)

    assert not thread.is_alive()
    assert (reader.ended, reader.take_error()) == (True, None)
    reader.end(APIConnectionError("another one"))
    assert reader.take_error() is None


# Waking


class Counting:
    """A waker that counts."""

    def __init__(self) -> None:
        self.noted: list[object] = []
        self.woken = 0

    def due(self, waiter: object) -> None:
        self.noted.append(waiter)

    def wake(self) -> None:
        self.woken += 1


def test_who_waits_is_woken_once_by_a_piece_the_end_or_stop() -> None:
    for first in ("a", None):
        reader, _ = reader_of(first, None)
        woken: list[str] = []
        reader.on_ready(ThreadWaker(), lambda woken=woken: woken.append("news"))
        while not reader.ended:
            reader.read(time.monotonic())
            if reader.ready():
                reader.wake()
        assert woken == ["news"]
    for end in (Reader.stop, Reader.end):
        reader, _ = reader_of()
        woken = []
        reader.on_ready(ThreadWaker(), lambda woken=woken: woken.append("stop"))
        end(reader)
        end(reader)
        assert woken == ["stop"]


def test_of_many_readers_each_loop_is_woken_once() -> None:
    """A loop is told who is to be woken of each reader, and woken for all of them together."""
    one, other = Counting(), Counting()
    wakers: set[Waker] = set()
    for number in range(6):
        reader, _ = reader_of()
        for _ in range(number % 3):
            reader.on_ready(one if number < 3 else other, number)
        reader.note_news(wakers)
        reader.note_news(wakers)

    assert wakers == {one, other}
    assert (one.noted, other.noted) == ([1, 2, 2], [4, 5, 5])
    assert (one.woken, other.woken) == (0, 0), "that is for whoever has the set"


# Signal handlers and finalisers, between any two bytecodes


class Interrupted(BaseException):
    """As Ctrl-C is."""


def interrupt() -> None:
    raise Interrupted


@pytest.mark.parametrize("interrupts", [Reader.stop, Reader.wake, Reader.end])
@pytest.mark.parametrize("interrupted", [Reader.stop, Reader.wake, Reader.end])
def test_whoever_wakes_at_any_step_of_another_forgets_nobody(
    interrupted: Callable[[Reader], object], interrupts: Callable[[Reader], object]
) -> None:
    def attempt(step: int) -> int:
        reader, _ = reader_of()
        woken = [0, 0]

        def wake(number: int) -> Callable[[], None]:
            def count() -> None:
                woken[number] += 1

            return count

        reader.on_ready(ThreadWaker(), wake(0))
        reader.on_ready(ThreadWaker(), wake(1))
        steps = run_interrupted(
            lambda: interrupted(reader), {step: lambda: interrupts(reader)}, file=file_of(Reader.stop)
        )
        assert min(woken) >= 1
        assert max(woken) <= 2, "a waiter that was woken may be woken again: it looks for itself"
        assert not reader._waiting
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_a_wake_that_is_interrupted_forgets_nobody_who_was_not_woken() -> None:
    def attempt(step: int) -> int:
        reader, _ = reader_of()
        woken: list[str] = []
        reader.on_ready(ThreadWaker(), lambda: woken.append("a"))
        reader.on_ready(ThreadWaker(), lambda: woken.append("b"))
        try:
            steps = run_interrupted(reader.wake, {step: interrupt}, file=file_of(Reader.wake))
        except Interrupted:
            steps = step + 1
        reader.wake()
        assert set(woken) == {"a", "b"}
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_a_piece_that_is_taken_at_any_step_of_reading_resumes_a_reader_that_waits_for_room() -> None:
    """Or, the room that it makes is seen: nobody waits for ever."""

    def attempt(step: int) -> int:
        resumed = Resumed()
        reader, _ = resumed.reader_of("a", "x" * AHEAD, "more")
        waits: list[Wait] = []

        def take_all() -> None:
            while reader.pieces:
                reader.take()

        def run() -> None:
            waits.extend(reader.read(0.0) for _ in range(3))

        steps = run_interrupted(run, {step: take_all}, file=file_of(Reader.read))
        if waits[2] is Wait.ROOM:
            assert bool(resumed) is reader.has_room, "who has room was resumed"
            take_all()
            assert resumed == [reader], "and who has none is resumed when there is"
        else:
            assert sum(map(len, reader.pieces)) <= AHEAD
        reader.stop()
        reader.read(0.0)
        return steps

    assert interrupt_at_each_step(attempt) > 20


def test_a_stop_at_any_step_of_reading_is_seen_now_or_when_it_is_resumed() -> None:
    def attempt(step: int) -> int:
        resumed = Resumed()
        reader, call = resumed.reader_of("a", APIConnectionError("broken"))
        waits: list[Wait] = []

        def run() -> None:
            while not waits or waits[-1] is not Wait.NOTHING:
                waits.append(reader.read(0.0))

        steps = run_interrupted(run, {step: reader.stop}, file=file_of(Reader.read))
        assert reader.ended
        assert call.closed.is_set() or call.opened == 0
        if step < steps:
            assert resumed == [reader]
        return steps

    assert interrupt_at_each_step(attempt) > 20


def test_a_stop_at_any_step_of_taking_a_piece_ends_the_reader_and_loses_no_count() -> None:
    def attempt(step: int) -> int:
        resumed = Resumed()
        reader, _ = resumed.reader_of("x" * (AHEAD + 1), "more")
        read(reader, until=Wait.ROOM)
        steps = run_interrupted(reader.take, {step: reader.stop}, file=file_of(Reader.take))
        assert resumed
        assert reader.has_room
        assert reader.read(0.0) is (Wait.NOTHING if step < steps else Wait.SERVER)
        reader.stop()
        reader.read(0.0)
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_only_errors_of_the_call_are_freed_of_their_frames() -> None:
    """The reader holds the error until it is told, and the error's frames would hold the reader."""
    for error in (APIConnectionError("ours"), APITimeoutError("ours", phase="idle")):
        reader, _ = reader_of(error)
        read(reader)
        kept = reader.take_error()
        assert isinstance(kept, AcytooError)
        assert kept.__traceback__ is None
