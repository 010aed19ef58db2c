"""The decoder: turns the bytes of a body into text, which is UTF-8; drops a byte order mark, and bounds the size.

What a notice looks like is known in `notices`, and where a body ends in `framing`.
"""

from __future__ import annotations

from codecs import utf_8_decode

from ..errors import DecodeError, ReplyTooLargeError, UnexpectedReplyError
from .notices import NoticeFilter


class TextDecoder:
    """Decodes one body, in whatever pieces it comes. A character that a piece cuts comes out with the next one.

    Args:
        strip_notices: whether an advertisement at the end is taken off, see `notice`.
        max_bytes: the longest body accepted; None for no bound.

    Attributes:
        error: why nothing more can be decoded; set when the text before the fault was returned.
    """

    __slots__ = ("_bytes_left", "_cut_character", "_max_bytes", "_notices", "_started", "error")

    def __init__(self, *, strip_notices: bool, max_bytes: int | None) -> None:
        self.error: UnexpectedReplyError | None = None
        self._notices = NoticeFilter() if strip_notices else None
        self._max_bytes = max_bytes
        self._bytes_left = max_bytes
        self._cut_character = b""  # its beginning; the end has not arrived
        self._started = False  # whether a character was decoded, a byte order mark included

    @property
    def inside_character(self) -> bool:
        """Whether the bytes so far end in the middle of a character."""
        return bool(self._cut_character)

    @property
    def notice(self) -> str | None:
        """The advertisement that was stripped, without blanks around it; None before the end or without one."""
        return None if self._notices is None else self._notices.notice

    def decode(self, data: bytes) -> str:
        """The text that is ready with these bytes; after a fault, `error` says which."""
        too_large = None
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
            if self._bytes_left < 0:
                data = data[: self._bytes_left]  # it is negative: the bytes beyond the bound are cut off
                too_large = ReplyTooLargeError(
                    f"The reply is longer than max_reply_bytes={self._max_bytes}",
                    hint="raise max_reply_bytes, or pass None",
                )
        if self._cut_character:
            data = self._cut_character + data
        try:
            text, used = utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as error:
            self.error = _decode_error(error)
            return self._without_extras(data[: error.start].decode()) + self.flush()
        self._cut_character = data[used:]
        text = self._without_extras(text)
        if too_large is not None:
            self.error = too_large
            return text + self.flush()
        return text

    def flush(self) -> str:
        """The body is over: the text that was held back because it might have been a notice."""
        return "" if self._notices is None else self._notices.flush()

    def _without_extras(self, text: str) -> str:
        """Drops the byte order mark, and holds back what may be a notice."""
        if text and not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        if self._notices is None or not (self._notices.held or "\n" in text):
            return text  # as most texts: a notice begins with a line break
        return self._notices.feed(text)


def _decode_error(error: UnicodeDecodeError) -> DecodeError:
    bad = error.object[error.start : error.end].hex(" ")
    decode_error = DecodeError(f"The reply is not UTF-8: {error.reason} at the bytes {bad}")
    decode_error.__cause__ = error.with_traceback(None)  # its frames hold the decoder, which holds the error
    return decode_error
