"""What a line does in a conversation, without a terminal."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from acytoo_sdk import Client
from acytoo_sdk._streams.stream import Stream
from acytoo_sdk.cli.chatting.talk import COMMANDS, Talk
from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Gate


class Shown:
    """An output that keeps what is shown.

    Attributes:
        entries: each with what it is: "text", "code", "told", "failed", "reply".
        interruption: what is done with a stream after each of its pieces.
    """

    may_escape = True
    width = 80

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []
        self.interruption: Callable[[Stream], None] = lambda stream: None

    def write(self, text: str) -> None:
        self.entries.append(("text", text))

    def write_code(self, code: str) -> None:
        self.entries.append(("code", code))

    def tell(self, sentence: str) -> None:
        self.entries.append(("told", sentence))

    def fail(self, sentence: str, hint: str | None = None) -> None:
        self.entries.append(("failed", f"{sentence} ({hint})" if hint else sentence))

    @contextmanager
    def replying(self, stream: Stream) -> Iterator[Callable[[str], None]]:
        pieces: list[str] = []

        def show(piece: str) -> None:
            pieces.append(piece)
            self.interruption(stream)

        try:
            yield show
        finally:
            self.entries.append(("reply", "".join(pieces)))

    def take(self) -> list[tuple[str, str]]:
        """What was shown since the last time."""
        taken, self.entries = self.entries, []
        return taken


class Setting:
    """A talk, its server and its output."""

    def __init__(self, server: FakeServer, client: Client, **more: Any) -> None:
        self.server, self.shown = server, Shown()
        self.conversation = client.conversation()
        self.talk = Talk(client, self.conversation, self.shown, **more)

    def __call__(self, *lines: str) -> list[tuple[str, str]]:
        """What is shown after these lines."""
        for line in lines:
            self.talk.receive(line)
        return self.shown.take()

    @property
    def sent(self) -> list[tuple[str, str]]:
        """The messages of the last request."""
        assert self.server.requests[-1].json is not None
        return [(message["role"], message["content"]) for message in self.server.requests[-1].json["messages"]]

    @property
    def count(self) -> int:
        return len(self.server.requests)


@contextmanager
def talking(
    reply: Any = None, *, faults: list[Fault | None] | None = None, gate: Gate | None = None, **more: Any
) -> Iterator[Setting]:
    payload = more.pop("payload", "acytoo")
    with (
        FakeServer(reply, pause=0, faults=faults or [], gate=gate) as server,
        Client(server.url, retry=1, payload=payload) as client,
    ):
        yield Setting(server, client, **more)


@pytest.fixture
def talk() -> Iterator[Setting]:
    with talking(lambda request: f"answer {len(request['messages'])}") as setting:
        yield setting


# Questions


def test_a_line_is_a_question_and_its_turn_goes_with_the_next(talk: Setting) -> None:
    assert talk("one", "two") == [("reply", "answer 1"), ("reply", "answer 3")]
    assert talk.sent == [("user", "one"), ("assistant", "answer 1"), ("user", "two")]


@pytest.mark.parametrize("line", ["", "  ", "\n", " \n\t\n"])
def test_a_blank_line_does_nothing(talk: Setting, line: str) -> None:
    assert talk(line) == []
    assert talk.count == 0


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("//etc/hosts: what is it?", "/etc/hosts: what is it?"),
        (" /etc/hosts", "/etc/hosts"),
        ("//", "/"),
        ("\n /help", "/help"),
        ("one\ntwo\n", "one\ntwo"),
        ("    indented\nless\n\n", "    indented\nless"),
        ("what is / good for", "what is / good for"),
        (" //x", "//x"),
    ],
)
def test_what_begins_with_a_slash_is_sent_where_that_is_said(talk: Setting, line: str, sent: str) -> None:
    talk(line)
    assert talk.sent == [("user", sent)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/hlep", "no command /hlep: did you mean /help?"),
        ("/h", "did you mean /help?"),
        ("/RETRY", "did you mean /retry?"),
        ("/sytem Be brief.", "no command /sytem: did you mean /system?"),
        ("/etc/passwd shows users", "no command /etc/passwd: /help lists them"),
        ("/", "no command /: /help lists them"),
        ("/ help", "no command /: "),
        ("/help\nme", "/help takes nothing behind it"),
        ("/undo 2", "/undo takes nothing behind it"),
        ("/retry please", "/retry takes nothing behind it"),
        ("/copy all", "/copy takes nothing behind it"),
        ("/exit now", "/exit takes nothing behind it"),
        ("/load", "/load takes a FILE"),
        ("/load a b", "/load takes one FILE: put one with spaces into quotes"),
        ("/save a b", "/save takes one FILE"),
        ("/save 'a' 'b'", "/save takes one FILE"),
        ("/save", "/save takes a FILE"),
        ("/model a b", "/model takes one NAME"),
        ("/undo", "There is nothing to undo"),
        ("/retry", "There is nothing to send again"),
        ("/copy", "There is no answer yet"),
    ],
)
def test_what_is_no_command_is_refused_and_never_sent(talk: Setting, line: str, sentence: str) -> None:
    ((kind, said),) = talk(line)
    assert (kind, talk.count, talk.talk.is_over) == ("failed", 0, False)
    assert sentence in said


def test_a_refusal_says_how_to_send_a_text_with_a_slash(talk: Setting) -> None:
    assert "//... sends a text that begins with a slash" in talk("/etc/hosts")[0][1]


def test_help_is_made_of_the_table_and_says_how_text_with_a_slash_is_sent() -> None:
    with talking(keys="The keys.") as talk:
        ((kind, text),) = talk("/help")
    assert kind == "text"
    for command in COMMANDS:
        assert re.search(rf"^/{command.name} {re.escape(command.takes)} +\S", text, re.MULTILINE), command.name
    assert "//... sends a text that begins with a slash" in text
    assert text.endswith("The\nkeys.\n")


@pytest.mark.parametrize("width", [40, 80, 100])
def test_help_fits(talk: Setting, width: int) -> None:
    talk.shown.width = width
    assert max(map(len, talk("/help")[0][1].split("\n"))) <= width


def test_exit_ends_it(talk: Setting) -> None:
    assert talk("/exit") == []
    assert talk.talk.is_over
    with talking() as other:
        other("/quit")
        assert other.talk.is_over


# What goes wrong


def test_a_stopped_answer_leaves_the_conversation_and_can_be_asked_again() -> None:
    gate = Gate()
    with talking(["one ", "two"], gate=gate) as talk:
        gate.release(3)
        talk("first")
        talk.shown.take()
        talk.shown.interruption = Stream.cancel
        shown = talk("second")
        assert shown == [
            ("reply", "one "),
            ("told", "Stopped. The conversation is as it was before; /retry asks again."),
        ]
        talk.server.wait_until(lambda: talk.server.open_connections == 0)
        assert talk.conversation.messages[-1] == {"role": "assistant", "content": "one two"}
        talk.shown.interruption = lambda stream: None
        gate.open()
        assert talk("/retry") == [("reply", "one two")]
        assert talk.sent == [("user", "first"), ("assistant", "one two"), ("user", "second")]
        assert len(talk.conversation.messages) == 4


@pytest.mark.parametrize(
    ("fault", "shown", "sentence"),
    [
        (Fault.cut(after=1), "one ", "The reply broke off"),
        (Fault.status(500), "", "500"),
        (Fault.html_page("Wait\x1b[31m"), "", "Wait"),
        (Fault.empty(), "", ""),
        (Fault.reset(), "", ""),
    ],
)
def test_what_breaks_is_told_and_the_conversation_goes_on(fault: Fault, shown: str, sentence: str) -> None:
    with talking(["one ", "two"], faults=[None, fault]) as talk:
        talk("first")
        reply, (kind, said), told = talk("second")
        assert (reply, kind) == (("reply", shown), "failed")
        assert sentence in said
        assert told == ("told", "The conversation is as it was before; /retry asks again.")
        assert [turn["content"] for turn in talk.conversation.messages] == ["first", "one two"]
        assert talk("/retry", "third") == [("reply", "one two"), ("reply", "one two")]
        assert [content for _, content in talk.sent[::2]] == ["first", "second", "third"]


def test_a_hint_is_in_the_words_of_who_types() -> None:
    with talking(faults=[Fault.status(401)]) as talk:
        assert talk("Hi")[1][1].endswith("(set another key: ACYTOO_KEY, or acytoo config set key)")


def test_what_is_refused_is_told_in_the_words_of_who_types() -> None:
    with talking(lambda request: "answer", payload="prompt") as talk:
        said = "messages has 3 of them, and the payload prompt sends one text: ask one question, without a system text"
        assert ("failed", said) in talk("first", "second")


def test_what_no_utf_8_can_hold_is_refused(talk: Setting) -> None:
    for line in ("a\udcffb", "/save a\udcffb", "/system a\udcffb"):
        assert talk(line) == [("failed", "What was typed holds bytes that are no text in UTF-8")]
    assert talk("ok") == [("reply", "answer 1")]


def test_a_notice_is_told() -> None:
    with talking("Hello!" + NOTICE) as talk:
        reply, (kind, said) = talk("Hi")
    assert (reply, kind) == (("reply", "Hello!"), "told")
    assert said.startswith("The server added a notice: You can try our new")


# Commands


def test_retry_takes_the_place_of_the_answer_once_it_is_whole() -> None:
    with talking(faults=[None, Fault.cut(after=1), None]) as talk:
        talk("one")
        old = talk.conversation.messages
        talk("/retry")
        assert talk.conversation.messages == old
        talk.server.reply = "new"
        assert talk("/retry") == [("reply", "new")]
        assert [turn["content"] for turn in talk.conversation.messages] == ["one", "new"]


def test_undo_takes_the_last_turn_and_says_which(talk: Setting) -> None:
    talk("one", "two " * 40)
    assert talk("/undo") == [("told", f'Taken back, with its answer: "{"two " * 11}two..."')]
    talk("three")
    assert [content for _, content in talk.sent] == ["one", "answer 1", "three"]


def test_undo_drops_what_was_not_answered(talk: Setting) -> None:
    talk("one")
    talk.shown.interruption = Stream.cancel
    talk("two")
    talk.shown.interruption = lambda stream: None
    talk("/undo")
    assert talk("/retry")[0][0] == "failed"


def test_system_is_shown_set_and_taken_away(talk: Setting) -> None:
    assert talk("/system") == [("text", "There are no instructions.\n")]
    assert talk("/system Be brief,\nand kind.") == [("told", "The next question is sent with these instructions")]
    assert talk("/system") == [("text", "Be brief,\nand kind.\n")]
    talk("Hi")
    assert talk.sent == [("system", "Be brief,\nand kind."), ("user", "Hi")]
    assert talk("/system -") == [("told", "The next question is sent without instructions")]
    talk("Hi")
    assert talk.sent[0] == ("user", "Hi")


def test_model_is_shown_and_set_and_the_conversation_goes_on(talk: Setting) -> None:
    assert talk("/model") == [("text", "gpt-3.5-turbo\n")]
    talk("/system Be brief.", "one", "/model other")
    assert talk("/model") == [("text", "other\n")]
    talk("two")
    assert talk.server.requests[-1].json is not None
    assert talk.server.requests[-1].json["model"] == "other"
    assert [content for _, content in talk.sent] == ["Be brief.", "one", "answer 2", "two"]


def test_another_model_can_be_asked_what_was_not_answered() -> None:
    with talking("Hello!", faults=[Fault.status(404)]) as talk:
        talk("one", "/model other")
        talk.shown.take()
        assert talk("/retry") == [("reply", "Hello!")]
        assert talk.sent == [("user", "one")]


def test_where_no_model_is_sent_none_is_chosen() -> None:
    with talking("Hello!", payload="ai-sdk") as talk:
        assert talk("/model other")[0] == ("failed", "The server is not told which model to ask: it chooses one itself")
        assert talk.talk.model is None


def test_copy_writes_the_last_answer_for_the_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    with talking("Приве́т\x1b[31m\u202e") as talk:
        talk("Hi")
        (kind, code), told = talk("/copy")
        assert (kind, told) == ("code", ("told", "The terminal was asked to copy 13 characters"))
        start, data = code[:7], code[7:-1]
        assert (start, code[-1]) == ("\x1b]52;c;", "\x07")
        assert base64.b64decode(data).decode() == "Приве́т\ufffd[31m\ufffd"  # what was shown
        monkeypatch.setenv("TMUX", "/tmp/tmux")
        assert "set -g set-clipboard on" in talk("/copy")[1][1]


def test_copy_refuses_what_terminals_do_not_take() -> None:
    with talking("x" * 80_000) as talk:
        talk("Hi")
        ((kind, said),) = talk("/copy")
        assert kind == "failed"
        assert "about 100 kB" in said
        talk.shown.may_escape = False
        ((kind, said),) = talk("/copy")
        assert (kind, "escape code" in said) == ("failed", True)


# Files


def contents(path: Path) -> list[str]:
    return [turn["content"] for turn in json.loads(path.read_text("utf-8"))["messages"]]


def test_save_and_load_go_on_with_a_conversation(talk: Setting, tmp_path: Path) -> None:
    path = tmp_path / "my talk.json"
    talk("one", "/system Be brief.")
    talk.shown.take()
    assert talk(f"/save '{path}'") == [("told", f"Saved in {path}")]
    assert contents(path) == ["Be brief.", "one", "answer 1"]
    assert path.stat().st_mode & 0o777 == 0o600
    with talking("Hello!") as other:
        said = f'Loaded {path}: 1 question, the last "one", asked of gpt-3.5-turbo'
        assert other(f'/load "{path}"') == [("told", said)]
        other("two")
        assert [content for _, content in other.sent] == ["Be brief.", "one", "answer 1", "two"]
        assert other(f"/save '{path}'") == [("told", f"Saved in {path}")]  # it was loaded from there


def test_the_home_folder_is_known(talk: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    talk("one", "/save ~/talk.json")
    assert contents(tmp_path / "talk.json") == ["one", "answer 1"]


def test_a_file_that_was_not_loaded_is_not_replaced(talk: Setting, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")
    talk("one")
    talk.shown.take()
    ((kind, said),) = talk(f"/save {path}")
    assert (kind, path.read_text()) == ("failed", "precious")
    assert "it is there already" in said
    path.write_text("")
    talk(f"/save {path}", "two", f"/save {path}")  # once it is ours, it is written again
    assert contents(path) == ["one", "answer 1", "two", "answer 3"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "missing cannot be read: No such file or directory"),
        ("text", "text: not JSON"),
        (".", "it is no file"),
        ("fifo", "it is no file"),
    ],
)
def test_what_is_no_conversation_is_not_loaded(talk: Setting, tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "text").write_text("Hello")
    os.mkfifo(tmp_path / "fifo")
    talk("one")
    talk.shown.take()
    ((kind, said),) = talk(f"/load {tmp_path / name}")
    assert kind == "failed"
    assert sentence in said
    assert len(talk.conversation.messages) == 2


def test_each_change_is_written(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    with talking(
        lambda request: f"answer {len(request['messages'])}", faults=[None, None, Fault.cut(after=0)], file=str(path)
    ) as talk:
        assert not path.exists()
        talk("one")
        assert contents(path) == ["one", "answer 1"]
        talk("two")
        assert contents(path) == ["one", "answer 1", "two", "answer 3"]
        talk("three")  # which breaks
        assert contents(path) == ["one", "answer 1", "two", "answer 3"]
        talk("/undo")
        assert contents(path) == ["one", "answer 1"]
        talk("/system Be brief.")
        assert contents(path) == ["Be brief.", "one", "answer 1"]
        talk("/retry")
        assert contents(path) == ["Be brief.", "one", "answer 2"]
        talk("/model other")
        assert json.loads(path.read_text())["model"] == "other"
        path.unlink()
        talk("/save")
        assert contents(path) == ["Be brief.", "one", "answer 2"]


def test_what_cannot_be_written_is_told_once_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "talk.json"
    failed = ("failed", f"The conversation is not saved in {path}: No such file or directory")
    with talking("Hello!", file=str(path)) as talk:
        assert talk("one") == [("reply", "Hello!"), failed]
        assert talk("two") == [("reply", "Hello!")]
        talk.talk.end()
        assert talk.shown.take() == [failed]
        path.parent.mkdir()
        talk.talk.end()
        assert talk.shown.take() == []
        assert len(contents(path)) == 4


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    with talking("Hello!", file=str(path)) as talk:
        path.write_text("precious")
        assert "it is there already" in talk("one")[1][1]
        assert path.read_text() == "precious"
