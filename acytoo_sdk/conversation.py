"""Conversations: the turns so far, kept on our side of the wire, and sent with each new question.

One class holds everything; `Conversation` and `AsyncConversation` add `ask`, which waits. Nothing is sent here: that is
the client's `stream`. Whether a reply was finished is asked of its call, later. So no stream has to know of a
conversation, and a stream that is dropped ends as any other.
"""

from __future__ import annotations

import copy
import os
import threading
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ._checks import check_bound, check_messages, check_text
from ._display.characters import printable
from ._display.markdown import turns_as_html
from ._history import has_system, last_question, read_turns, shortened, with_system, without_last_turn, write_turns
from ._options import Options, RetryPolicy, Timeout
from ._streams.base import BaseStream, Printer, call_of
from ._streams.call import Call
from ._streams.lifecycle import CallState
from .errors import InvalidRequestError
from .protocol import Message, MessageLike, Messages

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._streams.async_stream import AsyncStream  # noqa: F401 - anyio would come with it
    from ._streams.stream import Stream  # noqa: F401 - named in a string, as its twin is

S = TypeVar("S", bound=BaseStream)
S_co = TypeVar("S_co", bound=BaseStream, covariant=True)


class _Client(Protocol[S_co]):
    """What a conversation needs of a client."""

    @property
    def options(self) -> Options:
        """What is in force."""

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None,
        temperature: float | None,
        timeout: Timeout | float | None | EllipsisType,
        retry: RetryPolicy | int | None,
    ) -> S_co:
        """Starts a reply."""


