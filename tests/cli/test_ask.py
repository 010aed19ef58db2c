"""The command as its user runs it: a process, its two outputs and its exit status."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Gate


def run(
    *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m acytoo_sdk`, on loopback alone."""
    return subprocess.run(
        [sys.executable, "-m", "acytoo_sdk", *arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**os.environ, "PYTHONUTF8": "1", **(env or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )


def test_local_reply_goes_to_stdout_and_nothing_to_stderr() -> None:
    done = run("ask", "--local", "Привет, как дела?")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "You said: Привет, как дела? (model gpt-3.5-turbo, 1 message)\n"


def test_options_reach_the_server() -> None:
    with FakeServer("Hello!", pause=0) as server:
        done = run(
            "ask",
            "--base-url",
            server.url,
            "--model",
            "m",
            "--temperature",
            "1.5",
            "--system",
            "Be brief.",
            "Hi",
            "you",
        )
        assert done.stdout == "Hello!\n"
        assert server.requests[0].json == {
            "key": "",
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi you"}],
            "temperature": 1.5,
            "password": "",
        }


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("acytoo", "You said: Hi (model gpt-3.5-turbo, 1 message)\n"),
        ("ai-sdk", "You said: Hi (1 message)\n"),
        ("prompt", "You said: Hi (0 messages)\n"),
    ],
)
def test_the_payload_and_the_path_are_those_that_are_named(payload: str, said: str) -> None:
    with FakeServer(pause=0) as server:
        done = run("ask", "--base-url", server.url, "--path", "/api/chat", "--payload", payload, "Hi")
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
        assert server.requests[0].path == "/api/chat"


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_prompt_comes_from_stdin(arguments: list[str]) -> None:
    with FakeServer("Hello!", pause=0) as server:
        assert run("ask", *arguments, stdin="Hi\n", env={"ACYTOO_BASE_URL": server.url}).stdout == "Hello!\n"
        assert server.requests[0].json is not None
        assert server.requests[0].json["messages"] == [{"role": "user", "content": "Hi"}]


def test_secrets_come_from_the_environment() -> None:
    with FakeServer("Hello!", pause=0) as server:
        run("ask", "Hi", env={"ACYTOO_BASE_URL": server.url, "ACYTOO_KEY": "k1", "ACYTOO_PASSWORD": "p1"})
        assert server.requests[0].json is not None
        assert (server.requests[0].json["key"], server.requests[0].json["password"]) == ("k1", "p1")


def test_pieces_are_shown_as_they_arrive() -> None:
    gate = Gate()
    with FakeServer(["one ", "two"], gate=gate) as server:
        command = [sys.executable, "-m", "acytoo_sdk", "ask", "--base-url", server.url, "Hi"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            gate.release()
            assert os.read(process.stdout.fileno(), 100) == b"one "
            gate.release()
            assert process.communicate(timeout=30) == (b"two\n", b"")


def test_error_is_one_sentence_with_its_hint_after_the_text() -> None:
    with FakeServer(["one ", "two"], faults=[Fault.cut(after=1)]) as server:
        done = run("ask", "--base-url", server.url, "Hi")
    assert done.returncode == 1
    assert done.stdout == "one \n"
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: The reply broke off")
    assert "(hint: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ask", "Hi"], "no server: pass --base-url URL, set ACYTOO_BASE_URL, or try --local"),
        (["ask", "--local", "--base-url", "http://127.0.0.1:1", "Hi"], "leave --base-url out"),
        (["ask", "--local", "-"], "the prompt is empty"),
        (["ask", "--local", "--temperature", "warm", "Hi"], "'warm' is not a valid float"),
        (["ask", "--local", "--payload", "openai", "Hi"], "'openai' is not one of 'acytoo', 'ai-sdk', 'prompt'"),
        (["tell"], "No such command 'tell'"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], sentence: str) -> None:
    done = run(*arguments, stdin="")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stdout == ""


def test_bad_value_is_told_by_the_library() -> None:
    done = run("ask", "--local", "--temperature", "9", "Hi")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: temperature must be 0 to 2")


def test_notice_goes_to_stderr() -> None:
    with FakeServer("Hello!" + NOTICE) as server:
        done = run("ask", "--base-url", server.url, "Hi")
    assert done.stdout == "Hello!\n"
    assert done.stderr.startswith("The server added a notice: You can try our new")


