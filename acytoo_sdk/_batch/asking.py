"""Asking: one attempt at one prompt, read to its end; in this process, or in another one that the asker is pickled to.

When a prompt is asked, and whether again, is decided elsewhere.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from types import EllipsisType
from typing import Any, Protocol

from .._network.provenance import is_foreign
from .._options import RetryPolicy, Timeout
from .._secrets import Secret
from .._streams.stream import Stream
from ..errors import AcytooError, InvalidRequestError
from ..protocol import Message, Messages
from .task import Outcome, answered, failed

# How many clients a process keeps that asks for others; each has its connections.
_MOST_CLIENTS = 16


class BlockingClient(Protocol):
    """A client, as far as an asker needs it."""

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | EllipsisType | None = ...,
        retry: RetryPolicy | int | None = None,
    ) -> Stream:
        """Starts a reply."""


class Asker:
    """Asks a client; callable from any thread.

    In another process, where it comes by pickle, it asks a client of that process, with connections of its own, which
    is kept there for the next prompts. The pickle holds the client's secrets in clear, as the client's own does.

    Args:
        client: asked.
        model: of each call.
        temperature: of each call.
        timeout: of each attempt.
    """

    def __init__(self, client: BlockingClient, *, model: str, temperature: float, timeout: Timeout) -> None:
        self._client = client
        self._options: dict[str, Any] = {"model": model, "temperature": temperature, "timeout": timeout, "retry": 1}
        self._streams: set[Stream] = set()  # those that are read just now
        self._cancelled = False
        self._pickled: Secret[bytes] | None = None
        self.__name__ = "acytoo"  # what engines name the calls by, in keys and on dashboards

    def __call__(self, messages: Sequence[Message], number: object = None) -> Outcome | AcytooError:
        """What one attempt comes to.

        Args:
            messages: what is sent.
            number: for engines that take equal calls for one: no other call has it.
        """
        try:
            stream = self._client.stream(messages, **self._options)
        except AcytooError as error:
            return failed(error, attempts=0)
        self._streams.add(stream)
        try:
            if self._cancelled:  # `cancel` may have run just before the stream was added
                stream.cancel()
            return answered(stream, stream.read())
        except AcytooError as error:
            if is_foreign(error):
                raise  # a listener raised it: it is not the call's error
            return failed(error, attempts=stream.stats.attempts)
        finally:
            self._streams.discard(stream)

    def cancel(self) -> None:
        """Ends what is read in this process, and all that is asked from now on; from any thread."""
        self._cancelled = True
        for stream in self._streams.copy():
            stream.cancel()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pickled is None:
            self._pickled = Secret(_dumps((self._client, self._options)))
        digest = blake2b(self._pickled.reveal(), digest_size=16).digest()
        return partial, (_ask_here, digest, self._pickled)


def _dumps(value: object) -> bytes:
    """The pickle of a client and its options.

    Where an engine has loaded cloudpickle, it is made by that: a `payload=` of a script or of a notebook then travels
    as it is, since there is no module that a worker could import it from.

    Raises:
        InvalidRequestError: it does not pickle.
    """
    pickler = sys.modules.get("cloudpickle") or sys.modules.get("ray.cloudpickle") or pickle
    try:
        return bytes(pickler.dumps(value))
    except Exception as error:
        raise InvalidRequestError(
            f"executor runs calls in other processes, and this client cannot be sent there: {error}"
        ) from error


_askers: dict[bytes, Asker] = {}
"""The askers of this process whose clients came by pickle, by the digest of the pickle."""


def _ask_here(
    digest: bytes, pickled: Secret[bytes], messages: Sequence[Message], number: object = None
) -> Outcome | AcytooError:
    """What one attempt comes to in this process.

    The client is unpickled here, so that a failure comes out of the call. Where a pool of processes fails to unpickle
    a call, the pool breaks.
    """
    asker = _askers.get(digest)
    if asker is None:
        client, options = pickle.loads(pickled.reveal())
        asker = Asker(client, **{name: value for name, value in options.items() if name != "retry"})
        for oldest in [*_askers][: 1 - _MOST_CLIENTS]:
            _askers.pop(oldest, None)
        asker = _askers.setdefault(digest, asker)
    return asker(messages, number)
