"""The checks: each takes an argument's name and value, and returns the value as it will be used.

A bad value ends in an `InvalidRequestError` that names the argument, the value's type and, of a number, the value. What
may be a secret is never quoted, nor carried in the error's context.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from ipaddress import IPv6Address
from itertools import chain
from typing import TYPE_CHECKING, Any, cast, get_args
from urllib.parse import quote

from ._secrets import Secret
from ._wire.payloads import FORMATS
from .errors import InvalidRequestError
from .protocol import Message, Payload, Role, message_list

if TYPE_CHECKING:
    from ssl import SSLContext

StrPath = str | os.PathLike[str]
"""The path of a file."""

_BLANK_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_NETLOC = re.compile(r"(?:\[(?P<ipv6>[^]]+)]|(?P<host>[^]:[]+))(?::(?P<port>[0-9]{0,5}))?")
_HOST = re.compile(r"[0-9A-Za-z._-]+")
_PROXY = re.compile(r"(?P<scheme>[^:]+)://(?P<credentials>[^:/?#@\\\s]+:[^/?#@\\\s]+@)?(?P<netloc>[^/?#@\\\s]+)/?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They belong to the transport: a wrong one would break the framing of the request, or send it elsewhere.
_RESERVED_HEADERS = ("host", "content-length", "transfer-encoding")
# How deep a message may nest, itself included: what copies it, reads or writes it takes some frames for each level.
_MAX_LEVELS = 100
_MAX_LEVELS_OF_BODY = 2 * _MAX_LEVELS  # which has messages somewhere in it
_CONTAINERS = (dict, list, tuple)  # what JSON writes as objects and arrays


def check_messages(messages: object, *, name: str = "messages") -> list[Message]:
    """The conversation as a list of messages, checked.

    Raises:
        InvalidRequestError: there is no message, or one has no known role or no text, or nests too deep; the place is
            named, for instance `messages[0].content`.
    """
    if isinstance(messages, str):
        return message_list(check_text(name, messages))
    if not isinstance(messages, Mapping | Sequence) or isinstance(messages, bytes | bytearray | memoryview):
        raise InvalidRequestError(
            f"{name} must be a str, a message or a sequence of messages, not {type_name(messages)}"
        )
    turns: list[Any] = [messages] if isinstance(messages, Mapping) else list(messages)
    if not turns:
        raise InvalidRequestError(f"{name} is an empty {type_name(messages)}: say something")
    for index, turn in enumerate(turns):
        _check_message(f"{name}[{index}]", turn)
    return message_list(turns)


def check_text(name: str, value: object, *, empty: bool = False) -> str:
    """A `str` that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a str, not {type_name(value)}")
    if not value and not empty:
        raise InvalidRequestError(f"{name} is an empty str")
    if (index := _unencodable(value, "utf-8")) is not None:
        raise InvalidRequestError(f"{name} is a str with a lone surrogate at index {index}, which no UTF-8 can hold")
    return value


def check_secret(name: str, value: object) -> Secret[str]:
    """A text, or none, that never shows."""
    return Secret(check_text(name, value, empty=True))


def check_flag(name: str, value: object) -> bool:
    """True or False, not merely truthy."""
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{name} must be True or False, not {type_name(value)}")
    return value


def check_listener(name: str, value: object) -> Callable[[Any], object]:
    """A function that is not async, since nobody would await what that returns."""
    if not callable(value):
        raise InvalidRequestError(f"{name} must be a function of one event, not {type_name(value)}")
    if iscoroutinefunction(value) or iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004 - of an object
        raise InvalidRequestError(f"{name} must be a plain function: one that is async would not be awaited")
    return value


def check_number(
    name: str, value: object, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """A finite number within its bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequestError(f"{name} must be a number, not {type_name(value)}")
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
    """An int of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(
            f"{name} must be an int, not {_number(value) if isinstance(value, float) else type_name(value)}"
        )
    if value < 1:
        raise InvalidRequestError(f"{name} must be 1 or more, not {_number(value)}")
    return value


def check_bound(name: str, value: object) -> int | None:
    """An int of 1 or more; None for no bound."""
    return None if value is None else check_count(name, value)


def check_temperature(name: str, value: object) -> float:
    """0 to 2."""
    return check_number(name, value, least=0, most=2)


def check_payload(name: str, value: object) -> Payload:
    """A format by its name, or a function that makes one."""
    if callable(value):
        return value
    names = ", ".join(FORMATS)
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be one of {names}, or a function, not {type_name(value)}")
    if value not in FORMATS:
        raise InvalidRequestError(f"{name} must be one of {names}, or a function, not another str")
    return cast(Payload, value)


def check_body(name: str, value: object) -> dict[str, Any]:
    """What a function of the caller's returned: a JSON object."""
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"{name} must return a mapping, for a JSON object, not {type_name(value)}")
    body = dict(value)
    _check_object(f"what {name} returned", body, _MAX_LEVELS_OF_BODY)
    return body


def check_verify(name: str, value: object) -> bool | str | SSLContext:
    """Whether to verify certificates, or the path of a CA bundle that exists, or a context that knows."""
    if isinstance(value, bool):
        return value
    ssl: Any = sys.modules.get("ssl")  # never imported here, as it loads sockets; whoever has a context has imported it
    if ssl is not None and isinstance(value, ssl.SSLContext):
        if value.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise InvalidRequestError(f"{name} is an SSLContext for servers: take ssl.create_default_context()")
        return cast("SSLContext", value)
    path = _path(name, value, "True, False, the path of a CA bundle or an ssl.SSLContext")
    if not os.path.exists(path):
        raise InvalidRequestError(f"{name} names no file or folder: {path!r}")
    return path


