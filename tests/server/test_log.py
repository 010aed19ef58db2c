"""The log takes lines at once, whoever reads it, and loses none that somebody reads."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from acytoo_sdk.server import log as log_file
from acytoo_sdk.server.log import Log


@dataclass
class Pipe:
    """A pipe that a log goes to, and the test reads."""

    source: int
    target: int

    def fill(self) -> int:
        """Writes until nothing more goes into it; returns how many bytes that were."""
        os.set_blocking(self.target, False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                count += os.write(self.target, b"x")
        os.set_blocking(self.target, True)
        return count

    def skip(self, count: int) -> None:
        while count:
            count -= len(os.read(self.source, count))

    def rest(self) -> list[str]:
        """The lines in it, without their times, until its other end is closed."""
        os.close(self.target)
        with os.fdopen(os.dup(self.source), "rb") as file:
            lines = file.read().decode().splitlines(keepends=True)
        found = [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)\n", line) for line in lines]
        return [each[1] if each else "no line" for each in found]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    for end in (pipe.source, pipe.target):
        with contextlib.suppress(OSError):
            os.close(end)


def test_every_line_is_written_in_order_behind_its_time(pipe: Pipe) -> None:
    log = Log(pipe.target)
    for number in range(500):
        log.write(f"line {number}")
    log.close()

    assert pipe.rest() == [f"line {number}" for number in range(500)]


def test_what_no_encoding_can_say_is_written_all_the_same(pipe: Pipe) -> None:
    log = Log(pipe.target)
    log.write("модель \udcff")
    log.close()

    assert pipe.rest() == ["модель ?"]


def test_a_log_that_goes_nowhere_takes_lines_and_has_no_thread() -> None:
    before = threading.active_count()
    log = Log(None)
    log.write("a line")
    log.close()

    assert threading.active_count() == before


@pytest.mark.parametrize("blocking", [True, False])
def test_a_log_that_nobody_reads_holds_nobody_up_and_keeps_only_so_many_lines(
    blocking: bool, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "_MOST_LINES", 3)
    monkeypatch.setattr(log_file, "_CLOSE_SECONDS", 0.01)
    count = pipe.fill()
    os.set_blocking(pipe.target, blocking)
    log = Log(pipe.target)
    for number in range(20):
        log.write(str(number))
    log.close()  # does not wait for who never reads

    pipe.skip(count)
    monkeypatch.undo()
    log.close()
    lines = pipe.rest()

    assert lines == [str(number) for number in range(len(lines))]
    assert len(lines) in (3, 4), "those that wait, and perhaps one on its way"


def test_a_long_line_that_goes_out_in_parts_is_whole(pipe: Pipe) -> None:
    log = Log(pipe.target)
    os.set_blocking(pipe.target, False)
    long = "x" * 200_000
    log.write(long)
    parts = b""
    while not parts.endswith(b"\n"):
        parts += os.read(pipe.source, 65536)
    log.close()

    assert parts.decode().endswith(f" {long}\n")


def test_a_reader_that_left_ends_the_log_and_nothing_else(pipe: Pipe) -> None:
    before = set(threading.enumerate())
    log = Log(pipe.target)
    writer = next(iter(set(threading.enumerate()) - before))
    os.close(pipe.source)
    log.write("a line")
    writer.join()
    log.write("another")
    log.close()
