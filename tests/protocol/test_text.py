"""Text comes out as it was sent, whatever the cuts: UTF-8, byte order marks, the bound, and notices."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from reply_readers import HTML, JSON, NOTICE, PLAIN, broken, cuts_of, failure, reader_of, result, result_of_break

from acytoo_sdk.errors import (
    APIConnectionError,
    DecodeError,
    EmptyReplyError,
    ReplyTooLargeError,
    StreamInterruptedError,
)
from acytoo_sdk.protocol import is_retryable

TEXTS = {
    "english": "Hello, how are you?",
    "russian": "Привет, как дела?",
    "scripts": "שלום مرحبا नमस्ते 你好 こんにちは 안녕 Γειά ขอ",
    "emoji": "😀👩‍👩‍👧‍👦🇺🇳é́",
    "NUL and controls": "a\x00b\x1b[31mc\x7fd\x85e\r\nf\tg",
    "bidi": "a\u202eb\u2066c\u200fd",
    "edges of the encoding": "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
    "a BOM inside": "a\ufeffb",
    "blank": " ",
    "blank lines": "\n\n\n",
    "U+FFFD itself": "a\ufffdb",
}


# Text


@pytest.mark.parametrize("headers", [PLAIN, {}, HTML, JSON, {"content-type": "text/plain; charset=koi8-r"}])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_comes_out_as_it_was_sent_in_every_cut(text: str, headers: Mapping[str, str]) -> None:
    for bom in ("", "\ufeff"):
        for pieces in cuts_of((bom + text).encode()):
            assert result(reader_of(headers), pieces) == (text, None)


def test_only_the_first_bom_is_dropped() -> None:
    for pieces in cuts_of("\ufeff\ufeffa\ufeff".encode()):
        assert result(reader_of(), pieces) == ("\ufeffa\ufeff", None)


def test_a_character_comes_with_its_last_byte() -> None:
    reader = reader_of()

    texts = [reader.receive_data(bytes([byte])) for byte in "aП😀".encode()]

    assert texts == ["a", "", "П", "", "", "", "😀"]
    assert reader.receive_eof() == ""
    assert reader.receive_eof() == ""


# Text that is no UTF-8, or cut


INVALID = {
    "a stray continuation": b"\x80",
    "no first byte": b"\xff",
    "overlong slash": b"\xc0\xaf",
    "overlong of three": b"\xe0\x80\xaf",
    "overlong of four": b"\xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "broken off inside": b"\xe2\x82A",
    "latin-1": "é!".encode("latin-1"),
    "utf-16": "Hi".encode("utf-16"),
}


@pytest.mark.parametrize("headers", [PLAIN, HTML, JSON, {}])
@pytest.mark.parametrize("invalid", INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("before", ["", "Привет, ", "{", "<", "Hi\n\nYou", " "])
def test_what_is_no_utf_8_is_an_error_behind_the_text_before_it(
    before: str, invalid: bytes, headers: Mapping[str, str]
) -> None:
    for pieces in cuts_of(before.encode() + invalid + b" and more"):
        text, error = result(reader_of(headers), pieces)
        assert text == before
        assert type(error) is DecodeError
        assert isinstance(error.__cause__, UnicodeDecodeError)
        assert (error.retryable, is_retryable(error)) == (False, False)
        assert f"at the bytes {invalid[0]:02x}" in str(error)


@pytest.mark.parametrize("headers", [PLAIN, HTML, JSON, {}])
@pytest.mark.parametrize(
    "part", ["П".encode()[:1], "€".encode()[:2], "😀".encode()[:1], "😀".encode()[:3], b"\xef\xbb"]
)
def test_an_end_inside_a_character_is_a_break(part: bytes, headers: Mapping[str, str]) -> None:
    for pieces in cuts_of(b"Hi" + part):
        text, error = result(reader_of(headers), pieces)
        assert text == "Hi"
        assert type(error) is StreamInterruptedError
        assert error.retryable
        assert error.hint
    for pieces in cuts_of(part):
        text, error = result(reader_of(headers), pieces)
        assert text == ""
        assert type(error) is APIConnectionError
        assert is_retryable(error)


def test_text_held_back_comes_before_the_break_inside_a_character() -> None:
    for pieces in cuts_of(b"\n\n\xd0"):
        text, error = result(reader_of(), pieces)
        assert text == "\n\n"
        assert type(error) is StreamInterruptedError


# The bound


@pytest.mark.parametrize("headers", [PLAIN, HTML, JSON, {}])
@pytest.mark.parametrize("bound", range(12))
def test_a_reply_longer_than_the_bound_is_an_error_behind_the_text_up_to_it(
    bound: int, headers: Mapping[str, str]
) -> None:
    data = "aПb😀 c\n".encode()
    assert len(data) == 11
    for pieces in cuts_of(data):
        text, error = result(reader_of(headers, max_reply_bytes=bound), pieces)
        assert text == data[:bound].decode(errors="ignore")
        if bound >= len(data):
            assert error is None
        else:
            assert type(error) is ReplyTooLargeError
            assert f"max_reply_bytes={bound}" in str(error)
            assert error.hint
            assert not is_retryable(error)


def test_the_bound_counts_bytes_and_a_bom_is_some() -> None:
    assert failure(body="\ufeffa".encode(), max_reply_bytes=3).__class__ is ReplyTooLargeError
    assert result(reader_of(max_reply_bytes=4), ["\ufeffa".encode()]) == ("a", None)


def test_text_held_back_comes_before_the_bound() -> None:
    text, error = result(reader_of(max_reply_bytes=8), [b"Hi\n\nYou can try"])

    assert text == "Hi\n\nYou "
    assert type(error) is ReplyTooLargeError


def test_without_a_bound_any_length_is_fine() -> None:
    reader = reader_of(max_reply_bytes=None)
    for _ in range(17):
        reader.receive_data(b"x" * 2**20)
    assert reader.receive_eof() == ""
    assert failure(body=b"", max_reply_bytes=None).__class__ is EmptyReplyError


def test_the_bound_is_16_mib_unless_told() -> None:
    reader = reader_of()
    assert len(reader.receive_data(b"x" * 2**24)) == 2**24

    with pytest.raises(ReplyTooLargeError):
        reader.receive_data(b"x")


# Notices


def test_a_notice_is_taken_off_in_every_cut() -> None:
    data = f"Привет!\n\n{NOTICE}  \n".encode()
    for pieces in cuts_of(data):
        reader = reader_of()
        assert reader.notice is None
        assert result(reader, pieces) == ("Привет!", None)
        assert reader.notice == NOTICE


def test_a_notice_stays_where_it_is_asked_to() -> None:
    text = f"Hi\n\n{NOTICE}"
    reader = reader_of(strip_notices=False)

    assert reader.receive_data(b"Hi\n") == "Hi\n"
    assert result(reader, [text[3:].encode()]) == (text[3:], None)
    assert reader.notice is None


def test_a_reply_that_ends_inside_a_notice_keeps_it() -> None:
    data = f"Hi\n\n{NOTICE}".encode()
    for at in range(1, len(data)):
        reader = reader_of()
        assert result(reader, [data[:at]]) == (data[:at].decode(), None)
        assert reader.notice is None


def test_a_reply_that_is_nothing_but_a_notice_is_empty() -> None:
    reader = reader_of()

    text, error = result(reader, [f"\n\n{NOTICE}".encode()])

    assert (text, type(error)) == ("", EmptyReplyError)
    assert reader.notice == NOTICE


def test_a_break_behind_a_notice_does_not_make_it_text() -> None:
    reader = reader_of()
    assert reader.receive_data(f"Hi\n\n{NOTICE}".encode()) == "Hi"

    text, error = result_of_break(reader, broken())

    assert (text, type(error)) == ("", StreamInterruptedError)
    assert reader.notice == NOTICE
