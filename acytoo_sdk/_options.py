"""Options: `Timeout`, `RetryPolicy`, and everything a client is told, checked.

Arguments, environment variables and defaults meet here, once; a bad one ends in a sentence that names it. Nothing is
opened or sent.
"""

from __future__ import annotations

import json
import math
import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypedDict, get_args
from urllib.parse import quote, unquote, urlsplit

from ._secrets import Secret
from .errors import InvalidRequestError
from .protocol import (
    DEFAULT_BASE_URL,
    DEFAULT_MODEL,
    DEFAULT_TEMPERATURE,
    Message,
    Request,
    Role,
    build_request,
    message_list,
)

if TYPE_CHECKING:
    from typing_extensions import Self

Messages = str | Message | Sequence[Message]


@dataclass(frozen=True)
class Timeout:
    """The limits of one call, in seconds; None switches one off.

    A limit ends a hung read at that moment, not at the next byte. Name resolution alone cannot be interrupted.

    Args:
        connect: one attempt to connect, all addresses of the host and the TLS handshake included.
        first_byte: from the request being sent to the first byte of the reply's body; sending it may take as long
            again.
        idle: from then on, the longest silence between bytes. The caller's own pauses do not count.
        total: everything, from the first `next()` to the end: retries, waits, and the caller's own pauses.

    Raises:
        InvalidRequestError: a limit is not a positive, finite number.

    Example:
        >>> Timeout(idle=5)
        Timeout(connect=5.0, first_byte=60.0, idle=5, total=None)
    """

    connect: float | None = 5.0
    first_byte: float | None = 60.0
    idle: float | None = 30.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                _check_number(f"timeout.{name}", value, above=0)


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and after which waits, an attempt that failed before its first text is made again.

    The n-th wait is `min(wait_initial * 2 ** (n - 1), wait_max)` seconds, of which the fraction `jitter` is random. A
    server's `Retry-After` takes its place; where it asks for more than `retry_after_max`, the error is raised at once.

    Args:
        attempts: all of them, the first included; 1: no retries.
        wait_initial: the first wait, in seconds.
        wait_max: the longest wait, in seconds.
        jitter: 0: waits are exact; 1: anything from nothing to the whole wait.
        retry_after_max: the longest `Retry-After` that is waited for, in seconds.

    Raises:
        InvalidRequestError: a value is of the wrong type or out of its range.

    Example:
        >>> RetryPolicy(attempts=1)
        RetryPolicy(attempts=1, wait_initial=0.5, wait_max=8.0, jitter=0.5, retry_after_max=60.0)
    """

    attempts: int = 3
    wait_initial: float = 0.5
    wait_max: float = 8.0
    jitter: float = 0.5
    retry_after_max: float = 60.0

    def __post_init__(self) -> None:
        _check_count("retry.attempts", self.attempts)
        _check_number("retry.wait_initial", self.wait_initial, least=0)
        _check_number("retry.wait_max", self.wait_max, least=0)
        _check_number("retry.jitter", self.jitter, least=0, most=1)
        _check_number("retry.retry_after_max", self.retry_after_max, least=0)


class Changes(TypedDict, total=False):
    """What `with_options` may change: the constructor's arguments but `verify` and `proxy`."""

    base_url: str | None
    key: str | None
    password: str | None
    model: str | None
    temperature: float | None
    path: str
    headers: Mapping[str, str] | None
    timeout: Timeout | float | None
    retry: RetryPolicy | int
    strip_notices: bool
    max_reply_bytes: int | None


