"""Options: everything a client can be told, each said once with its check, its default and its variable.

Arguments, environment variables and defaults meet here; a bad one ends in a sentence that names it. Nothing is opened
or sent. A new option is a field of `Options`, a line in the keywords at the end of this file, and its place in the
signature and the docstring of `Client`, which people and editors read.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypedDict

from ._checks import (
    StrPath,
    check_base_url,
    check_body,
    check_bound,
    check_cert,
    check_count,
    check_flag,
    check_headers,
    check_listener,
    check_messages,
    check_number,
    check_path,
    check_payload,
    check_secret,
    check_secret_proxy,
    check_temperature,
    check_text,
    check_verify,
    type_name,
)
from ._secrets import Secret, clears_frames, header_secrets
from ._wire.payloads import MESSAGES_ALONE, PayloadFunction
from .errors import InvalidRequestError
from .events import Listener
from .protocol import (
    DEFAULT_BASE_URL,
    DEFAULT_MAX_REPLY_BYTES,
    DEFAULT_MODEL,
    DEFAULT_PATH,
    DEFAULT_TEMPERATURE,
    Messages,
    Payload,
    Request,
    build_request,
)

if TYPE_CHECKING:
    from ssl import SSLContext

    from typing_extensions import Self


@dataclass(frozen=True)
class Timeout:
    """The limits of one call, in seconds; None switches one off.

    A limit ends a hung read at that moment, not at the next byte, also against a server that drips one byte at a time.
    All limits but `total` are those of one attempt: before the first text, another attempt may follow. The call ends in
    an `APITimeoutError`. Name resolution alone cannot be interrupted.

    Args:
        connect: one attempt to connect, all addresses of the host and the TLS handshake included.
        first_byte: from the moment the request is sent to the first byte of the reply's body. Sending the request may
            take as long again.
        idle: from then on, the longest silence between bytes. The caller's own pauses do not count.
        total: everything, from the first `next()` to the end, with retries, waits, and the caller's own pauses.

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

    Tried again are connections that failed or broke, limits of one attempt, empty replies, and the statuses 408, 425,
    429, 500, 502, 503, 504, 520 to 524 and 529. Nothing is repeated once text was handed out.

    The n-th wait is `min(wait_initial * 2 ** (n - 1), wait_max)` seconds, of which the fraction `jitter` is random. A
    server's `Retry-After` takes its place. Where that asks for more than `retry_after_max`, or a wait would last beyond
    `Timeout.total`, the error is raised at once.

    Args:
        attempts: the most attempts that are made, the first included; 1: no retries.
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


def check_timeout(name: str, value: object) -> Timeout:
    """The limits; a number is `total`, None switches all of them off."""
    if isinstance(value, Timeout):
        return value
    if value is None:
        return Timeout(connect=None, first_byte=None, idle=None, total=None)
    return Timeout(total=check_number(name, value, above=0))


def check_retry(name: str, value: object) -> RetryPolicy:
    """A policy; an int is its number of attempts."""
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(f"{name} must be a RetryPolicy or an int (the attempts), not {type_name(value)}")
    return RetryPolicy(attempts=check_count(name, value))


def _seconds(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


@dataclass(frozen=True)
class Option:
    """What is known of one option besides its type and its default.

    Attributes:
        check: takes the argument's name and value, and returns the value as it will be used.
        optional: whether None stands for the environment's value, or else the default. If not, None is a value like any
            other.
        variable: the environment variable that is read where the argument is not given; None: there is none.
        of_pool: whether it belongs to the connections, which clients share, so that it cannot be changed.
        from_text: reads what a person typed, and raises ValueError; None: the option cannot be typed.
    """

    check: Callable[[str, Any], object]
    optional: bool = False
    variable: str | None = None
    of_pool: bool = False
    from_text: Callable[[str], object] | None = None


def _option(check: Callable[[str, Any], object], default: object, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(check, **more)})


