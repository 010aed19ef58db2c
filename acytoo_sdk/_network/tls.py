"""TLS: what OpenSSL does not tell by itself."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def own_outcome(operate: Callable[..., T], *arguments: object) -> T:
    """What an operation on TLS comes to; its error, once it is known to be of this connection: it comes again.

    OpenSSL keeps a thread's errors until they are told, and whose they are it does not know (SSL_get_error(3): the
    queue must be empty before). Python runs signal handlers before it tells the error of what they interrupt: to
    whatever they do next, a live connection looks broken, and of the interrupted one nothing is left to be told.
    Telling empties the queue.
    """
    try:
        return operate(*arguments)
    except ssl.SSLError as error:
        if not isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError):
            try:
                return operate(*arguments)
            except ssl.SSLEOFError:  # which is all that OpenSSL says of a connection that failed before
                if error.reason is None:
                    raise
        raise


def tells_cuts(context: ssl.SSLContext) -> bool:
    """Whether a cut is an error with this context; else OpenSSL 3 shows it as the closure alert."""
    return not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # before OpenSSL 3, it always is
