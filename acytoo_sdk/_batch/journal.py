"""The journal of a batch: a file with a JSON object a line, one for each prompt that was sent and came to its end.

    {"id": ..., "index": ..., "at": ..., "messages": [...], "text": ..., "attempts": ..., "notice": ..., "whole": ...,
     "request_id": ...}

or, in the place of `text`, `"error": {"type": ..., "message": ..., "retryable": ...}`. A line with a key that is not
among these is of another version of this package.

What is written is whole at any moment: each line is appended by one write, and what a crash has torn off at the end is
cut away by the next run. One run at a time has the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any

from ..errors import AcytooError, InvalidRequestError
from ..protocol import Message
from .task import Outcome, Result

_REQUIRED = {"id": str, "index": int, "attempts": int}
_OPTIONAL = {"at": str, "messages": list, "notice": str, "whole": bool, "request_id": str}
_ANSWER = {**_REQUIRED, "text": str}
_FAILURE = {**_REQUIRED, "error": dict}
_ID = re.compile("[0-9a-f]{32}")
_BEGINNING = b'{"id": "%s", "index": ' % (b"0" * 32)
# JSON leaves them as they are, but `str.splitlines` and editors end a line at them.
_LINE_ENDS = "\x85\u2028\u2029"
_SYNC_EVERY = 1.0  # seconds
_open: weakref.WeakSet[Journal] = weakref.WeakSet()


def key_of(messages: Sequence[Message], *, model: str, temperature: float) -> str:
    """The `id` of a prompt: 128 bits, in hexadecimal, of what is asked, and of no secret."""
    asked = [messages, model, temperature + 0.0]  # so that 1 is 1.0, and -0.0 is 0.0
    try:
        text = json.dumps(asked, ensure_ascii=False, sort_keys=True)
    except TypeError:  # somewhere inside are keys of several types, all of which JSON writes as text
        text = json.dumps(json.loads(json.dumps(asked)), ensure_ascii=False, sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def entry_of(result: Result[Any], *, key: str, messages: Sequence[Message]) -> dict[str, Any]:
    """What became of a prompt, as it stands in a journal."""
    error = result.error
    return {
        "id": key,
        "index": result.index,
        "at": _now(),
        "messages": messages,
        **({"text": result.text} if error is None else {"error": _failure(error)}),
        "attempts": result.attempts,
        "notice": result.notice,
        "whole": result.whole,
        "request_id": result.request_id,
    }


class Journal:
    """A journal that is open, and locked against other runs.

    Args:
        path: of the file; made, for its owner alone, where there is none.

    Raises:
        InvalidRequestError: another run has it, or it is no journal; the line is named.
        OSError: it cannot be opened, read or written; the file is named.
    """

    _descriptor = -1

    def __init__(self, path: str) -> None:
        self._path = path
        self._answers: dict[bytes, int] = {}  # where the line of each answer begins that was not taken yet
        self._further: dict[bytes, list[int]] = {}  # where more answers to the same prompt begin, the oldest last
        self._last_index: int | None = None  # of the result that was written last
        self._torn_at: int | None = None  # where a line begins that could neither be finished nor cut away
        self._synced_at = time.monotonic()
        self._is_synced = True
        _open.add(self)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
        try:
            with self._errors_named():
                self._descriptor = os.open(path, flags, 0o600)
                self._check_file()
                self._lock()
                self._read()
        except BaseException:
            self.close()
            raise

    def take(self, key: str) -> Outcome | None:
        """An answer of an earlier run, which is handed out once; None where none is left.

        Raises:
            InvalidRequestError: the file was changed in the meantime.
            OSError: it cannot be read.
        """
        digest = bytes.fromhex(key)
        place = self._answers.pop(digest, None)
        if place is None:
            return None
        if further := self._further.get(digest):
            self._answers[digest] = further.pop()
        with self._errors_named():
            entry = _entry(next(self._lines(place), b""))
        if isinstance(entry, str) or entry["id"] != key or "text" not in entry:
            raise InvalidRequestError(f"journal: {self._path!r} was changed since this run began")
        return Outcome(
            entry["text"], None, entry["notice"], entry["whole"], entry["request_id"], attempts=entry["attempts"]
        )

    def write(self, result: Result[Any], *, key: str, messages: Sequence[Message]) -> None:
        """Appends what became of a prompt.

        Nothing is appended twice in a row: a caller that was interrupted cannot know whether its line was written.

        Raises:
            OSError: the disk is full, for instance; the file is as it was.
        """
        if result.index == self._last_index:
            return
        line = json.dumps(entry_of(result, key=key, messages=messages), ensure_ascii=False)
        for end in _LINE_ENDS:
            line = line.replace(end, f"\\u{ord(end):04x}")
        with self._errors_named():
            self._append(line.encode("utf-8", "replace") + b"\n", result.index)

    @property
    def is_open(self) -> bool:
        """Whether it may be written: not in a forked child, where it is the parent's."""
        return self._descriptor >= 0

    @property
    def wants_sync(self) -> bool:
        """Whether something was written, and the last `sync` was a second ago."""
        return not self._is_synced and time.monotonic() - self._synced_at >= _SYNC_EVERY

    def sync(self) -> None:
        """Has the system write to the disk what it keeps in memory.

        Raises:
            OSError: it cannot; what of it is on the disk is not known.
        """
        if not self._is_synced:
            self._is_synced, self._synced_at = True, time.monotonic()
            with self._errors_named():
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Writes what is left to the disk, closes the file, and lets other runs have it."""
        if self._descriptor < 0:
            return
        try:
            if not self._is_synced:
                self.sync()
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):
                _unlock(descriptor)  # a forked child may still hold a copy, and the lock lasts as long as any copy
            os.close(descriptor)

    def abandon(self) -> None:
        """Closes the file in a forked child, and leaves its lock and its content to the parent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()  # an interruption may have come between opening the file and keeping this object

    def _append(self, line: bytes, index: int | None = None) -> None:
        if self._torn_at is not None:
            self._cut(self._torn_at)
        end = os.fstat(self._descriptor).st_size
        self._is_synced = False
        try:
            while line:  # one write takes all of it, unless the disk is full
                line = line[os.write(self._descriptor, line) :]
            self._last_index = index
        except BaseException:
            if index is None or index != self._last_index:  # else the interruption came after the whole line
                self._torn_at = end
                with contextlib.suppress(OSError):
                    self._cut(end)
            raise

    def _cut(self, end: int) -> None:
        os.ftruncate(self._descriptor, end)
        self._torn_at = None

    def _check_file(self) -> None:
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise InvalidRequestError(f"journal must be a file, and {self._path!r} is none")

    def _lock(self) -> None:
        try:
            _lock(self._descriptor)
        except BlockingIOError:
            raise InvalidRequestError(f"journal: another run has {self._path!r}") from None

    def _read(self) -> None:
        """Finds the answers, and mends the end."""
        end = 0
        for number, line in enumerate(self._lines(0), 1):
            if _is_torn(line):
                self._cut(end)
                break
            self._note(_entry(line), number, end)
            if not line.endswith(b"\n"):  # and nothing else is missing
                self._append(b"\n")
            end += len(line)
        for places in self._further.values():
            places.reverse()

    def _note(self, entry: dict[str, Any] | str, number: int, place: int) -> None:
        if isinstance(entry, str):
            raise InvalidRequestError(f"journal: line {number} of {self._path!r} {entry}")
        if "text" in entry:
            digest = bytes.fromhex(entry["id"])
            if digest in self._answers:
                self._further.setdefault(digest, []).append(place)
            else:
                self._answers[digest] = place

    def _lines(self, place: int) -> Iterator[bytes]:
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(place)  # writing and locking move the position of the descriptor
            yield from file

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno is not None:  # else a signal handler raised it, not the system
                error.filename = self._path
            raise


