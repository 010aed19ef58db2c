"""The lines that were typed, in their file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acytoo_sdk.cli.chatting.line_history import LineHistory


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "acytoo" / "history"


def test_lines_come_back_in_the_next_run(path: Path) -> None:
    lines = ["one", "two\nlines", "Привет 🙂", "+ # \\ '\""]
    first = LineHistory(path)
    for line in lines:
        first.add(line)
    assert first.failure is None
    assert LineHistory(path).lines == lines


def test_it_is_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        LineHistory(path).add("one")
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)
        path.chmod(0o666)
        LineHistory(path)
        assert mode(path) == 0o600
    finally:
        os.umask(before)


def test_two_that_run_at_once_lose_nothing(path: Path) -> None:
    first, second = LineHistory(path), LineHistory(path)
    first.add("one")
    second.add("two")
    first.add("three")
    assert LineHistory(path).lines == ["one", "two", "three"]


def test_what_is_no_line_is_passed_over(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'"one"\n\n{}\n[1]\nnull\n\xff\n"tw\n"three"')
    history = LineHistory(path)
    assert history.lines == ["one", "three"]


def test_what_no_utf_8_can_hold_is_kept_without_it(path: Path) -> None:
    LineHistory(path).add("a\udcffb")
    assert LineHistory(path).lines == ["a?b"]


def test_a_long_file_is_not_read_to_its_beginning(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f'"first"\n"{"x" * 2**20}"\n"last"\n')
    assert LineHistory(path).lines == ["last"]


@pytest.mark.parametrize("what", ["folder", "fifo", "file in the way"])
def test_where_it_cannot_be_it_says_so(path: Path, what: str) -> None:
    if what == "folder":
        path.mkdir(parents=True)
    elif what == "fifo":
        path.parent.mkdir(parents=True)
        os.mkfifo(path)
    else:
        path.parent.parent.mkdir()
        path.parent.write_text("")
    history = LineHistory(path)
    assert history.failure is not None
    assert history.failure.startswith(f"What you type is not kept for the next time: {path}: ")
    history.add("one")
    assert history.lines == []


def test_a_disk_that_becomes_full_is_told_once(path: Path) -> None:
    history = LineHistory(path)
    path.unlink()
    path.mkdir()
    history.add("one")
    first = history.failure
    assert first is not None
    path.rmdir()
    history.add("two")
    assert history.failure == first
    assert not path.exists()
