"""Any bytes in any cut are the same text, or the same typed error."""

from __future__ import annotations

import codecs

from hypothesis import example, given
from hypothesis import strategies as st
from reply_readers import NOTICE, check_failed, reader_of, result

from acytoo_sdk.errors import AcytooError, DecodeError
from acytoo_sdk.protocol import ReplyReader, ReplyState

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
