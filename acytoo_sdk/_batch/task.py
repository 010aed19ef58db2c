"""One prompt of a batch: the task, the outcome of one attempt, and the result that is handed out. Data alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from .._streams.base import BaseStream
from .._streams.reply import without_frames
from ..errors import AcytooError, ClientClosedError, StreamCancelledError
from ..protocol import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What became of one prompt.

    Attributes:
        index: its place in the input, from 0 on.
        item: what the input gave.
        text: the reply, whole; None where there is an error.
        error: what its last attempt ended in; `error.partial_text` is what had arrived. None: there is a reply.
        notice: the advertisement that was stripped after the reply; None where there was none.
        whole: True where the reply is known to be complete, None where its framing cannot tell; False with an error.
        request_id: the server's name for the last request, or None.
        attempts: requests sent for it, those included that were only told to wait; in all runs, if it was resumed.
        resumed: whether the reply was in the journal, and nothing was asked.
    """

    index: int
    item: T
    text: str | None
    error: AcytooError | None
    notice: str | None
    whole: bool | None
    request_id: str | None
    attempts: int
    resumed: bool

    def unwrap(self) -> str:
        """The text of the reply.

        Raises:
            AcytooError: the error, where there is no reply.

        Example:
            >>> Result(0, "Hi", "Hello!", None, None, True, None, 1, False).unwrap()
            'Hello!'
        """
        if self.error is not None:
            raise self.error
        assert self.text is not None, "there is one or the other"
        return self.text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to; the attributes are those of `Result`.

    Attributes:
        attempts: 1; or 0, if nothing was sent.
    """

    text: str | None
    error: AcytooError | None
    notice: str | None
    whole: bool | None
    request_id: str | None
    attempts: int


class Task(Generic[T]):
    """One prompt, from the input to its result.

    Attributes:
        index: its place in the input.
        item: what the input gave.
        messages: what is sent.
        key: names messages, model and temperature in a journal; "" without one.
        outcome: of the last attempt; or an exception that is not the call's, but a listener's, for one. None while
            there is none yet. Set by whoever made the attempt, in any thread.
        attempts: requests sent.
        failures: attempts that failed, without those that were only told to wait.
        pauses: how many pauses the batch had made when this was last sent.
        result: what is handed out, once that is known.
    """

    __slots__ = ("attempts", "failures", "index", "item", "key", "messages", "outcome", "pauses", "result")

    def __init__(self, index: int, item: T) -> None:
        self.index = index
        self.item = item
        self.messages: list[Message] = []
        self.key = ""
        self.outcome: Outcome | BaseException | None = None
        self.attempts = 0
        self.failures = 0
        self.pauses = 0
        self.result: Result[T] | None = None

    def finish(self, outcome: Outcome, *, resumed: bool = False) -> None:
        """Makes the result of the last outcome."""
        self.result = Result(
            self.index,
            self.item,
            outcome.text,
            outcome.error,
            outcome.notice,
            outcome.whole,
            outcome.request_id,
            self.attempts,
            resumed,
        )


def answered(stream: BaseStream, text: str) -> Outcome:
    """The outcome of an attempt whose stream was read to its end."""
    head = stream.head
    return Outcome(text, None, stream.notice, stream.whole, None if head is None else head.request_id, 1)


def failed(error: AcytooError, attempts: int) -> Outcome | AcytooError:
    """The outcome of an attempt that ended in an error; the error itself, where the call was ended from outside.

    Only the batch and its client can end its calls. So the batch or the client was closed, which ends the batch, and is
    not what became of one prompt.
    """
    without_frames(error)
    if isinstance(error, ClientClosedError | StreamCancelledError):
        return error
    return Outcome(None, error, None, False, error.request_id, attempts)
