"""Commands in a conversation: how one is found by what was typed, what it takes, and how all of them are listed."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, TypeVar

from ...errors import InvalidRequestError

T = TypeVar("T")

AS_TEXT = "//... sends a text that begins with a slash, and so does a space before it"
_COLUMN = 16  # of the list, in which it says what a command does


@dataclass(frozen=True)
class Command(Generic[T]):
    """A command.

    Attributes:
        name: what stands behind the slash.
        takes: in the words of the list: nothing, TEXT up to the end, or one FILE or NAME; in brackets, it may be left
            out.
        what: what it does, for the list.
        run: does it; gets what was typed behind the name, checked, "" for nothing.
        again: another name of it, or "".
    """

    name: str
    takes: str
    what: str
    run: Callable[[T, str], None]
    again: str = ""

    def checked(self, argument: str) -> str:
        """What was typed behind the name, as it will be used.

        Raises:
            InvalidRequestError: there is too much of it, or nothing.
        """
        if not argument:
            if self.takes and not self.takes.startswith("["):
                raise InvalidRequestError(f"/{self.name} takes a {self.takes}")
            return ""
        kind = self.takes.strip("[]")
        if not kind:
            raise InvalidRequestError(f"/{self.name} takes nothing behind it; {AS_TEXT}")
        if kind == "TEXT":
            return argument
        if len(argument) > 2 and argument[0] in "'\"" and argument.find(argument[0], 1) == len(argument) - 1:
            argument = argument[1:-1]
        elif re.search(r"\s", argument):
            raise InvalidRequestError(f"/{self.name} takes one {kind}: put one with spaces into quotes")
        return os.path.expanduser(argument) if kind == "FILE" else argument


def find_command(text: str, commands: Sequence[Command[T]]) -> tuple[Command[T], str]:
    """The command that a text begins with, and its argument.

    Raises:
        InvalidRequestError: there is none; the message names one that is near.
    """
    word, argument = re.fullmatch(r"/(\S*)\s*(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    for command in commands:
        if word and word in (command.name, command.again):
            return command, command.checked(argument.rstrip())
    names = [command.name for command in commands]
    begun = [name for name in names if word and name.startswith(word.lower())]
    near = begun or get_close_matches(word.lower(), names, n=1)
    meant = f"did you mean /{near[0]}?" if near else "/help lists them."
    raise InvalidRequestError(f"There is no command /{shortened(word)}: {meant} {AS_TEXT}")


def listed(commands: Sequence[Command[T]], *, width: int) -> str:
    """A list of commands, for so many columns."""
    rows = []
    for command in commands:
        usage = f"/{command.name} {command.takes}".ljust(_COLUMN)
        rows.append(textwrap.fill(command.what, width, initial_indent=usage, subsequent_indent=" " * _COLUMN))
    return "\n".join(rows)


def shortened(text: str, most: int = 50) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
