"""Settings become a client: where each value is sent, and the command that prints a key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest
from raised_frames import frames

from acytoo_sdk import AsyncClient, InvalidRequestError, RetryPolicy, Timeout
from acytoo_sdk.cli.options import Flags
from acytoo_sdk.cli.settings.clients import client_of, make_client, read_settings, run_key_command
from acytoo_sdk.cli.settings.file import settings_path
from acytoo_sdk.testing import FakeServer

HIDDEN = "sk-hidden-4f"  # a global: locals of a test are its own


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and a working directory that would like to be heard."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    cloned = tmp_path / "cloned"
    for place in (".config/acytoo/config.toml", "acytoo/config.toml", "config.toml", "acytoo.toml", ".acytoo.toml"):
        (cloned / place).parent.mkdir(parents=True, exist_ok=True)
        (cloned / place).write_text('base_url = "https://evil.example"\n')
    monkeypatch.chdir(cloned)
    return tmp_path / "home"


def write(text: str) -> Path:
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def program(body: str, name: str = "keys") -> str:
    """A command that runs a script of Python beside the settings."""
    script = write("").with_name(f"{name}.py")
    script.write_text(body)
    return f"{sys.executable} {script}"


def flags(profile: str | None = None, **values: Any) -> Flags:
    return Flags(values, profile, False)


def sent(server: FakeServer, **values: Any) -> dict[str, Any]:
    with client_of(read_settings(flags(base_url=server.url, **values))) as client:
        client.complete("Hi")
    body = server.requests[-1].json
    assert body is not None
    return body


# What a client is told


def test_either_kind_of_client_is_made_of_the_same_settings() -> None:
    settings = read_settings(flags(base_url="http://127.0.0.1:1", model="tiny", timeout=5.0))

    assert make_client(AsyncClient, settings).options == client_of(settings).options


def test_nothing_is_heard_but_the_users_own_file() -> None:
    settings = read_settings(flags())
    assert {name: one.value for name, one in settings.found.items() if one.source != "default"} == {}


def test_each_setting_reaches_the_client() -> None:
    ca = write("").with_name("ca.pem")
    ca.write_text("")
    write(
        """
        base_url = "https://a/"
        path = "/p"
        payload = "acytoo"
        key = "k1"
        password = "p1"
        model = "m"
        temperature = 1
        retries = 4
        proxy = "http://u:p@proxy:1"
        ca = "ca.pem"
        headers = {X-A = "h1"}
        """
    )
    options = client_of(read_settings(flags())).options
    assert (options.base_url, options.path, options.payload) == ("https://a", "/p", "acytoo")
    assert (options.key.reveal(), options.password.reveal()) == ("k1", "p1")
    assert (options.model, options.temperature, options.retry) == ("m", 1, RetryPolicy(attempts=5))
    assert (options.proxy.reveal(), options.verify) == ("http://u:p@proxy:1", str(ca))
    assert options.plain_headers == {"x-a": "h1"}
    assert client_of(read_settings(flags()), retries=0).options.retry == RetryPolicy(attempts=1)


@pytest.mark.parametrize(
    ("seconds", "limits"),
    [
        (None, Timeout()),
        (5, Timeout(total=5, first_byte=60, idle=30)),
        (45, Timeout(total=45, first_byte=60, idle=45)),
        (600, Timeout(total=600, first_byte=600, idle=600)),
    ],
)
def test_no_other_limit_ends_a_call_before_its_timeout(seconds: float | None, limits: Timeout) -> None:
    given: dict[str, Any] = {} if seconds is None else {"timeout": seconds}
    assert client_of(read_settings(flags(**given))).options.timeout == limits


def test_certificates_that_are_not_there_are_told_by_their_place() -> None:
    path = write('ca = "none.pem"')
    with pytest.raises(InvalidRequestError) as caught:
        client_of(read_settings(flags()))
    assert str(caught.value) == f"{path}: ca names no file or folder: {str(path.with_name('none.pem'))!r}"
    with pytest.raises(InvalidRequestError, match=r"^--ca names no file or folder: 'none.pem'"):
        client_of(read_settings(flags(ca="none.pem")))


def test_the_profile_is_that_of_the_flag_or_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("[profiles.a]\nmodel = 'of-a'\n[profiles.b]\nmodel = 'of-b'\n")
    monkeypatch.setenv("ACYTOO_PROFILE", "a")
    assert read_settings(flags())["model"] == "of-a"
    assert read_settings(flags("b"))["model"] == "of-b"
    monkeypatch.setenv("ACYTOO_PROFILE", "c")
    with pytest.raises(InvalidRequestError, match=f"^ACYTOO_PROFILE names a profile that is not in {path}"):
        read_settings(flags())
    monkeypatch.setenv("ACYTOO_PROFILE", "")
    assert read_settings(flags())["model"] == "gpt-3.5-turbo"


def test_what_is_withheld_does_not_come_by_the_library_either(monkeypatch: pytest.MonkeyPatch) -> None:
    write('base_url = "https://a"\nkey = "k1"\npassword = "p1"\n[headers]\nx-a = "h1"\n')
    with FakeServer("Hello!", pause=0) as server:
        body = sent(server)
        assert (body["key"], body["password"], server.requests[0].headers.get("x-a")) == ("", "", None)
        monkeypatch.setenv("ACYTOO_KEY", "k2")
        assert (sent(server)["key"], len(server.requests)) == ("k2", 2)


def test_a_server_of_ones_own_is_asked_whatever_the_file_and_the_environment_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write('base_url = "https://a"\nkey = "k1"')
    monkeypatch.setenv("ACYTOO_BASE_URL", "https://b")
    with FakeServer("Hello!", pause=0) as server:
        settings = read_settings(flags(), base_url=server.url)
        with client_of(settings) as client:
            assert client.complete("Hi") == "Hello!"
        assert server.requests[0].json is not None
        assert (server.requests[0].json["key"], settings.withheld) == ("", ())


def test_what_is_shown_holds_no_secret_and_runs_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    command = program(f"open({str(ran)!r}, 'w')")
    write(
        f"""
        base_url = "https://a"
        key_command = "{command}"
        password = "p1"
        proxy = "http://u:proxypass@proxy:1"
        headers = {{Authorization = "Bearer h1", User-Agent = "mine"}}
        """
    )
    options = client_of(read_settings(flags()), shown=True).options
    assert (options.key.reveal(), options.password.reveal()) == ("***", "***")
    assert options.plain_headers == {"authorization": "***", "user-agent": "mine"}
    assert options.proxy.reveal() == "http://proxy:1"
    assert not ran.exists()
    write('base_url = "https://a"')
    assert client_of(read_settings(flags()), shown=True).options.key.reveal() == ""


# The command that prints a key


@pytest.mark.parametrize("end", ["", "\\n", "\\r\\n"])
def test_a_command_prints_the_key(end: str) -> None:
    with FakeServer("Hello!", pause=0) as server:
        command = program(f"print('ключ 1', end='{end}')")
        write(f'base_url = "{server.url}"\nkey_command = "{command}"')
        assert sent(server)["key"] == "ключ 1"


def test_it_is_run_by_no_shell_and_reads_nothing_and_its_stderr_is_its_own(
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = program("import sys; print(sys.argv[1] + sys.stdin.read()); print('Touch it!', file=sys.stderr)")
    write(f"base_url = 'https://a'\nkey_command = '{command} \"$HOME; true\"'")
    assert client_of(read_settings(flags())).options.key.reveal() == "$HOME; true"
    assert capfd.readouterr().err == "Touch it!\n"


def test_what_it_names_by_a_relative_path_is_beside_the_settings(tmp_path: Path) -> None:
    evil, own = Path.cwd() / "keys", write('base_url = "https://a"\nkey_command = "./keys"').with_name("keys")
    for script, key in [(evil, "evil"), (own, "own")]:
        script.write_text(f"#!/bin/sh\necho {key}\n")
        script.chmod(0o755)
    assert client_of(read_settings(flags())).options.key.reveal() == "own"


def test_it_is_not_run_where_its_key_would_not_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    command = program(f"open({str(ran)!r}, 'w'); print('key')")
    write(f'base_url = "https://a"\nkey_command = "{command}"')
    settings = read_settings(flags(base_url="https://b"))
    assert client_of(settings).options.key.reveal() == ""
    assert settings.withheld == (
        f"the key in {settings_path()} belongs to https://a and is not sent to https://b, which --base-url names",
    )
    monkeypatch.setenv("ACYTOO_KEY", "k2")
    assert client_of(read_settings(flags())).options.key.reveal() == "k2"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (f"print('{HIDDEN}'); raise SystemExit(3)", "failed with status 3"),
        (f"print('{HIDDEN}', flush=True); import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("", "printed no key"),
        ("print()", "printed no key"),
        (f"print('{HIDDEN}\\n2')", "printed more than one line, and the key has to stand alone"),
        (f"print('{HIDDEN}\\n')", "printed more than one line, and the key has to stand alone"),
        (f"import sys; sys.stdout.buffer.write(b'{HIDDEN}\\xff')", "printed what is not UTF-8"),
    ],
)
def test_a_command_that_yields_no_key_is_one_sentence_without_what_it_printed(body: str, sentence: str) -> None:
    command = program(body)
    with FakeServer("Hello!", pause=0) as server:
        path = write(f'base_url = "{server.url}"\nkey_command = "{command}"')
        settings = read_settings(flags())
        with pytest.raises(InvalidRequestError) as caught:
            client_of(settings)
        assert server.connections == 0
    assert str(caught.value) == f"{path}: key_command {sentence}"
    check_hidden(caught.value)


def test_a_command_that_is_not_there_is_one_sentence() -> None:
    path = write("base_url = 'https://a'\nkey_command = '/no/such/program'")
    with pytest.raises(InvalidRequestError) as caught:
        client_of(read_settings(flags()))
    assert str(caught.value) == f"{path}: key_command cannot be run: No such file or directory"


def check_hidden(error: BaseException) -> None:
    """Whoever renders the error, with the locals of our frames, finds no key."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    rendered = traceback.TracebackException(type(error), error, tb, capture_locals=True)
    assert HIDDEN not in "".join(rendered.format())
    for one, frame in frames(error, but=__file__):
        assert HIDDEN not in f"{one!r} {vars(one)} {one.args}"
        for value in dict(frame.f_locals).values():
            assert HIDDEN not in f"{value!r} {getattr(value, '__dict__', '')}", frame.f_code


