"""The protocol: what is sent, and what a reply means. Bytes in, text out; no socket, no clock, no thread.

Every header, every status decision and every byte of decoding is here, or in `_wire` below, so that the blocking and
the async client cannot differ. `build_request` makes a request; a `ReplyReader` judges one reply as it arrives;
`is_retryable`, `is_throttled` and `retry_after` say what may be tried again. What the network does (limits, breaks,
cancellation) must not be known here: `receive_break` is told of it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from ._secrets import Mask, without_credentials
from ._version import __version__
from ._wire.dates import retry_after as retry_after
from ._wire.decoder import TextDecoder
from ._wire.error_bodies import CHALLENGE, JSON_ERROR, PAGE, BodySniffer, ErrorKind, proxy_credentials_error
from ._wire.framing import CloseDelimitedReader, FramingError, FramingReader, framing_of, join_headers
from ._wire.payloads import Message as Message
from ._wire.payloads import MessageLike as MessageLike
from ._wire.payloads import Messages as Messages
from ._wire.payloads import Payload as Payload
from ._wire.payloads import Role as Role
from ._wire.payloads import message_list as message_list
from ._wire.payloads import payload_body
from ._wire.statuses import RETRYABLE_STATUSES as RETRYABLE_STATUSES
from ._wire.statuses import status_error
from .errors import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    EmptyReplyError,
    RateLimitError,
    RedirectError,
    StreamInterruptedError,
    UnexpectedReplyError,
)

DEFAULT_BASE_URL = "https://chat.acytoo.com"
DEFAULT_PATH = "/api/completions"
DEFAULT_MODEL = "gpt-3.5-turbo"
DEFAULT_TEMPERATURE = 0.5
DEFAULT_MAX_REPLY_BYTES = 16 * 2**20

_REQUEST_ID_HEADERS = """
    x-request-id request-id x-requestid x-correlation-id x-amzn-requestid x-vercel-id cf-ray
