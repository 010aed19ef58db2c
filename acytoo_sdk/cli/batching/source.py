"""The input of a batch: a file, or stdin, whose lines are read when they are wanted."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from ...errors import InvalidRequestError

if TYPE_CHECKING:
    from typing_extensions import Self

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
STDIN = "-"


class Source:
    """Lines of UTF-8, the blank ones left out; a byte order mark is dropped.

    Args:
        path: of a file; "-" is stdin, which stays open.

    Attributes:
        name: of it, for messages.

    Raises:
        InvalidRequestError: stdin is closed.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.name = "stdin" if path == STDIN else path
        self._is_stdin = path == STDIN
        self._file = _stdin() if self._is_stdin else open(path, "rb")  # noqa: SIM115 - see `__exit__`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_stdin:
            self._file.close()

    @property
    def is_terminal(self) -> bool:
        """Whether somebody types the lines."""
        return self._file.isatty()

    def count(self, most: int | None) -> int | None:
        """How many lines there will be, at most so many; None where only reading tells: in a pipe, for instance."""
        if not _is_regular(self._file):
            return None
        place = self._file.tell()
        try:
            return sum(1 for _ in islice(self._raw_lines(), most))
        finally:
            self._file.seek(place)

    def is_written_to(self, output: str | None) -> bool:
        """Whether a file is this one, which would grow while it is read; None: stdout."""
        try:
            status = os.fstat(sys.stdout.fileno()) if output is None else os.stat(output)
        except OSError:  # it is not there yet, or no file of the system's
            return False
        return _is_regular(self._file) and os.path.samestat(status, os.fstat(self._file.fileno()))

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each line without its end, behind the words for its place.

        Raises:
            InvalidRequestError: one is not UTF-8.
            OSError: it cannot be read; the error names it.
        """
        for number, line in self._raw_lines():
            place = f"{self.name}, line {number}"
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InvalidRequestError(f"{place} is not UTF-8 at byte {error.start}") from None
            if not text.isspace():
                yield place, text

    def _raw_lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            for number, line in enumerate(self._file, 1):
                line = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                if line.strip():
                    yield number, line
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from None


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise InvalidRequestError("no prompts: stdin is closed")
    return sys.stdin.buffer


def _is_regular(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # no file of the system's
        return False
