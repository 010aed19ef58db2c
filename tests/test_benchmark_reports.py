"""What a run of the benchmarks tells: while it runs, in a file, and as a picture. Nothing is measured here."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from benchmarks import __main__ as command
from benchmarks import plot, report
from benchmarks.contest import Bar, Line
from benchmarks.progress import Progress

_LINES = [
    Line("calls", "CPU a call", "ours", "ours", 2.0, "us", 0.5, None, (2.0, 2.0), None),
    Line("calls", "CPU a call", "ours", "faster", 1.0, "us", 0.5, 2.0, (1.5, 2.5), Bar(1.2)),
    Line("calls", "CPU a call", "ours", "slower", 4.0, "us", None, 0.5, (0.4, 0.6), Bar(None, 1.0)),
    Line("calls", "CPU a call", "ours", "free of charge", 0.0, "us", None, 2e9, (0.0, 2e9), None),
    Line("calls", "calls a second", "ours", "left behind", 4.0, "", None, 0.5, (0.4, 0.6), None, more_is_better=True),
    Line("delay", "delay of a call", "ours", "ours", 3.0, "ms", None, 3.0, (3.0, 3.0), Bar(5.0)),
]


def _report() -> report.Report:
    return report.Report(report.conditions_now(quick=True), _LINES, ["absent is left out: no module"])


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    told = _report()
    report.write(told, tmp_path / "kept.json")
    assert report.read(tmp_path / "kept.json") == told


def test_a_kept_run_is_shown_without_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "running", _measuring)
    report.write(_report(), tmp_path / "kept.json")
    assert command.main(["--from", str(tmp_path / "kept.json")]) == 1  # a bar is missed
    shown = capsys.readouterr().out
    assert "(absent is left out: no module)" in shown
    assert "FAILED" in shown


def _measuring() -> None:
    raise AssertionError("something is measured")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--json", "missing/kept.json"], "missing/kept.json: No such file or directory"),
        (["--json", "."], ".: Is a directory"),
        (["--from", "missing.json"], "missing.json: No such file or directory"),
        (["--from", "other.json"], "other.json is not what --json writes"),
        (["--from", "other.json", "--quick"], "--from measures nothing"),
    ],
)
def test_a_file_that_does_not_do_is_refused_before_anything_is_measured(
    words: list[str],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("[]")
    _assert_refused(words, why, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("drawn.doc", "drawn.doc: matplotlib draws to "),
        ("drawn", "drawn: matplotlib draws to "),
        ("missing/drawn.svg", "missing/drawn.svg: No such file or directory"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    file: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    _assert_refused(["--plot", file], why, capsys, monkeypatch)


def test_without_matplotlib_a_picture_is_refused_with_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.backend_bases"):
        monkeypatch.setitem(sys.modules, name, None)
    why = "--plot needs matplotlib: pip install 'acytoo-sdk[bench]'"
    _assert_refused(["--plot", str(tmp_path / "drawn.svg")], why, capsys, monkeypatch)
    assert list(tmp_path.iterdir()) == []


def _assert_refused(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "running", _measuring)
    with pytest.raises(SystemExit) as refused:
        command.main(words)
    assert refused.value.code == 2
    told = capsys.readouterr()
    assert f"error: {why}" in told.err
    assert told.out == ""


def test_a_check_leaves_no_file_behind_and_one_that_is_there_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("kept")
    for name in ("there", "new"):
        report.check_writable(tmp_path / name)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


def test_the_picture_names_each_measure_and_peer_as_text(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot.draw(_report(), tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text(encoding="utf-8")
    for text in (
        "CPU a call: ours beside",
        ">faster<",
        ">slower<",
        "2×, bar missed",
        "free of charge",
        "Lower is better",
    ):
        assert text in drawn, text
    for text in ("left behind", "delay of a call"):
        assert text not in drawn, text


def test_a_run_that_compares_nothing_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot.draw(report.Report(report.conditions_now(quick=True), _LINES[-1:]), tmp_path / "drawn.svg")
    assert "Lower is better" in (tmp_path / "drawn.svg").read_text(encoding="utf-8")


def test_a_terminal_sees_the_rounds_and_whose_turn_it_is_until_a_line_is_printed() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        with Progress(8, terminal) as progress:
            progress.show("calls", 3, "a peer", 1)
            assert screen.read(1000) == b"\r\x1b[K[##########----------] 4 of 8 rounds; calls: a peer"
            progress.show("calls", 3, "a peer" * 50, 1)
            assert len(screen.read(1000)) < 80 + len("\r\x1b[K")
            progress.erase()
            assert screen.read(1000) == b"\r\x1b[K"
        assert screen.read(1000) == b"\r\x1b[K"


def test_no_terminal_sees_nothing() -> None:
    stream = io.StringIO()
    with Progress(8, stream) as progress:
        progress.show("calls", 3, "a peer", 1)
    assert stream.getvalue() == ""
