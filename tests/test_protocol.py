"""The protocol, without a socket: what is sent, and what every reply means, whatever cut the network gives it."""

from __future__ import annotations

import codecs
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acytoo_sdk._secrets import Mask
from acytoo_sdk._version import __version__
from acytoo_sdk.errors import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
    UnexpectedReplyError,
)
from acytoo_sdk.protocol import (
    RETRYABLE_STATUSES,
    Message,
    ReplyReader,
    ReplyState,
    build_request,
    is_retryable,
    message_list,
    retry_after,
)

KEY = 'p"a/s&s wörd'
PLAIN = {"content-type": "text/plain"}
HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
LIMIT = 64 * 1024
NOTICE = (
    "You can try our new always-free website: https://chat.acytoo.com   Or telegram bot @chatacytoo_bot   "
    "For developers, you can use https://api.acytoo.net directly."
)
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


def reader_of(headers: Mapping[str, str] = PLAIN, *, status: int = 200, **options: Any) -> ReplyReader:
    reader = ReplyReader(**options)
    reader.receive_head(status, headers)
    return reader


def cuts_of(data: bytes) -> Iterator[list[bytes]]:
    """The whole, byte by byte, and in two at every index, the ends included."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(len(data) + 1):
        yield [data[:at], data[at:]]


def result(reader: ReplyReader, pieces: Iterable[bytes]) -> tuple[str, AcytooError | None]:
    """All the text that comes out, and the error behind it, as a client gets them."""
    texts: list[str] = []
    try:
        for piece in pieces:
            texts.append(reader.receive_data(piece))
            if reader.error is not None:
                raise reader.error
        texts.append(reader.receive_eof())
        if reader.error is not None:
            raise reader.error
    except AcytooError as error:
        check_failed(reader, error)
        return "".join(texts), error
    assert reader.state is ReplyState.DONE
    return "".join(texts), None


def check_failed(reader: ReplyReader, error: AcytooError) -> None:
    """A reader that failed says so for good."""
    assert reader.state is ReplyState.FAILED
    assert reader.error is error
    calls: tuple[Callable[[], str], ...] = (
        lambda: reader.receive_data(b"more"),
        reader.receive_eof,
        lambda: reader.receive_break(APIConnectionError("broken")),
    )
    for call in calls:
        with pytest.raises(AcytooError) as caught:
            call()
        assert caught.value is error
    assert reader.state is ReplyState.FAILED


def failure(headers: Mapping[str, str] = PLAIN, body: bytes = b"", *, status: int = 200, **options: Any) -> AcytooError:
    """The error of a reply that has no text."""
    text, error = result(reader_of(headers, status=status, **options), [body])
    assert text == ""
    assert error is not None
    return error


def head_failure(status: int, headers: Mapping[str, str], **options: Any) -> AcytooError:
    """The error that the head alone makes."""
    reader = ReplyReader(**options)
    with pytest.raises(AcytooError) as caught:
        reader.receive_head(status, headers)
    check_failed(reader, caught.value)
    return caught.value


# Requests


def test_the_request_has_the_keys_of_the_wire_in_their_order() -> None:
    request = build_request("Hi", base_url="https://host:1/base", path="/p", key="k", password="p", model="m")

    assert (request.method, request.url) == ("POST", "https://host:1/base/p")
    assert request.body == (
        b'{"key": "k", "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, '
        b'"password": "p"}'
    )


def test_the_request_has_the_defaults_of_the_service() -> None:
    request = build_request("Hi")

    assert request.url == "https://chat.acytoo.com/api/completions"
    assert request.headers == {
        "accept": "*/*",
        "content-type": "application/json",
        "user-agent": f"acytoo-sdk/{__version__}",
        "accept-encoding": "identity",
    }
    payload = json.loads(request.body)
    assert list(payload) == ["key", "model", "messages", "temperature", "password"]
    assert payload == provider_payload([{"role": "user", "content": "Hi"}])


def provider_payload(messages: list[dict[str, Any]], temperature: float = 0.5) -> dict[str, Any]:
    """What `Acytoo._create_payload` of g4f 0.1.9.3 made."""
    return {"key": "", "model": "gpt-3.5-turbo", "messages": messages, "temperature": temperature, "password": ""}


unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | unicode_text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(unicode_text, values, max_size=3),
    max_leaves=5,
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": unicode_text},
    optional={"createdAt": st.integers(), "name": json_values},
)


@given(st.lists(turns), st.floats(0, 2))
def test_any_conversation_is_sent_as_the_old_provider_sent_it(conversation: list[dict[str, Any]], heat: float) -> None:
    request = build_request(cast(list[Message], conversation), temperature=heat)

    assert json.loads(request.body.decode()) == provider_payload(conversation, heat)


def test_further_keys_of_a_message_pass_through() -> None:
    turn = {"role": "user", "content": "Hi", "createdAt": 1694612345678, "x": [{"deep": None}]}

    assert json.loads(build_request(cast(Message, turn)).body)["messages"] == [turn]


def test_the_list_of_the_caller_is_neither_changed_nor_kept() -> None:
    turn: Message = {"role": "user", "content": "Hi"}
    conversation = [turn]

    request, turns_of = build_request(conversation), message_list(conversation)
    turns_of[0]["content"] = "changed"
    turns_of.append(turn)

    assert conversation == [{"role": "user", "content": "Hi"}]
    assert conversation[0] is turn
    conversation.clear()
    assert b"Hi" in request.body


@pytest.mark.parametrize(
    "messages",
    [
        "Hi",
        {"role": "user", "content": "Hi"},
        [{"role": "user", "content": "Hi"}],
        ({"role": "user", "content": "Hi"},),
    ],
    ids=["str", "message", "list", "tuple"],
)
def test_every_way_to_say_one_thing_is_the_same_request(messages: Any) -> None:
    assert build_request(messages) == build_request("Hi")
    assert message_list(messages) == [{"role": "user", "content": "Hi"}]


def test_headers_of_the_caller_are_added_or_replace_in_any_case() -> None:
    headers = {"X-Extra": "1", "ACCEPT": "text/plain", "User-agent": "mine", "Accept-Encoding": "gzip"}

    assert build_request("Hi", headers=headers).headers == {
        "accept": "text/plain",
        "content-type": "application/json",
        "user-agent": "mine",
        "accept-encoding": "gzip",
        "x-extra": "1",
    }
    assert headers["ACCEPT"] == "text/plain"


def test_a_request_does_not_show_its_body_and_headers() -> None:
    request = build_request("my question", key="k-123", password="p-456", headers={"authorization": "a-789"})

    for secret in ("my question", "k-123", "p-456", "a-789"):
        assert secret not in repr(request) + str(request)
    assert pickle.loads(pickle.dumps(request)) == request


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": {1, 2}}], TypeError),
        ([{"content": float("nan")}], ValueError),
        ("\ud800", ValueError),
    ],
)
def test_what_is_no_json_is_not_sent(messages: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        build_request(messages)


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


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
def test_a_redirect_is_not_followed_and_its_hint_names_the_address(status: int) -> None:
    error = head_failure(status, {"Location": "https://other.example/api", "retry-after": "1"})

    assert type(error) is RedirectError
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


# Replies that are no text


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


# Breaks


def broken(cause: BaseException | None = None) -> APIConnectionError:
    error = APIConnectionError("the server hung up")
    error.__cause__ = cause
    return error


def result_of_break(reader: ReplyReader, error: AcytooError) -> tuple[str, AcytooError]:
    text = ""
    try:
        text = reader.receive_break(error)
    except AcytooError as raised:
        check_failed(reader, raised)
    assert reader.error is not None
    check_failed(reader, reader.error)
    return text, reader.error


def test_a_break_after_the_first_text_is_an_interruption_with_the_cause() -> None:
    cause = ConnectionResetError("reset")
    reader = reader_of(PLAIN | {"x-request-id": "r-1"})
    reader.receive_data(b"Hi")

    text, error = result_of_break(reader, broken(cause))

    assert text == ""
    assert type(error) is StreamInterruptedError
    assert error.__cause__ is cause
    assert error.request_id == "r-1"
    assert "the server hung up" in str(error)


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


# Masks


@pytest.mark.parametrize(
    "quoted",
    [KEY, json.dumps(KEY)[1:-1], 'p\\"a\\/s&s wörd', "p%22a%2Fs%26s%20w%C3%B6rd", "p&quot;a/s&amp;s wörd"],
    ids=["plain", "json", "json of PHP", "url", "html"],
)
def test_secrets_are_masked_wherever_the_server_quotes_them(quoted: str) -> None:
    mask = Mask([KEY])
    headers = {"x-echo": f"<{quoted}>", "x-request-id": quoted}
    for error in (
        failure(PLAIN | headers, f"bad key {quoted}!".encode(), status=401, mask=mask),
        failure(HTML | headers, f"<html><title>bad key {quoted}!</title>".encode(), mask=mask),
        failure(JSON | headers, json.dumps({"error": f"bad key {quoted}!"}).encode(), mask=mask),
        head_failure(200, {"content-encoding": f"bad key {quoted}!"} | headers, mask=mask),
        head_failure(200, {"transfer-encoding": f"bad key {quoted}!"} | headers, mask=mask),
    ):
        assert "bad key ***!" in str(error)
        for shown in (str(error), repr(error), repr(vars(error)), str(pickle.loads(pickle.dumps(error)).__dict__)):
            assert quoted not in shown
            assert KEY not in shown

    reader = reader_of(headers, mask=mask)
    assert reader.head is not None
    assert reader.head.headers == {"x-echo": "<***>", "x-request-id": "***"}


def test_the_text_of_a_reply_is_not_masked() -> None:
    assert result(reader_of(mask=Mask([KEY])), [KEY.encode()]) == (KEY, None)


def test_a_secret_cut_at_the_limit_of_a_body_is_masked_at_every_index() -> None:
    secret = KEY.encode()
    for inside in range(1, len(secret)):
        data = b"x" * (LIMIT - inside) + secret + b"more"
        for pieces in ([data], [data[:LIMIT], data[LIMIT:]], [data[: LIMIT + 1], data[LIMIT + 1 :]]):
            _, error = result(reader_of(status=500, mask=Mask([KEY])), pieces)
            assert isinstance(error, ServerError)
            assert error.body == "x" * (LIMIT - inside) + "***"


def test_a_secret_cut_by_a_break_is_masked() -> None:
    reader = reader_of(status=500, mask=Mask([KEY]))
    reader.receive_data(b"bad key " + KEY.encode()[:-2])

    _, error = result_of_break(reader, broken())

    assert isinstance(error, ServerError)
    assert error.body == "bad key ***"


def test_a_reader_does_not_show_its_secrets() -> None:
    assert KEY not in repr(vars(reader_of(mask=Mask([KEY]))))


# Any bytes in any cut


NAMES = [
    "Content-Type",
    "content-encoding",
    "Content-Length",
    "transfer-encoding",
    "retry-after",
    "CF-mitigated",
    "cf-ray",
    "location",
    "x",
]
VALUES = [
    "text/plain",
    "text/html",
    "application/json",
    "application/json;x",
    "text/event-stream",
    "gzip",
    "identity",
    "chunked",
    "5",
    "-5",
    "challenge",
]
FRAGMENTS = [
    *(b"\xef\xbb\xbf", b"\xd0", b"\x9f", b"\xf0\x9f\x98", b"\x80", b"Hi", "Привет".encode(), b" ", b"\n\n"),
    *(b"<html>", b"<ht", b"{", b'{"error": "x"}', b'"error"', b"}"),
    *(NOTICE.encode(), b"\n\n" + NOTICE.encode(), b"\n\nYou can"),
]
statuses = st.sampled_from([*range(98, 104), *range(198, 208), 301, 307, 400, 401, 404, 407, 429, 500, 503, 529, 600])
headers_of = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=5)), max_size=4)
heads = st.tuples(statuses, headers_of)
bodies = st.binary(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=8).map(b"".join)


def outcome(
    head: tuple[int, list[tuple[str, str]]], pieces: list[bytes], *, bound: int | None
) -> tuple[str, type[AcytooError] | None, str, str | None]:
    reader = ReplyReader(max_reply_bytes=bound)
    text, error = "", None
    try:
        reader.receive_head(*head, now=0.0)
    except AcytooError as raised:
        error = raised
        check_failed(reader, raised)
    else:
        text, error = result(reader, pieces)
    assert (reader.state is ReplyState.DONE) is (error is None)
    return text, None if error is None else type(error), str(error), reader.notice


@given(heads, bodies, st.none() | st.integers(0, 40), st.data())
def test_any_bytes_in_any_cut_are_text_or_a_typed_error(
    head: tuple[int, list[tuple[str, str]]], body: bytes, bound: int | None, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert outcome(head, pieces, bound=bound) == outcome(head, [body], bound=bound)


@given(bodies, st.none() | st.integers(0, 40), st.data())
@example(b"\xef\xbb\xbf\xef\xbb\xbf", None, None)
def test_the_text_is_the_longest_valid_prefix_of_the_bytes(
    body: bytes, bound: int | None, data: st.DataObject | None
) -> None:
    cuts = [] if data is None else sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    text, error = result(reader_of(max_reply_bytes=bound, strip_notices=False), pieces)

    kept = body if bound is None else body[:bound]
    try:
        valid, _ = codecs.utf_8_decode(kept, "strict", False)
    except UnicodeDecodeError as invalid:
        valid = kept[: invalid.start].decode()
        assert type(error) is DecodeError
    assert text == valid.removeprefix("\ufeff")
    if error is None:
        assert text.encode() == body.removeprefix(codecs.BOM_UTF8)


# Retries

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("9999999999", 9999999999.0),
        ("10000000000", None),
        ("12345678901234567890", None),
        ("1.5", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1e999", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("7, 8", None),
        ("7\n8", None),
        ("٧", None),
        ("²", None),
        ("７", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Tue Dec  1 12:00:00 2026", 9 * 86400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp() - NOW),
        ("Sun, 22 Nov 2026 12:00:00 GMT", None),
        ("Sun, 22 Nov 2026 11:59:59 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Sunday, 31-Dec-69 00:00:00 GMT", datetime(2069, 12, 31, tzinfo=timezone.utc).timestamp() - NOW),
        ("Sunday, 01-Jan-70 00:00:00 GMT", None),
        ("Sun Nov  6 08:49:37 1994", None),
        ("Sun, 22 Nov 2026 12:00:30", None),
        ("Sun, 22 Nov 2026 12:00:30 UTC", None),
        ("Sun, 22 Nov 2026 12:00:30 +0000", None),
        ("22 Nov 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 25:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:60 GMT", None),
        ("Sun, 31 Feb 2027 12:00:30 GMT", None),
        ("Sun, 22 Nox 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 0000 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 ::::::::  GMT", None),
        ("Sun, 22 Nov 2026 :::::::: GMT", None),
        ("Sun, 22 Nov 2026 12345678 GMT", None),
        ("Sun, ２２ Nov 2026 12:00:30 GMT", None),
        ("So, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("2026-11-22T12:00:30Z", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_in_the_future(value: str, expected: float | None) -> None:
    assert retry_after({"retry-after": value}, now=NOW) == expected


def test_without_the_header_there_is_nothing_to_wait_for() -> None:
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "7"}) is None


@pytest.mark.parametrize("now", [None, float("nan"), float("inf")])
def test_without_a_clock_a_date_counts_as_absent(now: float | None) -> None:
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, now=now) is None
    assert retry_after({"retry-after": "7"}, now=now) == 7.0


@given(st.datetimes(datetime(2026, 11, 23), datetime(2069, 1, 1)).map(lambda date: date.replace(microsecond=0)))
def test_any_date_in_the_future_is_understood(date: datetime) -> None:
    expected = date.replace(tzinfo=timezone.utc).timestamp() - NOW
    for value in (
        format_datetime(date.replace(tzinfo=timezone.utc), usegmt=True),
        date.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        date.ctime(),
    ):
        assert retry_after({"retry-after": value}, now=NOW) == expected


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]+, [0-9 ]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8} GMT", fullmatch=True),
    st.none() | st.floats(),
)
def test_retry_after_never_raises(value: str, now: float | None) -> None:
    wait = retry_after({"retry-after": value}, now=now)

    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (APIConnectionError("x"), True),
        (APIConnectionError("x", retryable=False), False),
        (APITimeoutError("x", phase="connect"), True),
        (APITimeoutError("x", phase="first_byte"), True),
        (APITimeoutError("x", phase="idle"), True),
        (APITimeoutError("x", phase="total"), False),
        (EmptyReplyError("x"), True),
        (ServerError("x", status_code=503, retryable=True), True),
        (ServerError("x", status_code=501, retryable=False), False),
        (RedirectError("x", status_code=307), False),
        (UnexpectedReplyError("x"), False),
        (DecodeError("x"), False),
        (ReplyTooLargeError("x"), False),
        (StreamInterruptedError("x"), False),
        (StreamCancelledError("x"), False),
        (ClientClosedError("x"), False),
        (InvalidRequestError("x"), False),
        (AcytooError("x"), False),
        (KeyboardInterrupt(), False),
        (TimeoutError(), False),
        (ConnectionError(), False),
        (Exception(), False),
    ],
)
def test_what_may_be_tried_again(error: BaseException, retryable: bool) -> None:
    assert is_retryable(error) is retryable
