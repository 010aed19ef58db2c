"""The journal of a batch: a file with a JSON object a line, one for each prompt that came to its end.

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
import stat
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any

from ..errors import AcytooError, InvalidRequestError
from ..protocol import Message
from .task import Outcome, Result

_KEYS = ("id", "index", "at", "messages", "text", "error", "attempts", "notice", "whole", "request_id")
_BEGINNING = b'{"id": "'
_SYNC_EVERY = 1.0  # seconds
_open: weakref.WeakSet[Journal] = weakref.WeakSet()


def key_of(messages: Sequence[Message], *, model: str, temperature: float) -> str:
    """The `id` of a prompt: 128 bits, in hexadecimal, of what is asked, and of no secret."""
    asked = json.dumps([messages, model, float(temperature)], ensure_ascii=False, sort_keys=True)
    return blake2b(asked.encode(), digest_size=16).hexdigest()


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
        OSError: it cannot be opened, read or written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        self._answers: dict[bytes, list[int]] = {}  # where the lines are that were not taken, the oldest last
        self._synced_at = time.monotonic()
        self._is_synced = True
        _open.add(self)
        try:
            self._check_file()
            self._lock()
            self._reader = open(path, "rb")  # noqa: SIM115 - as long as the journal is open
            self._read()
        except BaseException:
            self.close()
            raise

    def take(self, key: str) -> Outcome | None:
        """An answer from an earlier run, each once; None where there is none."""
        lines = self._answers.get(bytes.fromhex(key))
        if not lines:
            return None
        self._reader.seek(lines.pop())
        entry = json.loads(self._reader.readline())
        return Outcome(
            entry["text"], None, entry["notice"], entry["whole"], entry["request_id"], attempts=entry["attempts"]
        )

    def write(self, result: Result[Any], *, key: str, messages: Sequence[Message]) -> None:
        """Appends what became of a prompt.

        Raises:
            OSError: the disk is full, for instance; the file is as it was.
        """
        entry = entry_of(result, key=key, messages=messages)
        self._append(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

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
            OSError: the disk fails, for instance.
        """
        if not self._is_synced:
            self._is_synced, self._synced_at = True, time.monotonic()
            self._sync(self._descriptor)

    def close(self) -> None:
        """Closes the file, and gives it to other runs. It is on the disk then."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        _open.discard(self)
        try:
            if not self._is_synced:
                self._sync(descriptor)
        finally:
            os.close(descriptor)
            with contextlib.suppress(AttributeError):  # it was not opened yet
                self._reader.close()

    def abandon(self) -> None:
        """In a forked child, where the file is the parent's."""
        os.close(self._descriptor)
        self._descriptor, self._is_synced = -1, True

    def _sync(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None

    def _append(self, line: bytes) -> None:
        end = os.fstat(self._descriptor).st_size
        self._is_synced = False
        try:
            while line:  # at once, unless the disk is full
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, end)
            raise OSError(error.errno, error.strerror, self._path) from None

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
        for number, line in enumerate(self._reader, 1):
            if not line.endswith(b"\n"):
                self._mend(line, number, end)
            else:
                self._note(_entry(line), number, end)
            end += len(line)
        for lines in self._answers.values():
            lines.reverse()

    def _note(self, entry: Mapping[str, Any] | str, number: int, place: int) -> None:
        if isinstance(entry, str):
            raise InvalidRequestError(f"journal: line {number} of {self._path!r} {entry}")
        if "text" in entry:
            self._answers.setdefault(bytes.fromhex(entry["id"]), []).append(place)

    def _mend(self, line: bytes, number: int, place: int) -> None:
        """The last line has no end: it is whole but for that, or was torn by a crash."""
        entry = _entry(line)
        if not isinstance(entry, str):
            self._append(b"\n")
            self._note(entry, number, place)
        elif line[: len(_BEGINNING)] == _BEGINNING[: len(line)]:
            os.ftruncate(self._descriptor, place)
        else:  # it is somebody else's file
            self._note(entry, number, place)


def _entry(line: bytes) -> dict[str, Any] | str:
    """What a line says; or what is wrong with it."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return "is damaged, or the file is no journal"
    if not isinstance(entry, dict):
        return "is no entry of a journal"
    if strange := [key for key in entry if key not in _KEYS]:
        return f"is no entry of a journal, or one of another version: it has {strange[0]!r}"
    kinds = {"id": str, "index": int, "attempts": int, **({"error": dict} if "error" in entry else {"text": str})}
    for key, kind in kinds.items():
        if not isinstance(entry.get(key), kind):
            return f"is damaged, or of another version: {key} must be {kind.__name__}"
    try:
        bytes.fromhex(entry["id"])
    except ValueError:
        return "is damaged, or of another version: id must be hexadecimal"
    return {"notice": None, "whole": None, "request_id": None, **entry}


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
        except OSError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _abandon_all() -> None:
    for journal in [*_open]:
        journal.abandon()


if hasattr(os, "register_at_fork"):
    # A child that outlives a killed parent would keep the lock.
    os.register_at_fork(after_in_child=_abandon_all)