@dataclass(frozen=True)
class Options:
    """What a client was told, with the environment and the defaults filled in; shows no secret."""

    base_url: str
    path: str
    key: Secret
    password: Secret
    model: str
    temperature: float
    headers: tuple[tuple[str, Secret], ...]
    timeout: Timeout
    retry: RetryPolicy
    proxy: Secret
    verify: bool | str
    strip_notices: bool
    max_reply_bytes: int | None

    @classmethod
    def of(
        cls,
        *,
        base_url: str | None,
        key: str | None,
        password: str | None,
        model: str | None,
        temperature: float | None,
        path: str,
        headers: Mapping[str, str] | None,
        timeout: Timeout | float | None,
        retry: RetryPolicy | int,
        proxy: str | None,
        verify: bool | str,
        strip_notices: bool,
        max_reply_bytes: int | None,
    ) -> Self:
        """Checks the arguments of a client and fills in the environment and the defaults."""
        return cls(
            base_url=_base_url(*_given("base_url", base_url, "ACYTOO_BASE_URL", DEFAULT_BASE_URL)),
            path=_path(path),
            key=Secret(_text(*_given("key", key, "ACYTOO_KEY", ""), empty=True)),
            password=Secret(_text(*_given("password", password, "ACYTOO_PASSWORD", ""), empty=True)),
            model=_text(*_given("model", model, "ACYTOO_MODEL", DEFAULT_MODEL)),
            temperature=_temperature(DEFAULT_TEMPERATURE if temperature is None else temperature),
            headers=_headers({} if headers is None else headers),
            timeout=_timeout(timeout),
            retry=_retry(retry),
            proxy=Secret("" if proxy is None else check_proxy("proxy", proxy)),
            verify=_verify(verify),
            strip_notices=_flag("strip_notices", strip_notices),
            max_reply_bytes=None if max_reply_bytes is None else _check_count("max_reply_bytes", max_reply_bytes),
        )

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """The same options with some of them replaced, checked like a constructor's."""
        for name in changes:
            if name in ("verify", "proxy"):
                raise InvalidRequestError(
                    f"{name} belongs to the connection pool and cannot be changed: make a new Client"
                )
            if name not in Changes.__annotations__:
                raise InvalidRequestError(
                    f"with_options() has no option {name!r}; it takes {', '.join(Changes.__annotations__)}"
                )
        plain: dict[str, Any] = {
            **{name: getattr(self, name) for name in Changes.__annotations__},
            "key": self.key.reveal(),
            "password": self.password.reveal(),
            "headers": self.plain_headers,
            "proxy": self.proxy.reveal() or None,
            "verify": self.verify,
        }
        return Options.of(**{**plain, **changes})

    @property
    def plain_headers(self) -> dict[str, str]:
        """The caller's headers, unwrapped: for the request alone."""
        return {name: value.reveal() for name, value in self.headers}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every string that must not be shown, unwrapped: for a `Mask` alone."""
        return (
            self.key.reveal(),
            self.password.reveal(),
            *(
                part
                for name, value in self.headers
                if _SECRET_HEADER.search(name)
                for part in _header_secrets(value.reveal())
            ),
            *proxy_secrets(self.proxy.reveal()),
        )

    def for_call(
        self,
        *,
        model: str | None,
        temperature: float | None,
        timeout: Timeout | float | None | EllipsisType,
        retry: RetryPolicy | int | None,
    ) -> CallOptions:
        """The options of one call: its own, where given, else the client's."""
        return CallOptions(
            model=self.model if model is None else _text("model", model),
            temperature=self.temperature if temperature is None else _temperature(temperature),
            timeout=self.timeout if timeout is ... else _timeout(timeout),
            retry=self.retry if retry is None else _retry(retry),
        )

    def request(self, messages: Messages, call: CallOptions) -> Request:
        """The request of one call, its messages checked; later changes of the caller's list do not reach it."""
        return build_request(
            check_messages(messages),
            base_url=self.base_url,
            path=self.path,
            key=self.key.reveal(),
            password=self.password.reveal(),
            model=call.model,
            temperature=call.temperature,
            headers=self.plain_headers,
        )


@dataclass(frozen=True)
class CallOptions:
    """What one call was told, with the client's options filled in."""

    model: str
    temperature: float
    timeout: Timeout
    retry: RetryPolicy


