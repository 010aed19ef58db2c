"""Asking: one attempt at one prompt, read to its end; in this process, or in another one that this is pickled to."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from hashlib import blake2b
from types import EllipsisType
from typing import Any, Protocol

from .._options import RetryPolicy, Timeout
from .._secrets import Secret
from .._streams.stream import Stream
from ..errors import AcytooError
from ..protocol import Message, Messages
from .task import Outcome, answered, failed

# How many clients a process keeps that asks for others; each has its connections.
_MOST_CLIENTS = 16


class BlockingClient(Protocol):
    """What is asked of a client."""

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
            if self._cancelled:  # before `cancel` could see it
                stream.cancel()
            return answered(stream, stream.read())
        except AcytooError as error:
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
            self._pickled = Secret(pickle.dumps((self._client, self._options)))
        return _asker_here, (blake2b(self._pickled.reveal(), digest_size=16).digest(), self._pickled)


_askers: dict[bytes, Asker] = {}
"""Those that came by pickle, by what they are made of."""


def _asker_here(digest: bytes, pickled: Secret[bytes]) -> Asker:
    asker = _askers.get(digest)
    if asker is None:
        client, options = pickle.loads(pickled.reveal())
        asker = Asker(client, **{name: value for name, value in options.items() if name != "retry"})
        for oldest in [*_askers][: 1 - _MOST_CLIENTS]:
            _askers.pop(oldest, None)
        asker = _askers.setdefault(digest, asker)
    return asker
