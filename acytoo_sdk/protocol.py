"""The protocol: what is sent, and what a reply means. Bytes in, text out; no socket, no clock, no thread.

Every header, every status decision and every byte of decoding is here, so that the blocking and the async client cannot
differ. `build_request` makes a request; a `ReplyReader` judges one reply as it arrives; `is_retryable` and
`retry_after` say what may be tried again. What the network does (limits, breaks, cancellation) is not known here: it is
told through `receive_break`.
"""

from __future__ import annotations

import enum
import json
import re
from codecs import utf_8_decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, TypedDict, cast

from ._bodies import gist, is_json_error, is_page
from ._dates import http_date
from ._framing import FramingError, framing_of
from ._notices import NoticeFilter
from ._secrets import Mask
from ._version import __version__
from .errors import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    DecodeError,
    EmptyReplyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamInterruptedError,
    UnexpectedReplyError,
)

Role = Literal["system", "developer", "user", "assistant", "function", "tool"]


class Message(TypedDict):
    """One turn of a conversation: who speaks, and what is said. Further keys pass through to the server untouched."""

    role: Role
    content: str


DEFAULT_BASE_URL = "https://chat.acytoo.com"
DEFAULT_PATH = "/api/completions"
DEFAULT_MODEL = "gpt-3.5-turbo"
DEFAULT_TEMPERATURE = 0.5
DEFAULT_MAX_REPLY_BYTES = 16 * 2**20

RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525), 529})
"""After these, the same request may succeed. 520 to 524: Cloudflare could not reach the origin; 529: overloaded."""

# What a body is kept and quoted up to: enough for any error object or challenge page, nothing an endless body could
# fill.
_BODY_LIMIT = 64 * 1024
_QUOTE_LIMIT = 200
_REQUEST_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "x-requestid",
    "x-correlation-id",
    "x-amzn-requestid",
    "x-vercel-id",
    "cf-ray",
)
_STATUS_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: BadRequestError,
    429: RateLimitError,
}
_STATUS_HINTS = {
    401: "check key= and password=, or ACYTOO_KEY and ACYTOO_PASSWORD",
    404: "check base_url= and path=: together they must name the completions endpoint",
    413: "send a shorter conversation",
    429: "wait before the next call; the attribute retry_after says how long, where the server does",
}


# Requests


@dataclass(frozen=True)
class Request:
    """A request, ready to be sent by anything that speaks HTTP.

    Attributes:
        method: always "POST".
        url: absolute.
        headers: names in lower case; without `host` and `content-length`, which belong to whoever sends it.
        body: UTF-8 JSON. It holds the key and the password, and some headers may: `repr` shows neither.
    """

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def build_request(
    messages: str | Message | Sequence[Message],
    *,
    base_url: str = DEFAULT_BASE_URL,
    path: str = DEFAULT_PATH,
    key: str = "",
    password: str = "",
    model: str = DEFAULT_MODEL,
    temperature: float = DEFAULT_TEMPERATURE,
    headers: Mapping[str, str] | None = None,
) -> Request:
    """Builds the one request of this protocol. Pure: it checks nothing and changes nothing.

    Args:
        messages: the conversation, oldest first; a `str` or a single message stands for a list of one.
        base_url: scheme, host and maybe a path, without a trailing slash.
        path: appended to `base_url`.
        key: secret of the service, "" for none.
        password: secret of the service, "" for none.
        model: the model's name.
        temperature: 0 to 2.
        headers: added to the standard ones, or in their place; names in any case.

    Returns:
        The request. Its JSON has the keys key, model, messages, temperature, password, in this order.

    Raises:
        TypeError, ValueError: something in `messages` cannot be written as JSON, or not as UTF-8.

    Source:
        g4f 0.1.9.3, `g4f/Provider/Acytoo.py`: the keys, their order, the two headers and the default temperature. The
        identity coding is ours: a compressing server may hold pieces back, and 1.6 kB can become 1 GiB.

    Example:
        >>> print(build_request("Hi", model="m").body.decode())
        {"key": "", "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "password": ""}
    """
    payload = {
        "key": key,
        "model": model,
        "messages": message_list(messages),
        "temperature": temperature,
        "password": password,
    }
    standard = {
        "accept": "*/*",
        "content-type": "application/json",
        "user-agent": f"acytoo-sdk/{__version__}",
        "accept-encoding": "identity",
    }
    return Request(
        method="POST",
        url=base_url + path,
        headers=standard | {name.lower(): value for name, value in (headers or {}).items()},
        body=json.dumps(payload, ensure_ascii=False, allow_nan=False).encode(),
    )


