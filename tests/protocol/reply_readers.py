"""Replies without a socket: readers in every state, every cut of some bytes, and what comes out of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from acytoo_sdk.errors import AcytooError, APIConnectionError
from acytoo_sdk.protocol import ReplyReader, ReplyState

KEY = 'p"a/s&s wörd'
PLAIN = {"content-type": "text/plain"}
HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
LIMIT = 64 * 1024
NOTICE = (
    "You can try our new always-free website: https://chat.acytoo.com   Or telegram bot @chatacytoo_bot   "
    "For developers, you can use https://api.acytoo.net directly."
)


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
