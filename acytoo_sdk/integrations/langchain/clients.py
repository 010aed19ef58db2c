"""The clients behind one `ChatAcytoo`: made of its fields, and made again when those change.

Nothing is known here of LangChain, nor of what a call is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from secrets import token_bytes
from typing import Any

from ..._async_client import AsyncClient
from ..._checks import type_name
from ..._client import Client
from ..._options import OPTIONS, Options, RetryPolicy, check_retry
from ..._secrets import Secret, clears_frames
from ...errors import InvalidRequestError

_KEY = token_bytes(32)
"""The key of the digests that this process makes."""


@dataclass(frozen=True)
class Clients:
    """What a model asks.

    Pydantic compares the private attributes of two models, too: all `Clients` are equal, so that the fields decide.

    Attributes:
        given: what they were made with.
        blocking: for threads.
        asynchronous: for event loops.

    Raises:
        InvalidRequestError: an argument is not usable, or nobody named a server.
    """

    given: Secret[dict[str, Any]] = field(compare=False)
    blocking: Client = field(compare=False)
    asynchronous: AsyncClient = field(compare=False)

    def __post_init__(self) -> None:
        if not self.blocking.options.base_url_given:
            raise InvalidRequestError("no server: pass base_url=, or set ACYTOO_BASE_URL")

    @classmethod
    def of(cls, given: Secret[dict[str, Any]]) -> Clients:
        """New ones, with connections of their own."""
        return cls(given, Client(**given.reveal()), AsyncClient(**given.reveal()))

    @clears_frames
    def changed(self, given: Secret[dict[str, Any]]) -> Clients:
        """The same with other arguments, on the same connections, if that can be."""
        before = self.given.reveal()
        changes = {name: value for name, value in given.reveal().items() if value != before[name]}
        if any(OPTIONS[name].of_pool for name in changes):
            return self.of(given)
        return Clients(given, self.blocking.with_options(**changes), self.asynchronous.with_options(**changes))


def hidden_key(options: Options) -> str:
    """The payload's name and, where there are any, a digest of what a cache cannot name: secrets, and a function.

    The digest is of use in this process alone, since its key is kept nowhere. Whoever finds it in the file of a cache
    cannot check guesses of a password by it, and another process finds no reply under it.
    """
    payload = options.payload if isinstance(options.payload, str) else ""
    function = "" if payload else options.payload
    hidden = (options.key.reveal(), options.password.reveal(), options.plain_headers, options.proxy.reveal(), function)
    digest = blake2b(repr(hidden).encode(), key=_KEY, digest_size=16).hexdigest() if any(hidden) else ""
    return f"{payload} {digest}"


def retry_of(policy: object, max_retries: object) -> RetryPolicy:
    """A policy with another number of attempts, where that is given."""
    checked = check_retry("retry", policy)
    if max_retries is None:
        return checked
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise InvalidRequestError(f"max_retries must be an int, not {type_name(max_retries)}")
    if max_retries < 0:
        raise InvalidRequestError(f"max_retries must be 0 or more, not int {max_retries}")
    return replace(checked, attempts=max_retries + 1)
