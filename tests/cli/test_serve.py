"""`acytoo serve` as it is started: its first line, what it is told, and every way in which it cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from acytoo_sdk import Client, server
from acytoo_sdk.cli import serve as command
from acytoo_sdk.cli.app import app
from acytoo_sdk.server.log import Log
from acytoo_sdk.server.program import serve as run_server
from acytoo_sdk.server.settings import Settings
from acytoo_sdk.server.wire import CHAT_PATHS


class Told(Log):
    """A log on the standard error of the moment."""

    def __init__(self, descriptor: int | None = None) -> None:
        super().__init__(None)

    def tell(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")


class Started:
    """Starts the command in this process, with a server that is content with its settings."""

    def __init__(self) -> None:
        self.settings: list[Settings] = []

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, ["serve", *arguments], env=env, prog_name="acytoo")

    async def serve(self, settings: Settings, *, log: Log, announce: Callable[[str], None]) -> None:
        self.settings.append(settings)
        announce(f"http://{settings.host}:1234")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setattr("acytoo_sdk.server.program.serve", started.serve)
    monkeypatch.setattr("acytoo_sdk.server.log.Log", Told)
    monkeypatch.setattr(command, "_stderr", lambda: 2)
    return started


def test_first_line_names_the_address_and_nothing_else_goes_to_stdout() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "acytoo_sdk", "serve", "--port", "0", "--pause", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.fullmatch(r"acytoo: listening on (http://127\.0\.0\.1:[1-9][0-9]*)\n", first)
    assert found, first
    with Client(found[1]) as client:
        assert client.complete("Hi") == "You said: Hi (model gpt-3.5-turbo, 1 message)"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    ask, curl, line = err.splitlines()
    assert ask == f"try it:  acytoo ask --base-url {found[1]} 'Hi'"
    assert curl.startswith(f"or:      curl --no-buffer {found[1]}/api/completions --data '")
    assert line.endswith("s complete")


def test_port_in_use_is_one_sentence_and_status_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "acytoo_sdk", "serve", "--port", port],
            capture_output=True,
            encoding="utf-8",
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert "Traceback" not in done.stderr


def test_everything_that_is_told_arrives(started: Started, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("cert.pem", "key.pem")]
    for file in files:
        file.touch()
    told = (
        "--host 0.0.0.0 --port 1 --upstream http://127.0.0.1:11434/v1/ --model m --model-map a=b --model-map c=d=e "
        "--upstream-key-env UP --pass-client-key --password-env PW --allow-origin https://a.example --allow-origin * "
        "--first-byte-timeout 1.5 --idle-timeout 2 --max-body 3 --max-streams 4 --grace 0 --pause 0"
    )
    result = started.run(
        *told.split(), "--tls-cert", str(files[0]), "--tls-key", str(files[1]), env={"UP": "sk-1", "PW": "pw-1"}
    )
    assert result.exit_code == 0, result.output
    (settings,) = started.settings
    assert (settings.upstream_key.reveal(), settings.password.reveal()) == ("sk-1", "pw-1")
    assert (settings.host, settings.port) == ("0.0.0.0", 1)
    assert (settings.upstream, settings.model) == ("http://127.0.0.1:11434/v1", "m")
    assert settings.model_map == {"a": "b", "c": "d=e"}
    assert (settings.pass_client_key, settings.allow_origins) == (True, ("https://a.example", "*"))
    assert (settings.first_byte_timeout, settings.idle_timeout, settings.grace) == (1.5, 2.0, 0.0)
    assert (settings.max_body, settings.max_streams, settings.pause) == (3, 4, 0.0)
    assert (settings.tls_cert, settings.tls_key) == (str(files[0]), str(files[1]))
    assert "sk-1" not in repr(settings)
    assert "pw-1" not in repr(settings)


def test_nothing_told_is_the_defaults(started: Started) -> None:
    assert started.run().exit_code == 0
    assert started.settings == [Settings()]
    assert started.run("--echo").exit_code == 0
    assert started.run("--reply", "x", "--fault", "cut=1").exit_code == 0
    assert (started.settings[-1].reply, started.settings[-1].fault) == ("x", "cut=1")
    assert started.run("--upstream", "http://127.0.0.1:1/v1/chat/completions").exit_code == 0
    assert started.settings[-1].upstream == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ([], False),
        (["--host", "localhost"], False),
        (["--host", "::1"], False),
        (["--host", "0.0.0.0"], True),
        (["--host", "::"], True),
        (["--host", "0.0.0.0", "--password-env", "PW"], False),
    ],
)
def test_server_that_anybody_reaches_without_a_password_warns_in_one_line(
    options: list[str], warned: bool, started: Started
) -> None:
    result = started.run(*options, env={"PW": "pw-1"})
    lines = [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]
    assert len(lines) == warned
    assert result.stdout.count("\n") == 1
    assert ("ACYTOO_PASSWORD=..." in result.stderr) == ("--password-env" in options)
    assert "pw-1" not in result.output


def test_help_leads_to_the_page_for_operators_and_what_that_says_is_understood(started: Started) -> None:
    page, told = server.__doc__ or "", started.run("--help").stdout
    options = {word for option in command.serve.params for word in option.opts}
    assert "python -m pydoc acytoo_sdk.server" in told
    assert set(re.findall(r"--[a-z-]+", page)) - options == {
        "--help",
        "--network",
        "--rm",
        "--stop-timeout",
        "--volume",
    }
    assert CHAT_PATHS[0] in page
    commands = re.findall(r"^.*acytoo serve (--[^`\"\n]*)", page, re.MULTILINE)
    commands.remove("--help")
    assert len(commands) == 2
    for line in commands:
        assert started.run(*line.split()).exit_code == 0
    assert {settings.model for settings in started.settings} == {"llama3.2"}


REFUSED = [
    (["--upstream", "127.0.0.1:11434"], "--upstream"),
    (["--upstream", "ftp://127.0.0.1"], "--upstream must begin with http:// or https://"),
    (["--upstream", "http://me:secret-1234@127.0.0.1/v1"], "--upstream holds credentials: --upstream-key-env"),
    (["--upstream", "http://127.0.0.1/v1?a"], "--upstream has a query or a fragment"),
    (["--upstream-key-env", "UNSET"], "--upstream-key-env names the variable UNSET, which is not set"),
    (["--password-env", "UNSET"], "--password-env names the variable UNSET, which is not set"),
    (["--password-env", "EMPTY"], "--password-env names the variable EMPTY, which is not set"),
    (["--upstream-key-env", "sk-secret-1234"], "--upstream-key-env takes the name of a variable: put the secret"),
    (["--password-env", "secret-1234"], "--password-env takes the name of a variable: put the secret"),
    (["--model-map", "a"], "--model-map takes A=B, not 'a'"),
    (["--model-map", "=b"], "--model-map takes A=B, not '=b'"),
    (["--allow-origin", "chat.example"], "--allow-origin takes an origin"),
    (["--allow-origin", "https://chat.example/"], "--allow-origin takes an origin"),
    (["--echo", "--reply", "x"], "--echo and --reply are two answers"),
    (["--upstream", "http://127.0.0.1:1/v1", "--fault", "cut"], "--fault answer offline"),
    (["--upstream", "http://127.0.0.1:1/v1", "--reply", "x"], "--fault answer offline"),
    (["--upstream", "http://127.0.0.1:1/v1", "--echo"], "--fault answer offline"),
    (["--tls-key", __file__], "--tls-key alone serves no https"),
    (["--port", "70000"], "--port"),
    (["--max-streams", "0"], "--max-streams"),
    (["--idle-timeout", "0"], "--idle-timeout"),
    (["--grace", "-1"], "--grace"),
    (["--tls-cert", "/nowhere"], "--tls-cert"),
    (["--wish"], "--wish"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=[" ".join(options) for options, _ in REFUSED])
def test_what_cannot_be_is_refused_in_one_sentence_with_status_2(
    options: list[str], words: str, started: Started
) -> None:
    result = started.run(*options, env={"EMPTY": ""})
    assert (result.exit_code, result.stdout, started.settings) == (2, "", [])
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert words in sentence
    assert "secret-1234" not in result.output


def test_server_without_aiohttp_names_the_extra(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("program", "app", "listener", "upstream"):
        monkeypatch.delitem(sys.modules, f"acytoo_sdk.server.{name}")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    result = started.run()
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: the server needs aiohttp: pip install 'acytoo-sdk[serve]'"


def test_another_missing_module_is_no_usage_error(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "acytoo_sdk.server.log")
    monkeypatch.setitem(sys.modules, "queue", None)
    assert isinstance(started.run().exception, ModuleNotFoundError)


# What only the server itself finds out.


def run_real(*options: str, **changes: Any) -> Result:
    """The command with its own server, which has to refuse what it is told."""
    return CliRunner().invoke(app, ["serve", "--port", "0", *options], prog_name="acytoo", **changes)


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acytoo_sdk.server.log.Log", Told)
    monkeypatch.setattr(command, "_stderr", lambda: 2)


@pytest.mark.usefixtures("own_server")
def test_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate, key, other = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(str(other))
    key.write_text("no key")
    for file in (key, other):
        result = run_real("--tls-cert", str(certificate), "--tls-key", str(file))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "tls_cert and tls_key cannot be used" in result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("own_server")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fault", "list"], "fault must be one of status, cut, reset"),
        (["--fault", "cut=x"], "fault cut takes a number"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:0: "),
    ],
)
def test_server_refuses_in_one_sentence_too(options: list[str], words: str) -> None:
    result = run_real(*options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("own_server")
def test_proxy_that_the_server_cannot_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    result = run_real("--upstream", "http://upstream.invalid/v1")
    assert result.exit_code == 2
    assert "SOCKS" in result.stderr.splitlines()[-1]


def test_signals_end_the_server_that_listens_and_are_handled_as_before_then() -> None:
    """In this process: what the program does in its main thread."""
    urls: list[str] = []

    def announce(url: str) -> None:
        urls.append(url)
        asyncio.get_running_loop().call_exception_handler({"message": "secret", "exception": OSError("secret")})
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)

    class Lines(Log):
        def write(self, line: str) -> None:
            lines.append(line)

    lines: list[str] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    asyncio.run(run_server(Settings(port=0, fault="cut"), log=Lines(None), announce=announce))
    assert {number: signal.getsignal(number) for number in before} == before
    assert urls[0].startswith("http://127.0.0.1:")
    assert lines == ["internal error: OSError"]
    assert not [thread for thread in threading.enumerate() if thread.name == "FakeServer"]
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(urls[0].rsplit(":", 1)[1]))):
        pytest.fail("somebody still listens")