@pytest.mark.parametrize(
    "text",
    [
        f'key = "{HIDDEN}"\nbase_url = "chat"',
        f'key = "{HIDDEN}"\nbase_url = 3',
        f'key = "{HIDDEN}"\ntemperature = 9',
        f'base_url = "https://a"\nkey = "{HIDDEN}"\nmodle = "m"',
        f'base_url = "https://a"\nkey = "{HIDDEN}"\npayload = "prompt"',
        f'base_url = "https://a"\nkey = "{HIDDEN}"\nca = "none.pem"',
        f'base_url = "https://a"\nkey = "{HIDDEN}"\npassword = """{HIDDEN}\n',
        f'base_url = "https://a"\nkey = {HIDDEN}',
        f'base_url = "https://a"\nkey = ["{HIDDEN}"]',
        f'base_url = "https://u:{HIDDEN}@a"',
        f'base_url = "https://a"\nproxy = "http://u:{HIDDEN}@a:x"',
        f'base_url = "https://a"\n[headers]\nx-a = "{HIDDEN}\\n"',
        f'base_url = "https://a"\n[headers]\n"x a" = "{HIDDEN}"',
        f'base_url = "https://a"\n[profiles]\nwork = "{HIDDEN}"',
    ],
)
def test_no_frame_that_fails_shows_a_secret_of_the_file(text: str) -> None:
    write(text)
    with pytest.raises(InvalidRequestError) as caught:
        client_of(read_settings(flags()))
    check_hidden(caught.value)


