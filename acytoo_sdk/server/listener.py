"""The listener: aiohttp's connections, of which the idle ones are bounded, and whose own refusals are ours in form."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from .failures import Failure

_IDLE_SECONDS = 30.0  # of a connection without a request, or with half a head
_MOST_IDLE = 1000  # connections without a reply on its way: beyond them, the oldest goes
_LINGER_SECONDS = 2.0  # for the rest of a body that was refused
_LINE_BYTES = 64 * 1024
_SILENT = logging.Logger("aiohttp", level=logging.CRITICAL + 1)  # it would quote requests, with tracebacks


class Listener(web.Server):
    """Makes a handler of requests into a server of connections; to be made in the event loop.

    Args:
        handler: answers a request; cancelled when its client leaves.
        refuse: makes the answer to what is no request.

    Attributes:
        busy: the connections with a reply on its way.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        refuse: Callable[[Failure], web.Response],
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.busy: set[object] = set()
        self.refuse = refuse

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
        if len(self.connections) - len(self.busy) > _MOST_IDLE:
            oldest = next((each for each in self.connections if each not in self.busy), None)
            if oldest is not None:
                oldest.force_close()


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
