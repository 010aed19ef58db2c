"""The listener: aiohttp's connections, with a bound on the idle ones, and with refusals in the form of this server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from .failures import Failure

_IDLE_SECONDS = 30.0  # of a connection without a request, or with half a head
_LINGER_SECONDS = 2.0  # for the rest of a body that was refused
_LINE_BYTES = 64 * 1024
_LOOK_SECONDS = 0.01
_SILENT = logging.Logger("aiohttp", level=logging.CRITICAL + 1)  # it would quote requests, with tracebacks


class Listener(web.Server):
    """Makes a handler of requests into a server of connections; to be made in the event loop.

    Args:
        handler: answers a request; cancelled when its client leaves.
        refuse: makes the answer to what is no request.
        most_idle: how many connections may have no reply on its way; beyond them, the one idle for longest is ended.

    Attributes:
        refuse: as it was given.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        refuse: Callable[[Failure], web.Response],
        most_idle: int,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.refuse = refuse
        self._most_idle = most_idle
        self._idle: dict[web.RequestHandler, asyncio.Transport] = {}  # those that are so for the longest time first
        self._busy: dict[web.RequestHandler, asyncio.Transport] = {}

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            auto_decompress=False,
            access_log=None,
            logger=_SILENT,
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Takes one more, and ends the one that was idle for longest, if there are too many."""
        super().connection_made(handler, transport)
        self._note_idle(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forgets one."""
        super().connection_lost(handler, exc)
        self._idle.pop(handler, None)
        self._busy.pop(handler, None)

    @contextmanager
    def busy(self, handler: web.RequestHandler) -> Iterator[None]:
        """While a reply is on its way, its connection is not idle."""
        if handler in self._idle:
            self._busy[handler] = self._idle.pop(handler)
        try:
            yield
        finally:
            if handler in self._busy:
                self._note_idle(handler, self._busy.pop(handler))

    def close_when_idle(self) -> None:
        """Closes every connection: an idle one now, each other one after its reply."""
        for transport in self._idle.values():
            transport.close()
        for handler in self._busy:
            handler.close()

    async def wait_closed(self, seconds: float) -> None:
        """Waits until all connections are gone, and aborts those that are not by then."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while (self._idle or self._busy) and loop.time() < due:
            await asyncio.sleep(_LOOK_SECONDS)
        for transport in (*self._idle.values(), *self._busy.values()):
            transport.abort()

    def _note_idle(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._idle[handler] = transport
        if len(self._idle) > self._most_idle:
            self._idle.pop(next(iter(self._idle))).abort()


class _Connection(web.RequestHandler):
    __slots__ = ("_refuse",)

    def __init__(self, listener: Listener, *, loop: asyncio.AbstractEventLoop, **options: object) -> None:
        super().__init__(listener, loop=loop, **options)  # type: ignore[arg-type]
        self._refuse = listener.refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp answers itself: to what is not HTTP. Its own words may quote a header."""
        if request.writer.output_size > 0:
            raise ConnectionError("too late for an answer")
        said = "the request is not HTTP that this server understands"
        response = self._refuse(Failure(status, said, "not HTTP"))
        response.force_close()
        return response
