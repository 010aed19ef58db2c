"""Completions: the request that an OpenAI-compatible server is sent, and what the bytes of its reply are. No I/O.

They are events, one JSON object in place of them, a web page or an error's body. What the objects say is `chunks`' to
tell.
"""

from __future__ import annotations

import json
import re
from codecs import utf_8_decode
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from .._secrets import Mask
from .._wire.error_bodies import summary
from .chunks import ChunkReader
from .error_objects import reported_failure
from .failures import Failure, upstream_failure
from .sse import MAX_EVENT_BYTES, Event, EventReader

_ERROR_BODY_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_RETRY_AFTER = re.compile(r"[0-9]{1,10}|[A-Z][A-Za-z]+,? [0-9A-Za-z: -]{16,32}")  # seconds, or a date
_RETRY_AFTER_NAMES = ("retry-after", "llm_provider-retry-after")  # litellm's proxy, even for limits of its own


def completion_body(messages: Iterable[Mapping[str, str]], *, model: str, temperature: float | None) -> bytes:
    """The body of a request for a streamed completion; a temperature of None leaves it to the server."""
    body: dict[str, object] = {"model": model, "messages": list(messages), "stream": True}
    if temperature is not None:
        body["temperature"] = temperature
    return json.dumps(body, allow_nan=False).encode()


