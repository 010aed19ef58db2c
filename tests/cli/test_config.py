"""`acytoo config`: what is shown, what is changed, and that no secret is an argument or on a screen."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import traceback
from pathlib import Path

import pexpect
import pytest
from click.testing import CliRunner

from acytoo_sdk.cli.app import app
from acytoo_sdk.cli.settings.file import TEMPLATE, settings_path
from acytoo_sdk.cli.settings.merging import SETTINGS

HIDDEN = "sk-hidden-4f"
HISTORY = "your shell's history now"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return settings_path()


def write(text: str) -> None:
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    settings_path().write_text(text)


def run(*arguments: str, stdin: str | bytes = "") -> tuple[int, str, str]:
    """The status, stdout and stderr of `acytoo ARGUMENTS`, whose stdin is no terminal."""
    done = CliRunner().invoke(app, arguments, input=stdin, prog_name="acytoo")
    assert done.exception is None or isinstance(done.exception, SystemExit), "".join(
        traceback.format_exception(done.exception)
    )
    return done.exit_code, done.stdout, done.stderr


def config(*arguments: str, stdin: str | bytes = "") -> tuple[int, str, str]:
    return run("config", *arguments, stdin=stdin)


def refusal(*arguments: str, stdin: str | bytes = "") -> str:
    """The sentence by which it is refused."""
    status, stdout, stderr = config(*arguments, stdin=stdin)
    assert (status, stdout) == (2, ""), (status, stdout, stderr)
    assert stderr.startswith("Error: ")
    assert stderr.count("\n") == 1
    assert HIDDEN not in stderr
    return stderr.removeprefix("Error: ").rstrip("\n")


FULL = f"""\
base_url = "https://a.example"
key = "{HIDDEN}"
temperature = 1
system = "one\\n\\u001b[31mtwo"
proxy = "http://user:{HIDDEN}@proxy:1"

[headers]
authorization = "Bearer {HIDDEN}"

[profiles.work]
model = "w"

