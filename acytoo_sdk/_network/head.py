"""The head of a reply: http.client's reader, less credulous.

http.client takes a head that breaks off for a whole one, a 103 for the reply itself, a bare CR for the end of a line,
and drops what follows a malformed header line, framing included; and it takes `2_00` for a status.
"""

from __future__ import annotations

import http.client
import re
import ssl
from typing import Any

from .sockets import current_scope

_STATUS_LINE = re.compile(rb"HTTP/[0-9](\.[0-9])?[ \t]+[1-9][0-9]{2}[ \t\r\n]")
_FIRST_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:|\r?\n")
_FIELD = re.compile(rb"[ \t]|" + _FIRST_FIELD.pattern)
_FOLD = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_STRAY = re.compile(rb"\0|\r(?!\n)")


class StrictHTTPResponse(http.client.HTTPResponse):
    """http.client's reply with a head that is whole and well-formed; it tells the scope of its thread."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock

    @property
    def closed_by_peer(self) -> bool:
        """Whether the server is known to have ended the connection: by the closure alert, over TLS."""
        if (inside := getattr(self._sock, "sslobj", None)) is None:
            return getattr(self._sock, "closed_by_peer", False)
        try:
            return not inside.read(1)  # of TLS inside TLS, where urllib3 takes either for the end: no alert is an error
        except ssl.SSLError:
            return False

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
        self._unfold_headers()
        # RFC 9112, 9.6 and 6.1: HTTP/1.0 knows no codings, so whoever relayed it may have ended the body elsewhere.
        if "close" in self._connection_options() or (self.version < 11 and "transfer-encoding" in self.headers):
            self.will_close = True
        if (scope := current_scope()) is not None:
            scope.reply = self

    def receive(self) -> bytes:
        """What has arrived, as soon as anything has; nothing at the end of the connection."""
        # Into the buffer that is there: `read1` alone would hold one of its own for as long as it waits.
        return self.fp.read1(len(self.fp.peek()))

    def _connection_options(self) -> set[str]:
        """Those of every `Connection` header, where http.client looks at the first."""
        options = ",".join(self.headers.get_all("connection", [])).lower().split(",")
        return {option.strip(" \t") for option in options}

    def _unfold_headers(self) -> None:
        """Puts each header on one line, without blanks around it."""
        fields = [(name, _FOLD.sub(" ", value).strip(" \t")) for name, value in self.headers.items()]
        if fields != self.headers.items():
            self.headers = self.msg = http.client.HTTPMessage()
            for name, value in fields:
                self.headers[name] = value


class _HeadLines:
    """The lines of a head, in which the connection must not end; each is well-formed.

    What does not look like a status line to http.client, which takes any blank for one, is left to it.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self._begun = False
        self._expected = _STATUS_LINE

    def readline(self, limit: int) -> bytes:
        line: bytes = self.file.readline(limit)
        if self._begun or line.decode("latin-1").lstrip().startswith("HTTP/"):
            if not line.endswith(b"\n") and len(line) < limit:
                raise http.client.RemoteDisconnected("the connection ended inside the head")
            if _STRAY.search(line):
                raise http.client.HTTPException("a stray CR or NUL")
            if not self._expected.match(line):
                what = "status line" if self._expected is _STATUS_LINE else "header"
                raise http.client.HTTPException(f"malformed {what}")
        self._begun = True
        if line in (b"\r\n", b"\n"):
            self._expected = _STATUS_LINE
        else:
            self._expected = _FIRST_FIELD if self._expected is _STATUS_LINE else _FIELD
        return line

    def flush(self) -> None:
        """What http.client asks of a file before it closes it."""

    def close(self) -> None:
        self.file.close()
