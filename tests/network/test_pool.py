"""What clients share: one transport, and the streams on it; closed at any moment, also by a signal handler."""

from __future__ import annotations

import contextlib
import gc
import os
import threading

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted

from acytoo_sdk import ClientClosedError
from acytoo_sdk._network.pool import Pool
from acytoo_sdk._options import Options


class Started:
    """A stream that runs, and is told to stop."""

    started = True

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


def pool() -> Pool:
    return Pool(Options(), size=2)


def test_there_is_one_transport_and_none_after_the_end() -> None:
    shared = pool()
    assert shared.transport() is shared.transport()
    shared.close()
    with pytest.raises(ClientClosedError):
        shared.transport()


def test_threads_that_ask_at_the_same_moment_get_the_same_transport() -> None:
    for _ in range(20):
        shared, start, got = pool(), threading.Barrier(4), list[object]()

        def ask(shared: Pool = shared, start: threading.Barrier = start, got: list[object] = got) -> None:
            start.wait()
            got.append(shared.transport())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, got))) == 1
        shared.close()


def test_closing_cancels_the_streams_that_live_and_holds_none() -> None:
    shared, lives, gone = pool(), Started(), Started()
    for stream in (lives, gone):
        shared.add(stream)
    del gone, stream
    gc.collect()
    shared.close()

    assert lives.cancelled == 1
    assert len(shared._shared.streams) == 1


def test_closing_at_any_step_of_asking_for_the_transport_ends_it() -> None:
    def attempt(step: int) -> int:
        shared = pool()

        def ask() -> None:
            with contextlib.suppress(ClientClosedError):
                shared.transport()

        steps = run_interrupted(ask, {step: shared.close}, file=file_of(Pool.close))
        if step < steps:
            with pytest.raises(ClientClosedError):
                shared.transport()
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_no_step_of_a_child_s_first_use_shows_the_parent_s_transport() -> None:
    """Another thread of a fresh child, or a signal handler, may ask at the same moment."""

    def attempt(step: int) -> int:
        shared, seen = pool(), list[object]()
        of_parent = shared.transport()
        shared._by_process[-1] = shared._by_process.pop(os.getpid())  # as a forked child finds it
        ask = {step: lambda: seen.append(shared.transport())}
        steps = run_interrupted(shared.transport, ask, file=file_of(Pool.transport))
        assert of_parent not in seen
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_whoever_comes_first_in_a_child_at_the_same_moment_shares_what_is_closed() -> None:
    """Two threads, or a signal handler in the middle of another stream's beginning."""

    def attempt(step: int) -> int:
        shared, first, second = pool(), Started(), Started()
        steps = run_interrupted(lambda: shared.add(first), {step: lambda: shared.add(second)}, file=file_of(Pool.close))
        shared.close()
        assert (first.cancelled, second.cancelled) == (1, step < steps)
        return steps

    assert interrupt_at_each_step(attempt) > 5


def test_closing_at_any_step_of_adding_a_stream_is_known_or_cancels_it() -> None:
    def attempt(step: int) -> int:
        shared, stream = pool(), Started()
        steps = run_interrupted(lambda: shared.add(stream), {step: shared.close}, file=file_of(Pool.close))
        shared.close()
        assert stream.cancelled >= 1
        return steps

    assert interrupt_at_each_step(attempt) > 5


def test_closing_at_any_step_of_closing_cancels_every_stream() -> None:
    def attempt(step: int) -> int:
        shared, stream = pool(), Started()
        shared.add(stream)
        shared.transport()
        steps = run_interrupted(shared.close, {step: shared.close}, file=file_of(Pool.close))
        assert stream.cancelled >= 1
        return steps

    assert interrupt_at_each_step(attempt) > 10
