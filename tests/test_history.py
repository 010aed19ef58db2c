"""The history of a conversation: what of it is sent within a limit, and what of it is in a file."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import socket
import stat
from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talks import HI, RULES, Talk, sent, spoken, turn

from acytoo_sdk import Client, InvalidRequestError, Message
from acytoo_sdk._history import read_turns, shortened, write_turns
from acytoo_sdk.testing import FakeServer

# The limit


@spoken
async def test_what_does_not_fit_is_not_sent_and_stays_in_the_history(flavour: str) -> None:
    with FakeServer("12345") as server:
        talk = Talk(flavour, server.url, system="123", limit_characters=3 + 10 + 5)
        for question in ("aaaaa", "bbbbb", "ccccc"):
            await talk.ask(question)

        first = {"role": "system", "content": "123"}
        assert sent(server) == [first, *turn("bbbbb", "12345"), {"role": "user", "content": "ccccc"}]
        assert len(talk.messages) == 7


ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
TEXTS = st.text(max_size=20)
HISTORIES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": TEXTS})).map(
    lambda turns: cast("list[Message]", turns)
)


def characters(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def turns_of(messages: Sequence[Message]) -> list[list[int]]:
    """Which messages belong to one turn, written down anew: by their index, without those that instruct."""
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            continue
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns


@given(history=HISTORIES, limit=st.integers(1, 120))
def test_a_limit_drops_whole_turns_from_the_oldest_on_and_no_more_than_needed(
    history: list[Message], limit: int
) -> None:
    messages: list[Message] = [*history, {"role": "user", "content": "the question"}]

    kept = shortened(messages, limit)

    *turns, question = turns_of(messages)
    fitting = [
        {index for one in turns[first:] for index in one} | set(question) for first in range(len(turns) + 1)
    ]  # what each number of dropped turns leaves
    instructions = {index for index, message in enumerate(messages) if message["role"] in ("system", "developer")}
    candidates = [[messages[index] for index in sorted(rest | instructions)] for rest in fitting]
    assert kept == next((each for each in candidates if characters(each) <= limit), candidates[-1])


@given(history=HISTORIES)
def test_without_a_limit_everything_is_sent(history: list[Message]) -> None:
    assert shortened(history, None) == history


# Files


@spoken
async def test_what_was_saved_is_loaded(flavour: str, tmp_path: pathlib.Path) -> None:
    with FakeServer("Хорошо!") as server:
        talk = Talk(flavour, server.url, system="Be brief.", model="m")
        await talk.ask("Привет, как дела?")
        talk.conversation.save(tmp_path / "talk.json")
        other = Talk(flavour, server.url)
        assert other.conversation.load(str(tmp_path / "talk.json")) is other.conversation

        assert other.messages == talk.messages == [RULES, *turn("Привет, как дела?", "Хорошо!")]
        assert other.conversation.model == "m"
        await other.ask("more")
        request = server.requests[-1].json
        assert request is not None
        assert request["model"] == "m"
        written = json.loads((tmp_path / "talk.json").read_text("utf-8"))
        assert written == {"version": 1, "model": "m", "messages": talk.messages}
        assert "Привет" in (tmp_path / "talk.json").read_text("utf-8")


def test_a_file_has_a_line_for_each_thing_that_is_in_it(tmp_path: pathlib.Path) -> None:
    """So that a person reads it, and a tool that compares files tells what was said since."""
    Client("http://127.0.0.1:9", model="m").conversation(messages=HI[:1]).save(tmp_path / "talk.json")

    assert (tmp_path / "talk.json").read_bytes().startswith(b'{\n  "version": 1,\n  "model": "m",\n  "messages": [\n')


@spoken
async def test_an_unfinished_turn_is_not_saved(flavour: str, tmp_path: pathlib.Path) -> None:
    talk = Talk(flavour, "http://127.0.0.1:9", messages=HI)
    reply = talk.send("more")
    talk.conversation.save(tmp_path / "talk.json")
    with pytest.raises(InvalidRequestError, match="on its way"):
        talk.conversation.load(tmp_path / "talk.json")
    await reply.close()

    assert talk.conversation.load(tmp_path / "talk.json").messages == HI


def test_a_model_of_ones_own_beats_that_of_the_file(tmp_path: pathlib.Path) -> None:
    client = Client("http://127.0.0.1:9")
    client.conversation(model="saved").save(tmp_path / "talk.json")

    assert client.conversation(model="own").load(tmp_path / "talk.json").model == "own"
    assert client.conversation().load(tmp_path / "talk.json").model == "saved"


def test_no_secret_is_saved(tmp_path: pathlib.Path) -> None:
    client = Client("http://127.0.0.1:9", key="s3cret", password="pa55", headers={"authorization": "t0ken"})
    client.conversation(messages=HI).save(tmp_path / "talk.json")

    text = (tmp_path / "talk.json").read_text("utf-8")
    assert not [secret for secret in ("s3cret", "pa55", "t0ken") if secret in text]


@given(messages=HISTORIES, model=st.text(min_size=1))
def test_files_keep_every_text(tmp_path_factory: pytest.TempPathFactory, messages: list[Message], model: str) -> None:
    path = tmp_path_factory.getbasetemp() / "kept.json"
    write_turns(path, model=model, messages=messages)

    assert read_turns(path) == (model, messages)


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "os.chmod", "interrupted"])
def test_a_crash_in_the_middle_of_saving_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    client = Client("http://127.0.0.1:9")
    path = tmp_path / "talk.json"
    client.conversation(messages=HI).save(path)
    before = path.read_bytes()
    error = KeyboardInterrupt if step == "interrupted" else OSError

    def crash(*arguments: object) -> None:
        assert path.read_bytes() == before
        raise error("no space left")

    monkeypatch.setattr("os.fsync" if step == "interrupted" else step, crash)
    with pytest.raises(error):
        client.conversation(system="Other.").save(path)

    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["talk.json"]


def test_a_file_that_cannot_be_removed_does_not_hide_why_the_old_one_stays(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(f"{len(arguments)} refused")

    monkeypatch.setattr("os.replace", refuse)
    monkeypatch.setattr("os.unlink", refuse)
    with pytest.raises(OSError, match="2 refused"):
        Client("http://127.0.0.1:9").conversation(messages=HI).save(tmp_path / "talk.json")


def test_the_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def fsync_noted(file: int) -> None:
        steps.append(f"{os.fstat(file).st_size > 0}")
        fsync(file)

    def replace_noted(old: str, new: str) -> None:
        steps.append("replaced")
        assert os.path.dirname(old) == os.path.dirname(new), "it may be on another file system"
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync_noted)
    monkeypatch.setattr(os, "replace", replace_noted)
    Client("http://127.0.0.1:9").conversation(messages=HI).save(tmp_path / "talk.json")

    assert steps == ["True", "replaced"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX's")
def test_a_file_is_private_and_keeps_the_mode_and_the_link_it_has(tmp_path: pathlib.Path) -> None:
    conversation = Client("http://127.0.0.1:9").conversation(messages=HI)
    path, link = tmp_path / "talk.json", tmp_path / "link.json"
    conversation.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    link.symlink_to(path)
    conversation.save(link)

    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def special_files(folder: pathlib.Path) -> dict[str, str]:
    """What stands at some paths, by the path's name."""
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    (folder / "folder").mkdir()
    (folder / "to null").symlink_to(os.devnull)
    for name in ("fifo", "folder", "to null"):
        (folder / f"link to {name}").symlink_to(folder / name)
    return {
        "fifo": "a FIFO",
        "link to fifo": "a FIFO",
        "socket": "a socket",
        "folder": "a folder",
        "link to folder": "a folder",
        "to null": "a character device",
        "link to to null": "a character device",
    }