@dataclass(frozen=True)
class Options:
    """What a client was told, with the environment and the defaults filled in; shows no secret.

    Attributes:
        base_url_given: whether somebody named the server, even if it is the default one; not an option itself.

        All others are the options of `Client`, checked; secrets, and the values of headers, are wrapped.
    """

    base_url: str = _option(check_base_url, DEFAULT_BASE_URL, optional=True, variable="ACYTOO_BASE_URL", from_text=str)
    path: str = _option(check_path, DEFAULT_PATH, from_text=str)
    key: Secret[str] = _option(check_secret, Secret(""), optional=True, variable="ACYTOO_KEY", from_text=str)
    password: Secret[str] = _option(check_secret, Secret(""), optional=True, variable="ACYTOO_PASSWORD", from_text=str)
    model: str = _option(check_text, DEFAULT_MODEL, optional=True, variable="ACYTOO_MODEL", from_text=str)
    temperature: float = _option(check_temperature, DEFAULT_TEMPERATURE, optional=True, from_text=float)
    headers: tuple[tuple[str, Secret[str]], ...] = _option(check_headers, (), optional=True)
    timeout: Timeout = _option(check_timeout, Timeout(), from_text=_seconds)
    retry: RetryPolicy = _option(check_retry, RetryPolicy(), from_text=int)
    proxy: Secret[str] = _option(check_secret_proxy, Secret(""), optional=True, of_pool=True)
    verify: bool | str | SSLContext = _option(check_verify, True, of_pool=True)
    cert: str | tuple[str, str] | None = _option(check_cert, None, optional=True, of_pool=True)
    strip_notices: bool = _option(check_flag, True)
    max_reply_bytes: int | None = _option(check_bound, DEFAULT_MAX_REPLY_BYTES)
    payload: Payload = _option(check_payload, "acytoo", from_text=str)
    on_event: Listener | None = _option(check_listener, None, optional=True)
    base_url_given: bool = field(default=False, repr=False, compare=False)

    @classmethod
    @clears_frames
    def of(cls, given: Secret[Mapping[str, object]]) -> Self:
        """Checks the arguments of a client, and fills in the environment and the defaults.

        Raises:
            TypeError: there is no such option; as Python's own for a call.
            InvalidRequestError: a value is not usable.
        """
        arguments = given.reveal()
        for name in arguments:
            if name not in OPTIONS:
                raise TypeError(f"got an unexpected keyword argument {name!r}")
        values = {name: _value(name, arguments) for name in OPTIONS}
        if values["cert"] is not None and not isinstance(values["verify"], bool | str):
            raise InvalidRequestError(
                "cert= has no effect beside an SSLContext as verify=: call load_cert_chain() of that context instead"
            )
        return cls(**values, base_url_given=_is_given("base_url", arguments))

    @clears_frames
    def changed(self, given: Secret[Mapping[str, object]]) -> Self:
        """The same options with some of them replaced, checked like a constructor's."""
        changes = given.reveal()
        for name in changes:
            if name not in OPTIONS:
                changeable = ", ".join(other for other, option in OPTIONS.items() if not option.of_pool)
                raise InvalidRequestError(f"with_options() has no option {name!r}; it takes {changeable}")
            if OPTIONS[name].of_pool:
                raise InvalidRequestError(
                    f"{name} belongs to the connection pool and cannot be changed: make a new Client"
                )
        values = {name: _value(name, changes) for name in changes}
        url_given = _is_given("base_url", changes) if "base_url" in changes else self.base_url_given
        return replace(self, **values, base_url_given=url_given)

    def check_secrets(self) -> None:
        """Refuses a secret that the format would drop, or that would go to the default host, which may be anybody's.

        Raises:
            InvalidRequestError: there is a key or a password, and the format has no place for it; or there is a key, a
                password or a header of the caller's, and nobody gave a base_url.
        """
        for name in ("key", "password", "headers"):
            if not getattr(self, name):
                continue
            variable = OPTIONS[name].variable
            is_set = f"{name}= {f'(or {variable}) ' if variable else ''}is set"
            if not self.base_url_given:
                raise InvalidRequestError(
                    f"{is_set}, and no base_url: pass base_url=, or set ACYTOO_BASE_URL; nothing of yours is sent to "
                    "the default host, which no longer answers"
                )
            if name != "headers" and self.payload in MESSAGES_ALONE:
                raise InvalidRequestError(
                    f"{is_set}, and payload={self.payload!r} has no place for it: pass headers=, as {{'authorization': "
                    f"'Bearer ...'}}, and {name}=''"
                )

    def __getstate__(self) -> dict[str, object]:
        if not isinstance(self.verify, bool | str):
            raise TypeError(
                "verify= is an SSLContext, which does not pickle: pass the paths of files, as verify= and cert="
            )
        return vars(self)

    @property
    def plain_headers(self) -> dict[str, str]:
        """The caller's headers, unwrapped: for the request alone."""
        return {name: value.reveal() for name, value in self.headers}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every string that must not be shown, except for the proxy's, unwrapped: for a `Mask` alone."""
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
            temperature=self.temperature if temperature is None else check_temperature("temperature", temperature),
            timeout=self.timeout if timeout is ... else check_timeout("timeout", timeout),
            retry=self.retry if retry is None else check_retry("retry", retry),
        )

    @clears_frames
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
            payload=self.payload if isinstance(self.payload, str) else _checked(self.payload),
        )


@dataclass(frozen=True)
class CallOptions:
    """What one call was told, with the client's options filled in."""

    model: str
    temperature: float
    timeout: Timeout
    retry: RetryPolicy


_FIELDS = {each.name: each for each in fields(Options) if "option" in each.metadata}
OPTIONS: dict[str, Option] = {name: each.metadata["option"] for name, each in _FIELDS.items()}
"""Every option by its name."""


def _value(name: str, arguments: Mapping[str, object]) -> Any:
    """The value of an option: the argument, else its environment variable (an empty one is unset), or the default."""
    option = OPTIONS[name]
    if name in arguments and not (option.optional and arguments[name] is None):
        return option.check(name, arguments[name])
    if option.variable is not None and (from_environment := os.environ.get(option.variable)):
        return option.check(option.variable, from_environment)
    return _FIELDS[name].default


def _checked(make: PayloadFunction) -> PayloadFunction:
    """Wraps the caller's function: it is given a copy of the values, and what it returns is checked."""
    return lambda values: check_body("payload", make(copy.deepcopy(values)))


def _is_given(name: str, arguments: Mapping[str, object]) -> bool:
    """Whether the value of an option comes from its argument or its variable, and is not the default."""
    return arguments.get(name) is not None or bool(os.environ.get(OPTIONS[name].variable or ""))


# The keywords, for type checkers.


class _Keywords(TypedDict, total=False):
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
    payload: Payload
    on_event: Listener | None


class Changes(_Keywords, total=False):
    """What `with_options` may change: the arguments of the constructor, except those of the connections."""

    base_url: str | None


class Arguments(_Keywords, total=False):
    """The keywords of `Client`."""

    proxy: str | None
    verify: bool | StrPath | SSLContext
    cert: StrPath | tuple[StrPath, StrPath] | None
