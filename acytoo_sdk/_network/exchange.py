"""The exchange: one request and its reply, up to the bytes of its body. No meaning of a reply is known here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from .._options import Timeout
from .._secrets import Mask, clears_frames
from .._wire.framing import FramingReader
from ..protocol import Request
from .connections import RawReply
from .failures import translate
from .limits import Limits
from .sockets import SocketScope
from .transport import STACK_ERRORS, TIMEOUTS, Transport

T = TypeVar("T")


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

    __slots__ = ("_awaited", "_mask", "_next_piece", "_raw", "_request", "_scope", "_transport", "whole")

    def __init__(
        self, transport: Transport, request: Request, *, timeout: Timeout, deadline: float | None, mask: Mask
    ) -> None:
        self.whole: bool | None = False
        self._transport = transport
        self._request = request
        self._mask = mask
        self._scope = SocketScope(Limits(timeout, deadline))
        self._raw: Any = None  # what the stack reads the reply from: ours, or a mock's
        self._awaited: RawReply | None = None  # the same, where it is ours
        self._next_piece: Callable[[], bytes | None] = lambda: None

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._scope.aborted

    def abort(self) -> None:
        """Ends it from any thread: whoever reads wakes at once, in an error, and nothing read from now on is used."""
        self._scope.abort()

    @property
    def waits(self) -> bool:
        """Whether what comes next is the other end's to say; else there is something to be told at once."""
        scope = self._scope
        return not (scope.framing.done or scope.framing.error or scope.late)

    def send(self) -> None:
        """Connects, and sends the request; waits for both.

        Raises:
            AcytooError: what became of it instead.
        """
        response = self._translating(lambda: self._transport.send(self._request, self._scope))
        self._raw, self._next_piece = response.raw, partial(next, response.iter_content(None), None)
        self._awaited = response.raw if isinstance(response.raw, RawReply) else None

    def unblock(self) -> int | None:
        """From now on nothing waits for the other end: somebody watches its socket, and looks after the limits.

        Returns:
            The socket's descriptor; None where there is none to be watched, and waiting goes on as before.
        """
        return None if self._awaited is None else self._awaited.unblock()

    def before_close(self, act: Callable[[], None]) -> None:
        """Has something done before the socket is closed, or given back."""
        self._scope.before_close = act

    def due(self, since: float) -> float:
        """When a limit will have run out, on the monotonic clock, if nothing comes after `since`; or infinity."""
        return self._scope.limits.due(since)

    def expire(self) -> None:
        """A limit has run out: what has arrived is still handed out, then there is an error."""
        self._scope.late = True

    def receive_head(self) -> tuple[int, list[tuple[str, str]]] | None:
        """The status and the headers of the reply, in order of arrival; None while they have not arrived.

        Raises:
            AcytooError: what came instead.
        """
        if self._awaited is not None and not self._translating(self._awaited.receive_head):
            return None
        return self._raw.status, list(self._raw.headers.items())

    def read_by(self, framing: FramingReader) -> None:
        """From now on `receive` takes the body out of this framing."""
        self._scope.framing = framing

    def receive(self) -> bytes | None:
        """The next bytes of the body; b"" where none have arrived and the socket does not wait; None at its end.

        Raises:
            AcytooError: the rest did not come.
        """
        try:
            data = self._next_piece()
        except STACK_ERRORS as caught:
            error = caught
        else:
            if data is None:
                self.whole = None if self._awaited is None else self._scope.framing.whole
            return data
        try:
            raise self._translated(error)
        finally:
            del error  # as below

    def close(self) -> None:
        """Closes the connection, for the thread that reads; after a reply's end it has been kept for the next call."""
        self._scope.close()
        raw, self._raw, self._awaited = self._raw, None, None
        if raw is not None:
            raw.close()

    def _translating(self, step: Callable[[], T]) -> T:
        """What a step of the stack returns; what it raises is said in our words."""
        try:
            return step()
        except STACK_ERRORS as caught:
            error = caught
        try:
            raise self._translated(error)
        finally:
            del error  # a signal handler's, which is raised again: this frame must not hold it

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