[profiles.home]
"""


# What is shown


def test_it_shows_the_file_the_profiles_and_each_setting_with_its_source(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(FULL)
    monkeypatch.setenv("ACYTOO_PASSWORD", HIDDEN)
    status, stdout, stderr = config("--profile", "work")
    assert (status, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[:3] == [str(path), "profiles: work (in force), home", ""]
    assert [line.split()[0] for line in lines[3:]] == [*SETTINGS]
    assert {line[:12].rstrip(): line[13:] for line in lines[3:]} == {
        "base_url": "https://a.example  (the settings file)",
        "path": "/api/completions  (default)",
        "payload": "acytoo  (default)",
        "key": "***  (the settings file)",
        "key_command": "not set",
        "password": "***  (ACYTOO_PASSWORD)",
        "model": "w  (profile work)",
        "temperature": "1  (the settings file)",
        "system": "one\\n\\x1b[31mtwo  (the settings file)",
        "timeout": "not set",
        "retries": "2  (default)",
        "proxy": "http://***@proxy:1  (the settings file)",
        "ca": "not set",
        "headers": "authorization=***  (the settings file)",
    }


def test_for_programs_it_is_one_object(path: Path) -> None:
    write(FULL)
    status, stdout, stderr = config("--json")
    assert (status, stderr, stdout.count("\n")) == (0, "", 1)
    shown = json.loads(stdout)
    assert HIDDEN not in stdout
    assert (shown["file"], shown["profile"], shown["profiles"]) == (str(path), None, ["work", "home"])
    assert [*shown["settings"]] == [*SETTINGS]
    assert shown["settings"]["temperature"] == {"value": 1, "source": "the settings file"}
    assert shown["settings"]["timeout"] == {"value": None, "source": "default"}
    assert shown["settings"]["system"]["value"] == "one\n\x1b[31mtwo"
    assert shown["settings"]["key"]["value"] == "***"
    assert shown["settings"]["headers"]["value"] == {"authorization": "***"}
    assert shown["withheld"] == []
    assert "--json shows all settings" in config("--json", "get", "model")[2]


def test_it_tells_what_is_not_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f'base_url = "https://a.example"\nkey = "{HIDDEN}"\n')
    monkeypatch.setenv("ACYTOO_BASE_URL", "https://b.example")
    sentence = (
        f"the key in {path} belongs to https://a.example and is not sent to https://b.example, which "
        "ACYTOO_BASE_URL names"
    )
    status, stdout, stderr = config()
    assert (status, stderr) == (0, f"{sentence}\n")
    assert "\nkey          not set\n" in stdout
    assert json.loads(config("--json")[1])["withheld"] == [sentence]
    assert config("-q")[2] == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profile", "work", "config", "get", "model"),
        ("config", "--profile", "work", "get", "model"),
        ("config", "get", "--profile", "work", "model"),
        ("--profile", "home", "config", "get", "--profile", "work", "model"),
    ],
)
def test_the_profile_stands_before_a_verb_or_after_it(arguments: tuple[str, ...]) -> None:
    write(FULL)
    assert run(*arguments) == (0, "w\n", "")


def test_get_prints_the_bare_value() -> None:
    write(FULL)
    assert config("get", "base_url") == (0, "https://a.example\n", "")
    assert config("get", "temperature") == (0, "1\n", "")
    assert config("get", "model") == (0, "gpt-3.5-turbo\n", "")
    assert config("get", "timeout") == (1, "", "")
    assert config("get", "headers.x-none") == (1, "", "")
    write('proxy = "http://proxy:1"')
    assert config("get", "proxy") == (0, "http://proxy:1\n", "")
    assert config("get", "key") == (1, "", "")
    assert config("get", "headers") == (1, "", "")


@pytest.mark.parametrize("name", ["key", "proxy", "headers", "headers.Authorization"])
def test_get_prints_no_secret(name: str) -> None:
    write(FULL)
    assert refusal("get", name) == f"{name} is a secret, which is not printed"


def test_a_terminal_is_not_controlled_by_a_value() -> None:
    write('model = "\\u001b]0;owned\\u0007m"\nsystem = "\\u009bx"\n')
    assert config("get", "model")[1] == "\x1b]0;owned\x07m\n", "a pipe gets it as it is"
    for arguments in ("config get model", "config get system", "config", "config --json"):
        shown, status = on_terminal(arguments)
        assert status == 0
        assert "\x1b]" not in shown
        assert "\x9b" not in shown


# What is changed


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("base_url", "HTTPS://A.example/", 'base_url = "https://a.example"'),
        ("timeout", "30", "timeout = 30"),
        ("timeout", "2.5", "timeout = 2.5"),
        ("temperature", "1", "temperature = 1"),
        ("retries", "0", "retries = 0"),
        ("model", "7", 'model = "7"'),
        ("payload", "ai-sdk", 'payload = "ai-sdk"'),
        ("proxy", "http://proxy:1", 'proxy = "http://proxy:1"'),
    ],
)
def test_set_writes_a_value_of_its_kind(path: Path, name: str, value: str, line: str) -> None:
    assert config("set", name, value) == (0, "", f"{name} is set in {path}\n")
    assert path.read_text() == f"{line}\n"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("timeout", HIDDEN, "timeout must be a number"),
        ("timeout", "nan", "timeout must be finite"),
        ("retries", "2.5", "retries must be a whole number"),
        ("temperature", "9", "temperature must be 0 to 2, not 9"),
        ("payload", HIDDEN, "payload must be one of acytoo, ai-sdk, prompt"),
        ("base_url", f"https://u:{HIDDEN}@a", "base_url holds credentials"),
        ("model", "", "model is empty"),
        ("ca", "none.pem", "ca names no file or folder"),
        ("modle", HIDDEN, "there is no such setting: did you mean model?"),
        (f"key={HIDDEN}", "x", "there is no such setting: did you mean key? No = stands between"),
        (HIDDEN, "x", "there is no such setting: the settings are"),
        ("headers", HIDDEN, "headers is not taken from the arguments"),
        (f"headers.a={HIDDEN}", "x", "after headers. stands the name of a header, and nothing else"),
        ("profiles.work", HIDDEN, "there is no such setting"),
        ("profiles.p.model", "m", "there is no such setting: with --profile p its name is model"),
        (f"profiles.p.headers.{HIDDEN}", "x", "there is no such setting: with --profile p its name is headers"),
        (f"profiles.{HIDDEN}", "m", "there is no such setting"),
        ("BASE_URL", HIDDEN, "there is no such setting: did you mean base_url?"),
        ("Model", HIDDEN, "there is no such setting: did you mean model?"),
    ],
)
def test_set_refuses_what_is_not_usable_before_it_writes(path: Path, name: str, value: str, sentence: str) -> None:
    assert refusal("set", name, value).startswith(sentence)
    assert not path.exists()


@pytest.mark.parametrize("name", ["key", "password", "headers.authorization", "proxy"])
def test_a_secret_is_not_taken_from_the_arguments(path: Path, name: str) -> None:
    text = 'base_url = "https://a"\n'
    write(text)
    said = refusal("set", name, f"http://u:{HIDDEN}@p:1" if name == "proxy" else HIDDEN)
    assert said.startswith(f"{name} is not taken from the arguments")
    assert said.endswith(HISTORY)
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["key", "password", "headers.authorization"])
def test_a_secret_in_several_arguments_is_refused_like_one_in_a_single_argument(path: Path, name: str) -> None:
    write('base_url = "https://a"\n')
    said = refusal("set", name, "Bearer", HIDDEN)
    assert said == refusal("set", name, HIDDEN)
    assert said.startswith(f"{name} is not taken from the arguments")


@pytest.mark.parametrize("name", ["key", "password", "headers.authorization", "proxy"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_stdin(path: Path, name: str, end: str) -> None:
    write('base_url = "https://a"\n')
    value = f"http://u:{HIDDEN}@p:1" if name == "proxy" else HIDDEN
    assert config("set", name, stdin=value + end) == (0, "", f"{name} is set in {path}\n")
    assert f'{name.rpartition(".")[2]} = "{value}"\n' in path.read_text()


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (f"{HIDDEN}\nmore\n", "has more than one line"),
        (f"{HIDDEN}\n\n", "has more than one line"),
        (HIDDEN.encode() + b"\xff", "is not UTF-8 at byte 12"),
    ],
)
def test_what_is_no_secret_on_stdin_is_refused(stdin: str | bytes, sentence: str) -> None:
    write('base_url = "https://a"\n')
    assert refusal("set", "key", stdin=stdin) == f"stdin, which key is read from, {sentence}"


def test_a_text_of_many_lines_may_be_read_from_stdin(path: Path) -> None:
    assert config("set", "system", stdin="Be brief.\nBe kind.\n")[0] == 0
    assert config("get", "system")[1] == "Be brief.\nBe kind.\n"


def on_terminal(arguments: str, *typed: tuple[str, str], env: dict[str, str] | None = None) -> tuple[str, int | None]:
    """What a terminal shows, and the status."""
    command = pexpect.spawn(
        sys.executable,
        ["-m", "acytoo_sdk", *shlex.split(arguments)],
        env={**os.environ, "TERM": "dumb", **(env or {})},
        encoding="utf-8",
        timeout=30,
    )
    shown = ""
    for prompt, text in typed:
        command.expect_exact(prompt)
        shown += f"{command.before}{prompt}"
        command.waitnoecho(10)
        command.sendline(text)
    command.expect(pexpect.EOF)
    shown += str(command.before)
    command.close()
    return shown, command.exitstatus


def test_a_secret_is_asked_for_on_a_terminal_and_not_seen(path: Path) -> None:
    write('base_url = "https://a"\n')
    shown, status = on_terminal("config set key", ("key for https://a: ", HIDDEN))
    assert (status, HIDDEN in shown) == (0, False)
    assert path.read_text() == f'base_url = "https://a"\nkey = "{HIDDEN}"\n'
    shown, status = on_terminal("config set model")
    assert status == 2
    assert "Missing argument 'VALUE'" in shown


def test_ctrl_c_at_the_question_writes_nothing(path: Path) -> None:
    write('base_url = "https://a"\n')
    _, status = on_terminal("config set key", ("key for https://a: ", "\x03"))
    assert (status, path.read_text()) == (130, 'base_url = "https://a"\n')


@pytest.mark.parametrize("name", ["key", "key_command", "password", "headers.x-a"])
def test_a_secret_of_no_server_is_refused_before_it_is_asked_for(path: Path, name: str) -> None:
    value = ("pass show",) if name == "key_command" else ()
    stem = name.partition(".")[0]
    assert refusal("set", name, *value, stdin=HIDDEN) == (
        f"{stem} would belong to no server: name it first, with `acytoo config set base_url URL`"
    )
    assert refusal("--profile", "p", "set", name, *value, stdin=HIDDEN).endswith(
        "`acytoo config --profile p set base_url URL`"
    )
    assert not path.exists()
    write('base_url = "https://a"\n')
    assert config("--profile", "p", "set", name, *value, stdin=HIDDEN)[0] == 0, "it is inherited"


def test_a_key_does_not_move_to_another_server(path: Path) -> None:
    text = f'base_url = "https://a"\nkey = "{HIDDEN}"\n\n[profiles.p]\npassword = "{HIDDEN}"\n'
    write(text)
    assert "key in" in refusal("set", "base_url", "https://b")
    assert "belongs to https://a: take it out first" in refusal("unset", "base_url")
    assert "acytoo config --profile p unset password" in refusal("--profile", "p", "set", "base_url", "https://b")
    assert path.read_text() == text
    assert config("set", "base_url", "https://A/")[0] == 0
    assert config("unset", "key")[0] == 0
    assert "profile p" in refusal("set", "base_url", "https://b"), "which inherits the address"
    assert config("--profile", "p", "unset", "password")[0] == 0
    assert config("set", "base_url", "https://b")[0] == 0


def test_a_wrong_address_is_taken_out_by_hand_where_a_key_would_move(path: Path) -> None:
    text = f'base_url = "https://a"\n\n[profiles.p]\nbase_url = "chat"\nkey = "{HIDDEN}"\n'
    write(text)
    assert "profiles.p.base_url must begin with http" in refusal("--profile", "p", "unset", "base_url")
    assert path.read_text() == text
    assert config("--profile", "p", "set", "base_url", "https://b")[0] == 0


def test_two_keys_in_one_table_are_refused() -> None:
    write(f'base_url = "https://a"\nkey = "{HIDDEN}"\n')
    assert "key and key_command are two keys: leave one out" in refusal("set", "key_command", "pass show x")


def test_a_profile_is_made_and_picked_by_the_variable_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config("--profile", "p", "set", "model", "m") == (
        0,
        "",
        f"model is set in profile p of {path}, which is new: --profile names it\n",
    )
    assert path.read_text() == '[profiles.p]\nmodel = "m"\n'
    monkeypatch.setenv("ACYTOO_PROFILE", "p")
    assert config("set", "model", "n") == (0, "", f"model is set in profile p of {path}\n")
    assert config("get", "model")[1] == "n\n"
    assert path.read_text() == '[profiles.p]\nmodel = "n"\n'
    monkeypatch.setenv("ACYTOO_PROFILE", "stale")
    said = f"model is set in profile stale of {path}, which is new: ACYTOO_PROFILE names it\n"
    assert config("set", "model", "n") == (0, "", said)
    for name in ("", " ", "a\x1bb"):
        assert "the name of a profile" in refusal("--profile", name, "set", "model", "m")


def test_a_header_has_one_name_in_any_case(path: Path) -> None:
    write('base_url = "https://a"\n[headers]\nX-A = "old"\n')
    assert config("set", "headers.x-a", stdin="new")[0] == 0
    assert path.read_text() == 'base_url = "https://a"\n[headers]\nX-A = "new"\n'
    assert config("unset", "headers.x-A")[0] == 0
    assert "X-A" not in path.read_text()


def test_a_path_is_written_as_it_is_seen_from_anywhere(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text("")
    monkeypatch.chdir(tmp_path)
    assert config("set", "ca", "ca.pem")[0] == 0
    assert config("get", "ca")[1] == f"{tmp_path / 'ca.pem'}\n"
    assert config("set", "ca", "~/ca.pem")[0] == 0
    assert path.read_text() == f'ca = "{tmp_path / "ca.pem"}"\n'


def test_unset_takes_out_what_is_there(path: Path) -> None:
    write(FULL)
    assert config("unset", "temperature") == (0, "", f"temperature is no longer set in {path}\n")
    assert "temperature" not in path.read_text()
    assert config("unset", "temperature") == (1, "", f"temperature is not set in {path}\n")
    assert config("--profile", "none", "unset", "model")[0] == 1
    assert refusal("unset", "tempreature") == "there is no such setting: did you mean temperature?"
    assert refusal("unset", "profiles").startswith("there is no such setting")
    assert "[profiles.work]" in path.read_text()


def test_unset_makes_no_file(path: Path) -> None:
    assert config("unset", "model")[0] == 1
    assert not path.parent.exists()


def test_what_is_wrong_is_mended_piece_by_piece(path: Path) -> None:
    write('temperature = 9\nmodle = "m"\nretries = -1\n')
    assert refusal() == f"{path}: temperature must be 0 to 2, not 9"
    assert config("unset", "modle")[0] == 0
    assert config("unset", "retries")[0] == 0
    assert config("set", "temperature", "1")[0] == 0
    assert config()[0] == 0


def test_a_file_that_others_may_write_is_neither_read_nor_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "false")
    write('model = "m"\n')
    path.chmod(0o666)
    for arguments in ((), ("get", "model"), ("set", "model", "n"), ("unset", "model"), ("edit",)):
        assert refusal(*arguments) == f"{path} may be written by others: chmod go-w {path}"
    assert path.read_text() == 'model = "m"\n'
    assert config("path") == (0, f"{path}\n", "")


def test_the_path_is_told_whatever_stands_there(path: Path) -> None:
    assert config("path") == (0, f"{path}\n", "")
    for text in ("[", 'modle = "m"'):
        write(text)
        assert config("path") == (0, f"{path}\n", "")


def test_a_verb_that_there_is_not_is_not_quoted() -> None:
    assert refusal("sett", "model", "m") == "config has no such verb: did you mean set?"
    assert refusal(HIDDEN).startswith("config has no such verb: its verbs are get, set,")


# The editor


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script for what is typed there: it is given the file's path."""
    script = tmp_path / "editor"
    monkeypatch.setenv("VISUAL", f"sh {script}")
    return script


