"""The text of a stream and its figures: nothing added is lost, doubled or moved, whoever looks, and whenever."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from hypothesis import example, given
from hypothesis import strategies as st

from acytoo_sdk import Stats
from acytoo_sdk._streams.text import Figures, GrowingText

LOOK = None
# Some pieces, one after the other, or a look at the text; more pieces than are kept apart, too.
STEPS = st.lists(
    st.one_of(st.lists(st.text(max_size=3), max_size=5), st.just(["ab"] * 700), st.just(LOOK)), max_size=12
)


@pytest.fixture
def switching_all_the_time() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def text_of(*pieces: str) -> GrowingText:
    text = GrowingText()
    for piece in pieces:
        text.add(piece)
    return text


# The text


@given(steps=STEPS)
@example(steps=[["ab"] * 1023, LOOK, ["c"], ["d"] * 1024, LOOK, ["e"] * 5000])
def test_the_text_is_what_was_added_whenever_it_is_looked_at(steps: list[list[str] | None]) -> None:
    text, added = GrowingText(), list[str]()
    for step in steps:
        if step is LOOK:
            assert text.joined() == "".join(added)
            continue
        for piece in step:
            text.add(piece)
        added += step
        assert (text.pieces, text.characters) == (len(added), sum(map(len, added)))
    assert text.joined() == text.joined() == "".join(added)


def test_a_text_that_nobody_added_to_is_empty() -> None:
    text = GrowingText()

    assert (text.joined(), text.pieces, text.characters) == ("", 0, 0)


def test_characters_are_counted_not_bytes() -> None:
    assert text_of("При", "вет", "\U0001f600").characters == 7


@pytest.mark.parametrize("pieces", [1, 1023, 1024, 3000])
def test_there_is_one_copy_of_a_text_that_was_looked_at(pieces: int) -> None:
    text = text_of(*(f"{number} " for number in range(pieces)))

    assert text.joined() is text.joined()


def test_short_pieces_are_not_kept_one_by_one() -> None:
    """A `str` of two characters takes more than fifty bytes."""
    many = 20_000
    tracemalloc.start()
    try:
        text = text_of("ab")
        before, _ = tracemalloc.get_traced_memory()
        for number in range(many):
            text.add(f"{number % 100:02}")
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert taken < many * sys.getsizeof("ab") / 4
    assert text.characters == 2 * (many + 1)


def test_long_pieces_are_not_joined_while_more_come() -> None:
    """That would take their text once more for a moment."""
    size, many = 4096, 2048
    tracemalloc.start()
    try:
        text = GrowingText()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(many):
            text.add(f"{number:0{size}}")
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()

    assert most < 1.1 * size * many


@pytest.mark.usefixtures("switching_all_the_time")
def test_other_threads_see_a_text_that_only_grows() -> None:
    pieces = [f"{number} " for number in range(6000)]
    text, whole = GrowingText(), "".join(pieces)
    over = threading.Event()
    seen: list[list[int]] = [[], []]
    wrong: list[str] = []

    def look(lengths: list[int]) -> None:
        while not over.is_set():
            if not whole.startswith(now := text.joined()):
                wrong.append(now)
                return
            lengths.append(len(now))

    lookers = [threading.Thread(target=look, args=(lengths,)) for lengths in seen]
    for thread in lookers:
        thread.start()
    try:
        for piece in pieces:
            text.add(piece)
    finally:
        over.set()
        for thread in lookers:
            thread.join(20)

    assert wrong == []
    assert text.joined() == whole
    assert all(lengths == sorted(lengths) for lengths in seen)


def test_a_piece_that_comes_while_somebody_looks_is_kept_in_its_place() -> None:
    """At every point of looking; the look may, or may not, see it."""

    def look_with_a_piece_at(step: int) -> int:
        text, seen = text_of("a", "b"), list[str]()
        steps = run_interrupted(
            lambda: seen.append(text.joined()), {step: lambda: text.add("c")}, file=file_of(GrowingText.joined)
        )
        came = 0 <= step < steps
        assert seen[0] in (("ab", "abc") if came else ("ab",))
        assert text.joined() == ("abc" if came else "ab")
        return steps

    steps = look_with_a_piece_at(-1)
    assert steps > 20
    for step in range(steps + 1):
        look_with_a_piece_at(step)


class Interrupted(BaseException):
    """As Ctrl-C is, at any moment."""


def interrupt() -> None:
    raise Interrupted


@pytest.mark.parametrize("what", ["a look", "one more piece", "a piece after which many are joined"])
def test_nothing_is_lost_where_it_is_interrupted(what: str) -> None:
    before = ["ab"] * (1500 if what == "a look" else 3)
    if "many" in what:
        before = ["ab"] * 1023

    def attempt(step: int) -> int:
        text = text_of(*before)
        act = text.joined if what == "a look" else (lambda: text.add("c"))
        steps = step + 1
        with contextlib.suppress(Interrupted):
            steps = run_interrupted(act, {step: interrupt}, file=file_of(GrowingText.joined))
        assert text.joined() in ("".join(before), "".join(before) + "c")
        text.add("d")
        assert text.joined().removesuffix("d") in ("".join(before), "".join(before) + "c")
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_a_look_at_any_step_of_a_look_sees_the_same() -> None:
    def attempt(step: int) -> int:
        text, seen = text_of("a", "b"), list[str]()
        look = lambda: seen.append(text.joined())  # noqa: E731
        steps = run_interrupted(look, {step: look}, file=file_of(GrowingText.joined))
        assert set(seen) == {"ab"}
        return steps

    assert interrupt_at_each_step(attempt) > 10


# The figures


def test_before_the_first_piece_was_asked_for_no_clock_runs() -> None:
    assert Figures().stats(GrowingText()) == Stats(
        attempts=0, first_piece_after=None, elapsed=0.0, pieces=0, characters=0
    )


def test_seconds_count_from_the_first_next_to_now_and_then_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    figures, text = Figures(), text_of("Hel", "lo")
    figures.attempts = 2
    figures.began = 990.0
    waiting = figures.stats(GrowingText())
    figures.first_piece = 994.0
    reading = figures.stats(text)
    figures.ended = 996.5
    ended = figures.stats(text)
    now = 2000.0
    later = figures.stats(text)
    monkeypatch.undo()

    assert waiting == Stats(attempts=2, first_piece_after=None, elapsed=10.0, pieces=0, characters=0)
    assert reading == Stats(attempts=2, first_piece_after=4.0, elapsed=10.0, pieces=2, characters=5)
    assert ended == later == Stats(attempts=2, first_piece_after=4.0, elapsed=6.5, pieces=2, characters=5)


def test_a_stream_that_ended_before_it_began_took_no_time() -> None:
    figures = Figures()
    figures.ended = time.monotonic()

    assert figures.stats(GrowingText()).elapsed == 0.0


def test_figures_that_were_handed_out_do_not_change() -> None:
    text = text_of("Hi")
    stats = Figures().stats(text)
    text.add("!")

    assert stats.characters == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.characters = 3  # type: ignore[misc]


def test_a_stream_that_another_thread_ends_as_it_begins_took_no_time() -> None:
    figures = Figures()
    figures.ended, figures.began = 100.0, 100.5
    assert figures.stats(GrowingText()).elapsed == 0.0
