"""Batches with a journal: what a second run asks, and what is kept of one that is ended, interrupted or killed."""

from __future__ import annotations

import collections
import contextlib
import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journals import entries, full_disk, open_files

from acytoo_sdk import AsyncClient, Client, InvalidRequestError
from acytoo_sdk._batch.journal import Journal
from acytoo_sdk.batch import Result
from acytoo_sdk.testing import FakeServer, Fault, Gate

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the limits and signals are those of POSIX"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

# How often a run is killed; `KILLS=50 pytest tests/batch/test_resuming.py -k killed` takes its time.
KILLS = int(os.environ.get("KILLS", "5"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(reply) as server:
        yield server


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.url, model="tiny", retry=1) as client:
        yield client


def reply(chat: dict[str, Any]) -> str:
    return f"to {prompt_of(chat)}"


def prompt_of(chat: dict[str, Any]) -> str:
    content: str = chat["messages"][-1]["content"]
    return content


def asked(server: FakeServer, since: int = 0) -> list[str]:
    """The prompts that a server was asked, sorted."""
    return sorted(prompt_of(request.json) for request in server.requests[since:] if request.json)


def run(client: Client, path: Path, prompts: Iterable[Any], **options: Any) -> list[Result[Any]]:
    return list(client.map(prompts, journal=path, **options))


def wait_until(predicate: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# What a second run asks


@pytest.mark.parametrize("flavour", ["blocking", "asyncio", "trio"])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_second_run_asks_nothing_that_was_answered_in_whatever_order(
    flavour: str, ordered: bool, server: FakeServer, path: Path
) -> None:
    async def run_async(prompts: list[str]) -> list[Result[str]]:
        async with AsyncClient(server.url, model="tiny") as client:
            return [result async for result in client.map(prompts, journal=path, ordered=ordered)]

    def run_it(prompts: list[str]) -> list[Result[str]]:
        if flavour != "blocking":
            return anyio.run(run_async, prompts, backend=flavour)
        with Client(server.url, model="tiny") as client:
            return run(client, path, prompts, ordered=ordered)

    first = run_it(["one", "two", "three"])
    assert sorted(result.unwrap() for result in first) == ["to one", "to three", "to two"]
    second = run_it(["three", "four", "one"])
    assert {result.item: result.text for result in second} == {name: f"to {name}" for name in ("three", "four", "one")}
    assert {result.item for result in second if result.resumed} == {"one", "three"}
    assert {result.item: result.index for result in second} == {"three": 0, "four": 1, "one": 2}
    assert asked(server) == ["four", "one", "three", "two"]
    assert sorted(entry["text"] for entry in entries(path)) == ["to four", "to one", "to three", "to two"]


PROMPTS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


@given(before=PROMPTS, after=PROMPTS, ordered=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_asked_is_the_difference_of_the_two_multisets(
    before: list[str], after: list[str], ordered: bool, server: FakeServer, client: Client, path: Path
) -> None:
    path.unlink(missing_ok=True)
    run(client, path, before, ordered=ordered)
    since = len(server.requests)
    results = run(client, path, after, ordered=ordered)

    assert asked(server, since) == sorted((collections.Counter(after) - collections.Counter(before)).elements())
    assert sorted(result.item for result in results if not result.resumed) == asked(server, since)
    assert {result.index: result.text for result in results} == {i: f"to {item}" for i, item in enumerate(after)}
    assert len(entries(path)) == len(before) + len(server.requests) - since


def test_failures_are_asked_again(server: FakeServer, client: Client, path: Path) -> None:
    server.reply = lambda chat: "" if prompt_of(chat) == "two" else reply(chat)
    first = run(client, path, ["one", "two", "three"])
    assert [result.text for result in first] == ["to one", None, "to three"]
    server.reply = reply
    second = run(client, path, ["one", "two", "three"])

    assert [result.text for result in second] == ["to one", "to two", "to three"]
    assert [result.resumed for result in second] == [True, False, True]
    assert asked(server) == ["one", "three", "two", "two"]
    assert [entry["error"]["type"] for entry in entries(path) if "error" in entry] == ["EmptyReplyError"]
    assert all(result.resumed for result in run(client, path, ["one", "two", "three"]))


def test_another_model_or_temperature_asks_anew_and_the_same_said_otherwise_does_not(
    server: FakeServer, client: Client, path: Path
) -> None:
    run(client, path, ["one"], temperature=1)
    assert [result.resumed for result in run(client, path, ["one"], temperature=1.0)] == [True]
    assert [result.resumed for result in run(client, path, ["one"], temperature=0.9)] == [False]
    assert [result.resumed for result in run(client, path, ["one"], temperature=1, model="large")] == [False]
    turn = {"content": "one", "role": "user"}
    assert [result.resumed for result in run(client.with_options(temperature=1), path, [[turn]])] == [True]
    assert len(server.requests) == 3


def test_a_resumed_result_carries_what_the_first_did(server: FakeServer, path: Path) -> None:
    faults = [Fault.status(503, retry_after=0), Fault.notice()]
    with (
        FakeServer(reply, headers={"x-request-id": "the-name"}, faults=faults) as flaky,
        Client(flaky.url, model="tiny", retry=2) as client,
    ):
        first = run(client, path, ["one"])[0]
    with Client(server.url, model="tiny") as client:
        second = run(client, path, ["another", "one"])[1]

    assert (first.text, first.whole, first.request_id, first.attempts) == ("to one", True, "the-name", 2)
    assert first.notice is not None
    assert not first.resumed
    assert second == Result(1, "one", "to one", None, first.notice, True, "the-name", 2, True)
    assert asked(server) == ["another"]


def test_a_prompt_that_cannot_be_sent_is_not_kept(client: Client, path: Path) -> None:
    results = run(client, path, ["", "one"])

    assert [type(result.error) for result in results] == [InvalidRequestError, type(None)]
    assert len(entries(path)) == 1


# What never stands there

SECRETS = {"key": "sk-key-4711", "password": "pass-word-4711", "header": "header-4711", "proxy": "proxy-4711"}


@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_secret_is_written_though_the_server_says_it(status: int, path: Path) -> None:
    body = json.dumps({"error": {"message": " ".join(SECRETS.values())}})
    headers = {"content-type": "application/json", "x-request-id": SECRETS["key"]}
    with FakeServer(body, status=status, headers=headers) as server:
        client = Client(
            "http://chat.invalid",
            key=SECRETS["key"],
            password=SECRETS["password"],
            headers={"authorization": f"Bearer {SECRETS['header']}"},
            proxy=server.url.replace("//", f"//me:{SECRETS['proxy']}@"),
            retry=1,
        )
        with client:
            (result,) = run(client, path, ["one"])

    assert result.error is not None
    assert "***" in entries(path)[0]["error"]["message"]
    text = path.read_text()
    assert [name for name, secret in SECRETS.items() if secret in text] == []


# Where it cannot be used


@pytest.mark.parametrize("kind", ["damaged", "folder", "missing", "locked"])
def test_a_journal_that_cannot_be_used_is_told_before_anything_is_read_or_asked(
    kind: str, server: FakeServer, client: Client, path: Path
) -> None:
    expected: type[Exception] = InvalidRequestError
    if kind == "damaged":
        path.write_text("{}\nhello\n")
    elif kind == "locked":
        holder = client.map(["one", "two"], journal=path)
        next(holder)
    else:
        expected = OSError
        path = path.parent if kind == "folder" else path / "answers.jsonl"
    opened = open_files()
    prompts = iter(["three"])
    batch = client.map(prompts, journal=path)
    with pytest.raises(expected, match=str(path)):
        next(batch)
    assert list(batch) == [], "it has ended"
    assert next(prompts) == "three"
    assert open_files() == opened
    assert "three" not in asked(server)


@pytest.mark.parametrize("journal", [b"answers.jsonl", 1, "a\0b"])
def test_what_is_no_path_is_refused_at_once(journal: Any, client: Client) -> None:
    with pytest.raises(InvalidRequestError, match=r"^journal (must be the path of a file, not|is a path with a NUL)"):
        client.map([], journal=journal)


def test_a_path_may_be_an_object(client: Client, path: Path) -> None:
    class Place:
        def __fspath__(self) -> str:
            return str(path)

    assert run(client, Place(), ["one"])[0].text == "to one"  # type: ignore[arg-type]
    assert len(entries(path)) == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_on_a_full_disk_what_was_written_is_handed_out_before_the_error(
    ordered: bool, server: FakeServer, client: Client, path: Path
) -> None:
    prompts = [f"prompt {index}" for index in range(20)]
    server.reply = lambda chat: "x" * (100_000 if "7" in prompt_of(chat) else 10)
    path.touch()
    batch = client.map(prompts, journal=path, ordered=ordered)
    results: list[Result[str]] = []
    with full_disk(path, room=20_000), pytest.raises(OSError, match="answers") as caught:
        results += batch
    assert caught.value.filename == str(path)
    kept = [entry["index"] for entry in entries(path)]
    assert len(kept) >= 7
    assert not ordered or [result.index for result in results] == sorted(kept)
    assert sorted(result.index for result in results) == sorted(kept)
    assert 7 not in kept

    since = len(server.requests)
    assert [result.index for result in run(client, path, prompts) if result.resumed] == sorted(kept)
    assert asked(server, since) == sorted(f"prompt {index}" for index in range(20) if index not in kept)


# One run at a time


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped", "failed"])
def test_the_journal_is_free_when_the_batch_has_ended(end: str, client: Client, path: Path) -> None:
    def prompts() -> Iterator[str]:
        yield from ["one", "two", "three"]
        if end == "failed":
            raise KeyError("the input's own")

    batch = client.map(prompts(), journal=path, concurrency=1)
    assert next(batch).text == "to one"
    with pytest.raises(InvalidRequestError, match="another run has"):
        run(client, path, ["four"])
    if end == "exhausted":
        assert len(list(batch)) == 2
    elif end == "closed":
        batch.close()
    elif end == "failed":
        with pytest.raises(KeyError):
            list(batch)
    else:
        gc.disable()
        del batch
    try:
        assert run(client, path, ["one"])[0].resumed
    finally:
        gc.enable()


@pytest.mark.parametrize("act", ["close", "drop", "next"])
def test_a_forked_child_leaves_the_journal_to_its_parent(
    act: str, server: FakeServer, client: Client, path: Path
) -> None:
    gate = Gate()
    server.gate = gate
    batch = client.map(["one", "two", "three"], journal=path, concurrency=2, ordered=False)
    gate.release(1)
    next(batch)
    before = path.read_bytes()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(10)
            if act == "close":
                batch.close()
            elif act == "drop":
                batch._results.close()
            else:
                with pytest.raises(InvalidRequestError, match="forked"):
                    next(batch)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == before
    with pytest.raises(InvalidRequestError, match="another run"):
        run(client, path, ["four"])
    gate.open()
    assert len(list(batch)) == 2
    assert len(entries(path)) == 3


# Ended, interrupted, killed


def prompts_that_open(gate: Gate) -> Iterator[str]:
    """Four prompts; the first reply may come once all of them were sent, since a result that is there comes first."""
    yield from ["one", "two", "three", "four"]
    gate.release(1)


@pytest.mark.parametrize("end", ["close", "leave", "drop"])
def test_what_had_arrived_is_kept_when_the_loop_is_left(
    end: str, server: FakeServer, client: Client, path: Path
) -> None:
    """The first came, the others came while nobody looked; the last never comes."""
    gate = server.gate = Gate()
    batch = client.map(prompts_that_open(gate), journal=path, ordered=False, concurrency=4)
    for _ in batch:
        server.wait_until(lambda: len(server.requests) == 4)
        gate.release(2)
        wait_until(lambda: len([task for task in batch._run._unwritten if task.outcome is not None]) == 2)
        break
    assert len(entries(path)) == 1
    if end == "close":
        batch.close()
    elif end == "leave":
        with pytest.raises(ZeroDivisionError), batch:
            1 / 0  # noqa: B018
    else:
        del batch, _
    assert len({entry["text"] for entry in entries(path)}) == len(entries(path)) == 3
    gate.open()
    since = len(server.requests)
    assert len(run(client, path, ["one", "two", "three", "four"])) == 4
    assert len(server.requests) == since + 1


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("end", ["aclose", "cancelled"])
def test_what_had_arrived_is_kept_when_an_async_loop_is_left(end: str, loop: str, path: Path) -> None:
    gate = Gate()

    async def main() -> None:
        with FakeServer(reply, gate=gate) as server:
            async with AsyncClient(server.url, model="tiny") as client:
                batch = client.map(prompts_that_open(gate), journal=path, ordered=False, concurrency=4)
                await anext(batch)
                with anyio.fail_after(10):
                    while gate.waiting < 3:
                        await anyio.sleep(0.002)
                    gate.release(2)
                    streams = batch._workers._streams
                    while sum(stream._reader.ended for stream in streams.values()) < 2:
                        await anyio.sleep(0.002)
                assert len(entries(path)) == 1
                if end == "aclose":
                    await batch.aclose()
                else:
                    with anyio.CancelScope() as scope:
                        scope.cancel()
                        await anext(batch)
                assert len({entry["text"] for entry in entries(path)}) == len(entries(path)) == 3
                gate.open()
                results = [result async for result in client.map(["one", "two", "three", "four"], journal=path)]
                assert [result.text for result in results] == ["to one", "to two", "to three", "to four"]
                assert len(server.requests) == 5
                await batch.aclose()

    anyio.run(main, backend=loop)


def child(server: FakeServer, path: Path, prompts: list[str], **options: Any) -> subprocess.Popen[str]:
    """A run in another process."""
    file = path.with_name("prompts.json")
    file.write_text(json.dumps(prompts))
    script = Path(__file__).with_name("kept.py")
    command = [sys.executable, str(script), server.url, str(path), str(file), json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_a_run_at_once_though_the_server_is_silent_and_keeps_what_had_arrived(path: Path) -> None:
    gate = Gate()
    with FakeServer(reply, gate=gate) as server:
        process = child(server, path, ["one", "two", "three", "four"], concurrency=4, ordered=True)
        try:
            server.wait_until(lambda: len(server.requests) == 4, timeout=20)
            gate.wait_until_waiting()
            wait_until(lambda: gate.waiting == 4)
            gate.release(3)
            wait_until(lambda: path.read_bytes().count(b"\n") == 3)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            output, complaints = process.communicate(timeout=20)
            took = time.monotonic() - began
        finally:
            process.kill()
            process.wait()

        assert output.splitlines()[-1] == "interrupted", complaints
        assert took < 1.5
        assert process.returncode == 0
        gate.open()
        with Client(server.url, model="tiny") as client:
            results = run(client, path, ["one", "two", "three", "four"])
        assert sum(result.resumed for result in results) == 3
        assert len(server.requests) == 5


def test_ctrl_c_between_two_answers_keeps_each_once(
    server: FakeServer, client: Client, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told whether the one was written at whose writing the signal came; the others are there, too."""
    write = Journal.write

    def write_and_interrupt(journal: Journal, *args: Any, **kwargs: Any) -> None:
        write(journal, *args, **kwargs)
        monkeypatch.setattr(Journal, "write", write)
        time.sleep(0.1)  # the others arrive; if they do not, less is tried
        raise KeyboardInterrupt

    def let_all_pass() -> None:
        wait_until(lambda: gate.waiting == 8)
        gate.open()

    monkeypatch.setattr(Journal, "write", write_and_interrupt)
    gate = server.gate = Gate()
    threading.Thread(target=let_all_pass).start()
    with pytest.raises(KeyboardInterrupt):
        next(client.map(map(str, range(8)), journal=path))
    kept = [entry["index"] for entry in entries(path)]
    assert kept
    assert sorted({*kept}) == sorted(kept)


def test_a_killed_run_loses_at_most_what_was_in_flight(path: Path) -> None:
    """At random moments, again and again, until all is answered."""
    prompts, concurrency = [f"{index} {'ж' * 200}" for index in range(40 * (KILLS + 1))], 8
    seen: collections.Counter[str] = collections.Counter()
    chance = random.Random()
    with FakeServer(reply) as server:
        for kill in range(KILLS + 1):
            since, kept_before = len(server.requests), _answers(path)
            chance.shuffle(prompts)
            process = child(server, path, prompts, concurrency=concurrency, ordered=kill % 2 == 0)
            if kill < KILLS:
                with contextlib.suppress(TimeoutError):
                    limit = since + chance.randrange(1, 60)
                    server.wait_until(lambda limit=limit: len(server.requests) >= limit, timeout=20)  # type: ignore[misc]
                time.sleep(chance.random() * 0.01)
                process.kill()
            output, complaints = process.communicate(timeout=50)
            assert not complaints
            if kill == KILLS:
                assert output.endswith("done\n")
            server.wait_until(lambda: server.open_connections == 0)
            asked_now = collections.Counter(asked(server, since))
            kept = _answers(path)
            lost = asked_now - (kept - kept_before)
            assert not kept_before - kept, "nothing is lost"
            assert not asked_now & kept_before, "nothing is asked twice"
            assert lost.total() <= concurrency, "but what was in flight"
            texts = {line.removeprefix("to ") for line in output.split("\n")[:-1] if line != "done"}
            assert texts <= {*kept}, "what was handed out is kept"
            seen += asked_now

    assert _answers(path) == collections.Counter(prompts), "each once"
    assert {*seen} == {*prompts}
    assert seen.total() - len(prompts) <= KILLS * concurrency


def _answers(path: Path) -> collections.Counter[str]:
    """The prompts whose answers a file has, but for a torn end."""
    data = path.read_bytes() if path.exists() else b""
    lines = data.split(b"\n")[:-1]
    return collections.Counter(prompt_of(json.loads(line)) for line in lines)
