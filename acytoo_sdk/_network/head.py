"""The head of a reply: http.client's reader, less credulous.

http.client takes a head that breaks off for a whole one, a 103 for the reply itself, a bare CR for the end of a line,
and drops what follows a malformed header line, framing included; and it takes `2_00` for a status.
"""

from __future__ import annotations

import errno
import http.client
import io
import re
import ssl
from collections.abc import Callable
from typing import Any

from .sockets import LimitedSocket
from .tls import tells_cuts

_STATUS_LINE = re.compile(rb"HTTP/[0-9](\.[0-9])?[ \t]+[1-9][0-9]{2}[ \t\r\n]")
_INTERIM = re.compile(rb"HTTP/[0-9](\.[0-9])?[ \t]+1[0-9]{2}")
_FIRST_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:|\r?\n")
_FIELD = re.compile(rb"[ \t]|" + _FIRST_FIELD.pattern)
_FOLD = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_STRAY = re.compile(rb"\0|\r(?!\n)")


class StrictHTTPResponse(http.client.HTTPResponse):
    """http.client's reply with a head that is whole and well-formed, however it arrives."""

    # Of one whose constructor was interrupted: it is closed all the same.
    fp: io.BufferedReader = None  # type: ignore[assignment]

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        self._lines = _HeadLines(sock, self.fp)
        self._begun = False

    @property
    def closed_by_peer(self) -> bool:
        """Whether the server is known to have ended the connection: by the closure alert, over TLS."""
        if (inside := getattr(self._sock, "sslobj", None)) is None:
            return getattr(self._sock, "closed_by_peer", False)
        try:
            # Of TLS inside TLS, where urllib3 takes either for the end: no alert is an error.
            return not inside.read(1) and tells_cuts(inside.context)
        except ssl.SSLError:
            return False

    @property
    def descriptor(self) -> int | None:
        """The socket's; None where what was received might be held back, unseen by a selector."""
        return self._sock.fileno() if isinstance(self._sock, LimitedSocket) and self._sock.fileno() >= 0 else None

    @property
    def would_block(self) -> bool:
        """Whether nothing was received because the socket does not wait."""
        return _would_block(self._sock)

    def begin(self) -> None:
        """Reads the head, once.

        Raises:
            BlockingIOError: the rest of it has not arrived, and the socket does not wait: to be called again then.
        """
        if self._begun:
            return
        self.fp = lines = self._lines.from_the_first()  # type: ignore[assignment]
        try:
            super().begin()
            while 100 < self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                self.headers = None  # type: ignore[assignment]
                super().begin()
        finally:
            if self.fp is not None:
                self.fp = lines.file
        self._begun = True
        self._unfold_headers()
        # RFC 9112, 9.6 and 6.1: HTTP/1.0 knows no codings, so whoever relayed it may have ended the body elsewhere.
        # And by its 9.3, it goes on after a reply only where it says so; http.client takes `x-keep-alive` for that.
        options, old = self._connection_options(), self.version < 11
        if "close" in options or (old and ("keep-alive" not in options or "transfer-encoding" in self.headers)):
            self.will_close = True

    def receive(self) -> bytes:
        """What has arrived, as soon as anything has; nothing at the end of the connection, or if it `would_block`."""
        # Into the buffer that is there: `read1` alone would hold one of its own for as long as it waits.
        return self.fp.read1(len(self.fp.peek()))

    def receiving_now(self) -> Callable[[], bytes]:
        """A function like `receive`, for a socket that does not wait; it passes by the file, which must be empty."""
        return self._sock.receive_now  # type: ignore[no-any-return]

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


def _would_block(sock: Any) -> bool:
    return getattr(sock, "would_block", False)


class _HeadLines:
    """The lines of a head, in which the connection must not end; each is well-formed.

    They are kept, since http.client reads a head that comes in pieces anew from its first line. A first line that does
    not begin like a status line, whatever blanks come before that, is left to http.client, which refuses it.
    """

    def __init__(self, sock: Any, file: Any) -> None:
        self.file = file
        self._sock = sock
        self._begun = False
        self._expected = _STATUS_LINE
        self._lines: list[bytes] = []
        self._next = 0  # which of them is read next
        self._part = b""  # of the line after them

    def from_the_first(self) -> _HeadLines:
        """The same, to be read anew."""
        self._next = 0
        return self

    def readline(self, limit: int) -> bytes:
        if self._next == len(self._lines):
            self._lines.append(self._receive(limit))
        line = self._lines[self._next]
        self._next += 1
        if line in (b"\r\n", b"\n") and _INTERIM.match(self._lines[0]):
            self._lines, self._next = [], 0  # what comes next is another head
        return line

    def flush(self) -> None:
        """What http.client asks of a file before it closes it."""

    def close(self) -> None:
        self.file.close()

    def _receive(self, limit: int) -> bytes:
        """The next line, of as many bytes as the limit allows; nothing at the end of the connection."""
        line: bytes = self._part + self.file.readline(limit - len(self._part))
        ended = line.endswith(b"\n") or len(line) == limit
        if not ended and _would_block(self._sock):
            self._part = line
            raise BlockingIOError(errno.EAGAIN, "the head has not arrived as a whole")
        self._part = b""
        if self._begun or line.decode("latin-1").lstrip().startswith("HTTP/"):
            if not ended:
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
