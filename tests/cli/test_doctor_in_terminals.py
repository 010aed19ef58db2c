"""`acytoo doctor` in a terminal, and as a process: when its lines come, how wide they are, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from programs import PROGRAM, in_terminal

from acytoo_sdk.testing import FakeServer, Fault, Gate

WORDS = [f"word {number}, " for number in range(12)]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_on_a_terminal_each_line_stands_there_as_soon_as_its_step_is_done() -> None:
    gate = Gate()
    with FakeServer(WORDS, gate=gate) as server, in_terminal("doctor", "--base-url", server.url) as screen:
        screen.wait_for("...   reply")
        assert screen.lines[4:] == ["-     TLS        http has none", "...   reply"]
        gate.release()
        screen.wait_for("...   text")
        assert screen.lines[5].startswith("ok    reply      HTTP 200")
        gate.open()
        assert screen.wait() == 0
        assert "..." not in "\n".join(screen.lines)
        assert screen.lines[-1].startswith("All is well.")
        assert "\x1b[32mok\x1b[0m    reply" in screen.written


def test_without_colors_nothing_is_redrawn() -> None:
    with FakeServer(WORDS) as server, in_terminal("doctor", "--base-url", server.url, "--color", "never") as screen:
        assert screen.wait() == 0
    assert "\x1b" not in screen.written
    assert "..." not in screen.written


@pytest.mark.parametrize(("columns", "indent"), [(40, 6), (200, 17)])
def test_lines_break_at_words_and_addresses_stay_whole(columns: int, indent: int, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    with in_terminal("doctor", "--base-url", url, columns=columns, env={"NO_COLOR": "1"}) as screen:
        assert screen.wait() == 3
    mend = next(index for index, line in enumerate(screen.lines) if "to mend:" in line)
    assert screen.lines[mend].startswith(f"{' ' * indent}to mend: nothing listens on")
    assert f"127.0.0.1:{closed_port}:" in screen.lines[mend] + screen.lines[mend + 1]
    assert all(len(line) <= columns for line in screen.lines)


def test_an_address_is_never_broken(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/a-path-that-is-longer-than-the-screen-is-wide"
    with in_terminal("doctor", "--base-url", url, columns=30) as screen:
        assert screen.wait() == 3
    assert f"\r\n      {url}\r\n" in screen.written


def test_in_a_pipe_each_line_comes_as_soon_as_its_step_is_done() -> None:
    gate = Gate()
    with FakeServer(WORDS, gate=gate) as server:
        command = [*PROGRAM, "doctor", "--base-url", server.url]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline() for _ in range(5)]
                assert lines[-1] == "-     TLS        http has none\n"
                gate.open()
                assert process.stdout.read().endswith("\nAll is well.\n")
            finally:
                process.kill()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_ctrl_c_ends_it_at_once(form: list[str]) -> None:
    with FakeServer(faults=[Fault.no_head()]) as server:
        with in_terminal("doctor", "--base-url", server.url, *form) as screen:
            server.wait_until(lambda: server.requests)
            screen.send("\x03")
            assert screen.wait() == 130
        assert "Traceback" not in screen.written
        assert screen.written.endswith("^C" if form else "\r\n"), "the shell begins a line of its own"
        server.wait_until(lambda: server.open_connections == 0)


def test_ctrl_c_ends_the_wait_for_a_name() -> None:
    code = (
        "import socket, threading\n"
        "socket.getaddrinfo = lambda *arguments, **more: (print('asked', flush=True), threading.Event().wait())\n"
        "from acytoo_sdk.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "doctor", "--base-url", "http://chat.example"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while process.stdout.readline() not in ("asked\n", ""):
                pass
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "")


def test_a_command_that_only_shows_its_help_loads_no_network() -> None:
    code = "import sys, acytoo_sdk.cli.doctor; print(*sys.modules)"
    # What measures coverage would import more.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not {"requests", "ssl", "socket", "acytoo_sdk._client", "acytoo_sdk.cli.examining.examination"} & {*loaded}
