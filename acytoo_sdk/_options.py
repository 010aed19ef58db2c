"""Options: `Timeout`, `RetryPolicy`, and everything a client is told, checked.

Arguments, environment variables and defaults meet here, once; a bad one ends in a sentence that names it. Nothing is
opened or sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypedDict

from ._checks import (
    check_base_url,
    check_count,
    check_flag,
    check_headers,
    check_messages,
    check_number,
    check_path,
    check_proxy,
    check_temperature,
    check_text,
    check_verify,
    type_name,
)
from ._secrets import Secret, header_secrets
from .errors import InvalidRequestError
from .protocol import (
    DEFAULT_BASE_URL,
    DEFAULT_MODEL,
    DEFAULT_TEMPERATURE,
    Message,
    Request,
    build_request,
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
                check_number(f"timeout.{name}", value, above=0)


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
        check_number("retry.wait_initial", self.wait_initial, least=0)
        check_number("retry.wait_max", self.wait_max, least=0)
        check_number("retry.jitter", self.jitter, least=0, most=1)
        check_number("retry.retry_after_max", self.retry_after_max, least=0)


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
            base_url=check_base_url(*_given("base_url", base_url, "ACYTOO_BASE_URL", DEFAULT_BASE_URL)),
            path=check_path(path),
            key=Secret(check_text(*_given("key", key, "ACYTOO_KEY", ""), empty=True)),
            password=Secret(check_text(*_given("password", password, "ACYTOO_PASSWORD", ""), empty=True)),
            model=check_text(*_given("model", model, "ACYTOO_MODEL", DEFAULT_MODEL)),
            temperature=check_temperature(DEFAULT_TEMPERATURE if temperature is None else temperature),
            headers=check_headers({} if headers is None else headers),
            timeout=_timeout(timeout),
            retry=_retry(retry),
            proxy=Secret("" if proxy is None else check_proxy("proxy", proxy)),
            verify=check_verify(verify),
            strip_notices=check_flag("strip_notices", strip_notices),
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
            *(part for name, value in self.headers for part in header_secrets(name, value.reveal())),
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
            temperature=self.temperature if temperature is None else check_temperature(temperature),
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


def _given(name: str, value: object, variable: str, default: str) -> tuple[str, object]:
    """An argument, its environment variable (empty ones count as unset) or its default; and its name for an error."""
    if value is not None:
        return name, value
    from_environment = os.environ.get(variable)
    return (variable, from_environment) if from_environment else (name, default)


def _timeout(value: object) -> Timeout:
    if isinstance(value, Timeout):
        return value
    if value is None:
        return Timeout(connect=None, first_byte=None, idle=None, total=None)
    return Timeout(total=check_number("timeout", value, above=0))


def _retry(value: object) -> RetryPolicy:
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(f"retry must be a RetryPolicy or an int (the attempts), not {type_name(value)}")
    return RetryPolicy(attempts=check_count("retry", value))