def test_edit_opens_the_file_and_checks_it(path: Path, editor: Path) -> None:
    editor.write_text("""cp "$1" "$HOME/seen"; echo 'model = "m"' >> "$1"\n""")
    assert config("edit") == (0, "", f"{path} is in order\n")
    assert (Path.home() / "seen").read_text() == TEMPLATE
    assert config("get", "model")[1] == "m\n"
    editor.write_text("""echo 'modle = "m"' >> "$1"\n""")
    assert refusal("edit") == f"{path}: modle is no setting: did you mean model?"
    editor.write_text("""sed -i /modle/d "$1"\n""")
    assert config("edit")[0] == 0, "what is wrong can be opened"


def test_an_editor_that_fails_is_an_error(path: Path, editor: Path) -> None:
    editor.write_text("exit 3")
    sentence = "the editor that VISUAL names is not there, or failed: VISUAL or EDITOR names another one"
    assert refusal("edit") == sentence


@pytest.mark.parametrize("variable", ["VISUAL", "EDITOR"])
def test_an_editor_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv(variable, "/nowhere/editor")
    sentence = f"the editor that {variable} names is not there, or failed: VISUAL or EDITOR names another one"
    assert refusal("edit") == sentence


def test_without_a_terminal_only_an_editor_that_is_named_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    assert refusal("edit") == "an editor needs a terminal, unless VISUAL or EDITOR names one that does not"
    assert not path.exists()


