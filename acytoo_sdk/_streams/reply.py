"""The reply of the attempt that was answered: its next text, when there is one, its end, or its error.

Bytes come from the exchange, and what they mean is the protocol's judgement. Whoever reads, a blocking stream or a
thread that reads for others, asks the same object the same question.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._network.provenance import is_foreign
from ..errors import AcytooError
from ..protocol import ReplyHead, ReplyReader, ReplyState

if TYPE_CHECKING:
    from .._network.exchange import Exchange


_HEAD, _BODY = ReplyState.HEAD, ReplyState.BODY  # an enum looks its members up, which is felt once for each piece


@dataclass
class ReplyFacts:
    """What is known of a reply besides its text.

    Attributes:
        head: of the last attempt's reply; None before it arrives.
        notice: the advertisement stripped after the reply; None before the end, and where there was none.
        whole: whether the body is complete: True or None (its framing cannot tell) at its end, else False.
    """

    head: ReplyHead | None = None
    notice: str | None = None
    whole: bool | None = False


class Reply:
    """One reply, read by whoever opened it.

    Args:
        exchange: brings the bytes.
        reader: says what they mean.
        facts: where what becomes known is noted.
    """

    __slots__ = ("_exchange", "_facts", "_reader")

    def __init__(self, exchange: Exchange, reader: ReplyReader, facts: ReplyFacts) -> None:
        self._exchange = exchange
        self._reader = reader
        self._facts = facts

    @property
    def waits(self) -> bool:
        """Whether `more` has nothing to tell before the server says more."""
        state = self._reader.state
        return self._exchange.waits if state is _BODY else state is _HEAD

    def send(self) -> None:
        """Connects, and sends the request.

        Raises:
            AcytooError: there was no connection.
        """
        self._exchange.send()

    def more(self) -> str | None:
        """The next text; "" where what arrived makes none yet, None at the end.

        Raises:
            AcytooError: the reply is broken, or no reply; the text before the fault was returned.
        """
        reader = self._reader
        if reader.state is not _BODY:
            if reader.error is not None:
                raise reader.error
            if reader.state is ReplyState.DONE:
                return None
            if not self._receive_head():
                return ""
        try:
            data = self._exchange.receive()
        except AcytooError as error:
            if self._exchange.aborted or is_foreign(error):
                raise
            return reader.receive_break(without_frames(error))
        if data is not None:
            return reader.receive_data(data)
        text = reader.receive_eof()
        if reader.error is None:
            self._facts.whole = self._exchange.whole
        return text

    def close(self) -> None:
        """Closes the connection, for the thread that reads; after a reply's end it has been kept for the next call."""
        self._facts.notice = self._reader.notice
        self._exchange.close()

    def _receive_head(self) -> bool:
        """Whether the head has arrived."""
        head = self._exchange.receive_head()
        if head is None:
            return False
        try:
            self._reader.receive_head(*head, now=time.time())
        finally:
            self._facts.head = self._reader.head
        self._exchange.read_by(self._reader.framing)
        return True


def without_frames(error: AcytooError) -> AcytooError:
    """The error, freed of the frames it came through: they hold whoever holds the error. `call` says why it matters.

    That of another call, which a signal handler made, keeps them: nobody here holds it, and they tell whose it is.
    """
    return error if is_foreign(error) else error.with_traceback(None)