@pytest.mark.skipif(os.name != "posix", reason="FIFOs and links are POSIX's")
def test_only_a_file_is_replaced(tmp_path: pathlib.Path) -> None:
    conversation = Client("http://127.0.0.1:9").conversation(messages=HI)
    kinds = special_files(tmp_path)
    before = {name: (tmp_path / name).lstat() for name in os.listdir(tmp_path)}

    for name, kind in kinds.items():
        with pytest.raises(OSError, match=f"{kind} stands there.*'{tmp_path / name}'") as caught:
            conversation.save(tmp_path / name)
        assert isinstance(caught.value, IsADirectoryError if kind == "a folder" else FileExistsError)
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write), pytest.raises(FileExistsError, match="a FIFO stands there"):
        conversation.save(f"/dev/fd/{write}")

    after = {name: (tmp_path / name).lstat() for name in os.listdir(tmp_path)}
    assert {name: found.st_ino for name, found in after.items()} == {name: was.st_ino for name, was in before.items()}


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX's")
def test_the_file_that_a_link_names_is_made(tmp_path: pathlib.Path) -> None:
    conversation = Client("http://127.0.0.1:9").conversation(messages=HI)
    (tmp_path / "link.json").symlink_to("talk.json")
    (tmp_path / "circle.json").symlink_to("circle.json")

    conversation.save(tmp_path / "link.json")
    with pytest.raises(OSError, match=r"circle\.json") as caught:
        conversation.save(tmp_path / "circle.json")

    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "circle.json").is_symlink()
    assert conversation.load(tmp_path / "talk.json").messages == HI


