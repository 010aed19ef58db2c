"""Conversations in a terminal, for the tests of them."""

from __future__ import annotations

import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest
from programs import Screen, in_terminal

from acytoo_sdk.testing import FakeServer


@contextmanager
def chat(
    *arguments: str, server: FakeServer | None = None, home: Path, env: Mapping[str, str] | None = None, **more: Any
) -> Iterator[Screen]:
    """The command at its first prompt; what it keeps from run to run is in `home`."""
    where = ["--base-url", server.url, "--retries", "0"] if server else [] if "--base-url" in arguments else ["--local"]
    variables = {name: str(home) for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    with in_terminal("chat", *where, *arguments, env={**variables, "TMUX": "", **(env or {})}, **more) as screen:
        prompted(screen)
        yield screen


def prompted(screen: Screen) -> None:
    """Waits until it is at an empty prompt."""
    screen.wait_for(lambda screen: screen.lines[-1] == ">")


def ask(screen: Screen, line: str, answer: str) -> None:
    """Types a line, and waits for what is shown, and for the next prompt."""
    screen.send(f"{line}\r")
    screen.wait_for(answer)
    prompted(screen)


def leave(screen: Screen) -> list[str]:
    """Leaves by Ctrl-D; returns what stands on the screen and above it."""
    screen.send("\x04")
    assert status_at_end(screen) == 0
    return screen.all_lines


def status_at_end(screen: Screen) -> int:
    """Waits for the end, which has to leave the terminal as it was, at the beginning of a line; returns the status."""
    with pytest.raises(pexpect.EOF):
        screen.wait_for(lambda screen: False)
    modes = termios.tcgetattr(screen.process.child_fd)
    assert modes[0] & termios.ICRNL
    assert modes[3] & (wanted := termios.ECHO | termios.ICANON | termios.ISIG) == wanted
    shown = pyte.Screen(400, 1000)
    pyte.Stream(shown).feed(screen.written)
    assert shown.cursor.x == 0, screen.written[-300:]
    assert "Traceback" not in screen.written
    for on, off in ("\x1b[?2004h", "\x1b[?2004l"), ("\x1b[?25l", "\x1b[?25h"):
        assert screen.written.rfind(on) <= screen.written.rfind(off)
    return screen.wait()


def asked(server: FakeServer, index: int) -> str:
    """The question of a request."""
    json = server.requests[index].json
    assert json is not None
    return str(json["messages"][-1]["content"])
