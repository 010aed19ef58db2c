"""Server-sent events: bytes become events. No I/O, and no more memory than one event may have.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, and what servers
send besides, each named where it is read.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 4 * 2**20
"""The longest event, field names and comments and all. A delta of text has some hundred bytes, a picture in one some
hundred thousand."""

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event.

    Attributes:
        name: its `event` field; b"" for none.
        data: its `data` fields, joined by line feeds.
    """

    name: bytes
    data: bytes


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
        self._data = bytearray()  # of the event, a line feed before each field
        self._size = 0  # of the event's lines

    def receive_data(self, data: bytes) -> list[Event]:
        """Takes the next bytes, and returns the events that end in them."""
        if not data:
            return []
        if self._skips_line_feed:
            data = data.removeprefix(b"\n")
        self._skips_line_feed = data.endswith(b"\r")
        events: list[Event] = []
        for part in data.splitlines(keepends=True):
            line = part.rstrip(b"\r\n")
            ended = len(line) < len(part)
            self._size += len(line) + ended
            if self._size > MAX_EVENT_BYTES:
                self.full = True
                break
            self._line += line
            if ended and (event := self._receive_line()) is not None:
                events.append(event)
        return events

    def receive_eof(self) -> list[Event]:
        """There is no more: an event that lacks its last line end, or its blank line, is one all the same."""
        if self.full:
            return []
        last = [self._receive_line(), self._receive_line()]
        return [event for event in last if event is not None]

    def _receive_line(self) -> Event | None:
        line = bytes(self._line)
        self._line.clear()
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
            self._data += b"\n" + value
        return None

    def _take_event(self) -> Event | None:
        is_event = bool(self._data) or self._name == b"error"
        event = Event(self._name, bytes(self._data[1:]))
        self._name, self._size = b"", 0
        self._data.clear()
        return event if is_event else None
