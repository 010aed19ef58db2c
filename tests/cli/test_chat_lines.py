"""What is typed into a conversation: the line editor, its history, and the plain lines without it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from chats import ask, asked, chat, leave, prompted

from acytoo_sdk.testing import FakeServer, Fault, Gate


def test_several_lines_are_one_question(tmp_path: Path) -> None:
    with FakeServer("Hello!") as server, chat(server=server, home=tmp_path) as screen:
        screen.send("one\x1b\rtwo")
        screen.wait_for("  two")
        ask(screen, "", "Hello!")
        ask(screen, "\x1b[200~uno\rdue\r\ntre\x1b[201~", "tre\nHello!")
        leave(screen)
        assert [asked(server, index) for index in (0, 1)] == ["one\ntwo", "uno\ndue\ntre"]


def test_tab_completes_commands(tmp_path: Path) -> None:
    with chat(home=tmp_path) as screen:
        screen.send("/mo\t")
        screen.wait_for("> /model")
        ask(screen, "", "\ngpt-3.5-turbo")
        screen.send("/s\t")
        screen.wait_for(lambda screen: re.search(r"^/system +/save$", "\n".join(screen.lines), re.MULTILINE))
        screen.send("\x03")
        prompted(screen)
        screen.send("no /s\t.")
        screen.wait_for("> no /s.")
        screen.send("\x03")
        prompted(screen)
        leave(screen)


def test_what_was_typed_comes_back_in_the_next_run(tmp_path: Path) -> None:
    for _ in range(2):
        with chat(home=tmp_path) as screen:
            screen.send("\x1b[A")
            if _:
                screen.wait_for("> one\n  two")
                screen.send("\x1b[A\x1b[A")
                screen.wait_for("> /model")
                screen.send("\x03")
                prompted(screen)
            else:
                ask(screen, "/model", "\ngpt")
                ask(screen, "one\x1b\rtwo", "You said: one")
            leave(screen)
    file = tmp_path / "acytoo" / "history"
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_a_history_it_goes_on_and_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with chat(home=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "file")}) as screen:
        ask(screen, "one", "You said: one")
        ask(screen, "two", "You said: two")
        lines = leave(screen)
    assert "\n".join(lines).count("is not kept for the next time") == 1


def test_what_is_typed_while_a_reply_comes_waits_for_the_prompt(tmp_path: Path) -> None:
    gate = Gate()
    with FakeServer(["one ", "two"], gate=gate) as server, chat(server=server, home=tmp_path) as screen:
        screen.send("Hi\r")
        gate.release()
        screen.wait_for("one")
        gate.wait_until_waiting()
        assert screen.written.rindex("\x1b[?2004h") > screen.written.rindex("\x1b[?2004l")  # pastes are marked
        screen.send("typed \x1b[200~pasted\rahead\x1b[201~")
        gate.release()
        screen.wait_for("> typed pasted\n  ahead")
        gate.open()
        ask(screen, "", "ahead\none two")
        lines = leave(screen)
        assert asked(server, 1) == "typed pasted\nahead"
    assert "typed" not in screen.written[: screen.written.index("two")]
    assert lines[1:] == ["> Hi", "one two", "", "> typed pasted", "  ahead", "one two", "", ">"]


# Where no escape code may be written


@pytest.mark.parametrize(
    ("options", "env"), [(["--color", "never"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})]
)
def test_where_no_escapes_are_wanted_lines_are_plain(tmp_path: Path, options: list[str], env: dict[str, str]) -> None:
    with (
        FakeServer(["**one** ", "two"], faults=[None, None, Fault.stall(after=1)]) as server,
        chat(*options, server=server, home=tmp_path, env=env) as screen,
    ):
        ask(screen, "Hi", "**one** two")
        ask(screen, "/copy", "escape code")
        ask(screen, "/help", "Ctrl-C stops an answer, or drops the")
        screen.send("dropped")
        screen.wait_for("> dropped")
        screen.send("\x03")
        prompted(screen)
        screen.process.kill(signal.SIGINT)
        ask(screen, "2nd", "2nd\n**one** two")
        screen.send("3rd\r")
        screen.wait_for("3rd\n**one**")
        screen.send("\x03")
        screen.wait_for("Stopped.")
        prompted(screen)
        ask(screen, "/retry", "/retry\n**one** two")
        lines = leave(screen)
        assert [asked(server, index) for index in range(4)] == ["Hi", "2nd", "3rd", "3rd"]
    assert "\x1b" not in screen.written
    assert lines[-1] == ">"
    assert screen.written.endswith("\r\n")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_what_is_no_utf_8_is_refused_on_plain_lines(tmp_path: Path, errors: str) -> None:
    variables = {"TERM": "dumb", "PYTHONIOENCODING": f"utf-8:{errors}"}
    with chat(home=tmp_path, env=variables) as screen:
        screen.process.setecho(False)
        screen.process.ptyproc.write(b"a\xff\n")
        screen.wait_for("Error: What was typed")
        prompted(screen)
        screen.send("ok\n")
        screen.wait_for("You said: ok")
        prompted(screen)
        screen.process.setecho(True)
        leave(screen)


def test_what_is_no_utf_8_is_refused_in_the_line_editor(tmp_path: Path) -> None:
    with chat(home=tmp_path) as screen:
        screen.process.ptyproc.write(b"a\xff\r")
        screen.wait_for("Error: What was typed")
        prompted(screen)
        ask(screen, "ok", "You said: ok")
        leave(screen)
