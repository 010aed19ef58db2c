"""The pool: what a client shares with those made from it: the transport, and the streams that run on it."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from .._options import Options
from ..errors import ClientClosedError

if TYPE_CHECKING:
    from .transport import Transport


class Cancellable(Protocol):
    """A stream, as far as closing its client goes."""

    @property
    def started(self) -> bool:
        """Whether a piece was asked for."""

    def cancel(self) -> None:
        """Ends it from any thread."""


class Pool:
    """A transport that is made when it is needed, anew after a fork; and the streams that use it, held weakly.

    Args:
        options: certificates and proxy are taken from here.
        size: how many idle connections are kept.
    """

    def __init__(self, options: Options, *, size: int) -> None:
        self._options = options
        self._size = size
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[Cancellable] = weakref.WeakSet()
        self._transport: Transport | None = None

    def check_open(self) -> None:
        """Raises if it was closed.

        Raises:
            ClientClosedError: it was.
        """
        if self._closed:
            raise ClientClosedError("The client is closed")

    def add(self, stream: Cancellable) -> None:
        """Closing cancels this stream, if it still lives then."""
        self._leave_to_parent()
        with self._lock:
            self._streams.add(stream)

    def transport(self) -> Transport:
        """The transport of this process.

        Raises:
            ClientClosedError: the pool was closed.
        """
        from .transport import Transport

        self._leave_to_parent()
        with self._lock:
            self.check_open()
            if self._transport is None:
                options = self._options
                self._transport = Transport(verify=options.verify, proxy=options.proxy.reveal(), connections=self._size)
            return self._transport

    def close(self) -> None:
        """Closes every connection, and cancels the streams that have started; the others will say that it is closed."""
        self._leave_to_parent()
        with self._lock:
            self._closed = True
            streams, transport, self._transport = list(self._streams), self._transport, None
        for stream in streams:
            if stream.started:
                stream.cancel()
        if transport is not None:
            transport.close()

    def _leave_to_parent(self) -> None:
        """In a forked child: the connections, the streams on them, and a lock that a thread held, are the parent's."""
        if self._process != os.getpid():
            self._begin()
