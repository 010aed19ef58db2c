"""Ctrl-C in a conversation: it stops an answer, or clears the line, and no more."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path

import pytest
from chats import ask, asked, chat, leave, prompted
from programs import Screen

from acytoo_sdk.testing import FakeServer, Fault, Gate

STOPPED = "Stopped. The conversation is as it was before; /retry asks again."


def interrupt(screen: Screen, how: str) -> None:
    """Ctrl-C, as a key or as a signal."""
    if how == "key":
        screen.send("\x03")
    else:
        screen.process.kill(signal.SIGINT)


# An answer


@pytest.mark.parametrize("how", ["key", "signal"])
@pytest.mark.parametrize("columns", [40, 200])
def test_ctrl_c_stops_an_answer_and_no_more(tmp_path: Path, how: str, columns: int) -> None:
    gate = Gate()
    with (
        FakeServer(["one **two** ", "three"], gate=gate) as server,
        chat(server=server, home=tmp_path, columns=columns) as screen,
    ):
        screen.send("first\r")
        gate.release(2)
        screen.wait_for("three")
        prompted(screen)
        screen.send("second\r")
        gate.release()
        screen.wait_for("> second\none two")
        interrupt(screen, how)
        screen.wait_for("Stopped.")
        server.wait_until(lambda: server.open_connections == 0)
        prompted(screen)
        gate.open()
        ask(screen, "/retry", "/retry\none two three")
        lines = leave(screen)
        assert [asked(server, index) for index in range(3)] == ["first", "second", "second"]
        assert server.requests[2].json is not None
        assert [turn["content"] for turn in server.requests[2].json["messages"]] == [
            "first",
            "one two three".replace("two", "**two**"),
            "second",
        ]
    begin = lines.index("> second")
    assert lines[begin + 1] == "one two"  # what had come, and no ^C in it
    assert " ".join(lines[begin + 2 : lines.index("> /retry")]).strip() == STOPPED


@pytest.mark.parametrize("how", ["key", "signal"])
@pytest.mark.parametrize(
    "fault", [Fault.no_head(), Fault.stall(after=0), Fault.status(503, retry_after=50), Fault.slow_head(50)]
)
def test_ctrl_c_stops_the_waiting(tmp_path: Path, how: str, fault: Fault) -> None:
    with (
        FakeServer("Hello!", faults=[fault]) as server,
        chat("--retries", "1", server=server, home=tmp_path) as screen,
    ):
        screen.send("Hi\r")
        screen.wait_for("waiting for 127.0.0.1")
        if fault.code is not None:
            screen.wait_for(
                lambda screen: (server.requests and server.open_connections == 0) or "1 s" in screen.lines[-1]
            )
        interrupt(screen, how)
        screen.wait_for("Stopped.")
        prompted(screen)
        ask(screen, "/retry", "Hello!")
        lines = leave(screen)
    assert lines[lines.index("> Hi") + 1] == STOPPED
    assert not any("waiting" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only there does a full queue keep who connects waiting")
def test_ctrl_c_stops_a_connection_that_does_not_come_about(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as nobody, socket.create_connection(nobody.getsockname()):
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with chat("--base-url", url, home=tmp_path) as screen:
            screen.send("Hi\r")
            screen.wait_for("waiting for 127.0.0.1")
            screen.send("\x03")
            screen.wait_for("Stopped.")
            prompted(screen)
            leave(screen)


@pytest.mark.parametrize("how", ["key", "signal"])
def test_a_burst_stops_one_answer(tmp_path: Path, how: str) -> None:
    path = tmp_path / "talk.json"
    with (
        FakeServer(["one ", "two"], faults=[None, Fault.stall(after=1), Fault.stall(after=1)]) as server,
        chat("--save", str(path), server=server, home=tmp_path, lines=50) as screen,
    ):
        ask(screen, "first", "> first\none two")
        for question in ("second", "third"):
            screen.send(f"{question}\r")
            screen.wait_for(f"> {question}\none")
            for _ in range(10):
                interrupt(screen, how)
            screen.wait_for(f"> {question}\none\n{STOPPED}")
            prompted(screen)
            ask(screen, f"/no-{question}", f"There is no command /no-{question}")
        ask(screen, "last", "> last\none two")
        leave(screen)
        assert len(server.requests) == 4
    assert [turn["content"] for turn in json.loads(path.read_text())["messages"]] == [
        "first",
        "one two",
        "last",
        "one two",
    ]


# The prompt


@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_clears_the_line_and_never_leaves(tmp_path: Path, how: str) -> None:
    with chat(home=tmp_path) as screen:
        for typed in ("", "one", "one\x1b\rtwo", "/model", "\x1b[200~pasted\rlines\x1b[201~"):
            screen.send(typed)
            if typed:
                screen.wait_for(lambda screen: screen.lines[-1] not in (">", ""))
            for _ in range(10):
                interrupt(screen, how)
            prompted(screen)
        screen.send("\x12mo")  # a search
        screen.wait_for("mo")
        interrupt(screen, how)
        prompted(screen)
        ask(screen, "Hi", "You said: Hi (model gpt-3.5-turbo, 1 message)")
        lines = leave(screen)
    assert lines[1:] == ["> Hi", "You said: Hi (model gpt-3.5-turbo, 1 message)", "", ">"]