def files() -> Iterator[tuple[bytes, str]]:
    yield b"", "not JSON"
    yield b'{"version": 1,', "not JSON.*line 1 column 15"
    yield b"[" * 100_000 + b"]" * 100_000, "nests too deep"
    yield b"\xff{}", "not UTF-8 at byte 0"
    yield b"[]", "must hold a JSON object, not list"
    yield b"null", "must hold a JSON object, not null"
    yield b"{}", "version is missing"
    yield b'{"version": 2, "messages": []}', "version must be 1, not 2"
    yield b'{"version": true, "messages": []}', "version must be 1, not true"
    yield b'{"version": 1}', "messages is missing"
    yield b'{"version": 1, "messages": null}', "messages must be a list, not null"
    yield b'{"version": 1, "messages": "Hi"}', "messages must be a list, not str"
    yield b'{"version": 1, "messages": {"role": "user", "content": "Hi"}}', "messages must be a list, not dict"
    yield b'{"version": 1, "messages": ["Hi"]}', r"messages\[0\] must be a message"
    yield b'{"version": 1, "messages": [{"role": "user"}]}', r"messages\[0\].content is missing"
    yield b'{"version": 1, "messages": [{"role": "user", "content": null}]}', r"messages\[0\].content must be a str"
    three = b'{"role": "user", "content": ""},' * 3
    yield b'{"version": 1, "messages": [' + three + b'{"role": "x", "content": ""}]}', r"messages\[3\].role must be"
    yield b'{"version": 1, "messages": [{"role": "user", "content": "\\ud800"}]}', r"messages\[0\].content.*surrogate"
    yield b'{"version": 1, "messages": [{"role": "user", "content": "", "x": NaN}]}', r"messages\[0\] cannot be"
    deep = b"[" * 100 + b"]" * 100
    yield b'{"version": 1, "messages": [{"role": "user", "content": "", "x": ' + deep + b"}]}", "x nests.*100 levels"
    yield b'{"version": 1, "model": 7, "messages": []}', "model must be a str, not int"
    yield b'{"version": 1, "model": "", "messages": []}', "model is an empty str"


@pytest.mark.parametrize(("content", "place"), [*files()])
def test_a_bad_file_is_told_with_its_place_and_changes_nothing(
    tmp_path: pathlib.Path, content: bytes, place: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    conversation = Client("http://127.0.0.1:9").conversation(messages=HI, system="Be brief.")

    with pytest.raises(InvalidRequestError, match=place) as caught:
        conversation.load(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert conversation.messages == [RULES, *HI]
    assert conversation.model == "gpt-3.5-turbo"


def test_an_empty_conversation_and_a_file_of_another_editor_are_loaded(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "talk.json"
    conversation = Client("http://127.0.0.1:9").conversation()
    conversation.save(path)
    assert conversation.load(path).messages == []
    path.write_bytes(
        b'\xef\xbb\xbf{"messages": [{"role": "user", "content": "Hi", "id": 7}], "version": 1, "by": "me"}'
    )

    assert conversation.load(path).messages == [{"role": "user", "content": "Hi", "id": 7}]
    assert conversation.model == "gpt-3.5-turbo"


@spoken
async def test_what_is_loaded_is_shown_sent_and_saved_however_deep(flavour: str, tmp_path: pathlib.Path) -> None:
    path, deep = tmp_path / "talk.json", "[" * 99 + "]" * 99
    path.write_text(f'{{"version": 1, "messages": [{{"role": "user", "content": "Hi", "x": {deep}}}]}}', "utf-8")
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url)
        talk.conversation.load(path)
        await talk.ask("more")
        talk.conversation.save(path)

        assert sent(server)[0] == talk.messages[0] == {"role": "user", "content": "Hi", "x": json.loads(deep)}
        assert len(talk.conversation.load(path).messages) == 3


@pytest.mark.parametrize("path", ["missing/talk.json", ""])
def test_what_the_file_system_refuses_is_its_own_error(tmp_path: pathlib.Path, path: str) -> None:
    conversation = Client("http://127.0.0.1:9").conversation()
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        conversation.load(tmp_path / path)
    with pytest.raises(OSError, match=r"No such file|a folder stands there"):
        conversation.save(tmp_path / path)

    assert os.listdir(tmp_path) == []
