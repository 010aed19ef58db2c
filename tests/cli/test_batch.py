"""What `acytoo batch` asks, writes and says, and how it ends and goes on. No output is a terminal here."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, run
from typing import Any

import pytest
from programs import PROGRAM, Done, acytoo, program

from acytoo_sdk.testing import FakeServer, Fault, Gate

ANSWERED_2 = "2 of 2 prompts answered\n"
KEYS = ["id", "index", "at", "messages", "text", "attempts", "notice", "whole", "request_id"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def echo(request: dict[str, Any]) -> str:
    """A reply from which the prompt can be told."""
    return f"re {request['messages'][-1]['content']}"


def prompts(count: int) -> list[str]:
    return [f"prompt {number}" for number in range(1, count + 1)]


def write_lines(count: int) -> None:
    Path("in.txt").write_text("".join(f"{prompt}\n" for prompt in prompts(count)), "utf-8")


def entries(text: str | None = None) -> list[dict[str, Any]]:
    """Those of an output; None: of the journal."""
    lines = Path("out.jsonl").read_text("utf-8") if text is None else text
    return [json.loads(line) for line in lines.splitlines()]


def asked(server: FakeServer) -> Counter[str]:
    """How often each prompt was sent."""
    return Counter(request.json["messages"][-1]["content"] for request in server.requests if request.json)


def has_asked(server: FakeServer, count: int) -> bool:
    """Whether just so many prompts were sent."""
    return len(server.requests) == count


def batch(server: FakeServer, *arguments: str, **more: Any) -> Done:
    return acytoo("batch", "--base-url", server.url, *arguments, **more)


# What is asked and written


def test_without_a_file_results_go_to_stdout_in_order_as_lines_of_a_journal() -> None:
    write_lines(20)
    with FakeServer(echo, pause=0) as server:
        done = batch(server, "in.txt")
        assert batch(server, "in.txt", "-o", "out.jsonl").status == 0
    assert (done.status, done.stderr) == (0, "20 of 20 prompts answered\n")
    results, journal = entries(done.stdout), sorted(entries(), key=lambda entry: entry["index"])
    assert [result["text"] for result in results] == [f"re {prompt}" for prompt in prompts(20)]
    assert [*results[0]] == [*journal[0]] == KEYS
    for result, entry in zip(results, journal, strict=True):
        assert {**result, "at": "", "request_id": ""} == {**entry, "at": "", "request_id": ""}


def test_stdin_is_a_dash_and_so_may_stdout_be() -> None:
    done = acytoo("batch", "--local", "-", "-o", "-", stdin="one\n\ntwo\n")
    assert (done.status, done.stderr) == (0, ANSWERED_2)
    assert [entry["messages"][0]["content"] for entry in entries(done.stdout)] == ["one", "two"]
    assert not Path("-").exists()


def test_options_reach_the_server() -> None:
    Path("in.jsonl").write_text('{"q": "one"}\n{"q": "two"}\n{"q": "three"}\n', "utf-8")
    with FakeServer(echo, pause=0) as server:
        options = ["-m", "m", "-t", "1.5", "-s", "Be brief.", "--field", "q", "--template", "<{text}>", "--limit", "2"]
        done = batch(server, "in.jsonl", *options)
        sent = [request.json for request in server.requests]
    assert (done.status, done.stderr) == (0, ANSWERED_2)
    assert {request["messages"][1]["content"] for request in sent if request} == {"<one>", "<two>"}
    assert all(request and (request["model"], request["temperature"]) == ("m", 1.5) for request in sent)
    assert all(request and request["messages"][0]["content"] == "Be brief." for request in sent)


def test_so_many_run_at_once_as_are_wanted() -> None:
    gate = Gate()
    write_lines(5)
    with FakeServer(echo, gate=gate) as server:
        command = [*PROGRAM, "batch", "--base-url", server.url, "in.txt", "--concurrency", "2"]
        with Popen(command, stdout=PIPE, stderr=DEVNULL) as process:
            for sent in range(2, 5):
                gate.wait_until_waiting()
                server.wait_until(partial(has_asked, server, sent))
                gate.release()
            gate.open()
            assert len(entries(process.communicate(timeout=30)[0].decode())) == 5


def test_requests_keep_to_a_rate() -> None:
    times: list[float] = []

    def reply(request: dict[str, Any]) -> str:
        times.append(time.monotonic())
        return "Hello!"

    write_lines(4)
    with FakeServer(reply, pause=0) as server:
        assert batch(server, "in.txt", "--rpm", "1200").status == 0
    assert times[-1] - times[0] > 0.1


def test_an_input_without_prompts_is_no_failure() -> None:
    assert acytoo("batch", "--local", "-", stdin="\n\n") == Done(0, "", "0 of 0 prompts answered\n")


def test_a_closed_pipe_is_a_good_end() -> None:
    write_lines(50)
    gate = Gate()
    gate.release()
    with FakeServer(echo, gate=gate) as server:
        command = [*PROGRAM, "batch", "--base-url", server.url, "in.txt", "--concurrency", "1"]
        with Popen(command, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            gate.open()
            assert process.stderr.read() == b""
        assert process.returncode == 0
        assert len(server.requests) < 50


# Going on


def test_the_same_command_again_asks_for_what_has_no_answer() -> None:
    write_lines(5)
    faults = [None, Fault.status(400), None, Fault.status(400)]
    with FakeServer(echo, pause=0, faults=faults) as server:
        first = batch(server, "in.txt", "-o", "out.jsonl", "--concurrency", "1")
        again = batch(server, "in.txt", "-o", "out.jsonl")
        third = batch(server, "in.txt", "-o", "out.jsonl", "-q")
        assert asked(server) == {**dict.fromkeys(prompts(5), 1), "prompt 2": 2, "prompt 4": 2}
    assert (first.status, first.stdout) == (1, "")
    assert first.stderr.splitlines()[0] == "Error: 2 of 5 prompts failed, 3 answered:"
    assert first.stderr.splitlines()[1].startswith("  2 BadRequestError, as of prompt 2: ")
    assert first.stderr.splitlines()[2] == (
        "The same command again asks for the failed ones alone: out.jsonl keeps the answers"
    )
    assert again == Done(0, "", "5 of 5 prompts answered, 3 of them by an earlier run\n")
    assert third == Done(0, "", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_whatever_ends_it_what_was_answered_is_not_asked_again(number: int, status: int) -> None:
    write_lines(40)
    gate = Gate()
    gate.release(3)
    with FakeServer(echo, gate=gate) as server:
        command = [*PROGRAM, "batch", "--base-url", server.url, "in.txt", "-o", "out.jsonl"]
        with Popen(command, stdout=PIPE, stderr=PIPE) as process:
            server.wait_until(lambda: len(server.requests) == 3 + 8)
            process.send_signal(number)
            stdout, said = process.communicate(timeout=30)
        assert (process.returncode, stdout) == (status, b"")
        if number != signal.SIGKILL:
            assert said.endswith(
                b" of 40 prompts answered; the same command again goes on: out.jsonl keeps the answers\n"
            )
        answered = {entry["messages"][0]["content"] for entry in entries()}
        assert len(answered) == 3
        gate.open()
        again = batch(server, "in.txt", "-o", "out.jsonl")
        assert {prompt for prompt, times in asked(server).items() if times == 1} >= answered
        assert len(server.requests) == 40 + 8
    assert again == Done(0, "", "40 of 40 prompts answered, 3 of them by an earlier run\n")


def test_ctrl_c_without_a_file_says_what_would_have_kept_the_answers() -> None:
    gate = Gate()
    gate.release(1)
    with FakeServer(echo, gate=gate) as server:
        command = [*PROGRAM, "batch", "--base-url", server.url, "--concurrency", "1", "-"]
        with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"one\ntwo\n" * 8)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == "re one"
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.read() == b"1 answered; with -o FILE, the same command again would go on\n"
    assert process.returncode == 130


def test_ctrl_c_ends_a_wait_for_more_input() -> None:
    with FakeServer(echo, pause=0) as server:
        command = [*PROGRAM, "batch", "--base-url", server.url, "-", "-o", "out.jsonl"]
        with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(b"one\ntwo\n")
            process.stdin.flush()
            server.wait_until(lambda: len(server.requests) == 2 and not server.errors)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert b"the same command again goes on" in process.stderr.read()
    assert process.returncode == 130


# Failures


@pytest.mark.parametrize(
    ("faults", "status"),
    [
        ([Fault.status(429)] * 2, 5),
        ([Fault.status(401), None], 4),
        ([Fault.status(401), Fault.status(403)], 4),
        ([Fault.status(401), Fault.drop()], 1),
        ([Fault.cut(after=1), None], 6),
    ],
)
def test_the_status_is_that_of_the_failures_if_it_is_one(faults: list[Fault | None], status: int) -> None:
    write_lines(2)
    with FakeServer(["one ", "two"], pause=0, faults=faults) as server:
        done = batch(server, "in.txt", "--retries", "0", "--concurrency", "1")
    assert done.status == status
    assert len(entries(done.stdout)) == 2


def test_failures_are_summed_up_by_kind_the_most_frequent_first() -> None:
    write_lines(5)
    faults = [Fault.status(401, body="no \x1b[31mkey sesame-1"), *[Fault.status(400)] * 2, Fault.drop()]
    env = {"ACYTOO_KEY": "sesame-1"}
    with FakeServer(echo, pause=0, faults=faults) as server:
        done = batch(server, "in.txt", "-q", "--retries", "0", "--concurrency", "1", env=env)
    first, *kinds, last = done.stderr.splitlines()
    assert first == "Error: 4 of 5 prompts failed, 1 answered:"
    assert [line.split(":")[0] for line in kinds] == [
        "  2 BadRequestError, as of prompt 2",
        "  1 AuthenticationError, as of prompt 1",
        "  1 APIConnectionError, as of prompt 4",
    ]
    assert "(hint: set another key: ACYTOO_KEY, or acytoo config set key)" in kinds[1]
    assert last == "With -o FILE, the same command again would ask for the failed ones alone"
    assert "\x1b" not in done.stderr
    assert "sesame" not in done.stderr + done.stdout
    failure = entries(done.stdout)[0]
    assert [*failure] == ["error" if key == "text" else key for key in KEYS]
    assert failure["error"].keys() == {"type", "message", "retryable"}


def test_fail_fast_stops_at_the_first_failure_with_its_status() -> None:
    write_lines(9)
    with FakeServer(echo, pause=0, faults=[None, None, Fault.status(403)]) as server:
        done = batch(server, "in.txt", "-o", "out.jsonl", "--fail-fast", "--concurrency", "1")
        assert len(server.requests) < 9
        again = batch(server, "in.txt", "-o", "out.jsonl", "--fail-fast")
    kept, error = done.stderr.splitlines()
    assert kept == "2 of 9 prompts answered; the same command again goes on: out.jsonl keeps the answers"
    assert error.startswith("Error: prompt 3: ")
    assert done.status == 4
    assert again.status == 0


def test_an_input_that_is_wrong_in_the_middle_ends_it_after_what_was_asked() -> None:
    Path("in.txt").write_bytes(b"one\ntwo\n\xff\nfour\n")
    with FakeServer(echo, pause=0) as server:
        done = batch(server, "in.txt", "-o", "out.jsonl")
        assert asked(server) == {"one": 1, "two": 1}
    assert (done.status, len(entries())) == (2, 2)
    assert done.stderr.splitlines() == [
        "2 of 4 prompts answered; once that line is mended, the same command goes on: out.jsonl keeps the answers",
        "Error: in.txt, line 3 is not UTF-8 at byte 0",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.txt"], "'nowhere.txt' does not exist"),
        (["."], "is a directory"),
        ([], "Missing argument 'IN'"),
        (["in.txt", "-o", "."], "is a directory"),
        (["in.txt", "-o", "in.txt"], "IN and OUT are the same file"),
        (["in.txt", "-o", "./link"], "IN and OUT are the same file"),
        (["in.txt", "-o", "/dev/null"], "Error: -o takes a file, and '/dev/null' is none"),
        (["in.txt", "-o", "other.txt"], "Error: line 1 of 'other.txt' is damaged, or the file is no journal"),
        (["in.txt", "--field", "x", "--lines"], "--field names a field of JSON: leave --lines out"),
        (["in.txt", "--template", "Hi"], "Error: --template has no {name} in it"),
        (["in.txt", "--limit", "0"], "--limit"),
        (["in.txt", "--concurrency", "0"], "--concurrency"),
        (["in.txt", "--rpm", "0"], "--rpm"),
        (["in.txt", "--rpm", "nan"], "--rpm must be finite"),
        (["in.txt", "-t", "9"], "--temperature must be 0 to 2"),
        (["in.txt", "--base-url", "http://127.0.0.1:1"], "leave --base-url out"),
    ],
)
def test_wrong_usage_is_status_2_and_nothing_is_kept(arguments: list[str], sentence: str) -> None:
    write_lines(1)
    Path("link").symlink_to("in.txt")
    Path("other.txt").write_text("mine\n", "utf-8")
    done = acytoo("batch", "--local", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "answered" not in done.stderr
    assert Path("other.txt").read_text("utf-8") == "mine\n"


def test_an_output_that_is_the_input_would_never_end() -> None:
    write_lines(1)
    done = program("batch", "--local", "in.txt", through_shell=">>in.txt")
    assert done.status == 2
    assert done.stderr.endswith("Error: IN and OUT are the same file\n")


def test_a_file_that_another_run_has_is_told() -> None:
    write_lines(1)
    with FakeServer(gate=Gate()) as server:
        command = [*PROGRAM, "batch", "--base-url", server.url, "in.txt", "-o", "out.jsonl"]
        with Popen(command, stderr=PIPE) as process:
            server.wait_until(lambda: server.requests)
            done = batch(server, "in.txt", "-o", "out.jsonl")
            process.kill()
            process.communicate()
    assert done == Done(2, "", "Error: another run has 'out.jsonl'\n")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("nowhere/out.jsonl", "Error: input or output failed: nowhere/out.jsonl: No such file or directory\n"),
        ("kept.jsonl", "Error: input or output failed: kept.jsonl: File too large\n"),
    ],
)
def test_a_disk_that_fails_is_one_sentence_that_names_the_file(output: str, sentence: str) -> None:
    write_lines(30)
    command = ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *PROGRAM, "batch", "--local", "in.txt", "-o", output]
    # Coverage would write a file of its own, which is too large, too.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = run(command, stdin=DEVNULL, capture_output=True, text=True, timeout=30, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(sentence)
    if output == "kept.jsonl":
        assert entries(Path(output).read_text("utf-8"))
        assert " of 30 prompts answered; the same command again goes on" in done.stderr


def test_a_disk_that_keeps_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write_lines(1)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        acytoo("batch", "--local", "in.txt", "-o", "out.jsonl")
    assert caught.value.filename == "out.jsonl"
    assert len(entries()) == 1