@pytest.mark.parametrize("name", ["ACYTOO_KEY", "ACYTOO_PASSWORD"])
def test_no_frame_that_fails_shows_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, HIDDEN)
    for bad in ({"temperature": 9}, {"base_url": "chat"}, {"ca": "none.pem"}, {"headers": {"a b": "v"}}, {}):
        with pytest.raises(InvalidRequestError) as caught:
            client_of(read_settings(flags(**bad)))  # {}: nobody named a server
        check_hidden(caught.value)


@pytest.mark.parametrize("name", ["ACYTOO_KEY", "ACYTOO_PASSWORD"])
def test_a_secret_that_is_no_text_is_not_shown_either(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"{HIDDEN}\udcff")
    with pytest.raises(InvalidRequestError, match=f"^{name} is a str with a lone surrogate") as caught:
        read_settings(flags())
    check_hidden(caught.value)


def test_a_command_that_fails_leaves_no_frame_with_what_it_printed() -> None:
    write(f'base_url = "https://a"\nkey_command = "{program(f"print({HIDDEN!r}); raise SystemExit(3)")}"')
    found = read_settings(flags()).found["key_command"]
    with pytest.raises(InvalidRequestError) as caught:
        run_key_command(found)
    check_hidden(caught.value)


@pytest.mark.parametrize("at", ["tomlkit.parse", "acytoo_sdk.cli.settings.clients.header_secrets"])
def test_an_interruption_leaves_no_frame_with_a_secret(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    write(f'base_url = "https://a"\n[headers]\nx-a = "{HIDDEN}"')

    def interrupted(*arguments: object) -> None:
        assert HIDDEN in str(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(at, interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        client_of(read_settings(flags()), shown=True)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert "interrupted" in [frame.f_code.co_name for frame in frames]
    assert HIDDEN not in str([dict(frame.f_locals) for frame in frames])


def test_the_command_reads_nothing_of_what_is_piped_to_the_program() -> None:
    command = program("import sys; print('read', len(sys.stdin.read()))")
    write(f'base_url = "https://a"\nkey_command = "{command}"')
    code = (
        "from acytoo_sdk.cli.settings.clients import client_of, read_settings\n"
        "from acytoo_sdk.cli.options import Flags\n"
        "print(client_of(read_settings(Flags({}, None, False))).options.key.reveal(), input())"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], input="piped", env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("read 0 piped\n", "")


def test_ctrl_c_ends_the_command_and_the_program(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    body = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    write(f'base_url = "http://127.0.0.1:9"\nkey_command = "{program(body)}"')
    command = [sys.executable, "-m", "acytoo_sdk", "ask", "Hi"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        child = int(started.read_text())
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)
    assert (process.returncode, *output) == (130, b"", b"")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    ("variable", "is_sent"), [("http_proxy", False), ("all_proxy", False), ("https_proxy", True), ("", True)]
)
def test_a_proxy_of_the_environment_reads_no_key_of_the_file(
    monkeypatch: pytest.MonkeyPatch, variable: str, is_sent: bool
) -> None:
    write(f"base_url = 'http://chat.example'\nkey = '{HIDDEN}'\n")
    if variable:
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    settings = read_settings(flags())
    assert (settings["key"] is not None) == is_sent
    assert len(settings.withheld) == (0 if is_sent else 1)
    monkeypatch.setenv("no_proxy", "chat.example")
    assert read_settings(flags())["key"] is not None


def test_a_proxy_that_is_no_address_reads_no_key_either(monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"base_url = 'http://chat.example'\nkey = '{HIDDEN}'\n")
    monkeypatch.setenv("http_proxy", "ftp://proxy")
    assert read_settings(flags())["key"] is None
