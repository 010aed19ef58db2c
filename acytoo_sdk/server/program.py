"""The program: a server that runs until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..errors import InvalidRequestError
from .app import Server
from .log import Log
from .settings import Settings


async def serve(settings: Settings, *, log: Log, announce: Callable[[str], None]) -> None:
    """Runs a server until SIGTERM or SIGINT comes, and ends it; at once, if one comes again.

    Args:
        settings: everything it is told.
        log: where a line for each request goes.
        announce: called with the server's address, once it listens.

    Raises:
        InvalidRequestError: something in `settings` cannot be used, the address for instance.
    """
    _allow_many_files()
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: log.write(f"internal error: {type(context.get('exception')).__name__}")
    )

    def receive(*_: object) -> None:
        loop.call_soon_threadsafe(second.set if first.is_set() else first.set)

    with _handled(receive, signal.SIGINT, signal.SIGTERM):
        server = Server(settings, log)
        try:
            try:
                await server.start()
            except OSError as error:
                code = error.errno or 0  # below 0 for a resolver's
                why = os.strerror(code) if code > 0 else error.strerror or str(error)  # asyncio's words are long
                raise InvalidRequestError(f"cannot listen on {settings.host}:{settings.port}: {why}") from error
            announce(server.url)
            await first.wait()
        finally:
            await server.close(at_once=second)


@contextmanager
def _handled(handler: Callable[..., None], *signals: signal.Signals) -> Iterator[None]:
    """Has these signals handled so, for a while."""
    before = [(number, signal.signal(number, handler)) for number in signals]
    try:
        yield
    finally:
        for number, earlier in before:
            signal.signal(number, earlier)


def _allow_many_files() -> None:
    """Raises the limit on open files to the highest that may be set: a reply takes two of them."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
