"""The errors: every way a call can fail, as one tree.

    AcytooError
    ├─ InvalidRequestError           a bad argument; nothing was sent
    ├─ APIConnectionError            no connection, or it broke before the first text
    │  └─ APITimeoutError            a limit of `Timeout` ran out, before or after the first text
    ├─ APIStatusError                the server answered with an error status
    │  ├─ BadRequestError            400, 422
    │  ├─ AuthenticationError        401
    │  ├─ PermissionDeniedError      403
    │  ├─ NotFoundError              404
    │  ├─ RateLimitError             429
    │  ├─ ServerError                5xx
    │  └─ RedirectError              3xx, never followed
    ├─ UnexpectedReplyError          no error status, but no text reply either
    │  ├─ EmptyReplyError            not one character
    │  ├─ DecodeError                not UTF-8
    │  └─ ReplyTooLargeError         longer than `max_reply_bytes`
    ├─ StreamInterruptedError        the connection broke after the first text
    ├─ StreamCancelledError          cancelled, or its client closed, before the end
    └─ ClientClosedError             the client was closed before this call

Whatever the server or the network does, a caller gets the text that arrived, in order and once, and then either the end
or exactly one of these errors, which keeps that text. They hold no key, no password, no headers of the caller's and no
credentials of a proxy: where a server quotes one, `***` stands in its place. Two things are not masked: headers that
hold no secret, as `user-agent`, and secrets of less than four characters, which are part of many ordinary words. The
frames of a traceback hold no secrets either, for tools that show local variables, except for those of the caller's own
functions.

An exception that is not the network's comes out as itself, at once, and closes the connection: Ctrl-C, an exception
that a signal handler raises, a bug in a function that somebody patched. Nothing is sent again after it.

Only data lives here: which reply leads to which error is judged in `protocol`, what the network did in
`_network.failures`.
"""

from __future__ import annotations

import copyreg
from typing import Any, Literal

Phase = Literal["connect", "first_byte", "idle", "total"]


class AcytooError(Exception):
    """The base of every error this package raises.

    Errors pickle and copy with all of their attributes, and never hold a key, a password or a proxy's credentials. The
    client has already made the attempts that its `RetryPolicy` allows when an error is raised.

    Args:
        message: one sentence for a person; `str(error)` gives it back.
        partial_text: see the attribute.
        request_id: see the attribute.
        retryable: see the attribute; None keeps what the class says.
        hint: see the attribute.

    Attributes:
        partial_text: the text that had been handed out before the error; "" if none.
        request_id: the server's name for the request (`x-request-id` or a header like it), or None.
        retryable: whether a fresh call, with the same arguments, could succeed.
        hint: what to do about it, one sentence, or None. Python 3.11 and later print it below a traceback.
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        partial_text: str = "",
        request_id: str | None = None,
        retryable: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.partial_text = partial_text
        self.request_id = request_id
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable
        if hint is not None:
            self.__notes__ = [f"Hint: {hint}"]

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors take keywords and OSError's own __reduce__ forgets them, so the state travels, arguments
        # included.
        return copyreg.__newobj__, (type(self),), {**self.__dict__, "args": self.args}  # type: ignore[attr-defined]


class InvalidRequestError(AcytooError, ValueError):
    """An argument is not usable; the message names it. Raised before anything is sent."""


class APIConnectionError(AcytooError):
    """No connection came about, or it broke before the first text.

    Name resolution, a refused connection, TLS, the proxy (its status 407 too), a peer that does not speak HTTP, a
    connection dropped early. Failures of TLS and of the proxy's authentication are not `retryable`: they fail the same
    way again.
    """

    retryable = True


class APITimeoutError(APIConnectionError, TimeoutError):
    """A limit of `Timeout` ran out, before or after the first text.

    Raise the limit that `phase` names where the server needs more time, or read `partial_text` for what had arrived.

    Args:
        message: see `AcytooError`, and so for `partial_text` and `hint`.
        phase: see the attribute.

    Attributes:
        phase: which limit: "connect", "first_byte", "idle" or "total".
    """

    def __init__(self, message: str, *, phase: Phase, partial_text: str = "", hint: str | None = None) -> None:
        super().__init__(message, partial_text=partial_text, hint=hint)
        self.phase: Phase = phase


class APIStatusError(AcytooError):
    """The server answered with an error status; the subclasses are for those that callers treat in their own way.

    Args:
        message: see `AcytooError`, and so for `retryable` and `hint`.
        status_code: see the attributes, as for `headers`, `body` and `retry_after`.

    Attributes:
        status_code: the HTTP status, for instance 503.
        headers: the reply's headers; names in lower case, repeated ones joined with ", ", secrets masked.
        body: the first 64 KiB of the reply's body, decoded as UTF-8 with replacement, secrets masked.
        retry_after: seconds the server asks to wait before the next call, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        headers: dict[str, str] | None = None,
        body: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, hint=hint)
        self.status_code = status_code
        self.headers = {} if headers is None else headers
        self.body = body
        self.retry_after = retry_after


class BadRequestError(APIStatusError):
    """The server refused the request as malformed: status 400 or 422. Its message, or `body`, says what it misses."""


class AuthenticationError(APIStatusError):
    """The server wants other credentials: status 401. Check `key` and `password`, or `headers`."""


class PermissionDeniedError(APIStatusError):
    """The server knows the caller and refuses: status 403. Other credentials, or another model, may be allowed."""


class NotFoundError(APIStatusError):
    """Nothing is served at this address: status 404. Check `base_url` and `path`."""


class RateLimitError(APIStatusError):
    """Too many requests: status 429. Wait before the next call: `retry_after` seconds, where the server says so."""


class ServerError(APIStatusError):
    """The server failed: a status from 500 to 599. Where `retryable`, the same call may succeed later."""


class RedirectError(APIStatusError):
    """The server points to another address: a status from 300 to 399.

    Redirects are never followed, since the request's body holds the key and the password; `hint` names the new address.
    """


class UnexpectedReplyError(AcytooError):
    """The status says success, but the reply is not text.

    It is a web page, often a challenge for browsers, a JSON error object, an event stream, a compressed body, or in a
    framing that HTTP does not know; `hint` says what to do.

    Args:
        message: see `AcytooError`, and so for `hint`.
        body: see the attribute.

    Attributes:
        body: the first 64 KiB of it where it was read, decoded as UTF-8 with replacement, secrets masked.
    """

    def __init__(
        self,
        message: str,
        *,
        body: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.body = body


class EmptyReplyError(UnexpectedReplyError):
    """The reply ended well and held no text. The same call may succeed later."""

    retryable = True


class DecodeError(UnexpectedReplyError):
    """The reply is not UTF-8; the text before the fault was handed out."""


class ReplyTooLargeError(UnexpectedReplyError):
    """The reply is longer than `max_reply_bytes`, which may be raised; the text up to there was handed out."""


class StreamInterruptedError(AcytooError):
    """The connection broke after the first text, maybe in the middle of a character; `partial_text` is what arrived.

    Nothing was retried, since text had been handed out; a new call asks for the whole reply again.
    """

    retryable = True


class StreamCancelledError(AcytooError):
    """Somebody called `cancel()`, or closed the client, before the stream had ended; its reader is told once."""


class ClientClosedError(AcytooError, RuntimeError):
    """The client was closed before this call. Make a new `Client`: a closed one stays closed."""