""".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready to be sent by anything that speaks HTTP.

    Attributes:
        method: always "POST".
        url: absolute.
        headers: names in lower case; without `host` and `content-length`, which belong to whoever sends it.
        body: UTF-8 JSON. It holds the key and the password, and some headers may: `repr` and `vars` show neither.
    """

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def build_request(
    messages: Messages,
    *,
    base_url: str = DEFAULT_BASE_URL,
    path: str = DEFAULT_PATH,
    key: str = "",
    password: str = "",
    model: str = DEFAULT_MODEL,
    temperature: float = DEFAULT_TEMPERATURE,
    headers: Mapping[str, str] | None = None,
    payload: Payload = "acytoo",
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
        payload: the format of the body, by name, or a function that makes it from the five values.

    Returns:
        The request. Its JSON has the keys key, model, messages, temperature and password, in this order, or those of
        the format.

    Raises:
        TypeError, ValueError: something cannot be written as JSON or as UTF-8, or the format has no place for it.

    Source:
        g4f 0.1.9.3, `g4f/Provider/Acytoo.py`: the keys, their order, the two headers and the default temperature. The
        identity coding is ours: a compressing server may hold pieces back, and 1.6 kB can become 1 GiB.

    Example:
        >>> print(build_request("Hi", model="m").body.decode())
        {"key": "", "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "password": ""}
    """
    turns = message_list(messages)
    values = {"key": key, "model": model, "messages": turns, "temperature": temperature, "password": password}
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
        body=payload_body(payload, values),
    )


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
    """The reply is not what it should be; `error` says why."""


class ReplyReader:
    """Serves one reply: takes its head and its body's bytes, hands out its text, and tells how it ended.

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
        self._framing: FramingReader = CloseDelimitedReader()
        self._sniffer: BodySniffer | None = None  # as long as the body is, or may be, that of an error
        self._decoder = TextDecoder(strip_notices=strip_notices, max_bytes=max_reply_bytes)
        self._delivered = False  # whether text was returned

    @property
    def framing(self) -> FramingReader:
        """What takes the body out of its framing, as the head announced it."""
        return self._framing

    @property
    def notice(self) -> str | None:
        """The advertisement that was stripped, without blanks around it; None before the end or without one."""
        return self._decoder.notice

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
        plain = join_headers(headers.items() if isinstance(headers, Mapping) else headers)
        request_id = next((plain[name] for name in _REQUEST_ID_HEADERS if plain.get(name)), None)
        self.head = ReplyHead(
            status=status,
            headers={name: self._mask.header(value) for name, value in plain.items()},
            request_id=None if request_id is None else self._mask.quote(self._mask.header(request_id)),
        )
        self.state = ReplyState.BODY
        unknown = None
        try:
            self._framing = framing_of(status, plain)
        except FramingError as error:
            unknown = str(error)
        if error_of_head := _head_error(self.head, plain, unknown, self._mask):
            self._stop("", error_of_head)
        if kind := _error_kind(self.head, plain, now):
            self._sniffer = BodySniffer(kind, self._mask)

    def receive_data(self, data: bytes) -> str:
        """Takes the next bytes of the body.

        Args:
            data: the bytes, cut anywhere, for instance within a character.

        Returns:
            The text that is ready; "" if there is none.

        Raises:
            AcytooError: a fault with no text before it, or an earlier fault.
        """
        if self.error is not None:
            raise self.error
        if (sniffer := self._sniffer) is None:
            return self._receive_text(data)
        sniffer.receive_data(data)
        if sniffer.is_error is False:
            return self._receive_sniffed(sniffer)
        if sniffer.is_error and sniffer.full:
            self._stop("", sniffer.error(cut=True))
        return ""

    def receive_eof(self) -> str:
        """The body ended where its framing says it ends.

        Returns:
            The last text; then `state` says whether the reply ended well.

        Raises:
            AcytooError: a fault with no text before it, or an earlier fault.
        """
        text = self._receive_last(cut=False)
        if self.state is ReplyState.FAILED:
            return text
        if self._decoder.inside_character:
            if self._framing.whole:
                return self._stop(text, DecodeError("The reply is not UTF-8: it ends in the middle of a character"))
            return self._stop(text, self._broken("it ends in the middle of a character"))
        if not self._delivered:
            self._stop("", EmptyReplyError("The server's reply is empty", hint="the same call may well succeed later"))
        self.state = ReplyState.DONE
        return text

    def receive_break(self, error: AcytooError) -> str:
        """The body stopped before its end, which settles the error that the reply ends in.

        Args:
            error: what the network did. A break after the first text becomes a `StreamInterruptedError`, and a limit
                stays what it is; but if the reply was an error's anyway, that error is the one.

        Returns:
            The text that was held back; then the outcome is in `error`.

        Raises:
            AcytooError: the outcome, if there is no such text.
        """
        text = self._receive_last(cut=True)
        if self.state is ReplyState.FAILED:
            return text
        if self._delivered and isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError):
            cause, error = error, self._broken(str(error))
            error.__cause__ = cause.__cause__
        return self._stop(text, error)

    def _receive_text(self, data: bytes) -> str:
        text = self._decoder.decode(data)
        if self._decoder.error is not None:
            return self._stop(text, self._decoder.error)
        self._delivered = self._delivered or bool(text)
        return text

    def _receive_sniffed(self, sniffer: BodySniffer) -> str:
        """Decodes what was held back, which has turned out to be text."""
        self._sniffer = None
        return self._receive_text(bytes(sniffer.held))

    def _receive_last(self, *, cut: bool) -> str:
        """The last text, where the body is over: what the sniffer or the notice filter held back."""
        if self.error is not None:
            raise self.error
        text = ""
        if (sniffer := self._sniffer) is not None:
            sniffer.receive_eof()
            if sniffer.is_error:
                self._stop("", sniffer.error(cut=cut))
            text = self._receive_sniffed(sniffer)
            if self.state is ReplyState.FAILED:
                return text
        text += self._decoder.flush()
        self._delivered = self._delivered or bool(text)
        return text

    def _stop(self, text: str, error: AcytooError) -> str:
        """Ends in an error: the last text is returned and the error waits, or the error is raised."""
        self.state = ReplyState.FAILED
        self.error = error
        self._sniffer = None
        error.request_id = self.head.request_id if self.head else None
        if not text:
            raise error
        return text

    def _broken(self, why: str) -> AcytooError:
        if self._delivered:
            hint = "partial_text holds what arrived; the same call may well succeed later"
            return StreamInterruptedError(f"The reply broke off: {why}", hint=hint)
        return APIConnectionError(f"The reply broke off before its first text: {why}")


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _head_error(head: ReplyHead, fields: Mapping[str, str], unknown: str | None, mask: Mask) -> AcytooError | None:
    """The error that the head alone tells; None if there is none, or the body has to say more."""
    status = head.status
    if status < 200:
        return UnexpectedReplyError(
            f"The server ended its reply with the interim status {status}",
            hint="this endpoint speaks another protocol: check base_url= and path=",
        )
    if 300 <= status < 400:
        new = without_credentials(fields.get("location", ""))
        return RedirectError(
            f"The server redirects (HTTP {status}), which is not followed: the request, which may hold your key, would "
            "go to another address",
            status_code=status,
            headers=head.headers,
            hint=f"the new address is {mask.quote(new)}: pass it as base_url if you trust it" if new else None,
        )
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return proxy_credentials_error("The proxy")
    if status >= 300:
        return None
    if unknown is not None:
        return UnexpectedReplyError(
            f"The framing of the reply is unknown: {mask.quote(unknown)}",
            hint="have the server, or the proxy in front of it, send this endpoint's replies in chunks",
        )
    coding = fields.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        return UnexpectedReplyError(
            f"The reply is compressed ({mask.quote(coding)}), though plain text was asked for",
            hint="leave accept-encoding alone in headers=, or tell the server not to compress this endpoint",
        )
    if _media_type(fields) == "text/event-stream":
        return UnexpectedReplyError(
            "The reply is an event stream (text/event-stream), not bare text",
            hint="this endpoint speaks another protocol: put `acytoo serve --upstream URL` in front of it",
        )
    return None


def _error_kind(head: ReplyHead, headers: Mapping[str, str], now: float | None) -> ErrorKind | None:
    """The kind of error that the body is or may be, going by the head; None: it is text."""
    if head.status >= 300:
        wait = retry_after(headers, now=now)
        return ErrorKind(None, lambda body, message: status_error(head.status, head.headers, wait, body, message))
    if "cf-mitigated" in headers:
        return CHALLENGE
    return {"": PAGE, "text/html": PAGE, "application/json": JSON_ERROR}.get(_media_type(headers))


def is_retryable(error: BaseException, *, whole: bool = False) -> bool:
    """Whether an attempt that failed may be made again.

    Args:
        error: what the attempt ended in.
        whole: whether only whole replies are handed out, so that a break after the first text is like one before it.

    Returns:
        True for connections that failed or broke, limits of one attempt, empty replies, and `RETRYABLE_STATUSES`. False
        after `Timeout.total`, after a break behind text that was handed out, and for all that is no `AcytooError`.
    """
    if isinstance(error, APITimeoutError):
        return error.phase != "total"
    if isinstance(error, StreamInterruptedError):
        return whole
    return isinstance(error, AcytooError) and error.retryable


def is_throttled(error: BaseException | None) -> bool:
    """Whether the server has too much to do, so that all requests to it should wait, and not only the one that failed.

    Args:
        error: what an attempt ended in; None: it ended well.

    Returns:
        True for a 429, and for a 503 with `Retry-After`.

    Source:
        RFC 6585, section 4; RFC 9110, section 15.6.4.
    """
    if isinstance(error, RateLimitError):
        return True
    return isinstance(error, APIStatusError) and error.status_code == 503 and error.retry_after is not None
