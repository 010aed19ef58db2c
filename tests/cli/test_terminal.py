"""The command in a terminal: what it may write there, what it shows while it waits, and how signals end it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import pytest
from programs import PROGRAM, Done, Screen, acytoo, in_terminal, program

from acytoo_sdk._display.characters import CONTROL
from acytoo_sdk.testing import FakeServer, Fault, Gate

# Title, clipboard, colour, C1, bidi, and the last two as entities.
HOSTILE = "\x1b]0;owned\x07 \x1b]52;c;b3duZWQ=\x07 \x1b[31m \x9b31m a\u202eb &#x9b; &#x202e; \x07\x08 end\n"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # what is written on purpose: colours, and movements of the cursor


def run(*arguments: str, server: FakeServer, **more: Any) -> Screen:
    """The screen after the question "Hi"."""
    with in_terminal("ask", "--base-url", server.url, "--retries", "0", *arguments, "Hi", **more) as screen:
        screen.wait()
    return screen


# What a terminal is written


@pytest.mark.parametrize(
    "options", [[], ["--raw"], ["--md"], ["--no-stream"], ["--json"], ["--jsonl"], ["-x"], ["-v"], ["--color", "never"]]
)
@pytest.mark.parametrize("fault", [None, Fault.status(400, body=HOSTILE, headers={"x-request-id": "r\u202e1"})])
def test_a_server_writes_nothing_but_characters_to_a_terminal(options: list[str], fault: Fault | None) -> None:
    with FakeServer(f"```\n{HOSTILE}```\n" if "-x" in options else HOSTILE, faults=[fault] if fault else []) as server:
        screen = run(*options, server=server)
    rest = ESCAPE.sub("", screen.written).replace("\r\n", "\n").replace("\r", "")
    assert not CONTROL.search(rest), ascii(rest)
    assert "\x1b[31m m" not in screen.written
    assert ("end" in rest) == (fault is None or "-v" in options or "owned" in rest)


def test_json_on_a_terminal_says_the_same_with_escapes() -> None:
    with FakeServer(HOSTILE) as server:
        screen = run("--json", "-q", server=server, columns=400)  # without a word of waiting, however slow it is
        assert (
            json.loads(screen.written)["text"]
            == json.loads(acytoo("ask", "--base-url", server.url, "--json", "Hi").stdout)["text"]
            == HOSTILE
        )


def test_dry_run_shows_what_was_typed_without_obeying_it() -> None:
    with in_terminal("ask", "--local", "--dry-run", "a\u202eb\x9bc") as screen:
        assert screen.wait() == 0
    assert "\u202e" not in screen.written
    assert '"content": "a\\u202eb\\u009bc"' in "\n".join(screen.lines)


def test_a_line_end_in_two_pieces_is_one() -> None:
    gate = Gate()
    with (
        FakeServer(["one\r", "\ntwo\r", "three\r"], gate=gate) as server,
        in_terminal("ask", "--raw", "--base-url", server.url, "Hi") as screen,
    ):
        gate.release()
        screen.wait_for("one")  # at once, though its line may go on
        gate.open()
        assert screen.wait() == 0
    assert screen.written.endswith("one\r\ntwo\r\nthree\r\n")


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--color", "never"], {}),
        (["--color", "never"], {"FORCE_COLOR": "1"}),
        ([], {"NO_COLOR": "1"}),
        ([], {"NO_COLOR": "1", "FORCE_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
        ([], {"TERM": "dumb", "FORCE_COLOR": "1"}),
    ],
)
@pytest.mark.parametrize("fault", [None, Fault.cut(after=1)])
def test_no_escapes_are_written_where_none_are_wanted(
    options: list[str], env: dict[str, str], fault: Fault | None
) -> None:
    with FakeServer(["Some **bold** ", "text"], pause=0.5, faults=[fault] if fault else []) as server:
        screen = run(*options, "-uv", server=server, env=env)
    assert "\x1b" not in screen.written
    assert "Some **bold** " in screen.written  # then the text comes as it is


def test_colour_is_written_to_a_terminal_and_to_stderr_where_it_is_asked_for() -> None:
    with FakeServer(faults=[Fault.status(500)] * 5) as server:
        assert "\x1b[31mError:\x1b[0m" in run(server=server).written
        command = ["ask", "--base-url", server.url, "--retries", "0", "Hi"]
        assert acytoo(*command).stderr.startswith("Error: ")
        assert acytoo(*command, "--color", "always").stderr.startswith("\x1b[31mError:")
        assert acytoo(*command, env={"FORCE_COLOR": "1"}).stderr.startswith("\x1b[31mError:")
        assert acytoo(*command, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr.startswith("Error:")


# Waiting


def test_who_waits_sees_for_whom_and_how_long_and_it_leaves_no_trace() -> None:
    gate = Gate()
    with FakeServer(["one ", "two"], gate=gate) as server:
        peer = server.url.removeprefix("http://")
        with in_terminal("ask", "--raw", "--base-url", server.url, "Hi") as screen:
            screen.wait_for(f"waiting for {peer}, 1 s")
            gate.open()
            assert screen.wait() == 0
    assert screen.lines == ["one two"]


@pytest.mark.parametrize(("options", "shell"), [(["-q"], ""), (["--raw"], "2>/dev/null"), (["--json"], "2>/dev/null")])
def test_nothing_is_shown_to_who_does_not_look(options: list[str], shell: str) -> None:
    with (
        FakeServer("Hello!", faults=[Fault.slow_head(0.8)]) as server,
        in_terminal("ask", "--base-url", server.url, *options, "Hi", shell=shell) as s,
    ):
        assert s.wait() == 0
    assert "waiting" not in s.written


def test_it_waits_without_escapes_too() -> None:
    gate = Gate()
    with (
        FakeServer("Hello!", gate=gate) as server,
        in_terminal("ask", "--base-url", server.url, "Hi", env={"TERM": "dumb"}) as screen,
    ):
        screen.wait_for("Waiting for 127.0.0.1")
        gate.open()
        assert screen.wait() == 0
    assert "\x1b" not in screen.written
    assert screen.lines[-1] == "Hello!"


def test_a_retry_is_seen() -> None:
    gate = Gate()
    with (
        FakeServer("Hello!", gate=gate, faults=[Fault.status(503, retry_after=0)]) as server,
        in_terminal("ask", "--base-url", server.url, "Hi") as screen,
    ):
        gate.release()
        screen.wait_for("attempt 2")
        gate.open()
        assert screen.wait() == 0


# Signals and pipes


@pytest.mark.parametrize("columns", [40, 200])
def test_ctrl_c_keeps_the_text_ends_the_line_and_closes_the_connection(columns: int) -> None:
    with FakeServer(["one ", "two"], faults=[Fault.stall(after=1)]) as server:
        with in_terminal("ask", "--base-url", server.url, "Hi", columns=columns) as screen:
            screen.wait_for("one")
            screen.send("\x03")
            assert screen.wait() == 130
        server.wait_until(lambda: server.open_connections == 0)
    assert screen.lines == ["one"]  # the terminal's own ^C is gone, too
    assert screen.cursor == (0, 1)
    assert "Traceback" not in screen.written


def test_a_terminal_of_one_line_prints_nothing_twice() -> None:
    with FakeServer(["one ", "two ", "three\n\n", "four ", "five"], pause=0.3) as server:
        assert run("-q", server=server, lines=1).all_lines == ["one two three", "", "four five", ""]
        assert run(server=server, lines=2).all_lines == ["one two three", "", "four five"]


def test_what_is_typed_while_a_reply_grows_does_not_tear_it_apart() -> None:
    gate = Gate()
    with (
        FakeServer(["one\n\ntwo ", "three"], gate=gate) as server,
        in_terminal("ask", "--base-url", server.url, "Hi") as screen,
    ):
        gate.release()
        screen.wait_for("two")
        assert not screen.echoes
        screen.send("x\r\r")
        gate.open()
        screen.wait_for("three")
        assert screen.wait() == 0
    assert screen.lines == ["one", "", "two three"]


def test_the_terminal_echoes_again_however_it_ends() -> None:
    with FakeServer(["one ", "two"], faults=[Fault.stall(after=1)]) as server:
        command = f"{shlex.join([*PROGRAM, 'ask', '--base-url', server.url, 'Hi'])}; stty -a"
        with in_terminal(program=["sh", "-c", f"trap : INT; {command}"]) as screen:  # a shell goes on after it
            screen.wait_for("one")
            screen.send("\x03")
            screen.wait()
    assert re.search(r"\becho\b", screen.written)
    assert " -echo " not in screen.written


def test_in_the_background_the_terminal_is_left_alone() -> None:
    with FakeServer("Hello!") as server:
        command = f'set -m; {shlex.join([*PROGRAM, "ask", "--base-url", server.url, "Hi"])} & wait $!; echo "ended $?"'
        with in_terminal(program=["bash", "-c", command]) as screen:
            screen.wait_for("ended 0")
            screen.wait()
    assert "Hello!" in screen.lines


def test_ctrl_c_while_it_waits_leaves_the_terminal_as_it_was() -> None:
    with FakeServer(faults=[Fault.no_head()]) as server:
        with in_terminal("ask", "--base-url", server.url, "Hi") as screen:
            screen.wait_for("waiting for")
            screen.send("\x03")
            assert screen.wait() == 130
        server.wait_until(lambda: server.open_connections == 0)
    assert screen.written.rindex("\x1b[?25h") > screen.written.rindex("\x1b[?25l")  # the cursor is there again
    assert "waiting" not in "\n".join(screen.lines)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("form", ["--raw", "--json", "--jsonl"])
def test_a_signal_keeps_what_had_arrived(number: signal.Signals, status: int, form: str) -> None:
    with FakeServer(["one ", "two"], faults=[Fault.stall(after=1)]) as server:
        command = [*PROGRAM, "ask", "--base-url", server.url, form, "Hi"]
        with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
            if form == "--json":
                server.wait_until(lambda: server.requests, timeout=20)
                time.sleep(0.3)  # its first piece shows nowhere; if it is not there yet, the text below is empty
            else:
                assert process.stdout is not None
                first = os.read(process.stdout.fileno(), 100)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
        server.wait_until(lambda: server.open_connections == 0)
    assert (process.returncode, stderr) == (status, b"")
    if form == "--raw":
        assert first + stdout == b"one \n"
    else:
        end = json.loads(stdout.splitlines()[-1])
        assert end["error"]["message"] == "interrupted"
        assert end["text"] in (("one ",) if form == "--jsonl" else ("one ", ""))


def test_signals_at_any_moment_end_it_without_a_traceback() -> None:
    """Also while it starts; the interpreter's own start, before any line of ours, is not counted."""
    with FakeServer(["one "] * 40, pause=0.01) as server:
        for step in range(24):
            command = [*PROGRAM, "ask", "--base-url", server.url, "Hi"]
            with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
                time.sleep(0.08 + step * 0.025)
                process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate(timeout=30)
            if b"acytoo_sdk/cli" not in stderr and b"Traceback" in stderr:
                continue  # before the first line of ours
            # The interpreter itself is ended by a signal that comes before it receives any.
            assert (stderr, process.returncode in (0, 130, -signal.SIGINT)) == (b"", True), (step, process.returncode)
            assert stdout.endswith(b"\n") or not stdout


