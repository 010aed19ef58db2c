"""Stop words: however a reply is cut, it ends before the first, and nothing is held back for longer than it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import InvalidRequestError
from acytoo_sdk.integrations.langchain.stop_words import StopWords, check_stop

# Of few letters, so that words begin, overlap and repeat themselves all the time.
TEXTS = st.text("ab\n", max_size=12)
WORDS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


def before_first(text: str, words: list[str]) -> str:
    """The reference: the whole text is there."""
    return text[: min((start for word in words if (start := text.find(word)) >= 0), default=len(text))]


@given(st.lists(TEXTS, max_size=6), WORDS)
def test_however_a_reply_is_cut_it_ends_before_the_first_stop_word(pieces: list[str], words: list[str]) -> None:
    text, stop = "".join(pieces), StopWords(words)

    passed = "".join([*map(stop.receive, pieces), stop.receive_eof()])

    assert passed == before_first(text, words)
    assert stop.found == any(word in text for word in words)


@given(st.lists(TEXTS, max_size=6), WORDS)
def test_only_what_may_be_the_beginning_of_a_stop_word_is_held_back(pieces: list[str], words: list[str]) -> None:
    stop, come, passed = StopWords(words), "", ""
    for piece in pieces:
        come, passed = come + piece, passed + stop.receive(piece)
        if stop.found:
            assert passed == before_first(come, words)
            break
        held = come[len(passed) :]
        assert come.startswith(passed)
        assert not held or any(word.startswith(held) and word != held for word in words)


@pytest.mark.parametrize("cut", range(len("One. END. Two") + 1))
def test_a_stop_word_is_found_wherever_it_is_cut_and_as_soon_as_it_is_there(cut: int) -> None:
    text = "One. END. Two"
    stop = StopWords(["END"])
    first = stop.receive(text[:cut])
    assert stop.found == (cut >= len("One. END"))
    assert first + stop.receive(text[cut:]) == "One. "
    assert stop.found


def test_text_that_turned_out_to_be_no_stop_word_is_handed_out_at_once() -> None:
    stop = StopWords(["\n\nUser:"])
    assert [stop.receive(piece) for piece in ("Hi\n", "\nUs", "ed")] == ["Hi", "", "\n\nUsed"]


def test_of_two_that_overlap_the_one_that_begins_first_ends_the_reply() -> None:
    assert [StopWords(["abcd", "c"]).receive(text) for text in ("xabcd", "xabce")] == ["x", "xab"]
    stop = StopWords(["abc", "ab"])
    assert (stop.receive("xab"), stop.found) == ("x", True)
    stop = StopWords(["abcd", "c"])
    assert (stop.receive("xabc"), stop.found, stop.receive_eof(), stop.found) == ("x", False, "ab", True)


def test_a_single_word_and_none_are_lists_too() -> None:
    assert check_stop("stop", None) == []
    assert check_stop("stop", "END") == ["END"]
    assert check_stop("stop", ("a", "b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "stop is an empty str"),
        (["a", ""], r"stop\[1\] is an empty str"),
        ([3], r"stop\[0\] must be a str, not int"),
        (3, "stop must be a list of str, not int"),
        (b"END", "stop must be a list of str, not bytes"),
    ],
)
def test_what_is_no_stop_word_is_refused_by_name(value: object, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        check_stop("stop", value)
