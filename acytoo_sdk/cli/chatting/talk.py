"""What a line typed in `acytoo chat` does: a question, or one of the commands in the table at the end.

Knows no terminal: where lines come from is the business of `chat`, and how things are shown that of `output`.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from ..._client import Client
from ..._streams.stream import Stream
from ...conversation import Conversation
from ...errors import AcytooError, InvalidRequestError, StreamCancelledError
from ..statuses import hint_of, sentence_of
from .clipboard import MOST_BYTES, clipboard_code
from .commands import AS_TEXT, Command, find_command, listed, shortened

_NOTHING = "-"  # instead of instructions
_AS_BEFORE = "The conversation is as it was before; /retry asks again."


class Output(Protocol):
    """Where a talk shows what it has to show."""

    @property
    def may_escape(self) -> bool:
        """Whether escape codes may be written."""

    @property
    def width(self) -> int:
        """In columns."""

    def write(self, text: str) -> None:
        """Shows what was asked for."""

    def write_code(self, code: str) -> None:
        """Writes an escape code."""

    def tell(self, sentence: str) -> None:
        """Tells something beside that."""

    def fail(self, sentence: str, hint: str | None = None) -> None:
        """Tells an error."""

    def replying(self, stream: Stream) -> AbstractContextManager[Callable[[str], None]]:
        """Shows a reply: the block passes its pieces on. A Ctrl-C in it cancels the stream."""


class Talk:
    """A conversation that is led by lines of text.

    Args:
        client: asks.
        conversation: of this client.
        output: shows.
        keys: what the keys do, for `/help`.
        file: where the conversation is written after each change; None: nowhere.

    Attributes:
        is_over: whether a command has ended it.
    """

    def __init__(
        self, client: Client, conversation: Conversation, output: Output, *, keys: str = "", file: str | None = None
    ) -> None:
        self._client, self._conversation, self._output = client, conversation, output
        self._keys, self._file = keys, file
        self._unanswered: str | None = None  # the last question, while its reply was not read to its end
        self._own_files: set[str] = set()  # written or read here
        self._is_unsaved = False
        self.is_over = False

    @property
    def model(self) -> str | None:
        """The model that is asked; None where the server is not told."""
        return None if self._client.options.payload in ("ai-sdk", "prompt") else self._conversation.model

    def receive(self, line: str) -> None:
        """Does what a line says, to its end. Whatever the service does, the talk goes on."""
        text = line.strip("\n").rstrip()
        try:
            _check_encodable(text)
            if text.startswith("//"):
                self._ask(text[1:])
            elif text.startswith("/"):
                command, argument = find_command(text, COMMANDS)
                command.run(self, argument)
            elif text:
                self._ask(text.lstrip() if text.lstrip().startswith("/") else text)
        except AcytooError as error:
            self._output.fail(sentence_of(error), hint_of(error))

    def load(self, path: str) -> None:
        """Goes on with the conversation in a file.

        Raises:
            InvalidRequestError: there is none in it.
            OSError: it cannot be read.
        """
        self._conversation.load(path)
        self._unanswered = None
        self._own_files.add(os.path.realpath(path))
        questions = [turn["content"] for turn in self._conversation.messages if turn["role"] == "user"]
        last = f', the last "{shortened(questions[-1])}"' if questions else ""
        model = "" if self.model is None else f", asked of {self.model}"
        self._output.tell(f"Loaded {path}: {_counted(len(questions), 'question')}{last}{model}")

    def end(self) -> None:
        """Writes what could not be written before, or tells again that it cannot."""
        if self._is_unsaved:
            self._is_unsaved = False
            self._keep()

    # Questions

    def _ask(self, question: str) -> None:
        stream = self._conversation.send(question)
        self._unanswered = question
        self._show(stream)

    def _retry(self, argument: str) -> None:
        unanswered = self._unanswered
        self._show(self._conversation.retry() if unanswered is None else self._conversation.send(unanswered))

    def _show(self, stream: Stream) -> None:
        try:
            with stream, self._output.replying(stream) as show:
                for piece in stream:
                    show(piece)
        except StreamCancelledError:
            self._output.tell(f"Stopped. {_AS_BEFORE}")
        except AcytooError as error:
            self._output.fail(sentence_of(error), hint_of(error))
            self._output.tell(_AS_BEFORE)
        else:
            self._unanswered = None
            self._keep()
        if stream.notice:
            self._output.tell(f"The server added a notice: {' '.join(stream.notice.split())}")

    # The file

    def _keep(self) -> None:
        """Writes the conversation to its file, if it has one. What fails is told once, and at the end."""
        if self._file is None:
            return
        try:
            self._write(self._file)
        except OSError as error:
            if not self._is_unsaved:
                self._tell_unsaved(self._file, error)
            self._is_unsaved = True
        else:
            self._is_unsaved = False

    def _write(self, path: str) -> None:
        if os.path.realpath(path) not in self._own_files and holds_something(path):
            raise FileExistsError(None, "it is there already, and only what was loaded or saved here is replaced")
        self._conversation.save(path)
        self._own_files.add(os.path.realpath(path))

    def _tell_unsaved(self, path: str, error: OSError) -> None:
        self._output.fail(f"The conversation is not saved in {path}: {error.strerror or error}")

    # Commands

    def _help(self, argument: str) -> None:
        width = self._output.width
        rest = textwrap.fill(f"{AS_TEXT}. {self._keys}", width)
        self._output.write(f"{listed(COMMANDS, width=width)}\n\n{rest}\n")

    def _system(self, argument: str) -> None:
        if not argument:
            self._output.write(f"{self._conversation.system or 'There are no instructions.'}\n")
            return
        self._conversation.system = None if argument == _NOTHING else argument
        self._output.tell(
            f"The next question is sent {'without' if argument == _NOTHING else 'with these'} instructions"
        )
        self._keep()

    def _undo(self, argument: str) -> None:
        before = self._conversation.messages
        self._conversation.undo()
        self._unanswered = None
        question = next(turn["content"] for turn in reversed(before) if turn["role"] == "user")
        self._output.tell(f'Taken back, with its answer: "{shortened(question)}"')
        self._keep()

    def _save(self, argument: str) -> None:
        path = argument or self._file
        if path is None:
            raise InvalidRequestError("/save takes a FILE, since there is no --save")
        try:
            self._write(path)
        except OSError as error:
            self._tell_unsaved(path, error)
        else:
            self._output.tell(f"Saved in {path}")

    def _load(self, argument: str) -> None:
        try:
            if os.path.exists(argument) and not os.path.isfile(argument):
                raise OSError("it is no file")  # reading it might never end
            self.load(argument)
        except OSError as error:
            self._output.fail(f"{argument} cannot be read: {error.strerror or error}")

    def _copy(self, argument: str) -> None:
        answers = [turn["content"] for turn in self._conversation.messages if turn["role"] == "assistant"]
        if not answers:
            raise InvalidRequestError("There is no answer yet that could be copied")
        if not self._output.may_escape:
            raise InvalidRequestError("Copying takes an escape code, and this terminal is to be written none")
        code = clipboard_code(answers[-1])
        if code is None:
            raise InvalidRequestError(
                f"The answer is longer than what terminals copy, about {MOST_BYTES // 1000} kB; /save FILE keeps it"
            )
        self._output.write_code(code)
        in_tmux = " (tmux passes it on with: set -g set-clipboard on)" if os.environ.get("TMUX") else ""
        self._output.tell(f"The terminal was asked to copy {_counted(len(answers[-1]), 'character')}{in_tmux}")

    def _model(self, argument: str) -> None:
        if self.model is None:
            raise InvalidRequestError("The server is not told which model to ask: it chooses one itself")
        if not argument:
            self._output.write(f"{self.model}\n")
            return
        self._conversation = self._client.conversation(messages=self._conversation.messages, model=argument)
        self._output.tell(f"The next question goes to {argument}")
        self._keep()

    def _exit(self, argument: str) -> None:
        self.is_over = True


COMMANDS: tuple[Command[Talk], ...] = (
    Command("help", "", "Lists the commands.", Talk._help),
    Command(
        "system", "[TEXT]", f"Shows the instructions for the model, or sets them; {_NOTHING} for none.", Talk._system
    ),
    Command("retry", "", "Asks the last question again.", Talk._retry),
    Command("undo", "", "Takes the last question and its answer back.", Talk._undo),
    Command("save", "[FILE]", "Writes the conversation to a file.", Talk._save),
    Command("load", "FILE", "Goes on with a conversation from a file.", Talk._load),
    Command("copy", "", "Copies the last answer to the clipboard.", Talk._copy),
    Command("model", "[NAME]", "Shows the model, or asks another one from now on.", Talk._model),
    Command("exit", "", "Leaves, as Ctrl-D does.", Talk._exit, again="quit"),
)
"""Every command, in the order of `/help`."""


def holds_something(path: str) -> bool:
    """Whether a file is there that would be lost if another one took its place."""
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def _check_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError("What was typed holds bytes that are no text in UTF-8") from error


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