def _entry(line: bytes) -> dict[str, Any] | str:
    """What a line says; or what is wrong with it."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return "is damaged, or the file is no journal"
    if not isinstance(entry, dict):
        return "is no entry of a journal"
    needed = _FAILURE if "error" in entry else _ANSWER
    if strange := [key for key in entry if key not in needed and key not in _OPTIONAL]:
        return f"is no entry of a journal, or one of another version: it has {strange[0]!r}"
    entry = {**dict.fromkeys(_OPTIONAL), **entry}
    for key, kind in {**_OPTIONAL, **needed}.items():
        value = entry.get(key)
        if not isinstance(value, kind) and (value is not None or key in needed):
            return f"is damaged, or of another version: {key} must be {kind.__name__}"
    if not _ID.fullmatch(entry["id"]):
        return "is damaged, or of another version: id must be 32 hexadecimal digits"
    return entry


def _is_torn(line: bytes) -> bool:
    """Whether it is the beginning of an entry, and of no other file's line."""
    digits = slice(_BEGINNING.index(b"0"), _BEGINNING.rindex(b"0") + 1)
    beginning = bytearray(line[: len(_BEGINNING)])
    beginning[digits] = re.sub(rb"[0-9a-f]", b"0", beginning[digits])
    if line.endswith(b"\n") or not _BEGINNING.startswith(beginning):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _failure(error: AcytooError) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 2**62, os.SEEK_SET)  # where nobody reads: others may not read what is locked
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 2**62, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _abandon_all() -> None:
    for journal in [*_open]:
        journal.abandon()


if hasattr(os, "register_at_fork"):
    # A child that outlives a killed parent would keep the lock.
    os.register_at_fork(after_in_child=_abandon_all)
