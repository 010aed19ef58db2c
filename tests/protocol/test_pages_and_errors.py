"""Bodies that are no text: those of error statuses, web pages, challenges and JSON errors."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from reply_readers import HTML, JSON, LIMIT, PLAIN, broken, cuts_of, failure, reader_of, result, result_of_break

from acytoo_sdk.errors import ServerError, UnexpectedReplyError

# Bodies of error statuses


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no model"}}', "no model"),
        (b'\xef\xbb\xbf{"error": {"message": "no model"}}', "no model"),
        (b'{"error": "no model"}', "no model"),
        (b'{"error": ""}', ""),
        (b'{"error": 42}', '{"error": 42}'),
        (b'{\n "error": {\n  "code": 1}}', '{ "error": { "code": 1}}'),
        (b'{"error": {"message": null}}', '{"error": {"message": null}}'),
        (b'{"error": null}', '{"error": null}'),
        (b'{"detail": "no"}', '{"detail": "no"}'),
        (b'["error"]', '["error"]'),
        (b'{"error": "no', '{"error": "no'),
        (b"[" * 20_000, "[" * 200 + "..."),
        (b"<html><head><TITLE lang='en'>\n Just a\n moment... </TITLE>", "Just a moment..."),
        (b"<html><title>cut", "cut"),
        (b"<html>\n<body>", "<html>"),
        (b"\n \n  first  line\nsecond", "first line"),
        (b"", ""),
        (b"  \n", ""),
        (b"no \xff\xfe", "no \ufffd\ufffd"),
        (b"x" * 201, "x" * 200 + "..."),
        (b"x" * 200, "x" * 200),
        ("a\x00b\x1b]52;c\x07\u202ed\x7f\u2028e".encode(), "a\\x00b\\x1b]52;c\\x07\\u202ed\\x7f"),
        (b'{"error": "\\ud800\\u001b[31m"}', "\\ud800\\x1b[31m"),
    ],
)
def test_an_error_quotes_what_its_body_says(body: bytes, said: str) -> None:
    prefix = "The server answered HTTP 500 Internal Server Error"

    assert str(failure(JSON, body, status=500)) == (f"{prefix}: {said}" if said else prefix)


@pytest.mark.parametrize("unit", [b"<title", b"<title>", b"<title><", b"\n", b'{"error":', b"\\"])
def test_a_body_made_to_take_long_takes_no_longer(unit: bytes) -> None:
    # Each of these takes seconds, or a stack without end, where a search runs over the whole rest from every start.
    assert isinstance(failure(HTML, unit * (LIMIT // len(unit)), status=500), ServerError)


def test_the_body_of_an_error_is_its_first_64_kib_in_every_cut() -> None:
    for size in (LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT):
        data = b"x" * size
        for pieces in ([data], [data[:LIMIT], data[LIMIT:]], [data[:-1], data[-1:]], [data[:1], data[1:]]):
            _, error = result(reader_of(status=500), pieces)
            assert isinstance(error, ServerError)
            assert error.body == "x" * min(size, LIMIT)


def test_an_endless_error_body_is_not_waited_for() -> None:
    reader = reader_of(status=500)
    assert reader.receive_data(b"x" * LIMIT) == ""

    with pytest.raises(ServerError):
        reader.receive_data(b"x")


def test_an_error_body_is_cut_between_characters() -> None:
    error = failure(body=b"x" + "П".encode() * LIMIT, status=500)

    assert isinstance(error, ServerError)
    assert error.body == "x" + "П" * (LIMIT // 2 - 1)

    reader = reader_of(status=500)
    reader.receive_data("Пр".encode()[:3])
    _, error = result_of_break(reader, broken())
    assert isinstance(error, ServerError)
    assert error.body == "П"


def test_an_error_body_that_ends_inside_a_character_shows_it() -> None:
    error = failure(body="Пр".encode()[:3], status=500)

    assert isinstance(error, ServerError)
    assert error.body == "П\ufffd"


# Web pages


PAGES = [
    b"<!DOCTYPE html><title>Just a moment...</title>",
    b" \r\n\t\f\v<!doctype HTML>\n<title>Just a moment...</title>",
    b"<html><title>Just a moment...</title>",
    b"<HTML lang=en><title>Just a moment...</title>",
    b"<head><title>Just a moment...</title>",
    b"<body><title>Just a moment...</title>",
    b"\xef\xbb\xbf\n<html><title>Just a moment...</title>",
]


@pytest.mark.parametrize("headers", [HTML, {"content-type": "TEXT/HTML"}, {}, {"content-type": ""}])
@pytest.mark.parametrize("page", PAGES)
def test_a_web_page_is_no_reply_in_every_cut(page: bytes, headers: Mapping[str, str]) -> None:
    for pieces in cuts_of(page):
        text, error = result(reader_of(headers), pieces)
        assert text == ""
        assert type(error) is UnexpectedReplyError
        assert error.body == page.decode("utf-8-sig")
        assert error.retryable is False
        assert "Just a moment..." in str(error)
        assert error.hint


@pytest.mark.parametrize(
    "body",
    [
        b"<p>Hi</p>",
        b"<ht",
        b"<!doctype xml>",
        b"<",
        b"  <b>",
        b"Hi <html>",
        b"< html>",
        b"\n",
        b"&lt;html",
        b"<!DOCTYPE",
    ],
)
def test_other_html_is_text_in_every_cut(body: bytes) -> None:
    for headers in (HTML, {}):
        for pieces in cuts_of(body):
            assert result(reader_of(headers), pieces) == (body.decode(), None)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "media_type", ["text/plain", "text/plain; charset=utf-8", "application/octet-stream", "text/markdown"]
)
def test_html_that_a_model_wrote_is_text(page: bytes, media_type: str) -> None:
    for pieces in cuts_of(page):
        assert result(reader_of({"content-type": media_type}), pieces) == (page.decode("utf-8-sig"), None)


def test_text_labelled_html_is_held_back_only_while_it_may_be_a_page() -> None:
    reader = reader_of(HTML)

    assert [reader.receive_data(data) for data in (b" ", b"\n<", b"h", b"t", b"!", b"<html")] == [
        "", "", "", "", " \n<ht!", "<html",
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"Hi", b"", b"<html><title>Hi</title>", b"{}"])
@pytest.mark.parametrize("headers", [PLAIN, HTML, JSON, {}])
def test_a_challenge_is_no_reply_whatever_it_looks_like(body: bytes, headers: Mapping[str, str]) -> None:
    for pieces in cuts_of(body):
        _, error = result(reader_of({**headers, "CF-Mitigated": "challenge"}), pieces)
        assert type(error) is UnexpectedReplyError
        assert error.body == body.decode()
        assert ("Hi" in str(error)) is (b"Hi" in body)


@pytest.mark.parametrize("blanks", [LIMIT - 20, LIMIT - 1, LIMIT, LIMIT + 1])
def test_endless_blanks_before_a_page_are_let_go_in_every_cut(blanks: int) -> None:
    data = b" " * blanks + b"<html>"
    for pieces in ([data], [data[:-6], data[-6:]], [data[:LIMIT], data[LIMIT:]], [data[:-1], data[-1:]]):
        text, error = result(reader_of(HTML), pieces)
        assert (text == "") is (error is not None) is (blanks == LIMIT - 20)


def test_a_page_is_recognised_in_one_piece_of_any_size() -> None:
    error = failure(HTML, b"<html>" + b"x" * 2 * LIMIT)

    assert isinstance(error, UnexpectedReplyError)
    assert error.body == "<html>" + "x" * (LIMIT - 6)


def test_an_endless_page_is_not_waited_for() -> None:
    reader = reader_of(HTML)
    assert reader.receive_data(b"<html>" + b"x" * (LIMIT - 6)) == ""

    with pytest.raises(UnexpectedReplyError):
        reader.receive_data(b"x")


# JSON errors


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "overloaded", "type": "x"}}', "overloaded"),
        (b' \r\n\t{"x": 1, "error": "overloaded"}\n', "overloaded"),
        ('\ufeff{"error": "перегружено"}'.encode(), "перегружено"),
        (b'{"error": false}', '{"error": false}'),
        (b'{"error": {}}', '{"error": {}}'),
        (b'{"error": "\xff"}', "\ufffd"),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_error_is_no_reply_in_every_cut(body: bytes, said: str, media_type: str) -> None:
    for pieces in cuts_of(body):
        text, error = result(reader_of({"content-type": media_type}), pieces)
        assert text == ""
        assert type(error) is UnexpectedReplyError
        assert error.body == body.decode("utf-8-sig", "replace")
        assert error.retryable is False
        assert str(error) == f"The server sent an error instead of a reply: {said}"


@pytest.mark.parametrize(
    "body",
    [
        '{"answer": 42}',
        '{"error": null}',
        "{}",
        '{"error": "cut',
        '{"error": "x"} and more',
        '["error"]',
        '"Привет"',
        "42",
        "Hi",
        "  ",
        '{"a": {"error": "x"}}',
        '{"a":' * 20_000,
        '{"n": ' + "9" * 5000 + "}",
    ],
)
def test_other_json_is_text(body: str) -> None:
    for pieces in cuts_of(body.encode()) if len(body) < 100 else [[body.encode()]]:
        assert result(reader_of(JSON), pieces) == (body, None)


def test_json_that_is_no_object_is_not_held_back() -> None:
    reader = reader_of(JSON)

    assert [reader.receive_data(data) for data in (b" ", b"[", b"{", b"Hi")] == ["", " [", "{", "Hi"]


def test_a_json_error_without_the_label_is_text() -> None:
    assert result(reader_of(PLAIN), [b'{"error": "x"}']) == ('{"error": "x"}', None)
    assert result(reader_of({}), [b'{"error": "x"}']) == ('{"error": "x"}', None)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT])
def test_json_is_held_back_up_to_64_kib_in_every_cut(size: int) -> None:
    start, end = b'{"error": "', b'"}'
    data = start + b"x" * (size - len(start) - len(end)) + end
    for pieces in ([data], [data[:LIMIT], data[LIMIT:]], [data[:-1], data[-1:]], [data[:3], data[3:]]):
        text, error = result(reader_of(JSON), pieces)
        assert text == ("" if size <= LIMIT else data.decode())
        assert (error is None) is (size > LIMIT)


def test_json_longer_than_64_kib_comes_out_as_it_arrives() -> None:
    reader = reader_of(JSON)
    assert reader.receive_data(b"{" + b"x" * (LIMIT - 1)) == ""

    assert reader.receive_data(b"yz") == "{" + "x" * (LIMIT - 1) + "yz"
    assert reader.receive_data(b"Hi") == "Hi"
