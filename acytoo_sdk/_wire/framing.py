"""Framing: where an HTTP/1.1 body ends, and whether it did. Bytes in, bytes out; no socket.

http.client reads framing too, but it accepts a negative chunk size, a missing line end, or a length that is no number,
hands framing out as text after them, and takes a Python call for each chunk. Here every deviation is an error, and one
call takes all that has arrived.

Source: RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# A size line holds 16 digits and perhaps an extension; trailers are a handful of header lines.
_LONGEST_SIZE_LINE = 4096
_LONGEST_TRAILERS = 64 * 1024
_CRLF = b"\r\n"
_BLANKS = " \t"  # all that HTTP counts as white space; Python's own `strip` would drop more
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_TRAILERS = re.compile(rb"\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*\r\n")


class FramingError(Exception):
    """The framing of a body is broken or unknown."""


class IncompleteBodyError(FramingError):
    """The connection ended before the body did."""


class FramingReader:
    """Takes a body out of its framing: `receive_data` for what arrives, `receive_eof` where the connection ends.

    Attributes:
        done: no more bytes belong to the body.
        whole: True: the body is proved to be complete; False: it was cut, or has not ended; None: nothing can tell.
        error: why the rest cannot be read; set after the bytes before the fault were returned.
        reusable: whether the connection may be used again after the body: not if bytes arrived behind its end, nor if
            another reader could take the head or the trailers to put that end elsewhere.
    """

    __slots__ = ("done", "error", "reusable", "whole")

    def __init__(self) -> None:
        self.done = False
        self.whole: bool | None = False
        self.error: FramingError | None = None
        self.reusable = True

    def receive_data(self, data: bytes) -> bytes:
        """Takes bytes off the connection; returns those of the body.

        Raises:
            FramingError: there is a fault, and no byte of the body precedes it. Else those are returned, and the fault
                is in `error`.
        """
        raise NotImplementedError

    def receive_eof(self, *, proved: bool = False) -> None:
        """The connection ended.

        Args:
            proved: whether the other end is known to have ended it, as by the closure alert of TLS.

        Raises:
            IncompleteBodyError: the body was not complete.
        """
        raise NotImplementedError


class CloseDelimitedReader(FramingReader):
    """A body that ends with the connection, which by itself proves nothing: RFC 9112, 8 and 9.8."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.reusable = False

    def receive_data(self, data: bytes) -> bytes:
        """Takes bytes off the connection: all of them are the body's."""
        return data

    def receive_eof(self, *, proved: bool = False) -> None:
        """The connection ended, and the body with it."""
        self.done, self.whole = True, proved or None


class ContentLengthReader(FramingReader):
    """A body of a length announced before."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self._left = length
        self.done = self.whole = not length

    def receive_data(self, data: bytes) -> bytes:
        """Takes bytes off the connection; returns those of the body."""
        self.reusable = len(data) <= self._left
        data = data[: self._left]
        self._left -= len(data)
        self.done = self.whole = not self._left
        return data

    def receive_eof(self, *, proved: bool = False) -> None:
        """The connection ended before the body did: once a body is done, nobody calls this."""
        raise IncompleteBodyError(f"{self._left} bytes before the announced end")


class ChunkedReader(FramingReader):
    """A body in chunks.

    Args:
        reusable: whether the connection may serve again after the end.
    """

    __slots__ = ("_after_chunk", "_in_trailers", "_left", "_rest")

    def __init__(self, *, reusable: bool = True) -> None:
        super().__init__()
        self.reusable = reusable
        self._rest = b""  # a line, or a line end, whose end has not arrived
        self._left = 0  # bytes of the open chunk still to come
        self._after_chunk = False  # whether the line end behind a chunk has not arrived
        self._in_trailers = False

    def receive_data(self, data: bytes) -> bytes:
        """Takes bytes off the connection; returns those of the body."""
        if not (self._rest or self._left or self._after_chunk or self._in_trailers):
            found = _SIZE_LINE.match(data, 0, _LONGEST_SIZE_LINE)
            if found and 0 < int(found[1], 16) == len(data) - found.end() - 2 and data.endswith(_CRLF):
                return data[found.end() : -2]  # one chunk, as most arrive
        data, self._rest = self._rest + data, b""
        parts: list[bytes] = []
        at, end = 0, len(data)
        try:
            while at < end and not self._in_trailers:
                if self._left:
                    part = data[at : at + self._left]
                    parts.append(part)
                    at += len(part)
                    self._left -= len(part)
                    self._after_chunk = True
                elif self._after_chunk:
                    line_end = data[at : at + 2]
                    if line_end != _CRLF:
                        if line_end != b"\r":
                            raise FramingError("a chunk is longer than its size")
                        break
                    at += 2
                    self._after_chunk = False
                else:
                    found = _SIZE_LINE.match(data, at, at + _LONGEST_SIZE_LINE)
                    if found is None:
                        if b"\n" in data[at:] or end - at >= _LONGEST_SIZE_LINE:
                            raise FramingError("a chunk's size is not a number")
                        break
                    at = found.end()
                    self._left = int(found[1], 16)
                    if not self._left:
                        self._in_trailers = True
                        at -= 2  # an empty line ends the trailers, be there any or none
            self._rest = data[at:]
            if self._in_trailers:
                self._receive_trailers()
        except FramingError as error:
            self.error = error
            if not parts:
                raise
        return b"".join(parts)

    def receive_eof(self, *, proved: bool = False) -> None:
        """The connection ended.

        Raises:
            IncompleteBodyError: the last chunk had not arrived. The trailers behind it may be missing: without them,
                the body is complete.
        """
        if not self._in_trailers:
            raise IncompleteBodyError("inside a chunk" if self._left else "before the last chunk")
        self.done = self.whole = True
        self.reusable = False

    def _receive_trailers(self) -> None:
        end = self._rest.find(b"\r\n\r\n", 0, _LONGEST_TRAILERS)
        if end != -1:
            self.done = self.whole = True
            self.reusable = self.reusable and _TRAILERS.fullmatch(self._rest) is not None
        elif len(self._rest) >= _LONGEST_TRAILERS:
            raise FramingError("the trailers are too long")


def framing_of(status: int, headers: Mapping[str, str]) -> FramingReader:
    """The framing that a head announces.

    Args:
        status: the HTTP status; 204 and 304 have no body, whatever the headers say.
        headers: names in lower case, repeated ones joined with ", ".

    Raises:
        FramingError: a `Transfer-Encoding` other than chunked, or a `Content-Length` that is not one number.

    Source:
        RFC 9112, section 6.3: a chunked body's `Content-Length` is ignored, but a relay may have believed it, so that
        the connection is not used again.
    """
    if status in (204, 304):
        return ContentLengthReader(0)
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if coding.strip(_BLANKS).lower() != "chunked":
            raise FramingError(f"Transfer-Encoding {coding.strip()}")
        return ChunkedReader(reusable=length is None)
    if length is None:
        return CloseDelimitedReader()
    first, *repeats = (value.strip(_BLANKS) for value in length.split(","))
    if not re.fullmatch("[0-9]{1,18}", first) or any(repeat != first for repeat in repeats):
        raise FramingError(f"Content-Length {length}")
    return ContentLengthReader(int(first))


def join_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The fields of a head by their names in lower case; the values of repeated ones are joined with ", "."""
    joined: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
