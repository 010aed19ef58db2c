"""Endings: how the connection of a reply that is not whole is ended, so that no client takes the reply for whole."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

STALL_SECONDS = 300.0
"""How long a client may take nothing of what waits for it."""

_LOOK_SECONDS = 0.02  # between two looks at whether all has arrived, of which no event tells
_LINGER_ZERO = struct.pack("ii", 1, 0)


async def break_off(transport: asyncio.Transport | None, *, framed: bool) -> None:
    """Ends a reply as one that is not whole: what was written arrives, and no end of it.

    Args:
        transport: the client's; None where it has left.
        framed: whether the reply is chunked: then the missing last chunk tells that it broke. Otherwise the end of the
            connection would be the end of the reply, so it has to be a reset. A reset discards what has not arrived
            yet, so it waits until all has.
    """
    if transport is None:
        return
    loop = asyncio.get_running_loop()
    if framed:
        transport.close()
        loop.call_later(STALL_SECONDS, transport.abort)
        return
    _end_by_reset(transport)  # from now on, whoever closes it
    due = loop.time() + STALL_SECONDS
    while _has_unsent(transport) and loop.time() < due:
        await asyncio.sleep(_LOOK_SECONDS)
    transport.abort()


def reset(transport: asyncio.Transport | None) -> None:
    """Ends a connection at once, by a reset; over TLS without a closure alert, which would say that all is well."""
    if transport is not None:
        _end_by_reset(transport)
        transport.abort()


def _end_by_reset(transport: asyncio.Transport) -> None:
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)


def _has_unsent(transport: asyncio.Transport) -> bool:
    """Whether something is still to arrive at the client, as far as this system tells."""
    if transport.is_closing():
        return False
    if transport.get_write_buffer_size():
        return True
    try:
        from fcntl import ioctl
        from termios import TIOCOUTQ  # of a socket: what was not acknowledged yet (Linux, tcp(7))

        return any(ioctl(transport.get_extra_info("socket").fileno(), TIOCOUTQ, bytes(4)))
    except (ImportError, OSError):
        return False