def check_messages(messages: object) -> list[Message]:
    """The conversation as a list of messages, checked.

    Raises:
        InvalidRequestError: it is empty, or a message has no known role or no text; the place is named, as
        `messages[0].content`.
    """
    if not isinstance(messages, str | Mapping | Sequence) or isinstance(messages, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"messages must be a str, a message or a sequence of messages, not {_type(messages)}")
    if not messages:
        raise InvalidRequestError("messages is empty: say something")
    checked = message_list(messages)  # type: ignore[arg-type]
    for index, message in enumerate(checked):
        _check_message(
            "messages" if isinstance(messages, str) else f"messages[{index}]", message, bare=isinstance(messages, str)
        )
    return checked


def check_proxy(name: str, value: object) -> str:
    """A proxy's address, checked; its credentials stay out of the message."""
    address = _text(name, value)
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0) and parts.path in ("", "/")
    except ValueError:
        usable = False
    if not usable or _BLANK_OR_CONTROL.search(address):
        raise InvalidRequestError(f"{name} is not an address like http://USER:PASSWORD@HOST:PORT")
    if parts.scheme.lower() not in ("http", "https", "socks4", "socks4a", "socks5", "socks5h"):
        raise InvalidRequestError(f"{name} must begin with http://, https:// or socks5h://, not {parts.scheme}://")
    if "@" in parts.netloc and not (parts.username and parts.password):
        raise InvalidRequestError(
            f"{name} has credentials that are not both a user and a password: http://USER:PASSWORD@HOST:PORT"
        )
    return address


def proxy_secrets(proxy: str) -> tuple[str, ...]:
    """What must not be shown of a proxy's address."""
    parts = urlsplit(proxy)
    if not parts.password:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    return (parts.username or "", user, parts.password, password, *_basic_tokens(f"{user}:{password}"))


# The checks: each takes the argument's name and value and returns the value as it will be used.

_BLANK_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|password|session|credential", re.IGNORECASE)
# They belong to the transport: a wrong one would break the framing of the request, or send it elsewhere.
_RESERVED_HEADERS = ("host", "content-length", "transfer-encoding")


def _given(name: str, value: object, variable: str, default: str) -> tuple[str, object]:
    """An argument, its environment variable (empty ones count as unset) or its default; and its name for an error."""
    if value is not None:
        return name, value
    from_environment = os.environ.get(variable)
    return (variable, from_environment) if from_environment else (name, default)


