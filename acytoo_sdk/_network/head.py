"""The head of a reply: http.client's reader, less credulous.

http.client takes a head that breaks off for a whole one, a 103 for the reply itself, a bare CR for the end of a line,
and drops what follows a malformed header line, framing included.
"""

from __future__ import annotations

import http.client
import re
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    HeaderDefect,
    MisplacedEnvelopeHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from typing import Any

from .sockets import current_scope

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FOLD = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_UNREAD_LINES = (
    FirstHeaderLineIsContinuationDefect,
    HeaderDefect,
    MisplacedEnvelopeHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
_STRAY = re.compile(rb"\0|\r(?!\n)")


class StrictHTTPResponse(http.client.HTTPResponse):
    """http.client's reply with a head that is whole and well-formed; it tells the scope of its thread."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock

    @property
    def closed_by_peer(self) -> bool:
        """Whether the server is known to have ended the connection: by the closure alert, over TLS."""
        return getattr(self._sock, "closed_by_peer", False)

    def begin(self) -> None:
        lines = _HeadLines(self.fp)
        self.fp = lines  # type: ignore[assignment]
        try:
            super().begin()
            while 100 < self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                self.headers = None  # type: ignore[assignment]
                super().begin()
        finally:
            if self.fp is not None:
                self.fp = lines.file
        # The other defects that email.parser knows are those of a mail's body.
        unread = any(isinstance(defect, _UNREAD_LINES) for defect in self.headers.defects)
        if unread or not all(map(_HEADER_NAME.fullmatch, self.headers)):
            raise http.client.HTTPException("malformed header")
        self._unfold_headers()
        if (scope := current_scope()) is not None:
            scope.reply = self

    def receive(self) -> bytes:
        """What has arrived, as soon as anything has; nothing at the end of the connection."""
        # Into the buffer that is there: `read1` alone would hold one of its own for as long as it waits.
        return self.fp.read1(len(self.fp.peek()))

    def _unfold_headers(self) -> None:
        """Puts each header on one line, without blanks around it."""
        fields = [(name, _FOLD.sub(" ", value).strip()) for name, value in self.headers.items()]
        if fields != self.headers.items():
            self.headers = self.msg = http.client.HTTPMessage()
            for name, value in fields:
                self.headers[name] = value


class _HeadLines:
    """The lines of a head, in which the connection must not end."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self._begun = False

    def readline(self, limit: int) -> bytes:
        line: bytes = self.file.readline(limit)
        if self._begun and not line:
            raise http.client.RemoteDisconnected("the connection ended inside the head")
        if (self._begun or line.startswith(b"HTTP/")) and _STRAY.search(line):
            raise http.client.HTTPException("a stray CR or NUL")
        self._begun = True
        return line

    def flush(self) -> None:
        """What http.client asks of a file before it closes it."""

    def close(self) -> None:
        self.file.close()