def check_cert(name: str, value: object) -> str | tuple[str, str]:
    """The path of a certificate with its key, or the paths of both; the files exist."""
    wanted = "the path of a certificate with its key, or a pair of paths"
    if not isinstance(value, tuple | list):
        return _file(name, value, wanted)
    if len(value) != 2:
        raise InvalidRequestError(f"{name} must be {wanted}, not a {type_name(value)} of {len(value)}")
    certificate, key = (_file(f"{name}[{index}]", each, "a path") for index, each in enumerate(value))
    return certificate, key


def check_base_url(name: str, value: object) -> str:
    """Scheme, host and maybe a path, in one spelling, without a trailing slash."""
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


def check_path(name: str, value: object) -> str:
    """A path from its slash on, percent-encoded."""
    path = check_text(name, value)
    if not path.startswith("/") or _BLANK_OR_CONTROL.search(path) or "#" in path or "\\" in path:
        raise InvalidRequestError(
            f"{name} must be a str that begins with a slash, without blanks, backslashes, control characters or a "
            "fragment"
        )
    return _quoted(path)


def check_secret_proxy(name: str, value: object) -> Secret[str]:
    """A proxy's address, which never shows."""
    return Secret(check_proxy(name, value))


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


def check_headers(name: str, value: object) -> tuple[tuple[str, Secret[str]], ...]:
    """Pairs of a name in lower case and its value, which is wrapped, since it may be a secret."""
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"{name} must be a mapping of str to str, not {type_name(value)}")
    return tuple(
        (_header_name(name, key).lower(), Secret(_header_value(f"{name}[{key!r}]", text)))
        for key, text in value.items()
    )


def _check_message(place: str, message: object) -> None:
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"{place} must be a message like {{'role': 'user', 'content': 'Hi'}}, not {type_name(message)}"
        )
    for name in ("role", "content"):
        if name not in message:
            raise InvalidRequestError(f"{place}.{name} is missing")
    if (role := check_text(f"{place}.role", message["role"])) not in get_args(Role):
        raise InvalidRequestError(f"{place}.role must be one of {', '.join(get_args(Role))}, not str {role!r}")
    check_text(f"{place}.content", message["content"], empty=True)
    _check_object(place, message, _MAX_LEVELS)


def _check_object(place: str, value: Mapping[Any, object], levels: int) -> None:
    """Refuses what is no object of JSON. The body of a request holds secrets, so no error carries what JSON refused."""
    for name, each in value.items():
        if not isinstance(name, str):
            raise InvalidRequestError(f"{place} has a key that is not a str but {type_name(name)}")
        if isinstance(each, _CONTAINERS):
            _check_levels(f"{place}.{name}", each, levels)
    refused = ""
    try:
        json.dumps(dict(value), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        if not _is_of_json(error):
            raise  # raised by a signal handler
        refused = str(error)
    if refused:
        raise InvalidRequestError(f"{place} cannot be written as JSON: {refused}")


def _is_of_json(error: Exception) -> bool:
    """Whether JSON or UTF-8 raised an error, and no signal handler: its last frame is json's, or, for C code, ours."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and step.tb_frame.f_globals.get("__name__") in (__name__, "json.encoder")


def _check_levels(place: str, value: Any, levels: int) -> None:
    """Refuses what nests too deep, or without end. It goes down level by level, where recursion would fail, too."""
    level = [value]
    for _ in range(levels - 1):
        inner = chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        # Each once: in one level, the same list may stand in many places.
        level = list({id(each): each for each in inner if isinstance(each, _CONTAINERS)}.values())
        if not level:
            return
    raise InvalidRequestError(f"{place} nests deeper than the {levels} levels that are taken")


def _header_name(place: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidRequestError(f"{place} has a name that is not a str but {type_name(name)}")
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidRequestError(f"{place} has a name that HTTP does not allow: {name!r}")
    if name.lower() in _RESERVED_HEADERS:
        raise InvalidRequestError(f"{place}[{name!r}] cannot be set: it follows from the request")
    return name


def _header_value(place: str, value: object) -> str:
    # The value may be a secret: the message tells what is wrong with it, never what it is.
    text = check_text(place, value, empty=True)
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise InvalidRequestError(f"{place} is a str with a line break or another control character")
    if (index := _unencodable(text, "latin-1")) is not None:
        raise InvalidRequestError(f"{place} is a str with a character at index {index} that no header holds")
    return text


def check_file_path(name: str, value: object) -> str:
    """The path of a file, which need not exist."""
    path = _path(name, value, "the path of a file")
    if "\0" in path:
        raise InvalidRequestError(f"{name} is a path with a NUL character, which no file has")
    return path


def _path(name: str, value: object, wanted: str) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise InvalidRequestError(f"{name} must be {wanted}, not {type_name(value)}")
    return path


def _file(name: str, value: object, wanted: str) -> str:
    path = _path(name, value, wanted)
    if not os.path.exists(path) or os.path.isdir(path):
        raise InvalidRequestError(f"{name} names no file: {path!r}")
    return path


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


def _quoted(path: str) -> str:
    """A path with what is not ASCII percent-encoded; what is encoded already stays."""
    return quote(path, safe="/?:@!$&'()*+,;=%~-._[]")


def _unencodable(text: str, encoding: str) -> int | None:
    """Where a text cannot be encoded, if anywhere. The error itself would hold the text, which may be a secret."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        return error.start
    return None


def _number(value: float) -> str:
    """A number and its type, for a message; Python refuses to write an int of thousands of digits."""
    return f"{type_name(value)} {value if type(value) is float or abs(value) < 10**18 else 'of many digits'}"


def type_name(value: object) -> str:
    """A value's type, for a message."""
    return "None" if value is None else type(value).__name__
