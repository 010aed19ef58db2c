"""What a break means: before the head, before the first text, and after it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from reply_readers import HTML, JSON, PLAIN, broken, failure, reader_of, result, result_of_break

from acytoo_sdk.errors import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ClientClosedError,
    DecodeError,
    ReplyTooLargeError,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
    UnexpectedReplyError,
)
from acytoo_sdk.protocol import ReplyReader, is_retryable


def test_a_break_after_the_first_text_is_an_interruption_with_the_cause() -> None:
    cause = ConnectionResetError("reset")
    reader = reader_of(PLAIN | {"x-request-id": "r-1"})
    reader.receive_data(b"Hi")

    text, error = result_of_break(reader, broken(cause))

    assert text == ""
    assert type(error) is StreamInterruptedError
    assert error.__cause__ is cause
    assert error.request_id == "r-1"
    assert str(error) == "The reply broke off: the server hung up"
    assert error.hint == "partial_text holds what arrived; the same call may well succeed later"


@pytest.mark.parametrize("text", ["", "Hi", "Hi\n\n"])
def test_a_whole_reply_that_ends_inside_a_character_is_not_utf_8(text: str) -> None:
    body = text.encode() + b"\xd0"
    reader = reader_of(PLAIN | {"content-length": str(len(body))})

    got, error = result(reader, [reader.framing.receive_data(body)])

    assert got == text
    assert type(error) is DecodeError
    assert str(error) == "The reply is not UTF-8: it ends in the middle of a character"


def test_a_reply_that_breaks_off_inside_its_first_character_has_no_text_yet() -> None:
    error = failure(PLAIN, b"\xd0")

    assert type(error) is APIConnectionError
    assert str(error) == "The reply broke off before its first text: it ends in the middle of a character"


@pytest.mark.parametrize("headers", [PLAIN, HTML, JSON, {}])
@pytest.mark.parametrize("data", [b"", b"\xd0", b"\xef\xbb\xbf"])
def test_a_break_before_the_first_text_stays_what_it_is(data: bytes, headers: Mapping[str, str]) -> None:
    error = broken()
    reader = reader_of(headers)
    reader.receive_data(data)

    assert result_of_break(reader, error) == ("", error)
    assert is_retryable(error)


def test_a_break_before_the_head_stays_what_it_is() -> None:
    error = broken()

    assert result_of_break(ReplyReader(), error) == ("", error)
    assert error.request_id is None


@pytest.mark.parametrize(
    "error",
    [
        APITimeoutError("slow", phase="idle"),
        APITimeoutError("slow", phase="total"),
        StreamCancelledError("cancelled"),
        ClientClosedError("closed"),
    ],
)
@pytest.mark.parametrize("data", [b"", b"Hi", b"\n\n"])
def test_limits_and_cancellations_stay_what_they_are(error: AcytooError, data: bytes) -> None:
    reader = reader_of()
    before = reader.receive_data(data)

    text, outcome = result_of_break(reader, error)

    assert outcome is error
    assert before + text == data.decode()


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        (PLAIN, b"\n\nYou can"),
        (PLAIN, b"\n\n\xd0"),
        (HTML, b" <!doct"),
        (HTML, b"<ht"),
        ({}, b"  "),
        (JSON, b'{"error": "x'),
        (JSON, b'{"error": "x\xd0'),
        (JSON, b'{"a": 1}'),
        (JSON, b" "),
    ],
)
def test_text_held_back_comes_before_the_break(headers: Mapping[str, str], data: bytes) -> None:
    reader = reader_of(headers)
    assert reader.receive_data(data) == ""

    text, error = result_of_break(reader, broken())

    assert text == data.decode(errors="ignore")
    assert type(error) is StreamInterruptedError


@pytest.mark.parametrize(
    ("status", "headers", "data", "kind"),
    [
        (503, PLAIN, b"", ServerError),
        (503, PLAIN, b"sorry", ServerError),
        (401, JSON, b'{"error": "no', AuthenticationError),
        (200, HTML, b"<html", UnexpectedReplyError),
        (200, JSON, b'{"error": "no"}', UnexpectedReplyError),
        (200, {"cf-mitigated": "challenge"}, b"", UnexpectedReplyError),
        (200, JSON, b'{"a": "\xff', DecodeError),
        (200, JSON, b"{" + b"x" * 50, ReplyTooLargeError),
    ],
)
@pytest.mark.parametrize("error", [broken(), APITimeoutError("slow", phase="total")])
def test_what_the_reply_is_stands_after_a_break(
    error: AcytooError, status: int, headers: Mapping[str, str], data: bytes, kind: type[AcytooError]
) -> None:
    reader = reader_of(headers, status=status, max_reply_bytes=20)
    reader.receive_data(data)

    _, outcome = result_of_break(reader, error)

    assert type(outcome) is kind