def test_terminal_is_not_controlled_by_a_reply() -> None:
    reply = "\x1b]0;owned\x07 a\x9bb \u202e\tok\n"
    with FakeServer(reply) as server:
        piped = run("ask", "--base-url", server.url, "Hi").stdout
        ours, theirs = pty.openpty()
        try:
            command = [sys.executable, "-m", "acytoo_sdk", "ask", "--base-url", server.url, "Hi"]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=theirs, timeout=30, check=True)
            shown = os.read(ours, 1000).decode()
        finally:
            os.close(ours)
            os.close(theirs)
    assert piped == reply
    assert shown.split() == ["\ufffd]0;owned\ufffd", "a\ufffdb", "\ufffd", "ok"]


def test_a_line_end_in_two_pieces_is_one_on_a_terminal() -> None:
    gate = Gate()
    with FakeServer(["one\r", "\ntwo\r", "three\r"], gate=gate) as server:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "acytoo_sdk", "ask", "--base-url", server.url, "Hi"]
        with (
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs) as process,
            os.fdopen(ours, "rb") as shown,
        ):
            os.close(theirs)
            gate.release()
            assert shown.read(3) == b"one"  # at once, though its line may go on
            gate.open()
            assert process.wait(30) == 0
            assert shown.read(len(b"\r\ntwo\r\nthree\r\n")) == b"\r\ntwo\r\nthree\r\n"
            with pytest.raises(OSError, match="Input/output"):  # the end: the other side is closed
                shown.read(1)


def redirected(how: str, *arguments: str, stdin: bytes = b"", utf8: str = "1") -> tuple[int, str, str]:
    """The exit status, stdout and stderr of the command, some of it redirected by a shell."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, "-m", "acytoo_sdk", *arguments],
        input=stdin,
        env={**os.environ, "PYTHONUTF8": utf8, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_a_prompt_that_is_not_utf_8_is_wrong_usage(utf8: str) -> None:
    status, stdout, stderr = redirected("", "ask", "--local", stdin="Привет".encode() + b"\xff", utf8=utf8)
    assert (status, stdout) == (2, "")
    assert stderr.endswith("\nError: the prompt on stdin is not UTF-8 at byte 12\n")


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_a_closed_stdin_holds_no_prompt(arguments: list[str]) -> None:
    status, stdout, stderr = redirected("<&-", "ask", "--local", *arguments)
    assert (status, stdout) == (2, "")
    assert stderr.endswith("\nError: no prompt: pass it as an argument, or on stdin\n")
    assert redirected("<&-", "ask", "--local", "Hi")[0] == 0


def test_a_closed_stdout_is_told_before_anything_is_sent() -> None:
    with FakeServer() as server:
        told = redirected(">&-", "ask", "--base-url", server.url, "Hi")
        assert server.connections == 0
    assert told == (1, "", "Error: stdout is closed\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
@pytest.mark.parametrize("arguments", [["ask", "--local", "Hi"], ["--version"], ["ask", "--help"]])
def test_a_full_disk_is_told_in_one_sentence(arguments: list[str]) -> None:
    sentence = "Error: input or output failed: No space left on device\n"
    assert redirected(">/dev/full", *arguments) == (1, "", sentence)
    assert redirected(">/dev/full 2>&1", *arguments) == (1, "", "")


def test_with_a_closed_stderr_the_status_tells() -> None:
    reply = "You said: Hi (model gpt-3.5-turbo, 1 message)\n"
    assert redirected("2>&-", "ask", "--local", "Hi") == (0, reply, "")
    assert redirected("2>&-", "ask", "--local", "--temperature", "warm", "Hi") == (2, "", "")
    assert redirected("2>&-", "ask", "--base-url", "http://127.0.0.1:1", "Hi") == (1, "", "")
    assert redirected("<&- >&- 2>&-", "ask", "--local", "Hi") == (1, "", "")


@pytest.mark.parametrize("how", ["", "2>&1"])
def test_a_pipe_that_nobody_reads_ends_it_quietly(how: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, "-m", "acytoo_sdk", "ask", "--local", "Hi"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['click'] = None; from acytoo_sdk.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "acytoo: the command line needs click: pip install 'acytoo-sdk[cli]'\n"


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"]])
def test_help_is_there(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_ctrl_c_ends_it_quietly_and_keeps_the_text() -> None:
    with FakeServer(["one ", "two"], faults=[Fault.stall(after=1)]) as server:
        command = [sys.executable, "-m", "acytoo_sdk", "ask", "--base-url", server.url, "Hi"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), 100) == b"one "
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30) == (b"\n", b"")
            assert process.returncode == 130
            server.wait_until(lambda: server.open_connections == 0)