def test_a_signal_that_is_ignored_stays_so() -> None:
    with FakeServer("Hello!", faults=[Fault.slow_head(0.5)]) as server:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *PROGRAM, "ask", "--base-url", server.url, "Hi"]
        with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
            server.wait_until(lambda: server.requests, timeout=20)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30) == (b"Hello!\n", b"")
        assert process.returncode == 0


@pytest.mark.parametrize("shell", ["| head -n 1", "2>&1 | head -n 1"])
@pytest.mark.parametrize("form", ["--raw", "--jsonl", "--md"])
def test_a_pipe_that_nobody_reads_any_more_is_a_good_end(shell: str, form: str) -> None:
    with FakeServer(["one\n\n", *["two\n\n"] * 200], pause=0.005) as server:
        command = f'"$@" {shell}; echo "${{PIPESTATUS[0]}}"'
        arguments = [*PROGRAM, "ask", "--base-url", server.url, form, "Hi"]
        with Popen(["bash", "-c", command, "bash", *arguments], stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
            stdout, stderr = process.communicate(timeout=30)
        server.wait_until(lambda: server.open_connections == 0)
    assert (stdout.splitlines()[-1], stderr) == (b"0", b"")
    assert b"one" in stdout


# Descriptors that are not there


def test_a_closed_stdin_holds_no_prompt() -> None:
    done = program("ask", "--local", through_shell="<&-")
    assert done == Done(2, "", "Error: no prompt: pass it as an argument, or on stdin\n")
    assert program("ask", "--local", "-", through_shell="<&-").status == 2
    assert program("ask", "--local", "Hi", through_shell="<&-").status == 0


def test_a_closed_stdout_is_told_before_anything_is_sent() -> None:
    with FakeServer() as server:
        done = program("ask", "--base-url", server.url, "Hi", through_shell=">&-")
        assert server.connections == 0
    assert done == Done(1, "", "Error: stdout is closed\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
@pytest.mark.parametrize("arguments", [["ask", "--local", "Hi"], ["--version"], ["ask", "--help"]])
def test_a_full_disk_is_told_in_one_sentence(arguments: list[str]) -> None:
    sentence = "Error: input or output failed: No space left on device\n"
    assert program(*arguments, through_shell=">/dev/full") == Done(1, "", sentence)
    assert program(*arguments, through_shell=">/dev/full 2>&1") == Done(1, "", "")


def test_with_a_closed_stderr_the_status_tells() -> None:
    reply = "You said: Hi (model gpt-3.5-turbo, 1 message)\n"
    assert program("ask", "--local", "Hi", through_shell="2>&-") == Done(0, reply, "")
    assert program("ask", "--local", "-t", "warm", "Hi", through_shell="2>&-") == Done(2, "", "")
    assert program("ask", "--base-url", "http://127.0.0.1:1", "Hi", through_shell="2>&-") == Done(3, "", "")
    assert program("ask", "--local", "Hi", through_shell="<&- >&- 2>&-") == Done(1, "", "")


@pytest.mark.parametrize(("form", "shown"), [("--raw", "?????? ok\n"), ("--md", "?????? ok\n")])
def test_a_character_that_stdout_cannot_encode_is_replaced(form: str, shown: str) -> None:
    with FakeServer("Привет ok") as server:
        env = {"PYTHONIOENCODING": "ascii"}
        assert program("ask", "--base-url", server.url, form, "Hi", env=env) == Done(0, shown, "")
        told = program("ask", "--base-url", server.url, "--json", "Hi", env=env).stdout
    assert json.loads(told)["text"] == "Привет ok"


def test_missing_extras_are_named() -> None:
    code = "import sys; sys.modules['click'] = None; from acytoo_sdk.cli import main; main()"
    with Popen([PROGRAM[0], "-c", code], stdout=PIPE, stderr=PIPE) as process:
        told = process.communicate(timeout=30)
    assert (process.returncode, *told) == (
        1,
        b"",
        b"acytoo: the command line needs click: pip install 'acytoo-sdk[cli]'\n",
    )
