"""How far a batch is: what is told of it, and the bar that a terminal shows."""

from __future__ import annotations

import json
import time
from io import StringIO
from pathlib import Path

import pytest
from programs import acytoo, in_terminal

from acytoo_sdk._batch.task import Result
from acytoo_sdk.cli.batching import progress
from acytoo_sdk.cli.batching.progress import Pace, progress_of, telling_progress
from acytoo_sdk.cli.batching.tally import Tally
from acytoo_sdk.cli.display.terminal import Terminal
from acytoo_sdk.errors import RateLimitError
from acytoo_sdk.testing import FakeServer, Gate

BAR = "━"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_lines(count: int) -> None:
    Path("in.txt").write_text("".join(f"prompt {number}\n" for number in range(count)), "utf-8")


def tally(total: int | None, *, answered: int = 0, resumed: int = 0, failed: int = 0) -> Tally:
    counted = Tally(total, output=None)
    for is_resumed in [False] * answered + [True] * resumed:
        counted.add(Result(0, None, "text", None, None, True, None, 1, is_resumed))
    for _ in range(failed):
        error = RateLimitError("no", status_code=429, headers={}, body="", retry_after=None)
        counted.add(Result(0, None, None, error, None, False, None, 1, False))
    return counted


# Words


@pytest.mark.parametrize(
    ("counted", "rate", "text", "share"),
    [
        (tally(None), 0.0, "0", None),
        (tally(None, answered=3, failed=1), 2.0, "4, 1 failed, 2/s", None),
        (tally(8), 0.0, "0 of 8", 0.0),
        (tally(8, answered=4), 12.345, "4 of 8, 12.3/s, 0:00:00 left", 0.5),
        (
            tally(8, answered=1, resumed=2, failed=1),
            0.05,
            "4 of 8, 2 by an earlier run, 1 failed, 3/min, 0:01:20 left",
            0.5,
        ),
        (tally(1, answered=2), 1.0, "2 of 2, 1/s, 0:00:00 left", 1.0),
        (tally(0), 0.0, "0 of 0", 0.0),
    ],
)
def test_it_is_told_in_a_few_words(counted: Tally, rate: float, text: str, share: float | None) -> None:
    told = progress_of(counted, rate)
    assert (told.text, told.share) == (text, share)


def test_the_rate_is_that_of_the_last_minute() -> None:
    pace = Pace(0.0)
    assert pace.rate(0, 0.0) == 0
    assert pace.rate(10, 5.0) == 2
    assert [pace.rate(10 + second, 5.0 + second) for second in range(1, 61)][-1] == pytest.approx(60 / 60)
    assert pace.rate(70, 1_000.0) < 0.1
    assert pace.rate(70, 1_100.0) == 0


def test_without_a_terminal_a_line_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 0.01)
    write_lines(3)
    with FakeServer(["one ", "two"], pause=0.1) as server:
        arguments = ["batch", "--base-url", server.url, "in.txt"]
        told = acytoo(*arguments, env={"FORCE_COLOR": "1"}).stderr
        quiet = acytoo(*arguments, "-q").stderr
    first, *_, last = told.splitlines()
    assert "0 of 3" in first
    assert "3 of 3 prompts answered" in last
    assert BAR not in told
    assert quiet == ""


# A terminal


def test_a_terminal_shows_a_bar_that_is_gone_at_the_end() -> None:
    write_lines(4)
    gate = Gate()
    gate.release(1)
    with FakeServer("Hello!", gate=gate) as server:
        with in_terminal("batch", "--base-url", server.url, "in.txt", "-o", "out.jsonl") as screen:
            screen.wait_for("1 of 4, ")
            assert screen.lines[-1].startswith(BAR)
            assert not screen.echoes
            gate.open()
            assert screen.wait() == 0
        assert screen.lines == ["4 of 4 prompts answered"]


def test_ctrl_c_takes_it_away_also_where_there_is_no_room_for_a_bar_and_says_how_to_go_on() -> None:
    write_lines(4)
    with (
        FakeServer("Hello!", gate=Gate()) as server,
        in_terminal("batch", "--base-url", server.url, "in.txt", "-o", "out.jsonl", columns=14) as screen,
    ):
        screen.wait_for("0 of")
        assert len(screen.lines) == 1
        assert BAR not in screen.written
        screen.send("\x03")
        assert screen.wait() == 130
    said = "0 of 4 prompts answered; the same command again goes on: out.jsonl keeps the answers"
    assert "".join(screen.lines).replace(" ", "") == said.replace(" ", "")
    assert "\x1b[?25h" in screen.written


def test_answers_on_the_terminal_stand_there_without_a_bar_and_never_control_it() -> None:
    write_lines(2)
    with (
        FakeServer("\x1b[31mHello!\x9b", pause=0) as server,
        in_terminal("batch", "--base-url", server.url, "in.txt", columns=400) as screen,
    ):
        assert screen.wait() == 0
    *answers, summary = screen.lines
    assert [json.loads(line)["text"] for line in answers] == ["\x1b[31mHello!\x9b"] * 2
    assert summary == "2 of 2 prompts answered"
    assert "\x1b[31m" not in screen.written
    assert BAR not in screen.written


def test_a_bar_is_shown_while_answers_go_elsewhere() -> None:
    write_lines(2)
    with in_terminal("batch", "--local", "in.txt", shell=">answers.jsonl") as screen:
        assert screen.wait() == 0
        assert BAR in screen.written
    assert len(Path("answers.jsonl").read_text("utf-8").splitlines()) == 2


def test_a_terminal_that_shall_get_no_escapes_is_told_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeTerminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = FakeTerminal()
    monkeypatch.setattr(progress, "_INTERVAL", 0.01)
    monkeypatch.setattr("sys.stderr", terminal)
    counted = tally(3, answered=1)
    with telling_progress(counted, Terminal("never"), has_bar=True):
        while not terminal.getvalue():
            time.sleep(0.001)
    assert terminal.getvalue().startswith("1 of 3")
    assert "\x1b" not in terminal.getvalue()


def test_who_types_the_prompts_sees_them() -> None:
    with in_terminal("batch", "--local", "-", "-o", "out.jsonl") as screen:
        screen.send("one\n\x04")
        assert screen.wait() == 0
        assert "\x1b[?25l" not in screen.written, "the cursor stays"
    assert screen.lines == ["one", "1 of 1 prompt answered"]
