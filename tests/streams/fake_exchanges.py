"""Exchanges that are lists of bytes and errors, and calls that run on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from acytoo_sdk import ClientClosedError, RetryPolicy, Timeout
from acytoo_sdk._network.exchange import Exchange
from acytoo_sdk._network.pool import Pool
from acytoo_sdk._options import CallOptions, Options
from acytoo_sdk._streams.call import Call
from acytoo_sdk._wire.framing import FramingReader
from acytoo_sdk.protocol import Request

PLAIN = (("Content-Type", "text/plain"),)


class FakeExchange:
    """A reply that is a list: bytes arrive, errors are raised, the last of them for ever; after it, the body's end.

    Args:
        body: what `receive` returns or raises, in turn.
        status: of the reply; an error is raised by `send` in its place.
        headers: of the reply.
        whole: what is known of the body at its end.
        late: how often the head has not arrived yet.
        on: called with the name of each method, before it does anything.
    """

    def __init__(
        self,
        *body: bytes | BaseException,
        status: int | BaseException = 200,
        headers: tuple[tuple[str, str], ...] = PLAIN,
        whole: bool | None = True,
        late: int = 0,
        on: Callable[[str], object] = lambda name: None,
    ) -> None:
        self.whole: bool | None = False
        self.aborted = False
        self.aborts = 0
        self.closes = 0
        self.waits = True
        self.expired = False
        self.framing: FramingReader | None = None
        self._late = late
        self._body = deque(body)
        self._status = status
        self._headers = headers
        self._whole = whole
        self._on = on

    def abort(self) -> None:
        """As the real one: whoever receives from now on does so in vain."""
        self._on("abort")
        self.aborted = True
        self.aborts += 1

    def send(self) -> None:
        self._on("send")
        if isinstance(self._status, BaseException):
            raise self._status

    def receive_head(self) -> tuple[int, list[tuple[str, str]]] | None:
        self._on("receive_head")
        assert isinstance(self._status, int), "nothing was sent"
        if self._late:
            self._late -= 1
            return None
        return self._status, list(self._headers)

    def unblock(self) -> int | None:
        """As one without a socket to be watched."""
        self._on("unblock")
        return None

    def before_close(self, act: Callable[[], None]) -> None:
        self._on("before_close")
        self.act = act

    def due(self, since: float) -> float:
        """The limit on silence is an hour."""
        return since + 3600

    def expire(self) -> None:
        self._on("expire")
        self.expired = True

    def read_by(self, framing: FramingReader) -> None:
        self.framing = framing

    def receive(self) -> bytes | None:
        self._on("receive")
        if not self._body:
            self.whole = self._whole
            return None
        if isinstance(item := self._body[0], BaseException):
            if len(self._body) > 1:
                self._body.popleft()
            raise item
        self._body.popleft()
        return item

    def close(self) -> None:
        self._on("close")
        self.closes += 1

    @property
    def as_exchange(self) -> Exchange:
        """The same, for a type checker."""
        return cast(Exchange, self)


class FakePool:
    """A pool of which only the secrets of its proxy are known."""

    def __init__(self) -> None:
        self.closed = False
        self.proxies = self

    def check_open(self) -> None:
        if self.closed:
            raise ClientClosedError("closed")

    def transport(self) -> FakePool:
        self.check_open()
        return self

    def secrets_for(self, url: str) -> tuple[str, ...]:
        return ("said-by-the-proxy",)


def call_on(
    monkeypatch: pytest.MonkeyPatch,
    *exchanges: FakeExchange,
    retry: RetryPolicy | None = None,
    timeout: Timeout | None = None,
    pool: FakePool | None = None,
    given: list[dict[str, Any]] | None = None,
    **options: Any,
) -> Call:
    """A call whose attempts run on these exchanges, one after the other; `given` notes with what each was made."""
    left = deque(exchanges)

    def make(*_: object, **more: object) -> FakeExchange:
        if given is not None:
            given.append(more)
        return left.popleft()

    monkeypatch.setattr("acytoo_sdk._network.exchange.Exchange", make)
    policy = RetryPolicy(attempts=len(exchanges) or 1, wait_initial=0) if retry is None else retry
    return Call(
        Request("POST", "http://chat.example", {}, b""),
        CallOptions("m", 0.5, Timeout() if timeout is None else timeout, policy),
        Options(**options),
        cast(Pool, FakePool() if pool is None else pool),
    )
