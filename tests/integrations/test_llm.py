"""The model `acytoo` in llm: the program, in this process where that is the same, and in a terminal; the library."""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import llm
import pexpect
import pytest
import trustme
from click.testing import CliRunner
from fault_server import wait_for
from llm.cli import cli
from llm.migrations import migrate
from llm.parts import AttachmentPart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from sqlite_utils import Database

from acytoo_sdk import StreamInterruptedError
from acytoo_sdk.cli.settings.file import settings_path
from acytoo_sdk.integrations.llm import AcytooModelError
from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Gate

SECRET = "sesame-open-4f"
BOTH = pytest.mark.parametrize("flags", [(), ("--async",)], ids=["blocking", "async"])


@pytest.fixture(scope="module")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which nothing is written yet: llm takes half a second to make one."""
    path = tmp_path_factory.mktemp("llm") / "logs.db"
    database = Database(path)
    migrate(database)
    database.close()
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, empty_log: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, for llm and for acytoo."""
    (tmp_path / "llm").mkdir()
    shutil.copy(empty_log, tmp_path / "llm")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    return tmp_path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeServer]]:
    """Starts a server, which the environment names then."""
    with ExitStack() as stack:

        def start(**options: Any) -> FakeServer:
            server = stack.enter_context(FakeServer(**{"reply": ["Hel", "lo!"], **options}))
            monkeypatch.setenv("ACYTOO_BASE_URL", server.url)
            return server

        yield start


@pytest.fixture
def server(serve: Callable[..., FakeServer]) -> FakeServer:
    """One that answers."""
    return serve()


class Ran:
    """What the program has left: its status and its outputs."""

    def __init__(self, *arguments: str) -> None:
        result = CliRunner().invoke(cli, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.status, self.stdout, self.stderr = result.exit_code, result.stdout, result.stderr


def asked(*arguments: str) -> Ran:
    """One prompt, which is not logged."""
    return Ran("-m", "acytoo", "-n", *arguments, "Hi")


def settle(text: str) -> None:
    """Writes the file of `acytoo config`."""
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"retries = 0\n{text}")


def sent(server: FakeServer, index: int = -1) -> dict[str, Any]:
    body = server.requests[index].json
    assert body is not None
    return body


# The program


@BOTH
def test_a_prompt_is_answered_and_logged_with_the_model_that_was_asked(
    flags: tuple[str, ...], serve: Callable[..., FakeServer], home: Path
) -> None:
    server = serve(headers={"x-request-id": "r-7"}, faults=[Fault.notice()])

    ran = Ran("-m", "acytoo", *flags, "--key", SECRET, "-o", "model", "tiny", "-o", "temperature", "0.2", "Hi")
    row = json.loads(Ran("logs", "--json").stdout)[0]

    assert (ran.status, ran.stdout, ran.stderr) == (0, "Hello!\n", "")
    body = sent(server)
    assert (body["key"], body["model"], body["temperature"]) == (SECRET, "tiny", 0.2)
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert (row["model"], row["resolved_model"], row["response"]) == ("acytoo", "tiny", "Hello!")
    assert row["options_json"] == {"temperature": 0.2, "model": "tiny"}
    assert row["response_json"] == {"request_id": "r-7", "whole": True, "notice": NOTICE.strip()}
    assert not [path for path in (home / "llm").iterdir() if SECRET.encode() in path.read_bytes()]


def test_no_stream_prints_the_reply_at_once(server: FakeServer) -> None:
    assert asked("--no-stream").stdout == "Hello!\n"


def test_a_conversation_that_goes_on_is_sent_whole(server: FakeServer) -> None:
    Ran("-m", "acytoo", "-s", "Be brief.", "One")
    Ran("-c", "Two")

    assert [(each["role"], each["content"]) for each in sent(server)["messages"]] == [
        ("system", "Be brief."),
        ("user", "One"),
        ("assistant", "Hello!"),
        ("user", "Two"),
    ]


def test_bad_options_are_refused_by_their_names(server: FakeServer) -> None:
    ran = asked("-o", "temperature", "3", "-o", "timeout", "0", "-o", "model", "", "-o", "top_p", "1")

    assert (ran.status, server.requests) == (1, [])
    assert ran.stderr.splitlines() == [
        *("Error: temperature", "  Input should be less than or equal to 2"),
        *("timeout", "  Input should be greater than 0"),
        *("model", "  String should have at least 1 character"),
        *("top_p", "  Extra inputs are not permitted"),
    ]


