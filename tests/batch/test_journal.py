"""The journal alone: what stands in the file, what is refused, and who has it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import answer, entries, full_disk, key, open_files, question, write

from acytoo_sdk import InvalidRequestError, RateLimitError
from acytoo_sdk._batch import journal as journal_file
from acytoo_sdk._batch.journal import Journal, key_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the limits and locks are those of POSIX")

HI = question("Hi")
BUSY = RateLimitError("Too many requests", status_code=429, retryable=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(str(path))) as journal:
        yield journal


def taken(path: Path, *prompts: str) -> list[str | None]:
    """The answers that another run finds."""
    with contextlib.closing(Journal(str(path))) as journal:
        outcomes = [journal.take(key(prompt)) for prompt in prompts]
    return [None if outcome is None else outcome.text for outcome in outcomes]


# What stands there


def test_an_answer_is_an_object_with_these_keys_in_this_order(journal: Journal, path: Path) -> None:
    journal.write(answer("Hello!", 7), key=key("Hi"), messages=HI)

    (entry,) = entries(path)
    at = entry.pop("at")
    assert list(json.loads(path.read_text())) == [
        *("id", "index", "at", "messages", "text", "attempts", "notice", "whole", "request_id")
    ]
    assert entry == {
        "id": key("Hi"),
        "index": 7,
        "messages": HI,
        "text": "Hello!",
        "attempts": 1,
        "notice": None,
        "whole": None,
        "request_id": None,
    }
    assert at.endswith("Z")


def test_a_failure_has_its_error_where_an_answer_has_its_text(journal: Journal, path: Path) -> None:
    journal.write(answer(None, error=BUSY), key=key("Hi"), messages=HI)

    (entry,) = entries(path)
    assert list(entry) == ["id", "index", "at", "messages", "error", "attempts", "notice", "whole", "request_id"]
    assert entry["error"] == {"type": "RateLimitError", "message": str(BUSY), "retryable": True}
    assert list(entry["error"]) == ["type", "message", "retryable"]


def test_the_time_is_utc_wherever_it_is_written(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        before = datetime.now(timezone.utc)
        journal.write(answer(), key=key("Hi"), messages=HI)
        after = datetime.now(timezone.utc)
    finally:
        monkeypatch.undo()
        time.tzset()

    at = datetime.fromisoformat(entries(path)[0]["at"].replace("Z", "+00:00"))
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= at <= after


def test_letters_stand_there_as_themselves(journal: Journal, path: Path) -> None:
    journal.write(answer("Привет!"), key=key("Как дела?"), messages=question("Как дела?"))

    text = path.read_text("utf-8")
    assert "Привет!" in text
    assert "Как дела?" in text


@given(text=st.text() | st.text('\n\r\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"\\', min_size=1))
def test_an_entry_is_one_line_whatever_is_in_the_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "one-line.jsonl"
    path.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(os, "fsync", lambda descriptor: None)
        write(path, text)

    assert len(path.read_text("utf-8").splitlines()) == 1
    assert entries(path)[0]["text"] == text
    assert taken(path, "0") == [text]


def test_what_no_utf_8_can_hold_is_replaced_in_the_message_of_an_error(journal: Journal, path: Path) -> None:
    error = RateLimitError("a \ud800 and a \udfff", status_code=429)
    journal.write(answer(None, error=error), key=key("Hi"), messages=HI)

    assert "a ? and a ?" in entries(path)[0]["error"]["message"]


# What an id is made of


def test_an_id_is_128_bits_in_hexadecimal() -> None:
    assert key_of(HI, model="tiny", temperature=0.5) == "cb8ca2177908e76b2dcca6d2c31a3033"


def test_an_id_depends_on_all_that_is_asked() -> None:
    asked: list[tuple[Any, str, float]] = [
        (HI, "tiny", 0.5),
        (question("Hi "), "tiny", 0.5),
        ([{"role": "system", "content": "Hi"}], "tiny", 0.5),
        ([*HI, *HI], "tiny", 0.5),
        ([{**HI[0], "createdAt": 1}], "tiny", 0.5),
        ([{**HI[0], "createdAt": 2}], "tiny", 0.5),
        (HI, "large", 0.5),
        (HI, "tiny", 1),
        (HI, "tiny", 0),
    ]
    ids = [key_of(messages, model=model, temperature=temperature) for messages, model, temperature in asked]

    assert len({*ids}) == len(asked)


def test_an_id_does_not_depend_on_how_the_same_is_said() -> None:
    def of(messages: Any, temperature: float = 1) -> str:
        return key_of(messages, model="tiny", temperature=temperature)

    assert of(HI, 1) == of(HI, 1.0)
    assert of(HI, 0) == of(HI, -0.0)
    assert of([{"role": "user", "content": "Hi", "a": {"b": 1, "c": 2}}]) == of(
        ({"a": {"c": 2, "b": 1}, "content": "Hi", "role": "user"},)
    )
    assert of([{**HI[0], "a": {1: "one", "two": 2}}]) == of([{**HI[0], "a": {"two": 2, "1": "one"}}])


# What another run finds


def test_the_same_prompt_twice_has_two_answers_each_once_the_oldest_first(path: Path) -> None:
    with contextlib.closing(Journal(str(path))) as journal:
        for index in range(3):
            journal.write(answer(f"answer {index}", index), key=key("Hi"), messages=HI)

    assert taken(path, *["Hi"] * 4) == ["answer 0", "answer 1", "answer 2", None]


def test_a_failure_is_no_answer(path: Path) -> None:
    with contextlib.closing(Journal(str(path))) as journal:
        journal.write(answer(None, error=BUSY), key=key("Hi"), messages=HI)

    assert taken(path, "Hi") == [None]


def test_texts_are_read_when_they_are_wanted_and_not_kept(path: Path) -> None:
    write(path, *[f"{index}" + "x" * 20_000 for index in range(100)])
    tracemalloc.start()
    try:
        with contextlib.closing(Journal(str(path))) as journal:
            kept, _ = tracemalloc.get_traced_memory()
            outcome = journal.take(key("42"))
    finally:
        tracemalloc.stop()

    assert outcome is not None
    assert outcome.text == "42" + "x" * 20_000
    assert kept < 200_000, "of 2 MB"


def test_answers_are_found_while_others_are_written(path: Path) -> None:
    write(path, "a" * 9000, "b" * 9000, "c" * 9000)
    with contextlib.closing(Journal(str(path))) as journal:
        for index in range(3):
            outcome = journal.take(key(str(index)))
            assert outcome is not None
            assert outcome.text == "abc"[index] * 9000
            journal.write(answer("d" * 9000, index), key=key("new"), messages=HI)

    assert [entry["text"][0] for entry in entries(path)] == [*"abcddd"]


@pytest.mark.parametrize("change", ["truncated", "replaced"])
def test_a_file_that_was_changed_in_the_meantime_is_told(change: str, path: Path) -> None:
    lines = write(path, "Hello!", "Hello, too!")
    with contextlib.closing(Journal(str(path))) as journal:
        path.write_bytes(b"" if change == "truncated" else lines[1] * 2)
        with pytest.raises(InvalidRequestError, match=r"journal: .* was changed since this run began"):
            journal.take(key("0"))


# A torn end


def test_a_line_torn_at_any_byte_is_cut_away_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # 700 of them take their time
    lines = write(path, "первый", "второй", "третий")
    data = b"".join(lines)
    ends = [sum(map(len, lines[:count])) for count in range(4)]
    for size in range(ends[1], len(data)):
        path.write_bytes(data[:size])
        whole = sum(size >= end - 1 for end in ends[1:])  # a line that lacks its end alone is whole
        with contextlib.closing(Journal(str(path))) as journal:
            found = [journal.take(key(prompt)) for prompt in "012"]
            assert [outcome is not None for outcome in found] == [index < whole for index in range(3)], size
            journal.write(answer("new"), key=key("new"), messages=HI)

        assert path.read_bytes().startswith(data[: ends[whole]])
        assert [entry["text"] for entry in entries(path)] == [*["первый", "второй", "третий"][:whole], "new"]


ENTRY: dict[str, Any] = {"id": "0" * 32, "index": 0, "text": "Hello!", "attempts": 1}
FOREIGN = {
    "no JSON": (b"hello\n", 1),
    "no JSON, and no end": (b"hello", 1),
    "somebody's JSON": (b'{"id": "chatcmpl-1", "object": "chat.completion"}\n', 1),
    "somebody's JSON, and no end": (b'{"id": "chatcmpl-1", "object": "chat.completion"}', 1),
    "somebody's JSON with such an id, and no end": (b'{"id": "%s", "index": 0, "object": 1}' % (b"ab" * 16), 1),
    "somebody's JSON, torn": (b'{"id": "chatcmpl-1", "obj', 1),
    "a list": (b"[1, 2]\n", 1),
    "null": (b"null\n", 1),
    "a number, and no end": (b"42", 1),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1),
    "zeros": (bytes(5000), 1),
    "too deep for JSON": (b"[" * 100_000 + b"\n", 1),
    "another version": (json.dumps({**ENTRY, "cost": 3}).encode() + b"\n", 1),
    "another version, and no end": (json.dumps({**ENTRY, "cost": 3}).encode(), 1),
    "an answer and a failure": (json.dumps({**ENTRY, "error": {}}).encode() + b"\n", 1),
    "neither": (b'{"id": "%s", "index": 0, "attempts": 1}\n' % (b"0" * 32), 1),
    **{
        f"{name} is {value!r}": (json.dumps({**ENTRY, name: value}).encode() + b"\n", 1)
        for name, value in [("text", None), ("id", 1), ("id", "zz"), ("id", "ab"), ("index", "1"), ("attempts", None)]
    },
    **{
        f"{name} is {value!r}": (json.dumps({**ENTRY, name: value}).encode() + b"\n", 1)
        for name, value in [("notice", 1), ("whole", "yes"), ("request_id", []), ("messages", "Hi"), ("at", 0)]
    },
    "damaged in the middle": (b'%s\n{"id": "\n%s\n' % ((json.dumps(ENTRY).encode(),) * 2), 2),
    "a blank line in the middle": (b"%s\n\n%s\n" % ((json.dumps(ENTRY).encode(),) * 2), 2),
    "not UTF-8": (json.dumps(ENTRY).encode().replace(b"Hello", b"H\xffllo") + b"\n", 1),
    "another version at the end": (b"%s\n%s" % (json.dumps(ENTRY).encode(), json.dumps({**ENTRY, "x": 1}).encode()), 2),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_was(name: str, path: Path) -> None:
    data, line = FOREIGN[name]
    path.write_bytes(data)
    before, opened = path.stat(), open_files()
    with pytest.raises(InvalidRequestError, match=rf"^journal: line {line} of '.*answers.jsonl' is .") as caught:
        Journal(str(path))

    assert str(path) in str(caught.value)
    assert path.read_bytes() == data
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert open_files() == opened


def test_an_empty_file_is_a_journal_of_nothing(path: Path) -> None:
    path.touch()
    assert len(write(path, "Hello!")) == 1


def test_what_somebody_has_shortened_by_hand_is_taken(path: Path) -> None:
    path.write_text(json.dumps({"id": key("0"), "attempts": 2, "index": 5, "text": "Hello!"}) + "\r\n")

    assert taken(path, "0") == ["Hello!"]


# What is no file


@pytest.mark.parametrize("kind", ["FIFO", "null", "full"])
def test_what_is_no_file_is_refused(kind: str, path: Path) -> None:
    special = {"FIFO": path, "null": Path("/dev/null"), "full": Path("/dev/full")}[kind]
    if kind == "FIFO":
        os.mkfifo(path)
    opened = open_files()
    with pytest.raises(InvalidRequestError, match=f"^journal must be a file, and '{special}' is none$"):
        Journal(str(special))

    assert open_files() == opened


@pytest.mark.parametrize("kind", ["folder", "socket", "missing", "read-only"])
def test_what_cannot_be_opened_is_the_systems_error_with_the_name_of_the_file(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        path = Path(folder) / "answers.jsonl"
        code = {"folder": errno.EISDIR, "socket": errno.ENXIO, "missing": errno.ENOENT, "read-only": errno.EACCES}[kind]
        if kind == "folder":
            path.mkdir()
        elif kind == "socket":
            ends.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
        elif kind == "missing":
            path = Path(folder) / "missing" / "answers.jsonl"
        else:
            path.touch(0o444)
            os.chmod(folder, 0o755)
            if os.geteuid() == 0:  # who may write everything
                os.seteuid(65534)
                ends.callback(os.seteuid, 0)
        opened = open_files()
        with pytest.raises(OSError, match=str(path)) as caught:
            Journal(str(path))

        assert (caught.value.errno, caught.value.filename) == (code, str(path))
        assert open_files() == opened


# Who may read it


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o600), (0o022, 0o600), (0o077, 0o600), (0o277, 0o400)])
def test_a_new_file_is_its_owners_alone(umask: int, mode: int, path: Path) -> None:
    before = os.umask(umask)
    try:
        write(path, "Hello!")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    write(path, "Hello!")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_its_file_is_the_journal(there: bool, path: Path) -> None:
    file = path.with_name("elsewhere")
    if there:
        file.touch()
    path.symlink_to(file)
    write(path, "Hello!")

    assert path.is_symlink()
    assert [entry["text"] for entry in entries(file)] == ["Hello!"]


# A full disk, and interruptions


def test_a_line_for_which_there_is_no_room_leaves_the_file_as_it_was(path: Path) -> None:
    write(path, "Hello!")
    before = path.read_bytes()
    with contextlib.closing(Journal(str(path))) as journal:
        with full_disk(path, room=100), pytest.raises(OSError, match="too large") as caught:
            journal.write(answer("x" * 1000, 1), key=key("1"), messages=HI)
        assert caught.value.filename == str(path)
        assert path.read_bytes() == before
        journal.write(answer("y" * 1000, 2), key=key("2"), messages=HI)

    assert [entry["index"] for entry in entries(path)] == [0, 2]


def test_a_torn_line_that_could_not_be_cut_away_is_cut_before_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "Hello!")

    def fail(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with contextlib.closing(Journal(str(path))) as journal:
        monkeypatch.setattr(os, "ftruncate", fail)
        with full_disk(path, room=100), pytest.raises(OSError, match="too large"):
            journal.write(answer("x" * 1000, 1), key=key("1"), messages=HI)
        monkeypatch.undo()
        assert not path.read_bytes().endswith(b"\n"), "it is torn, for now"
        journal.write(answer("y" * 1000, 2), key=key("2"), messages=HI)

    assert [entry["index"] for entry in entries(path)] == [0, 2]


@pytest.mark.parametrize("written", [0, 100, None])
def test_an_interrupted_line_is_there_once_when_it_is_written_again(
    written: int | None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        really_write(descriptor, data[:written])
        raise KeyboardInterrupt

    with contextlib.closing(Journal(str(path))) as journal:
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.write(answer("Hello!", 3), key=key("3"), messages=HI)
        monkeypatch.undo()
        assert path.read_bytes() == b""
        for _ in range(2):  # whoever is interrupted right after it has been written says it once more
            journal.write(answer("Hello!", 3), key=key("3"), messages=HI)

    assert [entry["index"] for entry in entries(path)] == [3]


def test_an_exception_of_a_signal_handler_comes_out_as_itself(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = TimeoutError("the caller's own")

    def interrupted(descriptor: int, data: bytes) -> int:
        raise late

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(TimeoutError) as caught:
        journal.write(answer(), key=key("Hi"), messages=HI)

    assert caught.value is late
    assert late.filename is None


# The disk is told


def test_a_line_is_one_write_and_the_disk_is_told_once_a_second_and_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, calls = 100.0, []

    def noted(name: str) -> Callable[..., object]:
        really = getattr(os, name)

        def call(*given: object) -> object:
            calls.append(name)
            return really(*given)

        return call

    for name in ("write", "fsync"):
        monkeypatch.setattr(os, name, noted(name))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    journal = Journal(str(path))
    wants_sync = journal.wants_sync
    assert not wants_sync, "nothing was written"
    for index in range(30):
        journal.write(answer(index=index), key=key("Hi"), messages=HI)
        if journal.wants_sync:
            journal.sync()
        now += 0.125
    now += 5
    assert journal.wants_sync
    journal.close()
    journal.close()

    assert calls == [
        *(*["write"] * 9, "fsync", *["write"] * 8, "fsync", *["write"] * 8, "fsync", *["write"] * 5, "fsync")
    ]


def test_a_journal_in_which_nothing_was_written_costs_the_disk_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "Hello!")
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("it need not"))

    assert taken(path, "0") == ["Hello!"]


def test_a_disk_that_fails_is_told_with_the_name_of_the_file_which_is_closed_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    journal = Journal(str(path))
    journal.write(answer(), key=key("0"), messages=HI)
    with pytest.raises(OSError, match=r"answers\.jsonl"):
        journal.close()
    monkeypatch.undo()

    assert taken(path, "0") == ["Hello!"]


# One run at a time

OPEN = """
import sys
from acytoo_sdk._batch.journal import Journal
try:
    Journal(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
else:
    print("free")
"""


def elsewhere(path: Path) -> str:
    """What another process says to a file."""
    command = [sys.executable, "-c", OPEN, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_another_run_is_refused_here_and_elsewhere_until_the_first_is_closed(path: Path) -> None:
    journal = Journal(str(path))
    opened = open_files()
    refusal = f"journal: another run has {str(path)!r}"
    with pytest.raises(InvalidRequestError) as caught:
        Journal(str(path))
    assert str(caught.value) == refusal
    assert open_files() == opened
    assert elsewhere(path) == f"InvalidRequestError {refusal}"
    journal.close()
    Journal(str(path)).close()
    assert elsewhere(path) == "free"


def test_a_journal_that_nobody_holds_any_more_is_free(path: Path) -> None:
    Journal(str(path))
    Journal(str(path)).close()


def test_what_another_run_mended_before_the_lock_was_free_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = write(path, "Hello!", "Hello, too!")
    path.write_bytes(lines[0] + lines[1][:20])
    lock = journal_file._lock

    def lock_later(descriptor: int) -> None:
        path.write_bytes(b"".join(lines))
        lock(descriptor)

    monkeypatch.setattr(journal_file, "_lock", lock_later)
    assert taken(path, "0", "1") == ["Hello!", "Hello, too!"]


HOLD = """
import os, sys, time
from acytoo_sdk._batch.journal import Journal
journal = Journal(sys.argv[1])
if os.fork() == 0:
    print(os.getpid(), flush=True)  # it was told of the fork by now
time.sleep(60)
"""


def test_the_lock_of_a_killed_run_is_gone_though_a_child_of_it_lives_on(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(InvalidRequestError, match="another run"):
            Journal(str(path))
        holder.kill()
        holder.wait(10)
        os.kill(child, 0)  # it lives
        Journal(str(path)).close()
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


@pytest.mark.parametrize("told", [True, False])
def test_a_forked_child_neither_writes_nor_keeps_the_journal(
    told: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told or not: a child that is forked while another thread closes the file keeps its copy, for one."""
    journal = Journal(str(path))
    journal.write(answer(), key=key("0"), messages=HI)
    if not told:
        monkeypatch.setattr(Journal, "abandon", lambda journal: None)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(writing)
            if told:
                assert not journal.is_open
                journal.close()
            os.read(reading, 1)
            code = 0
        finally:
            os._exit(code)
    os.close(reading)
    try:
        with pytest.raises(InvalidRequestError, match="another run"):
            Journal(str(path))
        journal.write(answer(index=1), key=key("1"), messages=HI)
        journal.close()
        assert taken(path, "0", "1") == ["Hello!", "Hello!"]
    finally:
        os.close(writing)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