class BaseConversation(Generic[S]):
    """A conversation, except for `ask`, which waits in its own way in each class below."""

    def __init__(
        self,
        client: _Client[S],
        *,
        system: str | None = None,
        messages: Sequence[MessageLike] = (),
        model: str | None = None,
        temperature: float | None = None,
        timeout: Timeout | float | None | EllipsisType = ...,
        retry: RetryPolicy | int | None = None,
        limit_characters: int | None = None,
    ) -> None:
        self._client = client
        self._options = client.options.for_call(model=model, temperature=temperature, timeout=timeout, retry=retry)
        self._own_model = model is not None
        self._limit = check_bound("limit_characters", limit_characters)
        turns = copy.deepcopy(check_messages(messages)) if messages else []
        self._state = _State(turns if system is None else with_system(turns, system))
        self._process, self._lock = os.getpid(), threading.RLock()

    @property
    def messages(self) -> list[Message]:
        """The finished turns, oldest first, behind the system message if there is one; a copy."""
        with self._own_lock():
            self._take_finished_turn()
            return copy.deepcopy(self._state.messages)

    @property
    def system(self) -> str | None:
        """The system message in front of the turns, or None. Setting it takes effect with the next question.

        Raises:
            InvalidRequestError: on setting: it is no text, or a reply is on its way.
        """
        with self._own_lock():
            messages = self._state.messages
            return messages[0]["content"] if has_system(messages) else None

    @system.setter
    def system(self, text: str | None) -> None:
        with self._own_lock():
            self._check_idle()
            self._state = replace(self._state, messages=with_system(self._state.messages, text))

    @property
    def model(self) -> str:
        """The model that is asked: the conversation's own, that of a loaded file, or the client's."""
        return self._options.model

    def send(self, text: str) -> S:
        """Asks, with all the turns before; the turn enters the history when the reply was read to its end.

        Args:
            text: the question.

        Returns:
            The stream of the reply, as the client's `stream` makes it. A reply that is cancelled, breaks, or is dropped
            before its end leaves the history as it was.

        Raises:
            InvalidRequestError: `text` is empty or no text; or an earlier reply of this conversation is on its way:
                read it to its end, close it, or drop it.
            ClientClosedError: the client was closed.

        Example:
            >>> from acytoo_sdk import Client
            >>> from acytoo_sdk.testing import FakeServer
            >>> with FakeServer("Hello!") as server:
            ...     conversation = Client(server.url).conversation()
            ...     for piece in conversation.send("Hi"):
            ...         print(piece)
            ...     conversation.messages
            Hello!
            [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello!'}]
        """
        question: Message = {"role": "user", "content": check_text("text", text)}
        with self._own_lock():
            self._check_idle()
            return self._ask(question, replaces_last=False)

    def retry(self) -> S:
        """Sends the last question again: the one whose reply was not finished, else that of the last turn.

        Returns:
            The stream of the new reply. The old answer is taken out of the history only when the new one was read to
            its end.

        Raises:
            InvalidRequestError: there is no question, or a reply of this conversation is on its way.
            ClientClosedError: the client was closed.
        """
        with self._own_lock():
            self._check_idle()
            messages, pending = self._state.messages, self._state.pending
            if pending is not None:
                return self._ask(pending.question, replaces_last=pending.replaces_last)
            return self._ask(messages[last_question(messages, "send again")], replaces_last=True)

    def undo(self) -> None:
        """Takes the last turn out of the history: the last question, and everything that followed it.

        Raises:
            InvalidRequestError: there is no turn, or a reply of this conversation is on its way.
        """
        with self._own_lock():
            self._check_idle()
            self._state = _State(without_last_turn(self._state.messages, "undo"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the finished turns to a file, as JSON: `{"version": 1, "model": ..., "messages": [...]}`.

        The file is written whole or not at all: even if the process crashes, an old file stays until the new one is on
        the disk. A new file is readable by its owner alone. A link stays, and the file that it names is replaced; a
        FIFO, a device or a folder is not. No key and no password is written. Blocks for as long as the disk takes; in
        async code, call it in a thread.

        Args:
            path: of the file; its folder must exist.

        Raises:
            OSError: the file cannot be written, or what stands at the path is not a file; nothing there has changed.

        Example:
            >>> import pathlib, tempfile
            >>> from acytoo_sdk import Client
            >>> client = Client("http://127.0.0.1:8000")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = pathlib.Path(folder, "talk.json")
            ...     client.conversation(system="Be brief.").save(path)
            ...     client.conversation().load(path).system
            'Be brief.'
        """
        with self._own_lock():
            model, messages = self.model, self.messages
        write_turns(path, model=model, messages=messages)

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Reads turns from a file that `save` wrote; they replace those here. Blocks for as long as the disk takes.

        The file's model is asked from now on, unless this conversation was made with a `model=` of its own.

        Args:
            path: of the file.

        Returns:
            This conversation.

        Raises:
            InvalidRequestError: the file holds no conversation; the message names the file and the place in it, as
                `messages[3].role`. Or a reply is on its way. The turns here stay as they were.
            OSError: the file cannot be read.
        """
        model, messages = read_turns(path)
        with self._own_lock():
            self._check_idle()
            self._state = _State(messages)
            if model is not None and not self._own_model:
                self._options = replace(self._options, model=model)
        return self

    def __repr__(self) -> str:
        if "_lock" not in vars(self):
            return object.__repr__(self)  # its constructor failed, and somebody renders the traceback
        with self._own_lock():
            self._take_finished_turn()
            return f"<{type(self).__name__} of {len(self._state.messages)} messages, model {self.model!r}>"

    def _repr_html_(self) -> str | None:
        messages = self.messages
        return turns_as_html(messages) if messages else None

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        turns = [f"{turn['role']}: {turn['content']}" for turn in self.messages]
        printer.text(printable("\n\n".join(turns)) or repr(self))

    def _own_lock(self) -> AbstractContextManager[object]:
        """The lock, made anew in a forked child: a thread that the child does not have may hold the parent's."""
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
        return self._lock

    def _ask(self, question: Message, *, replaces_last: bool) -> S:
        messages = self._state.messages
        before = without_last_turn(messages) if replaces_last else messages
        stream = self._client.stream(
            shortened([*before, question], self._limit),
            model=self._options.model,
            temperature=self._options.temperature,
            timeout=self._options.timeout,
            retry=self._options.retry,
        )
        self._state = _State(messages, _Pending(question, replaces_last, call_of(stream), weakref.ref(stream)))
        return stream

    def _check_idle(self) -> None:
        pending = self._state.pending
        over = pending is None or pending.over  # looked up first: else a reply that is finished now would be lost
        self._take_finished_turn()
        if self._state.pending is not None and not over:
            raise InvalidRequestError(
                "A reply of this conversation is on its way: one at a time",
                hint="read it to its end, or close its stream",
            )

    def _take_finished_turn(self) -> None:
        """Adds the pending turn to the history, if its reply is finished by now."""
        messages, pending = self._state.messages, self._state.pending
        if pending is not None and pending.call.state is CallState.COMPLETED:
            before = without_last_turn(messages) if pending.replaces_last else messages
            self._state = _State([*before, pending.question, {"role": "assistant", "content": pending.call.text}])


class Conversation(BaseConversation["Stream"]):
    """A conversation with the model; blocking. `Client.conversation` makes one.

    The endpoint remembers nothing: all turns are sent with each question. One reply is on its way at a time, and a turn
    enters the history only when its reply was read to its end. May be shared between threads.

    Args:
        client: asks the questions.
        system: goes in front of the turns, in the place of a system message that `messages` begins with; None: none.
        messages: the turns so far, oldest first. Copied.
        model: instead of the client's; None keeps that.
        temperature: instead of the client's; None keeps that.
        timeout: for each reply, instead of the client's; None switches all limits off, `...` keeps the client's.
        retry: for each reply, instead of the client's; None keeps that.
        limit_characters: the most characters that are sent, the new question and the system message included; None for
            no bound. The oldest turns that do not fit are not sent, but stay in the history. Sent whatever the limit
            is: system messages, and the new question. A turn, a question with all that follows it, is sent whole or
            not at all.

    Raises:
        InvalidRequestError: an argument is not usable; the message names it.

    Example:
        >>> from acytoo_sdk import Client
        >>> from acytoo_sdk.testing import FakeServer
        >>> with FakeServer(lambda request: f"{len(request['messages'])} heard") as server:
        ...     conversation = Client(server.url).conversation(system="Be brief.")
        ...     conversation.ask("Hi")
        ...     conversation.ask("And now?")
        '2 heard'
        '4 heard'
    """

    def ask(self, text: str) -> str:
        """Asks, and waits for the whole reply: `send(text).read()`.

        Args:
            text: the question.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as `send` and its stream do; `partial_text` holds what had arrived, and the history is as it
                was.
        """
        return self.send(text).read()


class AsyncConversation(BaseConversation["AsyncStream"]):
    """A conversation with the model; for async code. `AsyncClient.conversation` makes one.

    The twin of `Conversation`: the same arguments, names and promises. `send` and `retry` return streams for `async
    for`, with no `await` before it; `ask` is awaited; what sends nothing is not.

    Args:
        client: an `AsyncClient`; all the others are those of `Conversation`.

    Raises:
        InvalidRequestError: an argument is not usable; the message names it.

    Example:
        >>> import asyncio
        >>> from acytoo_sdk import AsyncClient
        >>> from acytoo_sdk.testing import FakeServer
        >>> async def main():
        ...     with FakeServer("Hello!") as server:
        ...         conversation = AsyncClient(server.url).conversation()
        ...         print(await conversation.ask("Hi"))
        >>> asyncio.run(main())
        Hello!
    """

    async def ask(self, text: str) -> str:
        """Asks, and waits for the whole reply: `await send(text).read()`.

        Args:
            text: the question.

        Returns:
            The text of the reply.

        Raises:
            AcytooError: as `send` and its stream do; `partial_text` holds what had arrived, and the history is as it
                was.
        """
        return await self.send(text).read()


@dataclass(frozen=True)
class _Pending:
    """A question that was sent, and whose turn is not in the history yet.

    Attributes:
        question: what was asked.
        replaces_last: whether its turn will take the place of the last one.
        call: tells how the reply ended, also after its stream was dropped.
        stream: the reply, as long as somebody holds it.
    """

    question: Message
    replaces_last: bool
    call: Call
    stream: weakref.ref[BaseStream]

    @property
    def over(self) -> bool:
        """Whether no more of its reply will be read."""
        return self.call.over or self.stream() is None


@dataclass(frozen=True)
class _State:
    """What a conversation holds: replaced by one assignment, so that no turn enters twice, whatever interrupts it.

    Attributes:
        messages: the finished turns.
        pending: the question whose turn is not among them yet, or None.
    """

    messages: list[Message]
    pending: _Pending | None = None