@pytest.mark.parametrize(("name", "value"), [("temperature", "nan"), ("temperature", "warm"), ("timeout", "inf")])
def test_an_option_that_is_no_number_is_refused(name: str, value: str, server: FakeServer) -> None:
    ran = asked("-o", name, value)

    assert (ran.status, server.requests) == (1, [])
    assert ran.stderr.startswith(f"Error: {name}\n  Input should be ")


def test_the_limit_on_time_is_an_option(server: FakeServer) -> None:
    server.gate = Gate()

    ran = asked("-o", "timeout", "0.2")

    assert ran.status == 1
    assert "-o timeout SECONDS sets the limit" in ran.stderr


@pytest.mark.parametrize(
    ("flags", "kept", "variable", "key"),
    [
        (("--key", "of-the-flag"), True, True, "of-the-flag"),
        ((), True, True, "of-llm"),
        ((), False, True, "of-the-variable"),
        ((), False, False, "of-the-file"),
    ],
)
def test_a_key_of_llm_comes_before_one_of_acytoo(
    flags: tuple[str, ...], kept: bool, variable: bool, key: str, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(f'base_url = "{server.url}"\nkey = "of-the-file"\n')
    if kept:
        Ran("keys", "set", "acytoo", "--value", "of-llm")
    if variable:
        monkeypatch.setenv("ACYTOO_KEY", "of-the-variable")

    asked(*flags)

    assert sent(server)["key"] == key


def test_the_settings_of_acytoo_are_in_force_with_the_profile_of_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACYTOO_BASE_URL")
    settle(
        'base_url = "http://127.0.0.1:1"\nmodel = "large"\nsystem = "Be brief."\n'
        f'[profiles.work]\nbase_url = "{server.url}"\ntemperature = 1\n'
    )
    monkeypatch.setenv("ACYTOO_PROFILE", "work")

    assert asked().stdout == "Hello!\n"
    assert (sent(server)["model"], sent(server)["temperature"]) == ("large", 1)
    assert sent(server)["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("variables", "file", "sentence"),
    [
        ({}, "", "no server: set ACYTOO_BASE_URL, or keep one with `acytoo config set base_url URL`"),
        ({"ACYTOO_BASE_URL": "nonsense"}, "", "ACYTOO_BASE_URL must begin with http:// or https://"),
        ({"ACYTOO_BASE_URL": "http://h?a=1"}, "", "is set by `acytoo config set path`"),
        ({"ACYTOO_PROFILE": "work"}, "", "ACYTOO_PROFILE names a profile that is not in "),
        ({}, "base_url = [", "config.toml is no TOML at line 2"),
    ],
)
def test_settings_that_are_not_usable_are_told_when_acytoo_is_asked_and_not_before(
    variables: dict[str, str], file: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    ran, listed = asked(), Ran("models", "--options", "-m", "acytoo")

    assert (ran.status, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert sentence in ran.stderr
    assert listed.status == Ran("--help").status == 0
    assert "Acytoo: acytoo" in listed.stdout
    assert "env_var: ACYTOO_KEY" in listed.stdout


def test_a_key_of_the_file_that_is_not_sent_elsewhere_is_told_of(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    settle(f'base_url = "http://127.0.0.1:1"\nkey = "{SECRET}"\n')

    asked()

    assert sent(server)["key"] == ""
    assert f"belongs to http://127.0.0.1:1 and is not sent to {server.url}" in caplog.text
    assert SECRET not in caplog.text


@BOTH
def test_an_error_before_the_first_piece_is_one_sentence_without_a_secret(
    flags: tuple[str, ...], server: FakeServer
) -> None:
    server.status, server.reply = 401, json.dumps({"error": f"no such key:\n{SECRET}\x1b[2J"})

    ran = asked(*flags, "--key", SECRET)

    assert (ran.status, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: The server answered HTTP 401 Unauthorized: no such key:")
    assert ran.stderr.endswith(" (hint: set another key: llm keys set acytoo)\n")
    assert (ran.stderr.count("\n"), SECRET in ran.stderr, "\x1b" in ran.stderr) == (1, False, False)


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (Fault.status(404), "check base_url and path: together they must name the completions endpoint"),
        (Fault.redirect("http://127.0.0.1:1/new"), "acytoo config set base_url takes it if you trust it"),
        (Fault.html_page(), "check base_url and path, or look at it in a browser"),
    ],
    ids=["status", "redirect", "page"],
)
def test_a_hint_names_what_can_be_set_from_llm(fault: Fault, hint: str, serve: Callable[..., FakeServer]) -> None:
    serve(faults=[fault])

    ran = asked()

    assert hint in ran.stderr
    assert "--" not in ran.stderr


def test_the_hint_of_an_unknown_authority_names_the_setting(serve: Callable[..., FakeServer]) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    serve(tls=tls)

    assert "(hint: acytoo config set ca FILE for an authority of your own)" in asked().stderr


@pytest.mark.parametrize(
    ("flags", "printed"),
    [
        ((), "Hel\n"),
        (("--async",), "Hel\n"),
        (("--no-stream",), "Hel\n"),
        (("--no-stream", "--async"), "Hel\n"),
        (("--extract",), ""),  # of a code block, whose end is not there
        (("--no-stream", "--json"), ""),
    ],
    ids=str,
)
def test_an_error_after_the_first_piece_comes_below_what_had_arrived(
    flags: tuple[str, ...], printed: str, serve: Callable[..., FakeServer]
) -> None:
    serve(faults=[Fault.cut(after=1)])

    ran = asked(*flags)

    assert (ran.status, ran.stdout) == (1, printed)
    assert ran.stderr.startswith("Error: The reply broke off: ")
    assert ran.stderr.endswith(" (hint: the same call may well succeed later)\n")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("flags", [("-T", "llm_version"), ("--schema", "name int"), ("--at", "cat.png", "image/png")])
def test_what_the_model_cannot_be_sent_is_refused_by_llm(
    flags: tuple[str, ...], server: FakeServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    Path("cat.png").write_bytes(b"\x89PNG")

    ran = asked(*flags)

    assert (ran.status, server.requests) == (1, [])
    assert "does not support" in ran.stderr


# The library


def test_pieces_come_while_the_reply_arrives(serve: Callable[..., FakeServer]) -> None:
    gate = Gate()
    serve(gate=gate)

    pieces = iter(llm.get_model("acytoo").prompt("Hi"))
    gate.release()
    first = next(pieces)
    gate.open()

    assert (first, [*pieces]) == ("Hel", ["lo!"])


def test_pieces_come_while_the_reply_arrives_to_async_code(serve: Callable[..., FakeServer]) -> None:
    gate = Gate()
    serve(gate=gate)

    async def main() -> list[str]:
        pieces = []
        gate.release()
        async for piece in llm.get_async_model("acytoo").prompt("Hi"):
            pieces.append(piece)
            gate.open()
        return pieces

    assert asyncio.run(main()) == ["Hel", "lo!"]


def test_who_leaves_ends_the_connection(serve: Callable[..., FakeServer]) -> None:
    server = serve(gate=(gate := Gate()))

    pieces = iter(llm.get_model("acytoo").prompt("Hi"))
    gate.release()
    next(pieces)
    del pieces

    assert wait_for(lambda: not server.open_connections)


def test_a_task_that_is_cancelled_ends_the_connection(serve: Callable[..., FakeServer]) -> None:
    server = serve(gate=(gate := Gate()))

    async def main() -> None:
        task = asyncio.ensure_future(llm.get_async_model("acytoo").prompt("Hi").text())
        await asyncio.to_thread(gate.wait_until_waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(wait_for, lambda: not server.open_connections)

    asyncio.run(main())


def test_an_error_is_one_of_llm_and_of_click_and_keeps_its_cause(serve: Callable[..., FakeServer]) -> None:
    serve(faults=[Fault.cut(after=1)])

    with pytest.raises(AcytooModelError, match="The reply broke off") as caught:
        llm.get_model("acytoo").prompt("Hi").text()

    assert isinstance(caught.value, llm.ModelError)
    assert isinstance(caught.value, click.ClickException)
    assert isinstance(caught.value.__cause__, StreamInterruptedError)
    assert caught.value.__cause__.partial_text == "Hel"


def test_nothing_is_printed_into_another_program_that_uses_llm(serve: Callable[..., FakeServer]) -> None:
    serve(faults=[Fault.cut(after=1)] * 2)

    @click.command()
    def program() -> None:
        for options in ({}, {"stream": False}):
            with pytest.raises(AcytooModelError):
                llm.get_model("acytoo").prompt("Hi", **options).text()

    assert CliRunner().invoke(program, catch_exceptions=False).output == ""


@pytest.mark.parametrize(
    ("part", "noun"),
    [
        (AttachmentPart(llm.Attachment(url="http://127.0.0.1:1/cat.png")), "an attachment"),
        (ToolCallPart("clock", {}), "a tool call"),
        (ToolResultPart("clock", "12:00"), "the result of a tool"),
    ],
)
def test_what_is_no_text_in_a_conversation_is_refused(part: Any, noun: str, server: FakeServer) -> None:
    turns = [llm.user("Look"), Message("assistant", [TextPart("So"), part])]

    with pytest.raises(AcytooModelError, match=f"there is {noun} in the conversation, and acytoo sends text alone"):
        llm.get_model("acytoo").prompt("Hi", messages=turns).text()

    assert server.requests == []


def test_what_another_model_has_thought_is_not_sent(server: FakeServer) -> None:
    turns = [llm.user("Look"), Message("assistant", [ReasoningPart("Hm"), TextPart("I "), TextPart("see")])]

    llm.get_model("acytoo").prompt("Hi", messages=turns).text()

    assert [each["content"] for each in sent(server)["messages"]] == ["Look", "I see", "Hi"]


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_a_prompt_that_asks_nothing_is_refused(system: str | None, server: FakeServer) -> None:
    with pytest.raises(AcytooModelError, match="the prompt is empty"):
        llm.get_model("acytoo").prompt("", system=system).text()

    assert server.requests == []


def test_a_model_keeps_its_connection_and_its_key_until_the_settings_change(
    server: FakeServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = home / "printed"
    settle(f'base_url = "{server.url}"\nkey_command = "sh -c \'echo k >> {printed}; echo k\'"\n')
    model = llm.get_model("acytoo")

    for _ in range(2):
        model.prompt("Hi").text()
    assert (server.connections, printed.read_text()) == (1, "k\n")

    monkeypatch.setenv("ACYTOO_MODEL", "large")
    model.prompt("Hi").text()
    assert (sent(server)["model"], printed.read_text()) == ("large", "k\nk\n")


def test_a_server_that_chooses_the_model_leaves_the_log_without_one(server: FakeServer) -> None:
    settle('payload = "prompt"\n')

    response = llm.get_model("acytoo").prompt("Hi")

    assert (response.text(), response.resolved_model) == ("Hello!", None)
    assert sent(server) == {"prompt": "Hi"}


# What is installed


def test_without_llm_the_import_names_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm", None)
    monkeypatch.delitem(sys.modules, "acytoo_sdk.integrations.llm")

    with pytest.raises(ModuleNotFoundError, match=r"needs llm: pip install 'acytoo-sdk\[llm\]'") as caught:
        importlib.import_module("acytoo_sdk.integrations.llm")

    assert (caught.value.name, caught.value.__cause__) == ("llm", None)


def test_without_what_reads_the_settings_a_prompt_names_what_brings_it(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "platformdirs", None)

    ran = asked()

    assert (ran.status, ran.stderr) == (1, "Error: acytoo needs platformdirs: pip install 'acytoo-sdk[llm]'\n")


def test_llm_starts_without_the_rest_of_the_package() -> None:
    code = "import sys, llm.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("acytoo_sdk.")}

    assert ours == {f"acytoo_sdk.{name}" for name in ("_version", "errors", "integrations", "integrations.llm")}
    assert [point.value for point in entry_points(group="llm") if point.name == "acytoo"] == [
        "acytoo_sdk.integrations.llm"
    ]


# In a terminal


def test_a_chat_shows_replies_as_they_arrive_and_ctrl_c_ends_the_connection(serve: Callable[..., FakeServer]) -> None:
    server = serve(gate=(gate := Gate()))
    chat = pexpect.spawn(sys.executable, ["-m", "llm", "chat", "-m", "acytoo"], timeout=20, encoding="utf-8")
    try:
        chat.expect_exact("\n> ")
        chat.sendline("One")
        gate.release()
        chat.expect_exact("Hel")
        gate.release()
        chat.expect_exact("lo!\r\n> ")
        chat.sendline("Two")
        gate.release()
        chat.expect_exact("Hel")
        assert [each["content"] for each in sent(server)["messages"]] == ["One", "Hello!", "Two"]
        assert server.open_connections == 1
        chat.sendintr()
        chat.expect(pexpect.EOF)
        last = str(chat.before)
        chat.wait()
    finally:
        chat.close(force=True)

    assert (chat.exitstatus, last.count("Aborted!"), last.count("Traceback")) == (1, 1, 0)
    assert wait_for(lambda: not server.open_connections)


@pytest.mark.parametrize("flags", [(), ("--no-stream",)], ids=str)
def test_an_error_in_a_chat_is_one_sentence_below_what_had_arrived(
    flags: tuple[str, ...], serve: Callable[..., FakeServer]
) -> None:
    serve(faults=[Fault.cut(after=1)])

    result = CliRunner().invoke(cli, ["chat", "-m", "acytoo", *flags], input="One\nTwo\n")

    assert (result.exit_code, result.stdout.rpartition("> ")[2]) == (1, "One\nHel\n")  # what is typed is shown
    assert result.stderr.startswith("Error: The reply broke off: ")
    assert result.stderr.count("\n") == 1
