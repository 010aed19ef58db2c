"""The benchmarks still run. What they measure is not looked at here: this machine may be busy."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from benchmarks import report
from benchmarks.batches import BATCHES
from benchmarks.contest import Measure, Row, play
from benchmarks.server import STAMP, Served, running
from benchmarks.streams import Figures, TooSlowError, streams_async
from benchmarks.worker import Worker

ROOT = Path(__file__).parent.parent
_PIECE = "0" * STAMP


def test_a_quick_run_shows_each_contender_and_the_bars_and_keeps_what_it_shows(tmp_path: Path) -> None:
    only = ["--only", "pieces", "--only", "delay-length", "--only", "import"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--json", str(tmp_path / "kept.json"), *only],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.stderr == ""
    assert run.returncode in (0, 1)
    heading, *lines = run.stdout.splitlines()
    assert heading.split()[:2] == ["row", "contender"]
    for contender in (" acytoo ", " acytoo async ", " requests ", " read1 ", " socket ", " import acytoo_sdk "):
        assert any(contender in line for line in lines), contender
    assert any(line.endswith(("reached", "FAILED")) for line in lines)
    kept = report.read(tmp_path / "kept.json")
    assert [line.title for line in kept.lines] == [line[:47].strip() for line in lines if not line.startswith("(")]
    assert {line.row for line in kept.lines} >= {"pieces", "delay-length", "import"}
    assert kept.conditions.quick


def test_each_turn_is_told_with_the_rounds_that_are_done() -> None:
    turns: list[tuple[str, int]] = []
    row = Row("nothing", ("pass", "0"), 9, (Measure("wall", "nothing", "s"),), warmups=1)
    nowhere = Served("", "", "")
    assert len([*play(row, nowhere, quick=True, playing=lambda *turn: turns.append(turn))]) == 2
    assert turns == [("pass", 0), ("0", 0), ("pass", 1), ("0", 1)]
    assert row.all_rounds(quick=True) == 2


@pytest.mark.parametrize(
    ("peer", "tls"),
    [("requests", False), ("acytoo async", False), ("acytoo async trio", False), ("acytoo async", True)],
)
def test_a_peer_reads_each_piece_of_a_paced_stream(peer: str, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [ROOT, ROOT / "tests"])))  # for the processes it starts
    with ExitStack() as stack:
        served = stack.enter_context(running())
        url, authority = (served.tls_url, served.authority) if tls else (served.url, None)
        worker = stack.enter_context(Worker(peer, task="1 streams", url=url, authority=authority))
        for _ in range(2):
            assert worker.round("/paced/50/50/chunked")["characters"] == 50 * STAMP


def test_each_batch_is_answered_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [ROOT, ROOT / "tests"])))  # for the processes it starts
    with ExitStack() as stack:
        url = stack.enter_context(running()).url
        workers = [stack.enter_context(Worker(peer, task="100 prompts", url=url)) for peer in BATCHES]
        for worker in workers:
            assert worker.round("/hello")["characters"] == 100 * len("Hello!")


def test_the_window_is_from_when_all_streams_are_open_to_when_the_first_ends() -> None:
    async def play() -> Figures:
        first_is_open, both_are_open, first_ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def first() -> AsyncIterator[str]:
            yield _PIECE
            yield _PIECE
            first_is_open.set()
            await both_are_open.wait()
            yield _PIECE + _PIECE
            yield _PIECE
            first_ends.set()

        async def second() -> AsyncIterator[str]:
            await first_is_open.wait()
            yield _PIECE
            both_are_open.set()
            await first_ends.wait()
            yield _PIECE

        replies = iter([first(), second()])
        return await streams_async(lambda _: next(replies), "/", 2)

    figures = asyncio.run(play())
    assert figures["characters"] == 7 * STAMP
    assert round(figures["rate"] * figures["window"] * 2) == 3


def test_streams_that_are_never_open_all_at_once_are_left_out() -> None:
    async def first() -> AsyncIterator[str]:
        yield _PIECE

    async def second() -> AsyncIterator[str]:
        await asyncio.sleep(0)
        yield _PIECE

    replies = iter([first(), second()])
    with pytest.raises(TooSlowError):
        asyncio.run(streams_async(lambda _: next(replies), "/", 2))
