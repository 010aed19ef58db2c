"""Faults: what can go wrong with one reply, each asked for in a line."""

from __future__ import annotations

import html
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ._wire import JSON, TEXT, error_body, phrase, to_bytes

NOTICE = "\n\n" + "".join(
    sentence + " " * 160
    for sentence in (
        "You can try our new always-free website: https://chat.acytoo.com",
        "Or telegram bot @chatacytoo_bot",
        "For developers, you can use https://api.acytoo.net directly.",
    )
)
"""The advertisement the service was seen to append to its replies (g4f issue 900)."""

BEFORE_HEAD = -1


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one reply; all else about the reply stays as the server says.

    Make one by the static methods, and pass it to `FakeServer(faults=[...])`. It is frozen, and may serve many replies.
    What two of them do may be combined by the fields: `dataclasses.replace(Fault.notice(), after=1, ending="reset")`.

    Args:
        code: the status, instead of the server's; None keeps that.
        head_fields: headers to add or to replace, names in lower case.
        head_seconds: how long the head takes to arrive, byte by byte; 0: it is sent at once.
        text: what is answered, instead of the server's reply; None keeps that.
        edit: makes other pieces of the pieces; None leaves them as they are.
        split: cuts a piece into parts, which are sent without a pause; None leaves pieces whole.
        gap: seconds between two pieces, instead of the server's `pause`; None keeps that.
        after: how many pieces come before the ending; -1: not even the head; None: all of them.
        ending: what comes instead of the end of the framing: "cut" closes the connection, "reset" resets it, "stall"
            is silence until the client leaves; "": the reply ends as it should.
        verbatim: bytes that are sent instead of head, framing and reply; None: there are none.
        closing: whether the connection is closed after `verbatim`.

    Example:
        >>> from urllib.request import urlopen
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer("Hello", faults=[Fault.cut(after=1)]) as server:
        ...     urlopen(server.url, b'{"messages": []}').read()
        Traceback (most recent call last):
        ...
        http.client.IncompleteRead: IncompleteRead(5 bytes read)
    """

    code: int | None = None
    head_fields: tuple[tuple[str, str], ...] = ()
    head_seconds: float = 0.0
    text: bytes | None = None
    edit: Callable[[Iterable[bytes]], Iterable[bytes]] | None = None
    split: Callable[[bytes], Iterable[bytes]] | None = None
    gap: float | None = None
    after: int | None = None
    ending: Literal["", "cut", "reset", "stall"] = ""
    verbatim: bytes | None = None
    closing: bool = False

    @staticmethod
    def status(
        code: int,
        *,
        retry_after: str | float | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fault:
        """An error status.

        Args:
            code: the status.
            retry_after: the value of `Retry-After`, sent as it is given; None: that header is left out.
            body: a text; None: a JSON error object.
            headers: added to those of the reply, or in their place; None: none.
        """
        fields = {"content-type": JSON if body is None else TEXT}
        if retry_after is not None:
            fields["retry-after"] = str(retry_after)
        fields |= {name.lower(): value for name, value in (headers or {}).items()}
        text = error_body(phrase(code)) if body is None else to_bytes(body)
        return Fault(code=code, head_fields=tuple(fields.items()), text=text)

    @staticmethod
    def cut(after: int = 2) -> Fault:
        """The head and `after` pieces, then the connection is closed before the end of the framing.

        Args:
            after: how many pieces; 0: the head alone.
        """
        return Fault(after=after, ending="cut")

    @staticmethod
    def reset(after: int = 0) -> Fault:
        """The head and `after` pieces, then the connection is reset.

        Args:
            after: how many pieces; 0: not even the head.
        """
        return Fault(after=after or BEFORE_HEAD, ending="reset")

    @staticmethod
    def drop() -> Fault:
        """The connection is closed as soon as the request was read."""
        return Fault(after=BEFORE_HEAD, ending="cut")

    @staticmethod
    def stall(after: int = 1) -> Fault:
        """The head and `after` pieces, then silence until the client leaves or the server closes.

        Args:
            after: how many pieces; 0: the head alone.
        """
        return Fault(after=after, ending="stall")

    @staticmethod
    def no_head() -> Fault:
        """Silence before the head, until the client leaves or the server closes."""
        return Fault(after=BEFORE_HEAD, ending="stall")

    @staticmethod
    def slow_head(seconds: float) -> Fault:
        """The head comes byte by byte.

        Args:
            seconds: how long all of it takes.
        """
        return Fault(head_seconds=seconds)

    @staticmethod
    def drip(pause: float = 0.05) -> Fault:
        """Every byte is a piece.

        Args:
            pause: seconds between two bytes.
        """
        return Fault(edit=_byte_by_byte, gap=pause)

    @staticmethod
    def split_characters() -> Fault:
        """Each piece is cut inside each of its multi-byte characters, at every byte; the parts are sent at once."""
        return Fault(split=_inside_characters)

    @staticmethod
    def html_page(title: str = "Just a moment...", *, challenge: bool = False) -> Fault:
        """A web page in a 200, as proxies send.

        Args:
            title: of the page.
            challenge: whether it is marked as Cloudflare marks its challenges, by `cf-mitigated`.
        """
        page = f"<!DOCTYPE html><html><head><title>{html.escape(title)}</title></head><body><h1>Wait</h1></body></html>"
        mark = (("cf-mitigated", "challenge"),) if challenge else ()
        return Fault(code=200, head_fields=(("content-type", "text/html; charset=utf-8"), *mark), text=page.encode())

    @staticmethod
    def json_error(message: str = "the model is overloaded") -> Fault:
        """A JSON error object in a 200.

        Args:
            message: what it says.
        """
        return Fault(code=200, head_fields=(("content-type", JSON),), text=error_body(message))

    @staticmethod
    def empty() -> Fault:
        """A 200 without a body."""
        return Fault(code=200, text=b"")

    @staticmethod
    def notice() -> Fault:
        """The reply, then `NOTICE` as one more piece."""
        return Fault(edit=_with_notice)

    @staticmethod
    def redirect(location: str, status: int = 307) -> Fault:
        """A redirect, its body empty.

        Args:
            location: where to.
            status: of the reply.
        """
        return Fault(code=status, head_fields=(("location", location),), text=b"")

    @staticmethod
    def event_stream() -> Fault:
        """Server-sent events in a 200, as OpenAI's own endpoint sends."""
        event = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
        return Fault(code=200, head_fields=(("content-type", "text/event-stream"),), text=event)

    @staticmethod
    def compressed() -> Fault:
        """The reply as gzip, flushed after each piece, though nobody asked for it."""
        return Fault(head_fields=(("content-encoding", "gzip"),), edit=_gzip)

    @staticmethod
    def raw(data: bytes, *, close: bool = True) -> Fault:
        """These very bytes instead of a reply, for what no other fault does.

        Args:
            data: what is sent.
            close: whether the connection is closed afterwards; otherwise it waits for the next request.
        """
        return Fault(verbatim=data, closing=close)


def _byte_by_byte(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return (bytes((byte,)) for piece in pieces for byte in piece)


def _inside_characters(piece: bytes) -> list[bytes]:
    return re.split(rb"(?=[\x80-\xbf])", piece)  # before each UTF-8 continuation byte


def _with_notice(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return itertools.chain(pieces, [NOTICE.encode()])


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gzip = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield gzip.compress(piece) + gzip.flush(zlib.Z_SYNC_FLUSH)
    yield gzip.flush()