class CompletionReader:
    """Serves one reply: takes its head and its bytes, hands out its text, and tells what kind of end it had.

    The calls are `receive_head`, `receive_data` for whatever arrives, then `receive_eof` where the body ends or
    `receive_break` where something else ends it. Text that came before a failure is returned first.

    Args:
        mask: applied to whatever the server says before it is shown.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._reply = ChunkReader(mask)
        self._status = 0
        self._retry_after = ""
        self._is_legible = True  # no compressed error, for instance
        self._held = bytearray()  # the body, where it is judged only when it is complete
        self._is_held = False  # whether it is judged only then
        self._events: EventReader | None = None
        self._is_done = False  # it said `[DONE]` without a finish reason: how the body ends decides

    @property
    def failure(self) -> Failure | None:
        """Why the reply is not whole, once that is known; None after its end: it is."""
        return self._reply.failure

    @property
    def over(self) -> bool:
        """Whether nothing more is to be expected: the server said so, or it failed."""
        return self._reply.over

    @property
    def finished(self) -> bool:
        """Whether the server said that the text ends here: there are figures and `[DONE]` to come, or nothing."""
        return bool(self._reply.finish_reason or self._is_done) and self._reply.failure is None

    def receive_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes the head; names of headers are in lower case.

        Raises:
            Failure: the head alone says that there is no reply.
        """
        self._status = status
        self._is_legible = headers.get("content-encoding", "").strip().lower() in ("", "identity")
        retry_after = next((headers[name] for name in _RETRY_AFTER_NAMES if name in headers), "").strip()
        if _RETRY_AFTER.fullmatch(retry_after) and self._mask.header(retry_after) == retry_after:
            self._retry_after = retry_after
        if not 200 <= status < 600:
            raise upstream_failure(f"the upstream server answered with the status {status}", f"upstream {status}")
        if 300 <= status < 400:
            raise upstream_failure(
                f"the upstream server answered with a redirect ({status}), which is not followed: --upstream must be "
                "its final address",
                f"upstream {status}",
            )
        if status < 300 and not self._is_legible:
            raise upstream_failure("the upstream server compressed its reply, unasked", "compressed")
        self._is_held = status >= 400

    def receive_data(self, data: bytes) -> str:
        """Takes the next bytes of the body, and returns the text that is ready: "" if none is."""
        if self._reply.over:
            return ""
        if self._events is None and not self._is_held:
            data = self._beginning(data)
            if data[:1] in (b"{", b"[", b"<"):  # no event begins so
                self._is_held = True
            elif data:
                self._events = EventReader()
        if self._events is not None:
            text = self._receive_events(self._events.receive_data(data), last=False)
            if self._events.full and not self._is_done:
                self._reply.fail(
                    upstream_failure("the upstream server sent an event that is too large", "event too large")
                )
            return text
        self._held += data
        if self._status >= 400:
            del self._held[_ERROR_BODY_BYTES:]
        elif len(self._held) > MAX_EVENT_BYTES:
            self._reply.fail(upstream_failure("the upstream server sent no events, and far too much", "too large"))
        return ""

    def receive_eof(self) -> str:
        """The body ended: returns the last text."""
        return self._end(None)

    def receive_break(self, failure: Failure) -> str:
        """The body stopped before its end, for this reason: returns the last text."""
        return self._end(failure)

    def _beginning(self, data: bytes) -> bytes:
        """The body from its first character on, without a mark and blanks before it; b"" while that may be all."""
        self._held += data
        if _BOM.startswith(self._held):
            return b""
        beginning = bytes(self._held).removeprefix(_BOM).lstrip()
        self._held[:] = b"" if beginning else b"\n"  # one of the blanks: a mark behind it is none
        return beginning

    def _end(self, broken: Failure | None) -> str:
        cut = broken is not None
        text = ""
        if self._status >= 400:
            self._reply.fail(self._error_of_status(cut=cut))
        elif self._events is not None:
            text = self._receive_events(self._events.receive_eof(), last=True)
        elif self._is_held:
            text = self._receive_held(cut=cut)
        if self._is_done and (
            broken is None or broken.status == HTTPStatus.GATEWAY_TIMEOUT
        ):  # it forgot to end the body
            return text + self._reply.finish()
        where = "in the middle" if self._reply.spoke else "before any text"
        ended = upstream_failure(f"the upstream server's reply ended {where}", f"ended {where}")
        return text + self._reply.finish(broken or ended)

    def _receive_events(self, events: Iterable[Event], *, last: bool) -> str:
        return "".join([self._receive_event(event, last=last) for event in events])

    def _receive_event(self, event: Event, *, last: bool) -> str:
        """The text of an event; the last one may be cut."""
        if self._is_done:
            return ""
        data = event.data.strip()
        said = _parsed(data)
        if event.name == b"error":
            words, _ = utf_8_decode(data, "replace", not last)
            self._reply.fail_by(words if said is None else said, "error event", cut=last and said is None)
            return ""
        if data == _DONE and not self._reply.finish_reason:
            # vLLM was seen to end well so, and llama-cpp-python to break off, which its framing shows.
            self._is_done = True
            return ""
        if data == _DONE:
            return self._reply.finish()
        if said is not None:
            return self._reply.receive(said)
        lines = data.split(b"\n")
        if len(lines) > 1 and all(map(_is_complete, lines[:-1] if last else lines)):
            # There are no blank lines between its events.
            return self._receive_events((Event(event.name, line) for line in lines), last=last)
        if data and not last:
            self._reply.fail(upstream_failure("the upstream server sent an event that is not JSON", "event not JSON"))
        return ""

    def _receive_held(self, *, cut: bool) -> str:
        """The text of one object in place of events, of servers that do not stream, or fail at once."""
        if self._held.startswith(b"<"):
            said = self._summary(cut=cut)
            self._fail("the upstream server sent a web page", said, "web page")
            return ""
        completion = _parsed(self._held)
        if completion is None:
            if not cut:
                self._fail("the upstream server sent neither events nor JSON", self._summary(cut=False), "garbage")
            return ""
        text = self._reply.receive(completion)
        if isinstance(completion, dict) and not completion.get("choices"):
            self._fail("the upstream server sent no completion", self._summary(cut=False), "no completion")
        elif self._reply.spoke:
            text += self._reply.finish()  # the object is complete, and so is its text
        return text

    def _error_of_status(self, *, cut: bool) -> Failure:
        if not self._is_legible:
            self._held.clear()
        failure = reported_failure(
            _parsed(self._held),
            f"upstream {self._status}",
            mask=self._mask,
            status=self._status,
            otherwise=self._summary(cut=cut)
            or f"the upstream server answered {self._status} {_phrase(self._status)}".strip(),
        )
        if self._retry_after:
            failure.headers = {"retry-after": self._retry_after}
        return failure

    def _fail(self, message: str, quoted: str, how: str) -> None:
        self._reply.fail(upstream_failure(f"{message}: {quoted}" if quoted else message, how))

    def _summary(self, *, cut: bool) -> str:
        """What the body says in short."""
        cut = cut or len(self._held) >= _ERROR_BODY_BYTES
        text, _ = utf_8_decode(self._held[:_ERROR_BODY_BYTES], "replace", not cut)
        return self._mask.quote(summary(self._mask(text.removeprefix("\ufeff"), cut=cut)))


def _parsed(data: bytes | bytearray) -> Any:
    """What JSON says; None for what is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _is_complete(line: bytes) -> bool:
    return line.strip() in (b"", _DONE) or _parsed(line) is not None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
