"""Secrets: a value that does not show itself, and a mask for texts that may quote one.

A `Secret` is unwrapped only where the request is built; whatever a server or a proxy says passes a `Mask` before it is
shown. Many tools show the local variables of every frame in a traceback. So the first statement that sees what a caller
passes wraps it in a `Secret`, and functions that need it in clear are decorated with `clears_frames`, which empties
their frames after an exception. The frames of the caller's own functions are not touched.
"""

from __future__ import annotations

import functools
import html
import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, ParamSpec, TypeVar
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
_QUOTE_LIMIT = 200
_MIN_LENGTH = 4  # characters; a shorter secret is part of many ordinary words, and masking those would hide nothing
# Headers that hold no secret; any other header may.
_HARMLESS_HEADERS = """
    accept accept-charset accept-encoding accept-language cache-control connection content-type dnt pragma user-agent
""".split()  # noqa: SIM905
# The word before the token, in a header of any name; it is no secret itself.
_SCHEMES = ("apikey", "aws4-hmac-sha256", "bearer", "digest", "dpop", "hawk", "negotiate", "ntlm", "oauth", "token")
_PARAMETER = re.compile(r"""(?:^|(?<=[\s,;&]))([^\s,;&="]+)\s*=\s*(?:"([^"]*)"|([^\s,;&]*))""")
# Parameters of Digest's and AWS's credentials that hold no secret: they repeat the address, or words of the standards.
_PUBLIC_PARAMETERS = ("algorithm", "charset", "nc", "qop", "realm", "signedheaders", "uri", "userhash")


P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, repr=False, slots=True)  # with slots, it has no `vars` that would show it
class Secret(Generic[T_co]):
    """A string, or arguments that hold some, whose `repr` and `str` are a mask; `reveal()` gives it away."""

    _value: T_co

    def reveal(self) -> T_co:
        """The value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return repr(MASK) if getattr(self, "_value", True) else "''"  # it may be shown while it has no value yet

    __str__ = __repr__


def clears_frames(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function: when an exception leaves it, its frame and those below lose their local variables.

    The traceback keeps its lines. The arguments stay visible in the frames above, so no secret may be passed to the
    function in clear.
    """

    @functools.wraps(function)
    def cleared(*args: P.args, **kwargs: P.kwargs) -> T:
        handled = sys.exc_info()[1]
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _clear_frames(error, handled)
            raise

    return cleared


def _clear_frames(error: BaseException, handled: BaseException | None) -> None:
    """Empties the frames of an exception, its causes and its contexts, but not of the one that the caller handles."""
    seen = {id(handled)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        traceback = one.__traceback__
        while traceback is not None:
            try:
                traceback.tb_frame.clear()
            except RuntimeError as raised:  # it is still running
                if raised.__traceback__ is not None and raised.__traceback__.tb_next is not None:
                    raise  # raised by a signal handler, not by `clear` itself
            traceback = traceback.tb_next


class Mask:
    """Replaces secrets in a text, however a server may have written them: plain, or escaped for JSON, a URL or HTML.

    Args:
        secrets: the strings to hide; those of one to three characters are hidden only where they are a whole header.
    """

    __slots__ = ("_pattern", "_secrets", "_short")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        unique = set(secrets)
        self._short = {secret.casefold() for secret in unique if 0 < len(secret) < _MIN_LENGTH}
        longest_first = sorted((secret for secret in unique if len(secret) >= _MIN_LENGTH), key=len, reverse=True)
        self._secrets = [[_spellings(char) for char in secret] for secret in longest_first]
        alternatives = "|".join("".join(map(_any_of, secret)) for secret in self._secrets)
        self._pattern = re.compile(alternatives, re.IGNORECASE) if alternatives else None

    def __repr__(self) -> str:
        return "Mask()"

    def __call__(self, text: str, *, cut: bool = False) -> str:
        """The text with every secret replaced by `***`.

        Args:
            text: what a server said.
            cut: the text was cut off, perhaps inside a secret; the beginning of one at its end is then replaced too.
        """
        if self._pattern is None:
            return text
        text = self._pattern.sub(MASK, text)
        return self._without_cut_secret(text) if cut else text

    def header(self, value: str) -> str:
        """The value of a header, masked; also if it is, as a whole, a secret too short to be masked within a text."""
        return MASK if value.strip().casefold() in self._short else self(value)

    def quote(self, text: str) -> str:
        """Server text for a message: masked, on one line, its control characters escaped, of bounded length."""
        line = " ".join(self(text).split())
        line = line if len(line) <= _QUOTE_LIMIT else line[:_QUOTE_LIMIT] + "..."
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)

    def _without_cut_secret(self, text: str) -> str:
        longest = max(sum(len(spellings[0]) for spellings in secret) for secret in self._secrets)
        for start in range(max(0, len(text) - longest), len(text)):
            if any(_may_become(secret, text[start:].casefold()) for secret in self._secrets):
                return text[:start] + MASK
        return text


