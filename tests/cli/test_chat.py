"""A conversation as its user sees it: the program in a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from chats import ask, chat, leave, status_at_end
from programs import acytoo, in_terminal, program

from acytoo_sdk.testing import NOTICE, FakeServer

HOSTILE = "\x1b]0;owned\x07 \x1b]52;c;b3duZWQ=\x07 \x9b31m a\u202eb \x08 end"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # what is written on purpose: colours, and movements of the cursor


def contents(path: Path) -> list[str]:
    return [turn["content"] for turn in json.loads(path.read_text("utf-8"))["messages"]]


# Beginning and end


@pytest.mark.parametrize("columns", [40, 200])
def test_a_conversation(tmp_path: Path, columns: int) -> None:
    with (
        FakeServer(lambda request: f"**answer** {len(request['messages'])}: 你好世界") as server,
        chat(server=server, home=tmp_path, columns=columns) as screen,
    ):
        ask(screen, "Привет, 你好世界", "answer 1")
        ask(screen, "And now?", "answer 3")
        lines = leave(screen)
    told = " ".join(lines[: lines.index("> Привет, 你好世界")])
    assert told == f"gpt-3.5-turbo at {server.url}. /help helps, Ctrl-D leaves."
    assert lines[lines.index("> Привет, 你好世界") :] == [
        "> Привет, 你好世界",
        "answer 1: 你好世界",
        "",
        "> And now?",
        "answer 3: 你好世界",
        "",
        ">",
    ]


@pytest.mark.parametrize("keys", ["/exit\r", "/quit\r", "\x04", "abc\x03\x04"])
def test_it_leaves_with_the_line_ended_and_the_terminal_as_it_was(tmp_path: Path, keys: str) -> None:
    with chat(home=tmp_path) as screen:
        screen.send(keys)
        assert status_at_end(screen) == 0


def test_ctrl_d_deletes_forward_in_a_text(tmp_path: Path) -> None:
    with chat(home=tmp_path) as screen:
        screen.send("axb\x1b[D\x1b[D\x04")
        screen.wait_for("> ab")
        ask(screen, "", "You said: ab")
        leave(screen)


@pytest.mark.parametrize("shell", ["</dev/null", "| cat", "<&-"])
@pytest.mark.parametrize("options", [[], ["--color", "always"]])
def test_without_a_terminal_it_names_the_command_that_needs_none(options: list[str], shell: str) -> None:
    with in_terminal("chat", "--local", *options, shell=shell) as screen:
        assert screen.wait() == (0 if "cat" in shell else 2)  # that of cat
    assert "a conversation needs a terminal; where there is none: acytoo ask" in " ".join(screen.lines)
    assert program("chat", "--local", *options).status == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--payload", "prompt", "--local"], "--payload prompt sends one text"),
        (["--local", "--load", "missing.json"], "missing.json cannot be read: No such file or directory"),
        (["--local", "--load", "text"], "text: not JSON"),
        (["--local", "--save", "text"], "text is there already: to go on with it, --load it as well"),
        ([], "no server"),
    ],
)
def test_what_cannot_begin_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "text").write_text("Hello")
    monkeypatch.chdir(tmp_path)
    with in_terminal(
        "chat", *arguments, columns=200, env={"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    ) as s:
        assert s.wait() == 2
    assert sentence in s.lines[-1]
    assert (tmp_path / "text").read_text() == "Hello"


def test_options_reach_the_server(tmp_path: Path) -> None:
    with FakeServer("Hello!") as server, chat("-m", "m", "-s", "Be brief.", server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "Hello!")
        assert leave(screen)[0].startswith("m at http")
        assert server.requests[0].json is not None
        assert server.requests[0].json["model"] == "m"
        assert server.requests[0].json["messages"][0] == {"role": "system", "content": "Be brief."}


def test_quiet_tells_nothing_but_answers(tmp_path: Path) -> None:
    with FakeServer("Hello!" + NOTICE) as server, chat("-q", server=server, home=tmp_path) as screen:
        ask(screen, "Hi", "Hello!")
        ask(screen, "/nothing", "no command")
        assert leave(screen)[:4] == ["> Hi", "Hello!", "", "> /nothing"]


def test_help_of_the_command_is_there() -> None:
    done = acytoo("chat", "--help")
    assert (done.status, done.stderr) == (0, "")
    for option in ("--raw", "--load", "--save", "--base-url", "--color"):
        assert option in done.stdout