# Completion and start


def completed(*words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "acytoo_sdk"],
        env={
            **os.environ,
            "_ACYTOO_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("acytoo", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_shells_know_settings_and_profiles(path: Path) -> None:
    write(FULL)
    assert completed("config", "set", "ke") == ["key", "key_command"]
    assert completed("config", "get", "b") == ["base_url"]
    assert completed("config", "unset", "") == [*SETTINGS]
    assert completed("config", "--profile", "") == ["work", "home"]
    assert completed("ask", "--profile", "w") == ["work"]
    path.chmod(0o666)
    assert completed("config", "--profile", "") == []


def test_what_help_needs_is_little() -> None:
    """Neither the settings nor the libraries of the file are imported to tell what `config` does."""
    code = (
        "import sys; from click.testing import CliRunner; from acytoo_sdk.cli.config import config\n"
        "assert CliRunner().invoke(config, ['--help']).exit_code == 0; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = {*done.stdout.split()}
    assert "acytoo_sdk.cli.config" in loaded
    assert not loaded & {
        "tomlkit",
        "platformdirs",
        "rich",
        "requests",
        "acytoo_sdk._client",
        "acytoo_sdk.cli.settings.clients",
    }


def test_help_says_what_each_setting_is() -> None:
    _, shown, _ = config("--help")
    for name, setting in SETTINGS.items():
        assert f"\n  {name} " in shown
        assert setting.variable is None or f"also {setting.variable}" in shown


@pytest.mark.parametrize("before", [(), ("--profile", "work")])
def test_an_empty_profile_after_the_verb_is_none_that_there_is(before: tuple[str, ...]) -> None:
    """As a script's variable that is not set: nothing is sent with the settings of another profile."""
    write(FULL)
    status, stdout, stderr = run(*before, "ask", "--dry-run", "--profile", "", "Hi")
    assert (status, stdout) == (2, "")
    assert stderr.startswith("Error: --profile names a profile that is not in ")
    assert refusal("--profile", "").startswith("--profile names a profile that is not in ")
