"""Error bodies: how web pages and JSON errors are told from a reply's text, and how they are summed up in a message.

Which kind of body a reply may have is decided by its head, in `protocol`.

Source: challenge pages as Cloudflare sends them; error objects as OpenAI's endpoint sends them, and others after it.
"""

from __future__ import annotations

import json
import re
from codecs import utf_8_decode
from collections.abc import Callable
from typing import NamedTuple

from .._secrets import Mask
from ..errors import AcytooError, APIConnectionError, UnexpectedReplyError

# As much of a body is held back and kept: enough for any error object or challenge page, and a bound for endless ones.
_BODY_LIMIT = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body")


class ErrorKind(NamedTuple):
    """A kind of bodies that are errors.

    Attributes:
        sniff: takes the beginning of a body, and whether that is all of it; returns whether the body is of this kind,
            or None while that is open. There is no such function, but None, where the head has already decided it.
        error: makes the error, from the body and its summary.
    """

    sniff: Callable[[bytearray, bool], bool | None] | None
    error: Callable[[str, str], AcytooError]


class BodySniffer:
    """Holds a body back until it is clear whether it is text or an error, and keeps the body of an error.

    Args:
        kind: what it may be besides text.
        mask: applied to what the body says.

    Attributes:
        is_error: whether the body is that of an error; None while that is open.
        held: the bytes so far.
    """

    def __init__(self, kind: ErrorKind, mask: Mask) -> None:
        self.is_error: bool | None = True if kind.sniff is None else None
        self.held = bytearray()
        self._kind = kind
        self._mask = mask

    @property
    def full(self) -> bool:
        """Whether as much has arrived as is kept of an error."""
        return len(self.held) > _BODY_LIMIT

    def receive_data(self, data: bytes) -> None:
        """Takes the next bytes of the body. If they are more than any error has and still undecided, they are text."""
        self.held += data
        if self.is_error is None and self._kind.sniff is not None:
            self.is_error = self._kind.sniff(self.held[:_BODY_LIMIT], False)
            if self.is_error is None and self.full:
                self.is_error = False

    def receive_eof(self) -> None:
        """The body is over, and is judged by what has arrived."""
        if self.is_error is None and self._kind.sniff is not None:
            self.is_error = self._kind.sniff(self.held, True)

    def error(self, *, cut: bool) -> AcytooError:
        """The error that the body stands for; `cut` says that more of it comes, or was to come."""
        text, _ = utf_8_decode(self.held[:_BODY_LIMIT], "replace", not cut)
        body = self._mask(text.removeprefix("\ufeff"), cut=cut)
        return self._kind.error(body, self._mask.quote(summary(body)))


# No part of it matches a "<": otherwise 64 KiB that were written for the purpose would take seconds to search.
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)


def summary(body: str) -> str:
    """The message of a JSON error, the title of a web page, or else the first line of a body."""
    error = _json_error_in(body)
    if error is not None:
        message = error.get("message") if isinstance(error, dict) else error
        return message if isinstance(message, str) else body
    if title := _TITLE.search(body):
        return title[1]
    return next((line for line in body.splitlines() if line.strip()), "")


def _page_error(body: str, message: str) -> AcytooError:
    return UnexpectedReplyError(
        "The server sent a web page instead of a reply" + (f": {message}" if message else ""),
        body=body,
        hint="an error page, or a challenge for browsers: check base_url and path, or look at it in a browser",
    )


def _json_error(body: str, message: str) -> AcytooError:
    return UnexpectedReplyError(f"The server sent an error instead of a reply: {message}", body=body)


def _is_page(held: bytearray, ended: bool) -> bool | None:
    """Whether a body is a web page; None while its first characters do not tell."""
    beginning = _beginning(held)
    if beginning.startswith(_PAGE_STARTS):
        return True
    if not ended and any(start.startswith(beginning) for start in _PAGE_STARTS):
        return None
    return False


def _is_json_error(held: bytearray, ended: bool) -> bool | None:
    """Whether a body is a JSON object with an error in it; None while it may become one."""
    if ended:
        return _json_error_in(held.decode("utf-8-sig", "replace")) is not None
    return None if _beginning(held)[:1] in (b"", b"{") else False


def _beginning(held: bytearray) -> bytes:
    """The first characters of a body, in lower case, behind blanks and a byte order mark; enough to tell a page."""
    if _BOM.startswith(held):
        return b""
    return bytes(held.removeprefix(_BOM).lstrip()[: len(_PAGE_STARTS[0])]).lower()


def _json_error_in(body: str) -> object:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed.get("error") if isinstance(parsed, dict) else None


PAGE = ErrorKind(_is_page, _page_error)
"""A web page, by how it begins."""
CHALLENGE = ErrorKind(None, _page_error)
"""A page by which a proxy asks browsers to prove themselves: its head says so."""
JSON_ERROR = ErrorKind(_is_json_error, _json_error)
"""A JSON object with an error in it."""


def proxy_credentials_error(proxy: str) -> APIConnectionError:
    """The error for the status 407, whoever sends it; `proxy`, a name for the proxy, begins its message."""
    hint = "put them into the proxy's address: http://USER:PASSWORD@HOST:PORT"
    return APIConnectionError(f"{proxy} asks for credentials (HTTP 407)", retryable=False, hint=hint)
