"""The pool: what a client shares with those made from it: the transport, and the streams that run on it.

How a request is sent, and how a stream is read, is not known here.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Protocol

from .._options import Options
from ..errors import ClientClosedError

if TYPE_CHECKING:
    from .transport import Transport


class Cancellable(Protocol):
    """What closing a client has to know of its streams."""

    @property
    def started(self) -> bool:
        """Whether a piece was asked for."""

    def cancel(self) -> None:
        """Ends it from any thread."""


class Pool:
    """A transport that is made when it is needed, anew after a fork; and the streams that use it, held weakly.

    No lock is taken: a signal handler may close what it interrupts. So each step is one operation on a set, a list or a
    dictionary.

    Args:
        options: certificates and proxy are taken from here.
        size: how many idle connections are kept.
    """

    def __init__(self, options: Options, *, size: int) -> None:
        self._options = options
        self._size = size
        self._closed = False
        self._by_process: dict[int, _Shared] = {}

    def check_open(self) -> None:
        """Raises if it was closed.

        Raises:
            ClientClosedError: it was.
        """
        if self._closed:
            raise ClientClosedError("The client is closed")

    def add(self, stream: Cancellable) -> None:
        """Closing cancels this stream, if it still lives then."""
        streams = self._shared.streams
        streams.add(weakref.ref(stream, streams.discard))

    def transport(self) -> Transport:
        """The transport of this process.

        Raises:
            ClientClosedError: the pool was closed.
        """
        from .transport import Transport

        transports, options = self._shared.transports, self._options
        if not transports:
            transports.append(
                Transport(
                    verify=options.verify,
                    cert=options.cert,
                    proxy=options.proxy.reveal(),
                    connections=self._size,
                )
            )
        transport = transports[0]
        self.check_open()  # afterwards: closing in between has not seen it
        return transport

    def close(self) -> None:
        """Closes every connection, and cancels the streams that have started; the others will say that it is closed."""
        self._closed = True
        shared = self._shared
        for reference in shared.streams.copy():
            if (stream := reference()) is not None and stream.started:
                stream.cancel()
        for transport in shared.transports:
            transport.close()

    @property
    def _shared(self) -> _Shared:
        """What is shared in this process; in a forked child, the connections, and the streams, are the parent's."""
        process = os.getpid()
        # Of several threads that come first at the same moment, all get what one of them made.
        return self._by_process.get(process) or self._by_process.setdefault(process, _Shared())


class _Shared:
    """What the clients of one process share."""

    def __init__(self) -> None:
        self.streams: set[weakref.ref[Cancellable]] = set()
        self.transports: list[Transport] = []  # one, but for those that threads made at the same moment
