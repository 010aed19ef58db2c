"""Chat completions: the request that an OpenAI-compatible server is sent, and what its reply means. No I/O.

Servers tell of failures in many ways, most of which look like success to whoever only looks for text: an error object
in the middle, a finish reason, an end without one. The rule is that a reply is whole where the server says that it is
finished, and broken else.

Source: https://platform.openai.com/docs/api-reference/chat-streaming, and what other servers send, each named where it
is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from .._secrets import Mask
from .._wire.error_bodies import summary
from .failures import Failure, upstream_failure
from .sse import MAX_EVENT_BYTES, Event, EventReader

_ERROR_BODY_BYTES = 64 * 1024
_DONE = b"[DONE]"
# They say that the server gave up, or took back what it said; any other reason ends a reply well.
_FAILED_REASONS = {
    "error": "OpenRouter, LM Studio",
    "content_filter": "OpenAI, Azure",
    "abort": "vLLM, SGLang",
    "insufficient_system_resource": "DeepSeek",
    "network_error": "Z.ai",
    "sensitive": "Z.ai",
}
_SURROGATES = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r"[\w.-]{1,64}", re.ASCII)
_RETRY_AFTER = re.compile(r"[\x20-\x7e]{1,64}")


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

    Attributes:
        failure: why the reply is not whole, once that is known; None after its end: it is.
        over: whether nothing more is to be expected: the server said so, or it failed.
    """

    def __init__(self, mask: Mask) -> None:
        self.failure: Failure | None = None
        self.over = False
        self._mask = mask
        self._status = 0
        self._retry_after = ""
        self._events: EventReader | None = None  # None: the body is an error's, a page or JSON, or did not begin
        self._held = bytearray()  # what is judged when it is complete
        self._spoke = False  # whether there was text
        self._thought = False  # whether there was reasoning
        self._finish_reason = ""
        self._half = ""  # the first half of a character that JSON writes as two

    @property
    def finished(self) -> bool:
        """Whether the server said why the text ends here: there are figures and `[DONE]` to come, or nothing."""
        return bool(self._finish_reason) and self.failure is None

    def receive_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes the head; names of headers are in lower case.

        Raises:
            Failure: the head alone says that there is no reply.
        """
        self._status = status
        if _RETRY_AFTER.fullmatch(retry_after := headers.get("retry-after", "")):
            self._retry_after = retry_after
        coding = headers.get("content-encoding", "").strip().lower()
        if not 200 <= status < 600:
            raise upstream_failure(f"the upstream server answered with the status {status}", f"upstream {status}")
        if 300 <= status < 400:
            raise upstream_failure(
                f"the upstream server answered with a redirect ({status}), which is not followed: --upstream must be "
                "its final address",
                f"upstream {status}",
            )
        if status < 300 and coding not in ("", "identity"):
            raise upstream_failure("the upstream server compressed its reply, unasked", "compressed")

    def receive_data(self, data: bytes) -> str:
        """Takes the next bytes of the body, and returns the text that is ready: "" if none is."""
        if self.over:
            return ""
        if self._events is None:
            self._held += data
            if self._status >= 400:
                del self._held[_ERROR_BODY_BYTES:]
                return ""
            beginning = bytes(self._held[:64]).removeprefix(b"\xef\xbb\xbf").lstrip()
            if not beginning or beginning[:1] in b"{[<":  # no event begins so
                if len(self._held) > MAX_EVENT_BYTES:
                    self._fail("the upstream server sent no events, and far too much", "too large")
                return ""
            self._events = EventReader()
            data = bytes(self._held)
            self._held.clear()
        text = self._receive_events(self._events.receive_data(data))
        if self._events.full:
            self._fail("the upstream server sent an event that is too large", "event too large")
        return text

    def receive_eof(self) -> str:
        """The body ended: returns the last text."""
        where = "in the middle" if self._spoke else "before any text"
        return self._receive_last(upstream_failure(f"the upstream server's reply ended {where}", f"ended {where}"))

    def receive_break(self, failure: Failure) -> str:
        """The body stopped before its end, for this reason: returns the last text."""
        return self._receive_last(failure)

    def _receive_last(self, failure: Failure) -> str:
        if self.over:
            return ""
        if self._status >= 400:
            self.failure = self._error_of_status()
        elif self._events is not None:
            text = self._receive_events(self._events.receive_eof(), cut=True)
            return text + self._finish(failure)
        elif self._held.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            self._fail(f"the upstream server sent a web page{self._quoted(': ')}", "web page")
        elif self._held:
            return self._receive_json(failure)
        else:
            self._finish(failure)
        self.over = True
        return ""

    def _receive_json(self, failure: Failure) -> str:
        """One object in place of events: of servers that do not stream, or fail at once."""
        try:
            reply = json.loads(self._held)
        except (ValueError, RecursionError):
            self._fail(f"the upstream server sent neither events nor JSON{self._quoted(': ')}", "garbage")
            return ""
        if isinstance(reply, list) and len(reply) == 1:
            reply = reply[0]  # Google wraps its errors so
        text = self._receive_object(reply)
        if self._spoke and not self._finish_reason:
            self._finish_reason = "stop"  # the object is complete, and so is its text
        return text + self._finish(failure)

    def _receive_events(self, events: Iterable[Event], *, cut: bool = False) -> str:
        text = ""
        for event in events:
            if self.over:
                break
            text += self._receive_event(event, cut=cut)
        return text

    def _receive_event(self, event: Event, *, cut: bool) -> str:
        data = b"\n".join(event.lines)
        if event.name == b"error":
            self._fail_by(_parsed(data) or data.decode(errors="replace"), "error event")
            return ""
        if data.strip() == _DONE:
            return self._finish(None)
        if not data.strip():
            return ""
        if (said := _parsed(data)) is not None:
            return self._receive_object(said)
        if len(event.lines) > 1 and all(line.strip() == _DONE or _parsed(line) is not None for line in event.lines):
            lines = (Event(event.name, (line,)) for line in event.lines)  # a server that forgets the blank lines
            return self._receive_events(lines, cut=cut)
        if not cut:  # else what arrived of it is no event, and its end is judged
            self._fail("the upstream server sent an event that is not JSON", "event not JSON")
        return ""

    def _receive_object(self, said: object) -> str:
        """What one event says, or a whole reply."""
        if not isinstance(said, dict):
            self._fail("the upstream server sent an event that is no object", "event no object")
            return ""
        choices = said.get("choices")  # none: figures, or a sign of life
        listed = choices if isinstance(choices, list) else []
        text = "".join([self._receive_choice(choice) for choice in listed if isinstance(choice, dict)])
        if said.get("error") or said.get("object") == "error" or said.get("error_code"):  # the last two are FastChat's
            self._fail_by(said, "error object")
        return text

    def _receive_choice(self, choice: dict[str, Any]) -> str:
        if choice.get("index"):
            return ""  # another answer, which nobody asked for
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else choice.get("message")
        delta = delta if isinstance(delta, dict) else {}
        text = self._whole_characters(_text_of(delta.get("content") or delta.get("refusal")))
        self._spoke = self._spoke or bool(text)
        self._thought = self._thought or bool(delta.get("reasoning") or delta.get("reasoning_content"))
        if reason := choice.get("finish_reason"):
            self._finish_reason = reason if isinstance(reason, str) else "stop"
        if self._finish_reason in _FAILED_REASONS:
            said = {"error": choice.get("error")} if choice.get("error") else {}  # OpenRouter's
            self._fail_by(said, f"finish reason {self._finish_reason}")
        return text

    def _whole_characters(self, text: str) -> str:
        """The text without halves of characters: one that waits for its second half is held back."""
        if not self._half and (text.isascii() or not _SURROGATES.search(text)):
            return text
        if not text:
            return ""
        text = self._half + text
        self._half = ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _finish(self, failure: Failure | None) -> str:
        """The end: a good one if the server said so, by a reason or, where `failure` is None, by `[DONE]`."""
        text = "\ufffd" if self._half else ""
        self._half = ""
        self._spoke = self._spoke or bool(text)
        self.over = True
        if self.failure is None:
            if failure is not None and not self._finish_reason:
                self.failure = failure
            elif not self._spoke:
                self.failure = self._silence()
        return text

    def _silence(self) -> Failure:
        """Why there is no text, although the server ended well."""
        reason = _TOKEN.fullmatch(self._finish_reason)
        ended = f"finish reason {reason[0]}" if reason else "no finish reason"
        if self._finish_reason in ("tool_calls", "function_call"):
            said = "it asked for a tool, of which this server has none"
        elif self._thought:
            said = "all that came was reasoning, which is no part of a reply"
        else:
            said = "there was nothing in its reply"
        return upstream_failure(f"the model gave no text: {said} ({ended})", f"no text, {ended}")

    def _fail(self, message: str, how: str, *, status: int = 502) -> None:
        self._end_by(upstream_failure(message, how, status=status))

    def _fail_by(self, said: object, how: str) -> None:
        """The server tells of a failure: in an object, or in some other words."""
        quoted = self._mask.quote(_message_of(said))
        status = _status_of(said)
        failure = upstream_failure(quoted or f"the upstream server failed: {how}", how, status=status)
        failure.type = _type_of(said) or failure.type
        self._end_by(failure)

    def _end_by(self, failure: Failure) -> None:
        self.failure = failure
        self.over = True

    def _error_of_status(self) -> Failure:
        said: object = _parsed(bytes(self._held))
        body = self._mask(self._held.decode(errors="replace"))
        message = _message_of(said) or summary(body)
        failure = upstream_failure(
            self._mask.quote(message) or f"the upstream server answered {self._status} {_phrase(self._status)}".strip(),
            f"upstream {self._status}",
            status=self._status,
        )
        failure.type = _type_of(said) or failure.type
        if self._retry_after:
            failure.headers = {"retry-after": self._retry_after}
        return failure

    def _quoted(self, before: str) -> str:
        """What the body says in short, behind some words; "" if it says nothing."""
        said = self._mask.quote(summary(self._held[:_ERROR_BODY_BYTES].decode(errors="replace")))
        return before + said if said else ""


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _text_of(content: object) -> str:
    """A delta's text; Mistral's come as a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _error_of(said: object) -> object:
    """The part of an object that is about the error."""
    if isinstance(said, list) and said:
        said = said[0]
    if isinstance(said, dict) and said.get("error"):
        return said["error"]
    return said


def _message_of(said: object) -> str:
    error = _error_of(said)
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        words = (error.get(name) for name in ("message", "detail", "text"))  # FastAPI's, FastChat's
        return next((word for word in words if isinstance(word, str) and word), "")
    return ""


def _type_of(said: object) -> str:
    error = _error_of(said)
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) and _TOKEN.fullmatch(kind) else ""


def _status_of(said: object) -> int:
    """The HTTP status that an error names; 502 for none."""
    outer = said if isinstance(said, dict) else {}
    for place in (_error_of(said), outer):
        for name in ("code", "status", "status_code"):
            code = place.get(name) if isinstance(place, dict) else None
            code = int(code) if isinstance(code, str) and re.fullmatch("[0-9]{3}", code, re.ASCII) else code
            if isinstance(code, int) and 400 <= code < 600:
                return code
    return 502


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
