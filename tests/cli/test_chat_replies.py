"""The replies in a conversation, as its user sees them: the program in a terminal."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from chats import ask, asked, chat, leave, prompted

from acytoo_sdk._display.characters import CONTROL
from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Gate

HOSTILE = "\x1b]0;owned\x07 \x1b]52;c;b3duZWQ=\x07 \x9b31m a\u202eb \x08 end"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # what is written on purpose: colours, and movements of the cursor


def contents(path: Path) -> list[str]:
    return [turn["content"] for turn in json.loads(path.read_text("utf-8"))["messages"]]


def test_raw_shows_a_reply_as_it_is(tmp_path: Path) -> None:
    with FakeServer("**Hello** `you`") as server, chat("--raw", server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "**Hello** `you`")
        leave(screen)


def test_a_reply_is_shown_while_it_comes(tmp_path: Path) -> None:
    gate = Gate()
    with FakeServer(["one ", "two"], gate=gate) as server, chat(server=server, home=tmp_path) as screen:
        screen.send("Hi\r")
        screen.wait_for("waiting for 127.0.0.1")
        gate.release()
        screen.wait_for(lambda screen: screen.lines[-1] == "one")
        gate.open()
        screen.wait_for("one two")
        prompted(screen)
        assert not any("waiting" in line for line in leave(screen))


def test_once_something_came_nobody_waits(tmp_path: Path) -> None:
    with (
        FakeServer([f"piece {number}\n\n" for number in range(4)], pause=0.4) as server,
        chat(server=server, home=tmp_path) as screen,
    ):
        ask(screen, "Hi", "piece 3")
        leave(screen)
    assert "waiting" not in screen.written[screen.written.index("piece 0") :]


def test_a_long_reply_is_whole(tmp_path: Path) -> None:
    reply = "\n\n".join(f"- point {number}" for number in range(200))
    with FakeServer(reply) as server, chat(server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "point 199")
        text = "\n".join(leave(screen))
    assert [int(number) for number in re.findall(r"point (\d+)", text)] == [*range(200)]


@pytest.mark.parametrize("options", [[], ["--raw"], ["--color", "never"]])
def test_a_server_writes_nothing_but_characters(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "a\x1b[31mb\u202e.json"
    body = {"version": 1, "model": f"m{HOSTILE}", "messages": [{"role": "user", "content": HOSTILE}]}
    path.write_text(json.dumps(body))
    faults = [None, Fault.status(400, body=HOSTILE), Fault.html_page(HOSTILE)]
    with (
        FakeServer(HOSTILE, faults=faults) as server,
        chat("--load", str(path), *options, server=server, home=tmp_path, columns=200) as screen,
    ):
        for line in ("Hi", "Hi", "Hi", "/model", "/undo", f"/load {path.parent}/*"):
            ask(screen, line, line)
        leave(screen)
    rest = ESCAPE.sub("", screen.written).replace("\r\n", "\n").replace("\r", "").replace("\x08", "")
    assert not CONTROL.search(rest), ascii(rest)
    assert "end" in rest


def test_copy_reaches_the_terminal(tmp_path: Path) -> None:
    with FakeServer("Hello!") as server, chat(server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "Hello!")
        ask(screen, "/copy", "asked to copy 6 characters")
        leave(screen)
    assert f"\x1b]52;c;{base64.b64encode(b'Hello!').decode()}\x07" in screen.written


# What breaks


def test_what_breaks_is_told_and_the_conversation_goes_on(tmp_path: Path) -> None:
    faults = [Fault.cut(after=1), Fault.status(401), None]
    with FakeServer(["one ", "two"], faults=faults) as server, chat(server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "Error: The reply broke off")
        ask(screen, "/retry", "acytoo config set key")
        ask(screen, "/retry", "one two")
        lines = leave(screen)
        assert [asked(server, index) for index in range(3)] == ["Hi"] * 3
        assert server.requests[2].json is not None
        assert len(server.requests[2].json["messages"]) == 1
    assert lines[lines.index("> Hi") + 1] == "one"
    assert lines.count("The conversation is as it was before; /retry asks again.") == 2


def test_a_notice_is_told(tmp_path: Path) -> None:
    with FakeServer("Hello!" + NOTICE) as server, chat(server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "The server added a notice: You can try our new")
        leave(screen)