def _may_become(secret: list[tuple[str, ...]], ending: str) -> bool:
    """Whether a text could spell a secret if it went on."""
    rests = {ending}
    for spellings in secret:
        folded = [spelling.casefold() for spelling in spellings]
        if any(spelling.startswith(rest) for spelling in folded for rest in rests):
            return True
        rests = {rest[len(spelling) :] for spelling in folded for rest in rests if rest.startswith(spelling)}
    return False


@lru_cache(maxsize=1024)  # every call makes a mask; what is kept are single characters, which give nothing away
def _spellings(char: str) -> tuple[str, ...]:
    """How servers may write a character, the longest first; nobody escapes an ASCII letter or digit."""
    if char.isascii() and char.isalnum():
        return (char,)
    code = ord(char)
    in_bytes = char.encode("utf-8", "surrogatepass")
    spellings = {
        char,
        json.dumps(char)[1:-1],
        f"\\u{code:04x}",  # Go and .NET write more characters so than JSON asks for
        repr(char)[1:-1],
        f"\\{char}",  # PHP, a slash; others, quotes
        quote(in_bytes, safe=""),
        "+" if char == " " else char,
        html.escape(char),
        f"&#{code};",
        f"&#{code:03};",  # PHP
        f"&#x{code:x};",
        in_bytes.decode("latin-1"),  # UTF-8 in a header, as http.client reads it
    }
    return tuple(sorted(spellings, key=len, reverse=True))


@lru_cache(maxsize=1024)
def _any_of(spellings: tuple[str, ...]) -> str:
    return spellings[0] if len(spellings) == 1 else f"(?:{'|'.join(map(re.escape, spellings))})"


def header_secrets(name: str, value: str) -> tuple[str, ...]:
    """What must not be shown of a header: its value, and each part of the credentials in it.

    The parts are the TOKEN of `Bearer TOKEN`, the user and the password of `Basic CREDENTIALS`, and the values of
    `NAME=VALUE`, as in cookies and in Digest's and AWS's credentials. The name of the scheme is not one of them.

    Args:
        name: in lower case.
        value: as the caller passed it.
    """
    if name in _HARMLESS_HEADERS:
        return ()
    value = value.strip()
    if name == "cookie":
        return value, *(cookie.partition("=")[2].strip() for cookie in value.split(";"))
    scheme, _, credentials = value.partition(" ")
    token = credentials.strip()
    if scheme.lower() == "basic":
        return value, token, *_user_and_password(token)
    parts = [token] if name.endswith("authorization") or scheme.lower() in _SCHEMES else []
    for parameter, quoted, plain in _PARAMETER.findall(value):
        if parameter.lower() not in _PUBLIC_PARAMETERS:
            parts.append(quoted or plain)
        if parameter.lower() == "credential":  # of AWS: the identity of the key stands before its scope
            parts.append(plain.partition("/")[0])
    return value, *parts


def proxy_secrets(proxy: str) -> tuple[str, ...]:
    """What must not be shown of a proxy's address."""
    parts = urlsplit(proxy)
    if not parts.password:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    return (parts.username or "", user, parts.password, password, *_basic_tokens(f"{user}:{password}"))


def _user_and_password(token: str) -> tuple[str, ...]:
    """What Basic credentials hold: all of it, and both parts."""
    try:
        in_bytes = b64decode(token + "===")
    except ValueError:
        return ()
    try:
        credentials = in_bytes.decode()
    except UnicodeDecodeError:
        credentials = in_bytes.decode("latin-1")
    user, _, password = credentials.partition(":")
    return credentials, user, password


def _basic_tokens(credentials: str) -> tuple[str, ...]:
    return tuple(b64encode(credentials.encode(encoding, "replace")).decode() for encoding in ("latin-1", "utf-8"))


def without_credentials(address: str) -> str:
    """An address without the user and the password that it may hold."""
    return re.sub(r"(?<=//)[^/?#]*@", "", address)
