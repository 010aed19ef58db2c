"""The exchange: one request and its reply, up to the bytes of its body. No meaning of a reply is known here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from .._options import Timeout
from .._secrets import Mask, clears_frames
from .._wire.framing import FramingReader
from ..errors import AcytooError
from ..protocol import Request
from .failures import translate
from .sockets import Limits, SocketScope
from .transport import STACK_ERRORS, TIMEOUTS, Transport


class Closable(Protocol):
    """The reply below requests', as far as its end goes."""

    def close(self) -> None:
        """Closes its connection."""


class Exchange:
    """Sends one request, and receives its reply. One thread uses it; `abort` may come from any.

    Args:
        transport: where connections come from.
        request: what to send.
        timeout: the limits of this attempt.
        deadline: the limit on everything, on the monotonic clock; None for none.
        mask: applied to what exceptions of the stack say.

    Attributes:
        whole: whether the body is complete: True, or None where its framing cannot tell; False before its end.
    """

    def __init__(
        self, transport: Transport, request: Request, *, timeout: Timeout, deadline: float | None, mask: Mask
    ) -> None:
        self.whole: bool | None = False
        self._transport = transport
        self._request = request
        self._mask = mask
        self._scope = SocketScope(Limits(timeout, deadline))
        self._raw: Closable | None = None
        self._framed = False
        self._pieces: Iterator[bytes] = iter(())
        self._failure: AcytooError | None = None

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._scope.aborted

    def abort(self) -> None:
        """Ends it from any thread: who reads wakes at once, in an error, and nothing read from now on is used."""
        self._scope.abort()

    def open(self) -> tuple[int, list[tuple[str, str]]]:
        """Sends the request; returns the status and the headers of the reply, in order of arrival.

        Raises:
            AcytooError: what became of it instead.
        """
        try:
            response = self._transport.send(self._request, self._scope)
        except STACK_ERRORS as caught:
            error = caught
        else:
            self._framed = self._scope.reply is not None  # a mock's body has no framing
            self._raw, self._pieces = response.raw, response.iter_content(None)
            return response.raw.status, list(response.raw.headers.items())
        failure = self._translated(error)
        if (reply := self._scope.reply) is None or not isinstance(failure, AcytooError):
            raise failure
        # urllib3 refuses some heads by itself; the protocol's judgement of the same head comes first, and says more.
        self._failure = failure
        return reply.status, reply.headers.items()

    def read_by(self, framing: FramingReader) -> None:
        """From now on `receive` takes the body out of this framing."""
        self._scope.framing = framing

    def receive(self) -> bytes | None:
        """The next bytes of the body, as soon as any have arrived; None at its end.

        Raises:
            AcytooError: the rest did not come.
        """
        if self._failure is not None:
            raise self._failure
        try:
            data = next(self._pieces, None)
        except STACK_ERRORS as caught:
            error = caught
        else:
            if data is None:
                self.whole = self._scope.framing.whole if self._framed else None
            return data
        try:
            raise self._translated(error)
        finally:
            del error  # a signal handler's, which is raised again: this frame must not hold it

    def close(self) -> None:
        """Closes the connection, for the thread that reads; after a reply's end it has been kept for the next call."""
        self._scope.close()
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    @clears_frames
    def _translated(self, error: Exception) -> BaseException:
        url = self._request.url
        return translate(
            error,
            self._scope,
            url=url,
            proxy=self._transport.proxies.address_for(url),
            mask=self._mask,
            timed_out=isinstance(error, TIMEOUTS),
        )
