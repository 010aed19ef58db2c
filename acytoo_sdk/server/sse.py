"""Server-sent events: bytes become events. No I/O, and no more memory than one event may have.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, and what servers
send besides, each named where it is read.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENT_BYTES = 4 * 2**20
"""The longest event. A delta of text has some hundred bytes, a picture in one some hundred thousand."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        name: its `event` field; b"" for none.
        lines: its `data` fields, which a line break joins.
    """

    name: bytes
    lines: tuple[bytes, ...]


class EventReader:
    """Makes events of bytes, in whatever cut they come; comments, ids and unknown fields are dropped.

    Attributes:
        full: whether an event was longer than `MAX_EVENT_BYTES`: nothing is read after it.
    """

    def __init__(self) -> None:
        self.full = False
        self._line = bytearray()  # the beginning of one that has no end yet
        self._skips_line_feed = False  # the last byte was a CR, to which it may belong
        self._began = False
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0  # of `_data`

    def receive_data(self, data: bytes) -> list[Event]:
        """Takes the next bytes, and returns the events that end in them."""
        if self._skips_line_feed and data:
            self._skips_line_feed = False
            data = data.removeprefix(b"\n")
        if b"\n" not in data and b"\r" not in data:
            self._line += data
            self._check_size()
            return []
        lines = (bytes(self._line) + data).splitlines(keepends=True)
        self._line.clear()
        if not lines[-1].endswith((b"\n", b"\r")):
            self._line += lines.pop()
        self._skips_line_feed = data.endswith(b"\r")
        events = [event for line in lines if (event := self._receive_line(line.rstrip(b"\r\n"))) is not None]
        self._check_size()
        return events

    def receive_eof(self) -> list[Event]:
        """There is no more: an event that lacks its last line end, or its blank line, is one all the same."""
        last = [self._receive_line(bytes(self._line)), self._receive_line(b"")]
        self._line.clear()
        return [event for event in last if event is not None]

    def _receive_line(self, line: bytes) -> Event | None:
        if not self._began:
            self._began = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._take_event()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._name = value
        elif name in (b"data", b"error"):
            if name == b"error":  # llama.cpp before September 2025 told of failures in a field of this name
                self._name = name
            self._data.append(value)
            self._size += len(value)
            self._check_size()
        return None

    def _take_event(self) -> Event | None:
        name, lines = self._name, tuple(self._data)
        self._name, self._size = b"", 0
        self._data.clear()
        return None if self.full or not (lines or name == b"error") else Event(name, lines)

    def _check_size(self) -> None:
        if self._size + len(self._line) > MAX_EVENT_BYTES:
            self.full = True
            self._line.clear()
            self._data.clear()
