"""The listener: aiohttp's connections, of which the idle ones are bounded, and whose own refusals are ours in form."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

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
        most_idle: connections without a reply on its way; beyond them, the oldest goes.

    Attributes:
        busy: the connections with a reply on its way.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        refuse: Callable[[Failure], web.Response],
        most_idle: int,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.busy: set[object] = set()
        self.refuse = refuse
        self._most_idle = most_idle
        self._transports: dict[web.RequestHandler, asyncio.Transport] = {}

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
        """Takes one more; whoever was idle for the longest time makes room."""
        super().connection_made(handler, transport)
        self._transports[handler] = transport
        if len(self._transports) - len(self.busy) > self._most_idle:
            oldest = next(each for each in self._transports if each not in self.busy)
            self._transports.pop(oldest).abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """One is gone."""
        super().connection_lost(handler, exc)
        self._transports.pop(handler, None)

    def close_idle(self) -> None:
        """Ends every connection: now, or with the reply that is on its way."""
        for handler, transport in self._transports.items():
            if handler in self.busy:
                handler.close()
            else:
                transport.close()

    async def wait_closed(self, seconds: float) -> None:
        """Waits until all connections are gone, and aborts those that are not by then."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while self._transports and loop.time() < due:
            await asyncio.sleep(_LOOK_SECONDS)
        for transport in self._transports.values():
            transport.abort()


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
