"""Web pages and JSON errors are told from text as early as they can be, are kept up to a bound, and say it in short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from acytoo_sdk._secrets import Mask
from acytoo_sdk._wire.error_bodies import (
    CHALLENGE,
    JSON_ERROR,
    PAGE,
    BodySniffer,
    ErrorKind,
    proxy_credentials_error,
    summary,
)
from acytoo_sdk.errors import APIConnectionError, UnexpectedReplyError

LIMIT = 64 * 1024
BOM = b"\xef\xbb\xbf"


def cuts_of(data: bytes) -> Iterator[list[bytes]]:
    """In two at every index, and byte by byte."""
    for at in range(len(data) + 1):
        yield [data[:at], data[at:]]
    yield [bytes([byte]) for byte in data]


def sniffed(kind: ErrorKind, pieces: Iterable[bytes], *, end: bool = True, mask: Mask | None = None) -> BodySniffer:
    """What holds a body of these pieces, fed as a reader does: until it is text."""
    sniffer = BodySniffer(kind, Mask() if mask is None else mask)
    for piece in pieces:
        sniffer.receive_data(piece)
        if sniffer.is_error is False:
            return sniffer
    if end:
        sniffer.receive_eof()
    return sniffer


# Pages


@pytest.mark.parametrize("blanks", [b"", BOM, b" \r\n\t", BOM + b"\n\n"])
@pytest.mark.parametrize("page", [b"<!DOCTYPE html>", b"<!doctype HTML><p>", b"<HTML lang=en>", b"<head>", b"<Body x>"])
def test_a_page_is_known_by_its_beginning_in_every_cut(blanks: bytes, page: bytes) -> None:
    for pieces in cuts_of(blanks + page):
        assert sniffed(PAGE, pieces, end=False).is_error is True


@pytest.mark.parametrize("body", [b"Hi", b"<", b"<p>", b"<!doctype xml>", b"<header", b"<!-- <html> -->", b"a<html>"])
def test_other_bodies_are_no_pages_in_every_cut(body: bytes) -> None:
    expected = body == b"<header"  # begins like a page, and is taken for one

    for pieces in cuts_of(body):
        assert sniffed(PAGE, pieces).is_error is expected


@pytest.mark.parametrize("body", [b"", b" \n", BOM, BOM[:2], b"<!doctype htm", b"<htm", b"<"])
def test_it_stays_open_while_the_beginning_may_become_a_page_s_and_the_end_makes_it_text(body: bytes) -> None:
    assert sniffed(PAGE, [body], end=False).is_error is None
    assert sniffed(PAGE, [body]).is_error is False


def test_text_is_let_go_with_the_first_character_that_no_page_begins_with() -> None:
    sniffer = BodySniffer(PAGE, Mask())
    judged = []

    for byte in b" <he!":
        sniffer.receive_data(bytes([byte]))
        judged.append(sniffer.is_error)

    assert judged == [None, None, None, None, False]
    assert sniffer.held == b" <he!"


def test_a_byte_order_mark_inside_does_not_begin_a_page() -> None:
    assert sniffed(PAGE, [b" " + BOM + b"<html>"]).is_error is False


# JSON errors


@pytest.mark.parametrize("start", [b"", BOM, b" \n", BOM + b"\t"])
@pytest.mark.parametrize("body", [b'{"error": "no"}', b'{"error": {"message": "no"}}', b'{"a": 1, "error": 0}'])
def test_an_object_with_an_error_is_one_in_every_cut(start: bytes, body: bytes) -> None:
    for pieces in cuts_of(start + body):
        assert sniffed(JSON_ERROR, pieces, end=False).is_error is None
        assert sniffed(JSON_ERROR, pieces).is_error is True


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"error": null}',
        b'{"message": "no"}',
        b'{"error": "no"',
        b'{"error": "no"} x',
        b"{" * 50_000,
        b"",
        b" ",
    ],
)
def test_another_object_is_text_once_it_has_ended(body: bytes) -> None:
    assert sniffed(JSON_ERROR, [body], end=False).is_error is None
    assert sniffed(JSON_ERROR, [body]).is_error is False


@pytest.mark.parametrize("body", [b'["error"]', b'"error"', b"Hi", b" \n1", BOM + b"null"])
def test_what_is_no_object_is_let_go_at_its_first_character(body: bytes) -> None:
    for pieces in cuts_of(body):
        assert sniffed(JSON_ERROR, pieces, end=False).is_error is False


@pytest.mark.parametrize("body", [b"[" * LIMIT, b'{"a":' * (LIMIT // 5)])
def test_json_that_is_nested_without_end_is_no_error(body: bytes) -> None:
    assert sniffed(JSON_ERROR, [body]).is_error is False


def test_bytes_that_are_no_utf_8_do_not_hide_an_error() -> None:
    assert sniffed(JSON_ERROR, [b'{"error": "\xff"}']).is_error is True


# Challenges


@pytest.mark.parametrize("body", [b"", b"Hi", b"<html>", b'{"a": 1}'])
def test_a_challenge_is_an_error_whatever_its_body(body: bytes) -> None:
    assert BodySniffer(CHALLENGE, Mask()).is_error is True
    for pieces in cuts_of(body):
        assert sniffed(CHALLENGE, pieces).is_error is True


# The bound


@pytest.mark.parametrize(("kind", "body"), [(PAGE, b" "), (JSON_ERROR, b"{")])
def test_what_stays_open_for_longer_than_64_kib_is_text(kind: ErrorKind, body: bytes) -> None:
    sniffer = BodySniffer(kind, Mask())

    sniffer.receive_data(body * LIMIT)
    assert (sniffer.is_error, sniffer.full) == (None, False)
    sniffer.receive_data(body)
    assert (sniffer.is_error, sniffer.full) == (False, True)
    assert sniffer.held == body * (LIMIT + 1)


def test_a_page_behind_64_kib_of_blanks_is_text_in_one_piece_too() -> None:
    assert sniffed(PAGE, [b" " * LIMIT + b"<html>"], end=False).is_error is False


def test_an_error_is_full_once_there_is_more_than_is_kept() -> None:
    sniffer = BodySniffer(CHALLENGE, Mask())

    full = []

    for data in (b"x" * LIMIT, b"y"):
        sniffer.receive_data(data)
        full.append(sniffer.full)

    assert full == [False, True]
    error = sniffer.error(cut=True)
    assert isinstance(error, UnexpectedReplyError)
    assert error.body == "x" * LIMIT


def test_the_end_changes_no_judgement() -> None:
    page = sniffed(PAGE, [b"<html>"], end=False)
    page.receive_eof()
    assert page.is_error is True

    text = sniffed(JSON_ERROR, [b"Hi"], end=False)
    text.held[:] = b'{"error": 1}'
    text.receive_eof()
    assert text.is_error is False


# The errors


def error_of(kind: ErrorKind, body: bytes, *, cut: bool = False, mask: Mask | None = None) -> UnexpectedReplyError:
    error = sniffed(kind, [body], mask=mask).error(cut=cut)
    assert isinstance(error, UnexpectedReplyError)
    return error


@pytest.mark.parametrize("kind", [PAGE, CHALLENGE])
def test_a_page_is_quoted_by_its_title_with_a_hint(kind: ErrorKind) -> None:
    page = "<html><title>Just a\n moment…</title>"

    error = error_of(kind, page.encode())

    assert str(error) == "The server sent a web page instead of a reply: Just a moment…"
    assert error.body == page
    assert error.hint is not None
    assert "base_url" in error.hint


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_a_page_that_says_nothing_is_an_error_without_a_quote(body: bytes) -> None:
    assert str(error_of(CHALLENGE, body)) == "The server sent a web page instead of a reply"


def test_a_json_error_says_its_message() -> None:
    body = b'{"error": {"message": "no model"}}'

    error = error_of(JSON_ERROR, body)

    assert str(error) == "The server sent an error instead of a reply: no model"
    assert error.body == body.decode()
    assert not error.retryable


def test_the_byte_order_mark_is_no_part_of_the_body() -> None:
    assert error_of(JSON_ERROR, BOM + b'{"error": "no"}').body == '{"error": "no"}'


@pytest.mark.parametrize(("cut", "body"), [(True, "a"), (False, "a\ufffd")])
def test_a_character_at_the_end_is_shown_as_broken_only_where_nothing_more_was_to_come(cut: bool, body: str) -> None:
    assert error_of(CHALLENGE, b"a\xd0", cut=cut).body == body


@pytest.mark.parametrize("cut", [True, False])
def test_bytes_that_are_no_utf_8_are_replaced(cut: bool) -> None:
    assert error_of(CHALLENGE, b"a\xffb", cut=cut).body == "a\ufffdb"


@pytest.mark.parametrize(("cut", "body"), [(True, "a sk-secret *** b ***"), (False, "a sk-secret *** b sk-key")])
def test_secrets_are_masked_and_the_beginning_of_one_where_the_body_was_cut(cut: bool, body: str) -> None:
    error = error_of(CHALLENGE, b"a sk-secret sk-key-1 b sk-key", cut=cut, mask=Mask(["sk-key-1"]))

    assert error.body == body
    assert "sk-key-1" not in str(error)


def test_a_secret_that_json_escapes_is_masked_in_the_message_too() -> None:
    error = error_of(JSON_ERROR, rb'{"error": "bad key \u0073k-1"}', mask=Mask(["sk-1"]))

    assert str(error).endswith(": bad key ***")


# The summary


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no"}}', "no"),
        ('{"error": "no"}', "no"),
        ('{"error": ""}', ""),
        ('{"error": {"message": 7}}', '{"error": {"message": 7}}'),
        ('{"error": {}}', '{"error": {}}'),
        ('{"error": [1]}', '{"error": [1]}'),
        ('{"error": 7}', '{"error": 7}'),
        ('{"error": null}', '{"error": null}'),
        ('{"error": "<title>x</title>"}', "<title>x</title>"),
        ("<p>\n<TITLE lang=en>A title</TITLE>", "A title"),
        ("<title></title>\nnext", ""),
        ("<title>cut", "cut"),
        ("<title", "<title"),
        ("<title<title>x", "x"),
        ("\n \n first line \nsecond", " first line "),
        ("", ""),
        ("\n\t\n", ""),
    ],
)
def test_a_body_says_in_short_its_message_its_title_or_its_first_line(body: str, said: str) -> None:
    assert summary(body) == said


# 407


def test_missing_credentials_of_a_proxy_are_told_with_what_to_do_and_not_tried_again() -> None:
    error = proxy_credentials_error("The proxy p:1")

    assert type(error) is APIConnectionError
    assert str(error) == "The proxy p:1 asks for credentials (HTTP 407)"
    assert error.hint == "put them into the proxy's address: http://USER:PASSWORD@HOST:PORT"
    assert not error.retryable
