"""What a reply's head says: its id, its status, and whether its body can be text at all."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from reply_readers import HTML, JSON, KEY, PLAIN, failure, head_failure, reader_of, result

from acytoo_sdk._secrets import Mask
from acytoo_sdk.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    EmptyReplyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ServerError,
    UnexpectedReplyError,
)
from acytoo_sdk.protocol import RETRYABLE_STATUSES, ReplyReader, ReplyState, is_retryable

# Head


def test_the_states_follow_the_reply() -> None:
    reader = ReplyReader()
    states = [reader.state]
    reader.receive_head(200, PLAIN)
    states.append(reader.state)
    reader.receive_data(b"Hi")
    states.append(reader.state)
    reader.receive_eof()
    states.append(reader.state)

    assert states == [ReplyState.HEAD, ReplyState.BODY, ReplyState.BODY, ReplyState.DONE]
    assert (reader.error, reader.notice) == (None, None)


def test_the_head_is_kept_with_its_names_in_lower_case_and_repeats_joined() -> None:
    reader = ReplyReader()
    reader.receive_head(200, [("Content-Type", "text/plain"), ("X-A", "1"), ("x-a", "2"), ("X-Request-ID", "r-1")])

    assert reader.head is not None
    assert reader.head.status == 200
    assert reader.head.headers == {"content-type": "text/plain", "x-a": "1, 2", "x-request-id": "r-1"}
    assert reader.head.request_id == "r-1"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({}, None),
        ({"x-request-id": ""}, None),
        ({"cf-ray": "c", "X-Request-Id": "x"}, "x"),
        ({"cf-ray": "c", "x-request-id": ""}, "c"),
        *(
            ({name: "r-1"}, "r-1")
            for name in ("request-id", "x-requestid", "x-correlation-id", "x-amzn-requestid", "x-vercel-id", "cf-ray")
        ),
        ({"x-request-id": f"a\x1b{KEY}\n"}, "a\\x1b***"),
    ],
)
def test_request_ids_are_found_and_travel_with_errors(headers: dict[str, str], request_id: str | None) -> None:
    reader = reader_of(PLAIN | headers, mask=Mask([KEY]))
    assert reader.head is not None
    assert reader.head.request_id == request_id

    for error in (
        failure(PLAIN | headers, mask=Mask([KEY])),
        failure(PLAIN | headers, b"no", status=500, mask=Mask([KEY])),
        head_failure(307, headers, mask=Mask([KEY])),
    ):
        assert error.request_id == request_id


# Status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, APIStatusError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, APIStatusError),
        (408, APIStatusError),
        (409, APIStatusError),
        (413, APIStatusError),
        (418, APIStatusError),
        (422, BadRequestError),
        (425, APIStatusError),
        (429, RateLimitError),
        (451, APIStatusError),
        (499, APIStatusError),
        *((status, ServerError) for status in (500, 501, 502, 503, 504, 505, *range(520, 528), 529, 530, 599)),
        (600, APIStatusError),
        (999, APIStatusError),
    ],
)
def test_every_error_status_is_an_error_of_its_class(status: int, kind: type[APIStatusError]) -> None:
    retryable = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
    for headers in (PLAIN, HTML, JSON, {"content-type": "text/event-stream"}, {"content-encoding": "gzip"}):
        error = failure({**headers, "Retry-After": "7"}, b"said no", status=status)

        assert type(error) is kind
        assert isinstance(error, APIStatusError)
        assert (error.status_code, error.body, error.retry_after) == (status, "said no", 7.0)
        assert error.headers == {**{name.lower(): value for name, value in headers.items()}, "retry-after": "7"}
        assert error.retryable is is_retryable(error) is (status in retryable)
        assert str(error).startswith(f"The server answered HTTP {status}")
        assert str(error).endswith(": said no")
    assert retryable == RETRYABLE_STATUSES


def test_an_error_status_is_named_by_its_phrase() -> None:
    assert str(failure(status=503)) == "The server answered HTTP 503 Service Unavailable"
    assert str(failure(status=520)) == "The server answered HTTP 520"


@pytest.mark.parametrize("status", [401, 404, 413, 429])
def test_some_statuses_come_with_a_hint(status: int) -> None:
    assert failure(status=status).hint


def test_a_retry_after_that_is_a_date_counts_from_now() -> None:
    reader = ReplyReader()
    reader.receive_head(503, {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, now=784111777.0 - 20)

    _, error = result(reader, [])

    assert isinstance(error, ServerError)
    assert error.retry_after == 20.0


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
def test_a_redirect_is_not_followed_and_its_hint_names_the_address(status: int) -> None:
    error = head_failure(status, {"Location": "https://other.example/api", "retry-after": "1"})

    assert type(error) is RedirectError
    assert str(error).endswith("not followed: the request, which may hold your key, would go to another address")
    assert (error.status_code, error.body, error.retryable) == (status, "", False)
    assert error.headers["location"] == "https://other.example/api"
    assert error.hint is not None
    assert "https://other.example/api" in error.hint


def test_a_redirect_without_an_address_has_no_hint() -> None:
    assert head_failure(302, {}).hint is None


def test_the_address_of_a_redirect_is_masked_escaped_and_of_bounded_length() -> None:
    location = "https://other/?key=p%22a%2fs%26s+w%C3%B6rd&x=\x1b[31m\u202e" + "y" * 1000

    error = head_failure(307, {"location": location}, mask=Mask([KEY]))

    assert error.hint is not None
    assert "https://other/?key=***&x=\\x1b[31m\\u202eyyy" in error.hint
    assert len(error.hint) < 400
    assert isinstance(error, RedirectError)
    assert error.headers["location"].startswith("https://other/?key=***&x=")


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://u:p@host.example/x", "http://host.example/x"),
        ("//u:p@host.example", "//host.example"),
        ("https://host.example/a@b?c@d", "https://host.example/a@b?c@d"),
        ("/elsewhere@home", "/elsewhere@home"),
    ],
)
def test_the_hint_of_a_redirect_quotes_no_credentials(location: str, shown: str) -> None:
    error = head_failure(307, {"location": location})

    assert error.hint is not None
    assert f" {shown}: pass it" in error.hint


@pytest.mark.parametrize("status", [100, 101, 102, 103, 199])
def test_an_interim_status_is_no_reply(status: int) -> None:
    error = head_failure(status, PLAIN)

    assert type(error) is UnexpectedReplyError
    assert str(status) in str(error)


def test_a_proxy_that_asks_for_credentials_is_a_connection_error() -> None:
    error = head_failure(407, PLAIN)

    assert type(error) is APIConnectionError
    assert (error.retryable, is_retryable(error)) == (False, False)
    assert error.hint


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 226, 299])
def test_every_success_with_text_is_a_reply(status: int) -> None:
    assert result(reader_of(status=status), [b"Hi"]) == ("Hi", None)


@pytest.mark.parametrize("status", [200, 204, 205])
@pytest.mark.parametrize("headers", [PLAIN, {}, HTML, JSON])
def test_a_success_without_text_is_empty(status: int, headers: Mapping[str, str]) -> None:
    for body in (b"", b"\xef\xbb\xbf"):
        error = failure(headers, body, status=status)
        assert type(error) is EmptyReplyError
        assert error.retryable is is_retryable(error) is True


# Codings and framings


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "identity, gzip", "GZIP ", "x-unknown", KEY])
def test_a_compressed_reply_is_refused(coding: str) -> None:
    error = head_failure(200, {"content-encoding": coding}, mask=Mask([KEY]))

    assert type(error) is UnexpectedReplyError
    assert error.hint
    assert KEY not in str(error)


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_the_identity_is_no_compression(coding: str) -> None:
    assert result(reader_of(PLAIN | {"content-encoding": coding}), [b"Hi"]) == ("Hi", None)


@pytest.mark.parametrize("media_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8", " text/event-stream "])
def test_an_event_stream_is_refused(media_type: str) -> None:
    error = head_failure(200, {"content-type": media_type})

    assert type(error) is UnexpectedReplyError
    assert error.hint


@pytest.mark.parametrize(
    "headers",
    [
        {"transfer-encoding": "gzip"},
        {"transfer-encoding": "gzip, chunked"},
        {"transfer-encoding": "identity"},
        {"content-length": "xyz"},
        {"content-length": "-3"},
        {"content-length": "3, 5"},
        {"content-length": "5\x1b[31m"},
    ],
)
def test_an_unknown_framing_is_refused_unless_the_status_says_more(headers: dict[str, str]) -> None:
    error = head_failure(200, headers)
    assert type(error) is UnexpectedReplyError
    assert "framing" in str(error)
    assert "\x1b" not in str(error)

    assert type(failure(headers, b"no", status=503)) is ServerError


def test_repeated_lengths_that_agree_are_one() -> None:
    reader = ReplyReader()
    reader.receive_head(200, [("Content-Length", "2"), ("content-length", "2")])

    assert result(reader, [b"Hi"]) == ("Hi", None)


@pytest.mark.parametrize(
    ("headers", "wire"),
    [({}, b"Hi"), ({"content-length": "2"}, b"Hi"), ({"transfer-encoding": "chunked"}, b"2\r\nHi\r\n0\r\n\r\n")],
)
def test_the_head_says_what_takes_the_body_out_of_its_framing(headers: dict[str, str], wire: bytes) -> None:
    reader = ReplyReader()
    reader.receive_head(200, headers)

    assert reader.framing.receive_data(wire) == b"Hi"


@pytest.mark.parametrize(
    ("status", "headers", "message", "hint"),
    [
        (
            101,
            {},
            "The server ended its reply with the interim status 101",
            "this endpoint speaks another protocol: check base_url= and path=",
        ),
        (
            200,
            {"transfer-encoding": "gzip"},
            "The framing of the reply is unknown: Transfer-Encoding gzip",
            "have the server, or the proxy in front of it, send this endpoint's replies in chunks",
        ),
        (
            200,
            {"content-encoding": "gzip"},
            "The reply is compressed (gzip), though plain text was asked for",
            "leave accept-encoding alone in headers=, or tell the server not to compress this endpoint",
        ),
        (
            200,
            {"content-type": "text/event-stream"},
            "The reply is an event stream (text/event-stream), not bare text",
            "this endpoint speaks another protocol: put `acytoo serve --upstream URL` in front of it",
        ),
        (
            407,
            {},
            "The proxy asks for credentials (HTTP 407)",
            "put them into the proxy's address: http://USER:PASSWORD@HOST:PORT",
        ),
    ],
)
def test_an_error_of_the_head_says_what_it_is_and_what_to_do(
    status: int, headers: Mapping[str, str], message: str, hint: str
) -> None:
    error = head_failure(status, headers)

    assert (str(error), error.hint) == (message, hint)


def test_an_empty_reply_says_what_to_do() -> None:
    error = failure()

    assert (str(error), error.hint) == ("The server's reply is empty", "the same call may well succeed later")


def test_a_status_that_has_no_body_ends_its_framing_whatever_its_headers_say() -> None:
    assert reader_of({"content-length": "5"}, status=204).framing.done
