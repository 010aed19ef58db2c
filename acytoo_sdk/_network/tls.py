"""TLS: what OpenSSL does not tell by itself: whose an error is, and whether an end was a cut.

Sockets and limits are not known here.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def own_outcome(operate: Callable[..., T], *arguments: object) -> T:
    """What an operation on TLS returns, or its error; after an error, it is tried once more to see whose that was.

    OpenSSL keeps the errors of a thread in a queue until they are read, and does not note of which connection they are
    (SSL_get_error(3): the queue must be empty before). Python runs signal handlers before it reads the error of the
    operation that they interrupt. So what a handler does meets that error on a connection that is alive, and for the
    interrupted operation nothing is left to be read. Reading empties the queue: an error that comes again is its own.
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
