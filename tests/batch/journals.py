"""What the tests of journals share: results to write, and what a file says afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acytoo_sdk import AcytooError, Message
from acytoo_sdk._batch.journal import Journal, key_of
from acytoo_sdk._batch.task import Result


def question(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def key(text: str) -> str:
    return key_of(question(text), model="tiny", temperature=0.5)


def answer(text: str | None = "Hello!", index: int = 0, *, error: AcytooError | None = None) -> Result[str]:
    return Result(index, "Hi", text, error, None, None if error is None else False, None, 1, False)


def write(path: Path, *texts: str) -> list[bytes]:
    """Keeps answers to the prompts "0", "1" and so on; returns the lines of the file, their ends with them."""
    with contextlib.closing(Journal(str(path))) as journal:
        for index, text in enumerate(texts):
            journal.write(answer(text, index), key=key(str(index)), messages=question(str(index)))
    return path.read_bytes().splitlines(keepends=True)


def entries(path: Path) -> list[dict[str, Any]]:
    """What a file says, if it is whole."""
    data = path.read_bytes()
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def open_files() -> list[str]:
    """The files that this process has open."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(name for name in found if name.startswith("/") and not name.startswith("/proc/"))


@contextlib.contextmanager
def full_disk(path: Path, *, room: int) -> Iterator[None]:
    """A file that cannot grow by more than so many bytes: EFBIG, where a disk says ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