def message_list(messages: str | Message | Sequence[Message]) -> list[Message]:
    """The conversation as a list of its own: a `str` is one user message."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    turns = [messages] if isinstance(messages, Mapping) else messages
    return [cast(Message, dict(turn)) for turn in turns]


# Replies


@dataclass(frozen=True)
class ReplyHead:
    """The head of a reply.

    Attributes:
        status: the HTTP status.
        headers: names in lower case, repeated ones joined with ", ", secrets masked.
        request_id: the server's name for the request, or None.
    """

    status: int
    headers: dict[str, str]
    request_id: str | None


class ReplyState(enum.Enum):
    """Where a `ReplyReader` stands."""

    HEAD = "head"
    """Waits for `receive_head`."""
    BODY = "body"
    """Waits for `receive_data` or the end."""
    DONE = "done"
    """The reply ended well."""
    FAILED = "failed"
    """The reply is not what it should be; `error` says what it is."""


class ReplyReader:
    """Serves one reply: takes its head and its body's bytes, hands out its text, and tells what kind of end it had.

    The calls are `receive_head`, then `receive_data` for whatever arrives, then `receive_eof` where the framing ends
    the body or `receive_break` where the connection does. Text that came before a fault is returned first; the fault is
    then in `error`, and raised by every later call. A fault with no text before it is raised at once.

    Args:
        strip_notices: whether an advertisement after the reply is taken off, see `notice`.
        max_reply_bytes: the longest body accepted, in bytes; None for no bound.
        mask: applied to whatever the server says before it is shown.

    Attributes:
        state: where it stands.
        head: the head, once received.
        error: why it failed, once it did.

    Example:
        >>> reader = ReplyReader()
        >>> reader.receive_head(200, {"Content-Type": "text/plain"})
        >>> [reader.receive_data(byte) for byte in (b"\\xd0", b"\\x9f!")]
        ['', 'П!']
        >>> reader.receive_eof()
        ''
    """

    def __init__(
        self,
        *,
        strip_notices: bool = True,
        max_reply_bytes: int | None = DEFAULT_MAX_REPLY_BYTES,
        mask: Mask | None = None,
    ) -> None:
        self.state = ReplyState.HEAD
        self.head: ReplyHead | None = None
        self.error: AcytooError | None = None
        self._mask = Mask() if mask is None else mask
        self._notices = NoticeFilter() if strip_notices else None
        self._bytes_left = max_reply_bytes
        self._max_reply_bytes = max_reply_bytes
        self._tail = b""  # the beginning of a character whose end has not arrived
        self._started = False  # whether a character was decoded, a BOM included
        self._handed_out = False  # whether text was returned
        self._verdict: Callable[[bytearray, bool], bool | None] | None = None
        self._held = bytearray()  # what waits for the verdict, or belongs to a body that is an error
        self._fault: Callable[[bool], AcytooError] | None = None

    @property
    def notice(self) -> str | None:
        """The advertisement that was stripped, without blanks around it; None before the end or without one."""
        return None if self._notices is None else self._notices.notice

    def receive_head(
        self, status: int, headers: Mapping[str, str] | Iterable[tuple[str, str]], *, now: float | None = None
    ) -> None:
        """Takes the final head of the reply, and judges what the body will be.

        Args:
            status: the HTTP status.
            headers: in order of arrival; names in any case, repeats allowed where they are pairs.
            now: the time of arrival, in seconds since the epoch; a `Retry-After` that is a date needs it.

        Raises:
            RedirectError, UnexpectedReplyError, APIConnectionError: the head alone says that no text will come. Other
                error statuses wait for their body, which says why.
        """
        plain = _joined(headers.items() if isinstance(headers, Mapping) else headers)
        request_id = next((plain[name] for name in _REQUEST_ID_HEADERS if plain.get(name)), None)
        self.head = head = ReplyHead(
            status=status,
            headers={name: self._mask(value) for name, value in plain.items()},
            request_id=None if request_id is None else self._quote(request_id),
        )
        self.state = ReplyState.BODY
        if error := self._head_error(head, plain):
            self._stop("", error)
        if status >= 300:
            wait = retry_after(plain, now=now)
            self._fault = lambda cut: self._status_error(head, wait, cut)
            return
        if "cf-mitigated" in plain:
            self._fault = self._page_error
            return
        media_type = _media_type(plain)
        if media_type in ("", "text/html"):
            self._verdict, self._fault = is_page, self._page_error
        elif media_type == "application/json":
            self._verdict, self._fault = is_json_error, self._json_error

    def receive_data(self, data: bytes) -> str:
        """Takes the next bytes of the body, in whatever cut, and returns the text that is ready: "" if none is."""
        if self.error is not None:
            raise self.error
        if self._fault is not None:
            return self._receive_judged(data)
        return self._receive_text(data)

    def receive_eof(self) -> str:
        """The body ended where its framing says it ends: returns the last text."""
        if self.error is not None:
            raise self.error
        text = self._release(cut=False)
        if self.state is ReplyState.FAILED:
            return text
        self._handed_out = self._handed_out or bool(text)
        if self._tail:
            return self._stop(text, self._broken("it ends in the middle of a character"))
        if not self._handed_out:
            self._stop("", EmptyReplyError("The server's reply is empty", hint="the same call may well succeed later"))
        self.state = ReplyState.DONE
        return text

    def receive_break(self, error: AcytooError) -> str:
        """The body stopped before its end: returns the text that was held back, and settles which error it is.

        Args:
            error: what the network did. A break after the first text becomes a `StreamInterruptedError`; a limit stays
                what it is; where the head had already told of an error, that one stands.

        Returns:
            Text; then `error` holds the outcome.
        """
        if self.error is not None:
            raise self.error
        text = self._release(cut=True)
        if self.state is ReplyState.FAILED:
            return text
        self._handed_out = self._handed_out or bool(text)
        if self._handed_out and isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError):
            cause, error = error, self._broken(str(error))
            error.__cause__ = cause.__cause__
        return self._stop(text, error)

    def _head_error(self, head: ReplyHead, headers: dict[str, str]) -> AcytooError | None:
        """The error that needs no body to be known."""
        status = head.status
        if status < 200:
            return UnexpectedReplyError(f"The server ended its reply with the interim status {status}")
        if 300 <= status < 400:
            location = headers.get("location")
            return RedirectError(
                f"The server redirects (HTTP {status}), which is not followed: the key would go to another address",
                status_code=status,
                headers=head.headers,
                hint=None
                if location is None
                else f"the new address is {self._quote(location)}: pass it as base_url if you trust it",
            )
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return APIConnectionError(
                "The proxy asks for credentials (HTTP 407)",
                retryable=False,
                hint="put them into the proxy's address: http://USER:PASSWORD@HOST:PORT",
            )
        if status >= 300:
            return None
        try:
            framing_of(status, headers)
        except FramingError as error:
            return UnexpectedReplyError(f"The framing of the reply is unknown: {self._quote(str(error))}")
        coding = headers.get("content-encoding", "").strip().lower()
        if coding not in ("", "identity"):
            return UnexpectedReplyError(
                f"The reply is compressed ({self._quote(coding)}), though plain text was asked for",
                hint="leave accept-encoding alone in headers=, or tell the server not to compress this endpoint",
            )
        if _media_type(headers) == "text/event-stream":
            return UnexpectedReplyError(
                "The reply is an event stream (text/event-stream), not bare text",
                hint="this endpoint speaks another protocol: look for one that streams plain text",
            )
        return None

    def _receive_text(self, data: bytes) -> str:
        too_large = None
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
            if self._bytes_left < 0:
                data = data[: self._bytes_left]
                too_large = ReplyTooLargeError(
                    f"The reply is longer than max_reply_bytes={self._max_reply_bytes}",
                    hint="raise max_reply_bytes, or pass None",
                )
        if self._tail:
            data = self._tail + data
        try:
            text, used = utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as error:
            return self._stop(self._shown(data[: error.start].decode()) + self._flushed(), _decode_error(error))
        self._tail = data[used:]
        text = self._shown(text)
        if too_large:
            return self._stop(text + self._flushed(), too_large)
        if text:
            self._handed_out = True
        return text

    def _shown(self, text: str) -> str:
        """Drops the byte order mark, and what may be a notice."""
        if text and not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        return text if self._notices is None else self._notices.feed(text)

    def _flushed(self) -> str:
        return "" if self._notices is None else self._notices.flush()

    def _receive_judged(self, data: bytes) -> str:
        """Holds bytes back until it is clear whether they are text; if not, until the error has its body."""
        self._held += data
        if self._verdict is not None:
            verdict = self._verdict(self._held[:_BODY_LIMIT], False)
            if verdict is None and len(self._held) <= _BODY_LIMIT:
                return ""
            self._verdict = None
            if not verdict:
                return self._release_as_text()
        if self._fault is not None and len(self._held) > _BODY_LIMIT:
            self._stop("", self._fault(True))
        return ""

    def _release(self, *, cut: bool) -> str:
        """The last text, where the body is over: what a verdict or the notice filter held back."""
        text = ""
        if self._verdict is not None:
            is_fault = self._verdict(self._held, True)
            self._verdict = None
            if not is_fault:
                text = self._release_as_text()
        if self.state is ReplyState.FAILED:
            return text
        if self._fault is not None:
            self._stop("", self._fault(cut))
        return text + self._flushed()

    def _release_as_text(self) -> str:
        held, self._held, self._fault = bytes(self._held), bytearray(), None
        return self._receive_text(held)

    def _stop(self, text: str, error: AcytooError) -> str:
        """Ends in an error: the last text is returned and the error waits, or the error is raised."""
        self.state = ReplyState.FAILED
        self.error = error
        self._fault = self._verdict = None  # methods of its own: the reader, and so the error, would be in a cycle
        error.request_id = self.head.request_id if self.head else None
        if not text:
            raise error
        self._handed_out = True
        return text

    def _broken(self, why: str) -> AcytooError:
        if self._handed_out:
            return StreamInterruptedError(
                f"The reply broke off: {why}",
                hint="partial_text holds what arrived; the same call may well succeed later",
            )
        return APIConnectionError(f"The reply broke off before its first text: {why}")

    def _status_error(self, head: ReplyHead, wait: float | None, cut: bool) -> AcytooError:
        status = head.status
        body = self._body(cut)
        said = self._quote(gist(body))
        try:
            phrase = f" {HTTPStatus(status).phrase}"
        except ValueError:
            phrase = ""
        kind = _STATUS_ERRORS.get(status, ServerError if 500 <= status < 600 else APIStatusError)
        return kind(
            f"The server answered HTTP {status}{phrase}" + (f": {said}" if said else ""),
            status_code=status,
            headers=head.headers,
            body=body,
            retry_after=wait,
            retryable=status in RETRYABLE_STATUSES,
            hint=_STATUS_HINTS.get(status),
        )

    def _page_error(self, cut: bool) -> AcytooError:
        body = self._body(cut)
        said = self._quote(gist(body))
        return UnexpectedReplyError(
            "The server sent a web page instead of a reply" + (f": {said}" if said else ""),
            body=body,
            hint="an error page, or a challenge for browsers: check base_url and path, or look at it in a browser",
        )

    def _json_error(self, cut: bool) -> AcytooError:
        body = self._body(cut)
        return UnexpectedReplyError(
            f"The server sent an error instead of a reply: {self._quote(gist(body))}", body=body
        )

    def _body(self, cut: bool) -> str:
        text, _ = utf_8_decode(self._held[:_BODY_LIMIT], "replace", not cut)
        return self._mask(text.removeprefix("\ufeff"), cut=cut)

    def _quote(self, text: str) -> str:
        """Server text for a message: masked, on one line, its control characters escaped, of bounded length."""
        line = " ".join(self._mask(text).split())
        line = line if len(line) <= _QUOTE_LIMIT else line[:_QUOTE_LIMIT] + "..."
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _decode_error(error: UnicodeDecodeError) -> DecodeError:
    bad = error.object[error.start : error.end].hex(" ")
    decode_error = DecodeError(f"The reply is not UTF-8: {error.reason} at the bytes {bad}")
    decode_error.__cause__ = error.with_traceback(None)  # its frames hold the reader, which holds the error
    return decode_error


# Retries


def is_retryable(error: BaseException) -> bool:
    """Whether the attempt that failed so, before its first text, may be made again.

    Connections that failed or broke, limits of one attempt, empty replies, and the statuses of `RETRYABLE_STATUSES`.
    Not once the limit on everything has run out, not after a break that text came before, and never for what is no
    error of this package (`KeyboardInterrupt`, for one).
    """
    if isinstance(error, APITimeoutError):
        return error.phase != "total"
    if isinstance(error, StreamInterruptedError):
        return False
    return isinstance(error, AcytooError) and error.retryable


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """How long the server asks to wait, by its `Retry-After` header.

    Args:
        headers: names in lower case.
        now: seconds since the epoch, which dates are compared with; None: dates count as absent.

    Returns:
        Seconds; None where the header is missing, a date that is not in the future, or anything else than one to ten
        digits or a date as HTTP writes them.

    Source:
        RFC 9110, sections 10.2.3 and 5.6.7.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]{1,10}", value):
        return float(value)
    date = http_date(value)
    return date - now if now is not None and date is not None and date > now else None
