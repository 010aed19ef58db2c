"""Options: `Timeout`, `RetryPolicy`, and everything a client is told, checked.

Arguments, environment variables and defaults meet here, once; a bad one ends in a sentence that names it. Nothing is
opened or sent.
"""

from __future__ import annotations

import json
import os
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
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
        check_count("retry.attempts", self.attempts)
        _check_number("retry.wait_initial", self.wait_initial, least=0)
        _check_number("retry.wait_max", self.wait_max, least=0)
        _check_number("retry.jitter", self.jitter, least=0, most=1)
        _check_number("retry.retry_after_max", self.retry_after_max, least=0)


class _Shared(TypedDict, total=False):
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


class Changes(_Shared, total=False):
    """What `with_options` may change: the constructor's arguments but `verify` and `proxy`."""

    base_url: str | None


class Arguments(_Shared, total=False):
    """The keywords of `Client`."""

    proxy: str | None
    verify: bool | str


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
            key=Secret(check_text(*_given("key", key, "ACYTOO_KEY", ""), empty=True)),
            password=Secret(check_text(*_given("password", password, "ACYTOO_PASSWORD", ""), empty=True)),
            model=check_text(*_given("model", model, "ACYTOO_MODEL", DEFAULT_MODEL)),
            temperature=_temperature(DEFAULT_TEMPERATURE if temperature is None else temperature),
            headers=_headers({} if headers is None else headers),
            timeout=_timeout(timeout),
            retry=_retry(retry),
            proxy=Secret("" if proxy is None else check_proxy("proxy", proxy)),
            verify=_verify(verify),
            strip_notices=_flag("strip_notices", strip_notices),
            max_reply_bytes=None if max_reply_bytes is None else check_count("max_reply_bytes", max_reply_bytes),
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
        """Every string that must not be shown but the proxy's, unwrapped: for a `Mask` alone."""
        return (
            self.key.reveal(),
            self.password.reveal(),
            *(
                part
                for name, value in self.headers
                if _SECRET_HEADER.search(name)
                for part in _header_secrets(name, value.reveal())
            ),
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
            model=self.model if model is None else check_text("model", model),
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
    if isinstance(messages, str):
        return message_list(check_text("messages", messages))
    if not isinstance(messages, Mapping | Sequence) or isinstance(messages, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"messages must be a str, a message or a sequence of messages, not {_type(messages)}")
    turns: list[Any] = [messages] if isinstance(messages, Mapping) else list(messages)
    if not turns:
        raise InvalidRequestError(f"messages is an empty {_type(messages)}: say something")
    for index, turn in enumerate(turns):
        _check_message(f"messages[{index}]", turn)
    return message_list(turns)


def check_proxy(name: str, value: object) -> str:
    """A proxy's address, checked; its credentials stay out of the message."""
    proxy = check_text(name, value)
    found = _PROXY.fullmatch(proxy if "://" in proxy else f"http://{proxy}")
    address = None if found is None else _address(found["netloc"])
    if found is None or address is None:
        raise InvalidRequestError(
            f"{name} must be a str like http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with special characters in "
            "USER and PASSWORD percent-encoded"
        )
    scheme = found["scheme"].lower()
    if scheme not in ("http", "https", "socks4", "socks4a", "socks5", "socks5h"):
        raise InvalidRequestError(f"{name} must be a str that begins with http://, https:// or socks5h://")
    return f"{scheme}://{found['credentials'] or ''}{address}"


def proxy_secrets(proxy: str) -> tuple[str, ...]:
    """What must not be shown of a proxy's address."""
    parts = urlsplit(proxy)
    if not parts.password:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    return (parts.username or "", user, parts.password, password, *_basic_tokens(f"{user}:{password}"))


# The checks: each takes the argument's name and value and returns the value as it will be used.

_BLANK_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_NETLOC = re.compile(r"(?:\[(?P<ipv6>[^]]+)]|(?P<host>[^]:[]+))(?::(?P<port>[0-9]{0,5}))?")
_HOST = re.compile(r"[0-9A-Za-z._-]+")
_PROXY = re.compile(r"(?P<scheme>[^:]+)://(?P<credentials>[^:/?#@\\\s]+:[^/?#@\\\s]+@)?(?P<netloc>[^/?#@\\\s]+)/?")
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


def check_text(name: str, value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a str, not {_type(value)}")
    if not value and not empty:
        raise InvalidRequestError(f"{name} is an empty str")
    if (index := _unencodable(value, "utf-8")) is not None:
        raise InvalidRequestError(f"{name} is a str with a lone surrogate at index {index}, which no UTF-8 can hold")
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
    if not -sys.float_info.max <= value <= sys.float_info.max:  # an int may be larger than any float
        raise InvalidRequestError(f"{name} must be finite, not {_number(value)}")
    if (
        (above is not None and value <= above)
        or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        bounds = (
            f"more than {above}" if above is not None else f"{least} or more" if most is None else f"{least} to {most}"
        )
        raise InvalidRequestError(f"{name} must be {bounds}, not {_number(value)}")
    return value


def check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(
            f"{name} must be an int, not {_number(value) if isinstance(value, float) else _type(value)}"
        )
    if value < 1:
        raise InvalidRequestError(f"{name} must be 1 or more, not {_number(value)}")
    return value


def _number(value: float) -> str:
    """A number and its type, for a message; Python refuses to write an int of thousands of digits."""
    return f"{_type(value)} {value if type(value) is float or abs(value) < 10**18 else 'of many digits'}"


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
    return RetryPolicy(attempts=check_count("retry", value))


def _verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise InvalidRequestError(f"verify must be True, False or the path of a CA bundle, not {_type(value)}")
    if not os.path.exists(value):
        raise InvalidRequestError(f"verify names no file or folder: {value!r}")
    return value


def _base_url(name: str, value: object) -> str:
    # It may hold a secret by mistake: no message quotes it.
    url = check_text(name, value)
    if _BLANK_OR_CONTROL.search(url) or "\\" in url:
        raise InvalidRequestError(f"{name} must be a str without blanks, backslashes and control characters")
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https"):
        raise InvalidRequestError(f"{name} must be a str that begins with http:// or https://")
    netloc, _, path = rest.partition("/")
    if "@" in netloc:
        raise InvalidRequestError(f"{name} is a str with credentials: pass key= and password=, or headers=")
    if "?" in url or "#" in url:
        raise InvalidRequestError(f"{name} is a str with a query or a fragment: the endpoint's path belongs into path=")
    if (address := _address(netloc)) is None:
        raise InvalidRequestError(f"{name} is a str with no host, or with a malformed host or port")
    return f"{scheme.lower()}://{address}/{_quoted(path)}".rstrip("/")


def _address(netloc: str) -> str | None:
    """A host and maybe a port, as they go into an address; None if they cannot."""
    found = _NETLOC.fullmatch(netloc)
    if found is None:
        return None
    ipv6, host, port = found["ipv6"], found["host"], int(found["port"] or 0)
    try:
        host = f"[{IPv6Address(ipv6)}]" if ipv6 else host.encode("idna").decode().lower()
    except ValueError:
        return None
    if not (ipv6 or _HOST.fullmatch(host)) or (found["port"] and not 0 < port < 65536):
        return None
    return f"{host}:{port}" if port else host


def _path(value: object) -> str:
    path = check_text("path", value)
    if not path.startswith("/") or _BLANK_OR_CONTROL.search(path) or "#" in path or "\\" in path:
        raise InvalidRequestError(
            "path must be a str that begins with a slash, without blanks, backslashes, control characters or a fragment"
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
    text = check_text(f"headers[{name!r}]", value, empty=True)
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise InvalidRequestError(f"headers[{name!r}] is a str with a line break or another control character")
    if (index := _unencodable(text, "latin-1")) is not None:
        raise InvalidRequestError(f"headers[{name!r}] is a str with a character at index {index} that no header holds")
    return text


def _header_secrets(name: str, value: str) -> tuple[str, ...]:
    """A header's value, and the secrets in it: `Bearer TOKEN`, `Basic CREDENTIALS`, `NAME=VALUE; NAME=VALUE`."""
    if name == "cookie":
        values = (cookie.partition("=")[2].strip() for cookie in value.split(";"))
        return value, *(one for one in values if len(one) > 3)  # `consent=1` would mask every 1
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "basic":
        credentials = _decoded(token)
        return value, token, credentials, credentials.partition(":")[2]
    return (value, token.strip()) if scheme.isalpha() else (value,)


def _decoded(token: str) -> str:
    try:
        return b64decode(token + "===").decode("latin-1")
    except ValueError:
        return ""


def _basic_tokens(credentials: str) -> tuple[str, ...]:
    return tuple(b64encode(credentials.encode(encoding, "replace")).decode() for encoding in ("latin-1", "utf-8"))


def _check_message(place: str, message: object) -> None:
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
    if (role := check_text(f"{place}.role", message["role"])) not in get_args(Role):
        raise InvalidRequestError(f"{place}.role must be one of {', '.join(get_args(Role))}, not str {role!r}")
    check_text(f"{place}.content", message["content"], empty=True)
    try:
        json.dumps(dict(message), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{place} cannot be written as JSON: {error}") from error
