"""Bytes become text in every cut: UTF-8, the byte order mark, the bound, the notice; a fault waits behind its text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk._wire.decoder import TextDecoder
from acytoo_sdk.errors import DecodeError, ReplyTooLargeError, UnexpectedReplyError

NOTICE = (
    "You can try our new always-free website: https://chat.acytoo.com "
    "Or telegram bot @chatacytoo_bot "
    "For developers, you can use https://api.acytoo.net directly."
)
BOM = "\ufeff"


def decoder(*, strip_notices: bool = True, max_bytes: int | None = None) -> TextDecoder:
    return TextDecoder(strip_notices=strip_notices, max_bytes=max_bytes)


def cuts_of(data: bytes) -> Iterator[list[bytes]]:
    """Whole, in two at every index, and byte by byte."""
    for at in range(len(data) + 1):
        yield [data[:at], data[at:]]
    yield [bytes([byte]) for byte in data]


def decoded(pieces: Iterable[bytes], by: TextDecoder) -> tuple[str, UnexpectedReplyError | None]:
    """What a reader gets who stops at a fault."""
    text = ""
    for piece in pieces:
        text += by.decode(piece)
        if by.error is not None:
            return text, by.error
    return text + by.flush(), None


# UTF-8


@pytest.mark.parametrize(
    "text", ["Hello", "Привет, как дела?", "a😀👩‍👩‍👧‍👦é́b", "\x00\x7f\u07ff\ud7ff\uffff\U0010ffff"]
)
@pytest.mark.parametrize("strip_notices", [True, False])
def test_text_comes_out_as_it_was_written_in_every_cut(text: str, strip_notices: bool) -> None:
    for pieces in cuts_of(text.encode()):
        assert decoded(pieces, decoder(strip_notices=strip_notices)) == (text, None)


def test_a_character_that_is_cut_comes_out_with_its_last_byte() -> None:
    by = decoder()
    texts, inside = [], []

    for byte in "aП😀".encode():
        texts.append(by.decode(bytes([byte])))
        inside.append(by.inside_character)

    assert texts == ["a", "", "П", "", "", "", "😀"]
    assert inside == [False, True, False, True, True, True, False]


def test_the_rest_of_a_cut_character_is_no_text_at_the_end() -> None:
    by = decoder()

    assert by.decode("aП".encode()[:-1]) == "a"
    assert by.flush() == ""
    assert by.inside_character


@pytest.mark.parametrize(
    ("data", "before", "bad"),
    [
        (b"ab\xffcd", "ab", "ff"),
        ("aП".encode() + b"\x80\x80", "aП", "80"),
        (b"a\xc0\xaf", "a", "c0"),
        (b"a\xed\xa0\x80", "a", "ed"),
        (b"a\xf0\x9f\x98a", "a", "f0 9f 98"),
        (b"a\xf4\x90\x80\x80", "a", "f4"),
        (b"\xff", "", "ff"),
    ],
)
def test_the_fault_comes_after_the_text_before_it_in_every_cut(data: bytes, before: str, bad: str) -> None:
    for pieces in cuts_of(data):
        text, error = decoded(pieces, decoder())

        assert text == before
        assert isinstance(error, DecodeError)
        assert str(error).startswith("The reply is not UTF-8: ")
        assert str(error).endswith(f" at the bytes {bad}")
        assert not error.retryable


def test_the_error_has_its_cause_and_no_frames_of_the_decoder() -> None:
    by = decoder()
    by.decode(b"a\xff")
    assert by.error is not None
    before = sys.getrefcount(by)

    cause = by.error.__cause__
    assert isinstance(cause, UnicodeDecodeError)
    assert cause.__traceback__ is None
    assert sys.getrefcount(by) == before


# The byte order mark


@pytest.mark.parametrize(("text", "shown"), [("", ""), ("Привет", "Привет"), (BOM + "a" + BOM, BOM + "a" + BOM)])
def test_one_byte_order_mark_is_dropped_in_every_cut(text: str, shown: str) -> None:
    for pieces in cuts_of((BOM + text).encode()):
        assert decoded(pieces, decoder()) == (shown, None)


def test_a_byte_order_mark_behind_text_is_text() -> None:
    for pieces in cuts_of(("a" + BOM).encode()):
        assert decoded(pieces, decoder()) == ("a" + BOM, None)


def test_a_byte_order_mark_before_a_fault_is_dropped() -> None:
    for pieces in cuts_of((BOM + "a").encode() + b"\xff"):
        text, error = decoded(pieces, decoder())
        assert text == "a"
        assert isinstance(error, DecodeError)


# The bound


@pytest.mark.parametrize("strip_notices", [True, False])
def test_a_body_as_long_as_the_bound_is_fine_in_every_cut(strip_notices: bool) -> None:
    data = "aПb".encode()

    for pieces in cuts_of(data):
        assert decoded(pieces, decoder(max_bytes=len(data), strip_notices=strip_notices)) == ("aПb", None)


@pytest.mark.parametrize(("bound", "text"), [(0, ""), (1, "a"), (2, "a"), (3, "aП"), (4, "aПb")])
def test_a_longer_one_is_an_error_behind_what_fits_in_every_cut(bound: int, text: str) -> None:
    for pieces in cuts_of("aПbc".encode()):
        shown, error = decoded(pieces, decoder(max_bytes=bound))

        assert shown == text
        assert isinstance(error, ReplyTooLargeError)
        assert str(error) == f"The reply is longer than max_reply_bytes={bound}"
        assert error.hint == "raise max_reply_bytes, or pass None"


def test_the_bound_counts_the_byte_order_mark() -> None:
    text, error = decoded([(BOM + "ab").encode()], decoder(max_bytes=4))

    assert (text, type(error)) == ("a", ReplyTooLargeError)


def test_a_fault_before_the_bound_is_told_and_one_behind_it_is_not() -> None:
    assert type(decoded([b"a\xffbc"], decoder(max_bytes=3))[1]) is DecodeError
    assert type(decoded([b"abc\xff"], decoder(max_bytes=3))[1]) is ReplyTooLargeError


# The notice


def test_a_notice_is_taken_off_and_told_in_every_cut() -> None:
    for pieces in cuts_of(f"{BOM}Hi\n\n{NOTICE} \n".encode()):
        by = decoder()
        assert decoded(pieces, by) == ("Hi", None)
        assert by.notice == NOTICE


def test_a_notice_that_nobody_strips_is_text() -> None:
    by = decoder(strip_notices=False)
    text = f"Hi\n\n{NOTICE}"

    assert decoded([text.encode()], by) == (text, None)
    assert by.notice is None


def test_there_is_no_notice_before_the_end() -> None:
    by = decoder()

    assert by.decode(f"Hi\n\n{NOTICE}".encode()) == "Hi"
    assert by.notice is None
    assert by.flush() == ""
    assert by.notice == NOTICE


@pytest.mark.parametrize(("rest", "bound"), [(b"\xff", None), (b"more", len(b"Hi\n\nYou can"))])
def test_what_was_held_back_comes_before_the_fault(rest: bytes, bound: int | None) -> None:
    for pieces in cuts_of(b"Hi\n\nYou can"):
        text, error = decoded([*pieces, rest], decoder(max_bytes=bound))

        assert text == "Hi\n\nYou can"
        assert error is not None


@given(st.text(), st.booleans(), st.data())
def test_any_text_in_any_cut_is_itself(text: str, strip_notices: bool, data: st.DataObject) -> None:
    body = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    shown, error = decoded(pieces, decoder(strip_notices=strip_notices, max_bytes=len(body)))

    assert (shown, error) == (text.removeprefix(BOM), None)