def _type(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _text(name: str, value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a str, not {_type(value)}")
    if not value and not empty:
        raise InvalidRequestError(f"{name} is an empty str")
    if (index := _unencodable(value, "utf-8")) is not None:
        raise InvalidRequestError(f"{name} has a lone surrogate at index {index}: a str that no UTF-8 can hold")
    return value


def _unencodable(text: str, encoding: str) -> int | None:
    """Where a text cannot be encoded, if anywhere. The error itself would hold the text, which may be a secret."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        return error.start
    return None


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{name} must be True or False, not {_type(value)}")
    return value


def _check_number(
    name: str, value: object, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"{name} must be a number, not {_type(value)}")
    if not math.isfinite(value):
        raise InvalidRequestError(f"{name} must be finite, not {value}")
    if (
        (above is not None and value <= above)
        or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        bounds = (
            f"more than {above}" if above is not None else f"{least} or more" if most is None else f"{least} to {most}"
        )
        raise InvalidRequestError(f"{name} must be {bounds}, not {value}")
    return value


def _check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(f"{name} must be an int, not {_type(value)}")
    if value < 1:
        raise InvalidRequestError(f"{name} must be 1 or more, not {value}")
    return value


def _temperature(value: object) -> float:
    return _check_number("temperature", value, least=0, most=2)


def _timeout(value: object) -> Timeout:
    if isinstance(value, Timeout):
        return value
    if value is None:
        return Timeout(connect=None, first_byte=None, idle=None, total=None)
    return Timeout(total=_check_number("timeout", value, above=0))


def _retry(value: object) -> RetryPolicy:
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(f"retry must be a RetryPolicy or an int (the attempts), not {_type(value)}")
    return RetryPolicy(attempts=_check_count("retry", value))


def _verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise InvalidRequestError(f"verify must be True, False or the path of a CA bundle, not {_type(value)}")
    if not os.path.exists(value):
        raise InvalidRequestError(f"verify names no file or folder: {value!r}")
    return value


def _base_url(name: str, value: object) -> str:
    url = _text(name, value)
    if _BLANK_OR_CONTROL.search(url) or "\\" in url:
        raise InvalidRequestError(f"{name} has a blank, a backslash or a control character in it")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise InvalidRequestError(f"{name} holds credentials: pass them as key= and password=, or in headers=")
    if "?" in url or "#" in url:
        raise InvalidRequestError(f"{name} has a query or a fragment: the path of the endpoint belongs into path=")
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidRequestError(f"{name} must begin with http:// or https://")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        ascii_host = host if ":" in host else host.encode("idna").decode()
    except ValueError as error:
        raise InvalidRequestError(f"{name} has a malformed host or port: {error}") from error
    if not host or port == 0:
        raise InvalidRequestError(f"{name} has no host, or the port 0")
    netloc = (f"[{ascii_host}]" if ":" in ascii_host else ascii_host) + ("" if port is None else f":{port}")
    return f"{parts.scheme.lower()}://{netloc}{_quoted(parts.path).rstrip('/')}"


def _path(value: object) -> str:
    path = _text("path", value)
    if not path.startswith("/") or _BLANK_OR_CONTROL.search(path) or "#" in path or "\\" in path:
        raise InvalidRequestError(
            "path must begin with a slash and hold no blank, backslash, control character or fragment"
        )
    return _quoted(path)


def _quoted(path: str) -> str:
    """A path with what is not ASCII percent-encoded; what is encoded already stays."""
    return quote(path, safe="/?:@!$&'()*+,;=%~-._[]")


def _headers(value: object) -> tuple[tuple[str, Secret], ...]:
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"headers must be a mapping of str to str, not {_type(value)}")
    return tuple((_header_name(name).lower(), Secret(_header_value(name, text))) for name, text in value.items())


def _header_name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidRequestError(f"headers has a name that is not a str but {_type(name)}")
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidRequestError(f"headers has a name that HTTP does not allow: {name!r}")
    if name.lower() in _RESERVED_HEADERS:
        raise InvalidRequestError(f"headers[{name!r}] cannot be set: it follows from the request")
    return name


def _header_value(name: str, value: object) -> str:
    # The value may be a secret: the message tells what is wrong with it, never what it is.
    text = _text(f"headers[{name!r}]", value, empty=True)
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise InvalidRequestError(f"headers[{name!r}] has a line break or another control character in it")
    if (index := _unencodable(text, "latin-1")) is not None:
        raise InvalidRequestError(f"headers[{name!r}] has a character at index {index} that HTTP headers cannot hold")
    return text


def _header_secrets(value: str) -> tuple[str, ...]:
    """A header's value, and the token behind its scheme: `Bearer TOKEN`."""
    scheme, _, token = value.partition(" ")
    return (value, token.strip()) if scheme.isalpha() else (value,)


def _basic_tokens(credentials: str) -> tuple[str, ...]:
    return tuple(b64encode(credentials.encode(encoding, "replace")).decode() for encoding in ("latin-1", "utf-8"))


def _check_message(place: str, message: object, *, bare: bool) -> None:
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"{place} must be a message like {{'role': 'user', 'content': 'Hi'}}, not {_type(message)}"
        )
    for name in message:
        if not isinstance(name, str):
            raise InvalidRequestError(f"{place} has a key that is not a str but {_type(name)}")
    for name in ("role", "content"):
        if name not in message:
            raise InvalidRequestError(f"{place}.{name} is missing")
    if message["role"] not in get_args(Role):
        raise InvalidRequestError(
            f"{place}.role must be one of {', '.join(get_args(Role))}, not {_type(message['role'])} {message['role']!r}"
        )
    _text(place if bare else f"{place}.content", message["content"], empty=True)
    try:
        json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{place} cannot be written as JSON: {error}") from error
