"""Bodies end where their framing says, in every cut of the bytes, and every deviation is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk._wire.framing import (
    ChunkedReader,
    CloseDelimitedReader,
    ContentLengthReader,
    FramingError,
    FramingReader,
    framing_of,
)

TEXT = "Привет, как дела?\r\n0\r\n\r\n".encode()
CHUNKED = (
    b"5\r\n" + TEXT[:5] + b"\r\n"
    b'00A;name=value; other="quoted"\r\n' + TEXT[5:15] + b"\r\n"
    b"1 \t ;x\r\n" + TEXT[15:16] + b"\r\n"
    b"%x \r\n" % (len(TEXT) - 16) + TEXT[16:] + b"\r\n"
    b"000;last\r\n"
)
TRAILERS = b"x-checksum: 1\r\nx-more: \r\n"


def two_splits(data: bytes) -> Iterator[list[bytes]]:
    for at in range(len(data) + 1):
        yield [data[:at], data[at:]]


def single(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def received(body: FramingReader, pieces: Iterable[bytes]) -> bytes:
    """What a reader of the body gets, who stops at its end."""
    got = b""
    for piece in pieces:
        if not body.done and piece:
            got += body.receive_data(piece)
            assert body.error is None
    return got


def received_until_error(body: FramingReader, pieces: Iterable[bytes]) -> tuple[bytes, str]:
    """What came out before the fault, and the fault; "" if there was none."""
    got = b""
    try:
        for piece in pieces:
            if not body.done:
                got += body.receive_data(piece)
            if body.error is not None:
                raise body.error
        if not body.done:
            body.receive_eof()
    except FramingError as error:
        return got, str(error)
    return got, ""


@pytest.mark.parametrize("end", [b"\r\n", TRAILERS + b"\r\n"], ids=["no trailers", "trailers"])
def test_a_chunked_body_comes_out_whole_in_every_cut(end: bytes) -> None:
    wire = CHUNKED + end

    for pieces in ([wire], single(wire), *two_splits(wire)):
        body = ChunkedReader()
        assert received(body, pieces) == TEXT
        assert (body.done, body.whole, body.reusable) == (True, True, True)


@pytest.mark.parametrize("text", [b"1\r\nx\r\n", b"x\r\nabcd", b"\r\n\r\n\r\n"])
def test_what_looks_like_framing_inside_a_chunk_is_the_body_s_in_every_cut(text: bytes) -> None:
    wire = b"%x\r\n" % len(text) + text + b"\r\n0\r\n\r\n"

    for pieces in ([wire], single(wire), *two_splits(wire)):
        assert received(ChunkedReader(), pieces) == text


def test_bytes_of_an_open_chunk_come_out_as_they_arrive() -> None:
    body = ChunkedReader()

    assert [body.receive_data(piece) for piece in (b"6\r\nab", b"c", b"def", b"\r", b"\n1", b"\r\nx")] == [
        b"ab", b"c", b"def", b"", b"", b"x",
    ]  # fmt: skip
    assert (body.done, body.whole) == (False, False)


def test_hexadecimal_digits_count_in_either_case() -> None:
    assert received(ChunkedReader(), [b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n"]) == b"01234567890123456789a"


@pytest.mark.parametrize("end", [b"\r\n", TRAILERS + b"\r\n"], ids=["no trailers", "trailers"])
@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"])
def test_surplus_behind_the_last_chunk_is_noticed_where_it_comes_with_it(end: bytes, surplus: bytes) -> None:
    wire = CHUNKED + end
    for at in range(len(wire)):
        body = ChunkedReader()
        assert received(body, [wire[:at], wire[at:] + surplus]) == TEXT
        assert (body.done, body.whole, body.reusable) == (True, True, False)


@pytest.mark.parametrize(
    ("wire", "text", "why"),
    [
        (b"-5\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"+5\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"0x5\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b" 5\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"5_0\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"xyz\r\n", b"", "a chunk's size is not a number"),
        (b"\r\n", b"", "a chunk's size is not a number"),
        (b";x\r\n", b"", "a chunk's size is not a number"),
        ("٥\r\nhello\r\n".encode(), b"", "a chunk's size is not a number"),
        (b"5 5\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"5;a\rb\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"5\nhello\n0\n\n", b"", "a chunk's size is not a number"),
        (b"5;x\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"2\r\nab\r\n5\nhello", b"ab", "a chunk's size is not a number"),
        (b"00000000000000005\r\nhello\r\n", b"", "a chunk's size is not a number"),
        (b"ffffffffffffffffffff\r\nhello", b"", "a chunk's size is not a number"),
        (b"5\r\nhelloXX5\r\nworld\r\n", b"hello", "a chunk is longer than its size"),
        (b"5\r\nhello5\r\nworld\r\n", b"hello", "a chunk is longer than its size"),
        (b"4\r\nhello\r\n", b"hell", "a chunk is longer than its size"),
        (b"5\r\n0123456789abcdef\r\n", b"01234", "a chunk is longer than its size"),
        (b"10\r\n0123456789abcdefg\r\n", b"0123456789abcdef", "a chunk is longer than its size"),
        (b"5\r\nhello\n5\r\nworld\r\n", b"hello", "a chunk is longer than its size"),
        (b"5\r\nhello\rX", b"hello", "a chunk is longer than its size"),
        (b"5\r\nhello world\r\n", b"hello", "a chunk is longer than its size"),
        (b"7fffffffffffffff\r\nhello", b"hello", "inside a chunk"),
        (b"ffffffffffffffff\r\nhello", b"hello", "inside a chunk"),
        (b"5\r\nhel", b"hel", "inside a chunk"),
        (b"5\r\nhello", b"hello", "before the last chunk"),
        (b"5\r\nhello\r", b"hello", "before the last chunk"),
        (b"5\r\nhello\r\n", b"hello", "before the last chunk"),
        (b"5\r\nhello\r\n0", b"hello", "before the last chunk"),
        (b"5\r\nhello\r\n0\r", b"hello", "before the last chunk"),
        (b"5\r\nhello\r\n0;x", b"hello", "before the last chunk"),
        (b"", b"", "before the last chunk"),
        (b"Hello, world", b"", "before the last chunk"),
    ],
)
def test_a_malformed_chunked_body_is_an_error_behind_its_text_in_every_cut(wire: bytes, text: bytes, why: str) -> None:
    for pieces in ([wire], single(wire), *two_splits(wire)):
        body = ChunkedReader()
        assert received_until_error(body, pieces) == (text, why)
        assert body.done is False
        assert body.whole is False


def test_without_text_before_it_the_fault_is_raised_at_once() -> None:
    with pytest.raises(FramingError, match="not a number"):
        ChunkedReader().receive_data(b"xyz\r\n")


@pytest.mark.parametrize("end", [b"", b"\r", b"x", TRAILERS, TRAILERS + b"\r"])
def test_trailers_that_are_missing_do_not_make_a_body_incomplete(end: bytes) -> None:
    body = ChunkedReader()
    assert received(body, [CHUNKED + end]) == TEXT
    assert body.done is False

    body.receive_eof()

    assert (body.done, body.whole, body.reusable) == (True, True, False)


SIZE_LINE = b"5;" + b"x" * (4096 - 4) + b"\r\n"


def test_a_size_line_of_4096_bytes_is_read_in_every_cut() -> None:
    wire = SIZE_LINE + b"hello\r\n0\r\n\r\n"
    for pieces in ([wire], *([wire[:at], wire[at:]] for at in range(4080, len(wire)))):
        body = ChunkedReader()
        assert received(body, pieces) == b"hello"
        assert body.whole


def test_a_longer_size_line_is_an_error_in_every_cut() -> None:
    wire = b"5;x" + SIZE_LINE[2:] + b"hello\r\n0\r\n\r\n"
    for pieces in ([wire], *([wire[:at], wire[at:]] for at in range(4080, len(wire)))):
        assert received_until_error(ChunkedReader(), pieces) == (b"", "a chunk's size is not a number")


def test_an_endless_size_line_is_an_error_before_its_end() -> None:
    body = ChunkedReader()
    body.receive_data(b"5;" + b"x" * 4093)

    with pytest.raises(FramingError, match="not a number"):
        body.receive_data(b"x")


def trailers_of(size: int) -> bytes:
    """A last chunk, and trailers that fill the limit but for the line end before them."""
    return b"0\r\n" + b"x" * 1000 + b"\r\n" + b"y" * (size - 1002 - 6) + b"\r\n\r\n"


def test_trailers_of_64_kib_are_read_in_every_cut() -> None:
    wire = trailers_of(64 * 1024)
    for pieces in ([wire], *([wire[:at], wire[at:]] for at in range(len(wire) - 20, len(wire)))):
        body = ChunkedReader()
        assert received(body, pieces) == b""
        assert body.whole


def test_longer_trailers_are_an_error_in_every_cut() -> None:
    wire = b"2\r\nab\r\n" + trailers_of(64 * 1024 + 1)
    for pieces in ([wire], *([wire[:at], wire[at:]] for at in range(len(wire) - 20, len(wire)))):
        assert received_until_error(ChunkedReader(), pieces) == (b"ab", "the trailers are too long")


def test_trailers_are_too_long_as_soon_as_they_fill_the_limit_without_an_end() -> None:
    body = ChunkedReader()
    body.receive_data(trailers_of(64 * 1024 + 1)[:-2])

    with pytest.raises(FramingError, match="the trailers are too long"):
        body.receive_data(b"\r")


@pytest.mark.parametrize("line", [b"x: y\r\n", b"x", b"\n", b"\n\n"])
def test_endless_trailers_are_an_error(line: bytes) -> None:
    wire = [b"0\r\n", *[line * 1000] * 70]

    assert received_until_error(ChunkedReader(), wire) == (b"", "the trailers are too long")


def test_a_body_of_a_length_ends_there_in_every_cut() -> None:
    for pieces in ([TEXT], single(TEXT), *two_splits(TEXT)):
        body = ContentLengthReader(len(TEXT))
        assert received(body, pieces) == TEXT
        assert (body.done, body.whole, body.reusable) == (True, True, True)


def test_surplus_behind_a_length_is_dropped_and_noticed() -> None:
    for at in range(5):
        body = ContentLengthReader(5)
        assert received(body, [b"hello"[:at], b"hello"[at:] + b" world"]) == b"hello"
        assert (body.done, body.whole, body.reusable) == (True, True, False)


def test_a_body_of_length_0_is_over_before_it_begins() -> None:
    body = ContentLengthReader(0)

    assert (body.done, body.whole, body.reusable) == (True, True, True)


def test_a_length_that_is_not_reached_is_an_error() -> None:
    assert received_until_error(ContentLengthReader(8), [b"hel", b"lo"]) == (
        b"hello",
        "3 bytes before the announced end",
    )
    body = ContentLengthReader(8)
    body.receive_data(b"hello")
    assert (body.done, body.whole) == (False, False)


def test_a_body_that_ends_with_the_connection_cannot_tell_whether_it_is_whole() -> None:
    body = CloseDelimitedReader()
    assert received(body, [b"hel", b"lo"]) == b"hello"
    assert (body.done, body.whole) == (False, False)

    body.receive_eof()

    assert (body.done, body.whole, body.reusable) == (True, None, False)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (200, {}, CloseDelimitedReader),
        (200, {"content-length": "5"}, ContentLengthReader),
        (200, {"content-length": " 5 "}, ContentLengthReader),
        (200, {"content-length": "5, 5,5"}, ContentLengthReader),
        (200, {"content-length": "9" * 18}, ContentLengthReader),
        (200, {"transfer-encoding": "chunked"}, ChunkedReader),
        (200, {"transfer-encoding": " Chunked "}, ChunkedReader),
        (200, {"transfer-encoding": "chunked", "content-length": "5"}, ChunkedReader),
        (200, {"transfer-encoding": "chunked", "content-length": "x"}, ChunkedReader),
        (503, {"content-length": "5"}, ContentLengthReader),
        (204, {"content-length": "5"}, ContentLengthReader),
        (204, {"transfer-encoding": "gzip"}, ContentLengthReader),
        (304, {"transfer-encoding": "chunked"}, ContentLengthReader),
    ],
)
def test_the_framing_of_a_head(status: int, headers: Mapping[str, str], kind: type[FramingReader]) -> None:
    body = framing_of(status, headers)

    assert type(body) is kind
    assert body.done is (status in (204, 304))


@pytest.mark.parametrize(("length", "reusable"), [({}, True), ({"content-length": "5"}, False)])
def test_a_connection_serves_no_more_where_a_chunked_body_has_a_length_too(
    length: Mapping[str, str], reusable: bool
) -> None:
    body = framing_of(200, {"transfer-encoding": "chunked", **length})

    assert received(body, [b"5\r\nhello\r\n0\r\n\r\n"]) == b"hello"
    assert (body.done, body.reusable) == (True, reusable)


@pytest.mark.parametrize("headers", [{"transfer-encoding": "chunked\x0b"}, {"content-length": "5\x0c"}])
def test_only_blanks_and_tabs_are_around_a_framing(headers: Mapping[str, str]) -> None:
    with pytest.raises(FramingError):
        framing_of(200, headers)


def test_the_length_of_a_head_is_the_length_of_the_body() -> None:
    assert received(framing_of(200, {"content-length": "005, 005"}), [b"hello world"]) == b"hello"


@pytest.mark.parametrize(
    "headers",
    [
        {"transfer-encoding": "gzip"},
        {"transfer-encoding": "gzip, chunked"},
        {"transfer-encoding": "chunked, chunked"},
        {"transfer-encoding": "identity"},
        {"transfer-encoding": ""},
        {"content-length": ""},
        {"content-length": "xyz"},
        {"content-length": "-3"},
        {"content-length": "+3"},
        {"content-length": "3.0"},
        {"content-length": "0x3"},
        {"content-length": "1_0"},
        {"content-length": "٣"},
        {"content-length": "3, 5"},
        {"content-length": "3,"},
        {"content-length": "9" * 19},
    ],
)
def test_an_unknown_framing_is_an_error_that_quotes_it(headers: Mapping[str, str]) -> None:
    (value,) = headers.values()

    with pytest.raises(FramingError) as caught:
        framing_of(200, headers)

    assert value in str(caught.value)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Any bytes, and a chunked spelling of them."""
    extension = st.sampled_from([b"", b" ", b";x", b'\t; name="value"'])
    wire = b""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    for chunk in chunks:
        size = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % len(chunk)
        wire += size + draw(extension) + b"\r\n" + chunk + b"\r\n"
    wire += b"0" + draw(extension) + b"\r\n" + draw(st.sampled_from([b"", TRAILERS])) + b"\r\n"
    return b"".join(chunks), wire


def cut(data: st.DataObject, wire: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


@given(chunked_bodies(), st.data())
def test_any_chunking_of_any_bytes_comes_out_whole_in_any_cut(
    body_and_wire: tuple[bytes, bytes], data: st.DataObject
) -> None:
    content, wire = body_and_wire
    body = ChunkedReader()

    assert received(body, cut(data, wire)) == content
    assert (body.done, body.whole, body.reusable) == (True, True, True)


@given(st.lists(st.sampled_from([b"5", b"0", b"\r", b"\n", b"\r\n", b";", b"x", b"-"])).map(b"".join), st.data())
def test_the_cut_of_garbage_never_matters(wire: bytes, data: st.DataObject) -> None:
    whole, in_pieces = ChunkedReader(), ChunkedReader()

    assert received_until_error(whole, [wire]) == received_until_error(in_pieces, cut(data, wire))
    assert whole.whole is in_pieces.whole


def test_a_framing_must_say_for_itself_what_its_bytes_and_its_end_mean() -> None:
    body = FramingReader()

    with pytest.raises(NotImplementedError):
        body.receive_data(b"Hi")
    with pytest.raises(NotImplementedError):
        body.receive_eof()
    assert (body.done, body.whole) == (False, False)
