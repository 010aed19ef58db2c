"""The lines that were typed, kept in a file from one run to the next; it is for its owner alone."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)  # for who writes into a FIFO, should it be one
_MOST_BYTES = 2**20  # of the end of the file, that are read: more than anybody goes back


class LineHistory:
    """The file. Where it cannot be used, lines are not kept, and `failure` says why.

    Args:
        path: of the file; it is made, and its folder, if they are not there.

    Attributes:
        lines: those of earlier runs, the oldest first.
        failure: a sentence; None as long as nothing failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[str] = []
        self.failure: str | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_BYTES))
                self.lines = [line for part in file.read().split(b"\n") if (line := _parsed(part))]
        except OSError as error:
            self._fail(error)

    def add(self, line: str) -> None:
        """Keeps a line; it may hold line ends."""
        if self.failure is not None:
            return
        try:
            with self._opened() as file:
                file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        except OSError as error:
            self._fail(error)

    def _opened(self) -> BinaryIO:
        """The file, to be read and to be added to; readable by its owner alone, whatever it was before."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _NOT_WAITING, 0o600)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError("not a file")
            if stat.S_IMODE(status.st_mode) != 0o600:
                os.chmod(self._path, 0o600)
            return os.fdopen(descriptor, "r+b", buffering=0)
        except BaseException:
            os.close(descriptor)
            raise

    def _fail(self, error: OSError) -> None:
        self.failure = f"What you type is not kept for the next time: {self._path}: {error.strerror or error}"


def history_path() -> Path:
    """Where the file of this user is."""
    from platformdirs import user_state_path

    return user_state_path("acytoo") / "history"


def _parsed(data: bytes) -> str | None:
    """A line of the file as it was typed; None for what is none."""
    try:
        line = json.loads(data)
    except ValueError:
        return None
    return line if isinstance(line, str) else None
