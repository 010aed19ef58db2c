"""Signals that come all the time in a conversation, and SIGTERM at each of its moments."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from chats import ask, chat, leave, prompted, status_at_end
from programs import Screen

from acytoo_sdk.testing import FakeServer, Fault


@pytest.mark.parametrize("options", [[], ["--raw"], ["--color", "never"]])
def test_signals_at_any_moment_never_leave_and_never_show_a_traceback(tmp_path: Path, options: list[str]) -> None:
    """They come all the time, while questions, answers, commands and writing take turns."""
    path = tmp_path / "talk.json"
    lines = ("Hi", "/undo", "/retry", "/system s", f"/load {path}", "/model m", "/copy")
    with (
        FakeServer(["one ", "two"], pause=0) as server,
        chat("--save", str(path), *options, server=server, home=tmp_path) as screen,
    ):
        for step in range(60):
            screen.send(lines[step % 7] + "\r")
            for _ in range(step % 5):
                screen.process.kill(signal.SIGINT)
            if path.exists():
                json.loads(path.read_text())
            if step % 5 == 4:
                catch_up(screen, f"/no-{step}")
        ask(screen, "last", "> last\none two")
        leave(screen)
    assert {one.name for one in tmp_path.iterdir()} <= {"talk.json", "acytoo"}
    assert json.loads(path.read_text())["messages"][-1]["content"] == "one two"


def catch_up(screen: Screen, line: str) -> None:
    """Waits until all that was typed was read."""
    screen.send("\r")  # for what a signal has left of a line
    screen.send(f"{line}\r")
    screen.wait_for(f"There is no command {line}")
    prompted(screen)


@pytest.mark.parametrize("moment", ["prompt", "text", "waiting", "answer", "plain prompt", "plain answer"])
def test_sigterm_ends_in_good_order(tmp_path: Path, moment: str) -> None:
    options = ["--color", "never"] if "plain" in moment else []
    fault = Fault.no_head() if moment == "waiting" else Fault.stall(after=1)
    with FakeServer(["one ", "two"], faults=[fault]) as server:
        with chat(*options, server=server, home=tmp_path) as screen:
            if moment == "text":
                screen.send("typed")
                screen.wait_for("> typed")
            elif "prompt" not in moment:
                screen.send("Hi\r")
                screen.wait_for("waiting for" if moment == "waiting" else "one")
            screen.process.kill(signal.SIGTERM)
            assert status_at_end(screen) == 143
        server.wait_until(lambda: server.open_connections == 0)
    if "answer" in moment:
        assert "one" in screen.lines
