"""The turns of a conversation as data: taken apart, shortened, and kept in a file. Nothing is asked or sent here.

A turn is a question of the user's with all that follows it, up to the next question. Messages that instruct the model
(`system`, `developer`) belong to no turn: they are neither left out nor undone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Sequence

from ._checks import check_messages, check_text
from .errors import InvalidRequestError
from .protocol import Message

_INSTRUCTIONS = ("system", "developer")
_VERSION = 1
_SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def has_system(messages: Sequence[Message]) -> bool:
    """Whether a system message is in front."""
    return bool(messages) and messages[0]["role"] == "system"


def with_system(messages: list[Message], text: str | None) -> list[Message]:
    """The same turns behind another system message; None: behind none."""
    turns = messages[1:] if has_system(messages) else messages
    return turns if text is None else [{"role": "system", "content": check_text("system", text)}, *turns]


def last_question(messages: Sequence[Message], verb: str) -> int:
    """Where the last turn begins.

    Args:
        messages: the conversation.
        verb: what was to be done with that turn, for the message.

    Raises:
        InvalidRequestError: there is no turn.
    """
    for index in reversed(range(len(messages))):
        if messages[index]["role"] == "user":
            return index
    raise InvalidRequestError(f"There is nothing to {verb}: the conversation has no question yet")


def without_last_turn(messages: list[Message], verb: str = "send again") -> list[Message]:
    """All but the last turn.

    Raises:
        InvalidRequestError: there is no turn.
    """
    start = last_question(messages, verb)
    return [turn for index, turn in enumerate(messages) if index < start or turn["role"] in _INSTRUCTIONS]


def shortened(messages: list[Message], limit: int | None) -> list[Message]:
    """What is sent of a history and its new question: as many of the last turns, each whole, as fit into the limit.

    Args:
        messages: the history; the new question is the last message.
        limit: in characters; None for no bound.
    """
    if limit is None:
        return messages
    question = len(messages) - 1
    turns = [index for index in range(question) if messages[index]["role"] not in _INSTRUCTIONS]
    left = limit - sum(len(messages[index]["content"]) for index in {*range(len(messages))} - {*turns})
    start = question
    for index in reversed(turns):
        left -= len(messages[index]["content"])
        if left < 0:
            break
        if messages[index]["role"] == "user" or index == turns[0]:  # messages before the first question are a turn too
            start = index
    dropped = {index for index in turns if index < start}
    return [turn for index, turn in enumerate(messages) if index not in dropped]


def write_turns(path: str | os.PathLike[str], *, model: str, messages: Sequence[Message]) -> None:
    """Writes a file whole or not at all: another one is written beside it, and then takes its place.

    Raises:
        OSError: the file cannot be written, or what stands at its path is not a file.
    """
    from tempfile import mkstemp  # slow to import, and seldom needed

    content = {"version": _VERSION, "model": model, "messages": messages}
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    mode = _mode_of_file(path)
    target = os.path.realpath(path)  # else a link would be replaced, and not the file that it names
    descriptor, temporary = mkstemp(prefix=".acytoo-", suffix=".tmp", dir=os.path.dirname(target))
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode_of_file(path: str | os.PathLike[str]) -> int | None:
    """The permissions of the file at the end of a path and its links; None: there is nothing yet."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EEXIST
        found = _SPECIAL.get(stat.S_IFMT(mode), "something special")
        raise OSError(code, f"{found} stands there, and only a file is replaced", os.fspath(path))
    return stat.S_IMODE(mode)


def read_turns(path: str | os.PathLike[str]) -> tuple[str | None, list[Message]]:
    """The model and the messages in a file.

    Raises:
        InvalidRequestError: it does not hold a conversation; the message names the file and the place.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _parsed(data)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{os.fspath(path)}: {error}") from error.__cause__


def _parsed(data: bytes) -> tuple[str | None, list[Message]]:
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"not UTF-8 at byte {error.start}") from error
    except ValueError as error:
        raise InvalidRequestError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise InvalidRequestError("nests too deep to be a conversation") from error
    if not isinstance(content, dict):
        raise InvalidRequestError(f"must hold a JSON object, not {_kind(content)}")
    for name in ("version", "messages"):
        if name not in content:
            raise InvalidRequestError(f"{name} is missing")
    version, model, messages = content["version"], content.get("model"), content["messages"]
    if type(version) is not int or version != _VERSION:
        raise InvalidRequestError(f"version must be {_VERSION}, not {json.dumps(version)[:50]}")
    if not isinstance(messages, list):
        raise InvalidRequestError(f"messages must be a list, not {_kind(messages)}")
    return None if model is None else check_text("model", model), check_messages(messages) if messages else []


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
