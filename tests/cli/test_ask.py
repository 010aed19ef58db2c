"""What `acytoo ask` sends, and the forms in which it writes a reply. Neither output is a terminal here."""

from __future__ import annotations

import json
import os
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import pytest
from programs import PROGRAM, Done, acytoo, program

from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Gate, ReceivedRequest


def sent(server: FakeServer) -> dict[str, Any]:
    """What the server was asked first."""
    request: ReceivedRequest = server.requests[0]
    assert request.json is not None
    return request.json


def asked(*arguments: str, reply: Any = "Hello!", fault: Fault | None = None, **more: Any) -> Done:
    """How the question "Hi" ends at a server with this reply, or this fault."""
    with FakeServer(reply, pause=0, faults=[] if fault is None else [fault]) as server:
        return acytoo("ask", "--base-url", server.url, "--retries", "0", *arguments, "Hi", **more)


def test_a_local_reply_goes_to_stdout_and_nothing_to_stderr() -> None:
    done = program("ask", "--local", "Привет, как дела?", env={"PYTHONUTF8": "1"})
    assert done == Done(0, "You said: Привет, как дела? (model gpt-3.5-turbo, 1 message)\n", "")


# What is sent


def test_options_reach_the_server() -> None:
    with FakeServer(pause=0) as server:
        options = ["-m", "m", "-t", "1.5", "-s", "Be brief.", "--header", "x-team=a=b"]
        assert acytoo("ask", "--base-url", server.url, *options, "Hi", "you").status == 0
        assert sent(server) == {
            "key": "",
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi you"}],
            "temperature": 1.5,
            "password": "",
        }
        assert server.requests[0].headers["x-team"] == "a=b"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("acytoo", "You said: Hi (model gpt-3.5-turbo, 1 message)\n"),
        ("ai-sdk", "You said: Hi (1 message)\n"),
        ("prompt", "You said: Hi (0 messages)\n"),
    ],
)
def test_the_payload_and_the_path_are_those_that_are_named(payload: str, said: str) -> None:
    with FakeServer(pause=0) as server:
        done = acytoo("ask", "--base-url", server.url, "--path", "/api/chat", "--payload", payload, "Hi")
        assert done == Done(0, said, "")
        assert server.requests[0].path == "/api/chat"


def test_secrets_come_from_the_environment() -> None:
    with FakeServer(pause=0) as server:
        acytoo("ask", "Hi", env={"ACYTOO_BASE_URL": server.url, "ACYTOO_KEY": "k1", "ACYTOO_PASSWORD": "p1"})
        assert (sent(server)["key"], sent(server)["password"]) == ("k1", "p1")


def test_a_key_that_the_payload_has_no_place_for_is_refused() -> None:
    with FakeServer() as server:
        env = {"ACYTOO_BASE_URL": server.url, "ACYTOO_KEY": "sesame"}
        done = acytoo("ask", "--payload", "ai-sdk", "Hi", env=env)
        assert server.connections == 0
    assert done.status == 2
    assert done.stderr.startswith("Error: ACYTOO_KEY is set, and the payload ai-sdk has no place for it")


def test_retries_are_the_further_attempts() -> None:
    with FakeServer(faults=[Fault.status(503, retry_after=0)] * 3) as server:
        assert acytoo("ask", "--base-url", server.url, "--retries", "0", "Hi").status == 1
        assert len(server.requests) == 1
        assert acytoo("ask", "--base-url", server.url, "--retries", "2", "Hi").status == 0
        assert len(server.requests) == 4


@pytest.mark.parametrize(("fault", "status"), [(Fault.no_head(), 3), (Fault.stall(after=1), 6)])
def test_the_timeout_is_that_of_the_whole_reply(fault: Fault, status: int) -> None:
    done = asked("--timeout", "0.3", reply=["one ", "two"], fault=fault)
    assert done.status == status
    assert "(hint: --timeout SECONDS sets the limit)" in done.stderr


def test_a_proxy_and_certificates_are_those_that_are_named() -> None:
    with FakeServer("of the proxy", pause=0) as proxy:
        assert acytoo("ask", "--base-url", "http://h.test", "--proxy", proxy.url, "Hi").stdout == "of the proxy\n"
    done = acytoo("ask", "--base-url", "https://127.0.0.1:1", "--ca", "/no/such/file", "Hi")
    assert done.status == 2
    assert "--ca" in done.stderr


# The prompt


@pytest.mark.parametrize(
    ("words", "stdin", "prompt"),
    [
        ([], "Hi\n", "Hi"),
        (["-"], "\n  Hi\r\n\r\n", "  Hi"),
        (["Review", "this."], "diff\n", "diff\n\nReview this."),
        (["Hi"], "", "Hi"),
        (["Hi"], " \n", "Hi"),
        ([], "\ufeffПривет", "Привет"),
    ],
)
def test_the_prompt_is_what_is_piped_then_the_arguments(words: list[str], stdin: str, prompt: str) -> None:
    with FakeServer(pause=0) as server:
        assert acytoo("ask", "--base-url", server.url, *words, stdin=stdin).status == 0
        assert sent(server)["messages"] == [{"role": "user", "content": prompt}]


@pytest.mark.parametrize(("words", "piped"), [([], b"\xff"), (["Hi"], "Привет".encode() + b"\xff"), ([b"\xff"], b"")])
def test_a_prompt_that_is_not_utf_8_is_wrong_usage(words: list[Any], piped: bytes) -> None:
    with FakeServer() as server:
        done = program("ask", "--base-url", server.url, *words, stdin=piped, env={"LC_ALL": "C.UTF-8"})
        assert server.connections == 0
    where = f" on stdin is not UTF-8 at byte {len(piped) - 1}" if piped else " is not UTF-8"
    assert done == Done(2, "", f"Error: the prompt{where}\n")


def test_who_waits_for_an_inherited_pipe_is_told_so() -> None:
    reading, writing = os.pipe()
    with FakeServer("Hello!") as server:
        command = [*PROGRAM, "ask", "--base-url", server.url, "Hi"]
        with Popen(command, stdin=reading, stdout=PIPE, stderr=PIPE) as process:
            os.close(reading)
            assert process.stderr is not None
            assert process.stderr.readline().startswith(b"Waiting for the end of stdin")
            assert server.connections == 0
            os.close(writing)
            assert process.communicate(timeout=30) == (b"Hello!\n", b"")
    assert b"Waiting" not in program("ask", "--local", "Hi").stderr.encode()


# The forms of a reply


def test_pieces_are_shown_as_they_arrive() -> None:
    gate = Gate()
    with FakeServer(["one ", "two"], gate=gate) as server:
        command = [*PROGRAM, "ask", "--base-url", server.url, "Hi"]
        with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdout is not None
            gate.release()
            assert os.read(process.stdout.fileno(), 100) == b"one "
            gate.release()
            assert process.communicate(timeout=30) == (b"two\n", b"")


@pytest.mark.parametrize(
    ("reply", "shown"),
    [("one", "one\n"), ("one\n", "one\n"), ("a\x1b[31m\u202e\r\n**b**", "a\x1b[31m\u202e\r\n**b**\n")],
)
@pytest.mark.parametrize("options", [[], ["--raw"], ["--no-stream"]])
def test_a_pipe_gets_the_reply_as_it_is_and_one_line_end(reply: str, shown: str, options: list[str]) -> None:
    command = ["ask", "--color", "always", *options]
    with FakeServer(reply) as server:
        done = program(*command, "--base-url", server.url, "Hi", env={"FORCE_COLOR": "1"})
    assert done.stdout.encode() == shown.encode()


def test_json_is_one_object() -> None:
    done = asked("--json", reply="Hi \x9b!" + NOTICE)
    value = json.loads(done.stdout)
    assert value.pop("stats").keys() == {"attempts", "first_piece_after", "elapsed", "pieces", "characters"}
    assert value.pop("notice").startswith("You can try our new")
    assert value == {"text": "Hi \x9b!", "whole": True, "request_id": "req-1", "error": None}
    assert done.stdout.count("\n") == 1


def test_json_lines_are_the_pieces_and_the_end() -> None:
    done = asked("--jsonl", reply=["one ", "two"])
    *pieces, end = map(json.loads, done.stdout.splitlines())
    assert {piece["event"] for piece in pieces} == {"piece"}
    assert "".join(piece["text"] for piece in pieces) == "one two"
    assert (end["event"], end["text"], end["error"]) == ("end", "one two", None)


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_json_tells_a_failure_too_with_its_status(form: str) -> None:
    done = asked(form, reply=["one ", "two"], fault=Fault.cut(after=1))
    end = json.loads(done.stdout.splitlines()[-1])
    assert (done.status, end["text"], end["whole"]) == (6, "one ", False)
    assert end["error"].pop("message").startswith("The reply broke off: ")
    assert end["error"] == {"type": "StreamInterruptedError", "hint": "the same call may well succeed later"}
    usage = acytoo("ask", "--local", form, "-t", "9", "Hi")
    error = json.loads(usage.stdout)["error"]
    assert (usage.status, error["type"]) == (2, "InvalidRequestError")
    assert error["message"] == "--temperature must be 0 to 2, not 9.0"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("First:\n\n```py\nprint(1)\n```\n\nthen\n\n```\nno\n```", "print(1)\n"),
        ("- in a list:\n  ~~~\n  a\n\n    b\n  ~~~\n", "a\n\n  b\n"),
        ("it\n\n    is indented\n", "is indented\n"),
        ("```\nnever closed", "never closed\n"),
    ],
)
def test_extract_writes_the_first_code_block_alone(reply: str, code: str) -> None:
    assert asked("-x", reply=reply) == Done(0, code, "")


def test_extract_of_a_reply_without_code_is_told() -> None:
    assert asked("-x", reply="No `code` here") == Done(1, "", "Error: There is no code block in the reply\n")
    broken = asked("-x", reply=["```\none\n", "two\n```"], fault=Fault.cut(after=1))
    assert (broken.status, broken.stdout) == (6, "one\n")


def test_stats_and_notices_go_to_stderr_unless_it_shall_be_quiet() -> None:
    done = asked("-u", reply="Hello!" + NOTICE)
    notice, stats = done.stderr.splitlines()
    assert (done.stdout, notice[:47]) == ("Hello!\n", "The server added a notice: You can try our new ")
    assert stats.startswith("first piece after 0.")
    assert stats.endswith(" s in all, 6 characters, 1 attempt")
    assert asked("-uqv", reply="Hello!" + NOTICE) == Done(0, "Hello!\n", "")


def test_verbose_tells_what_is_sent_and_received_without_secrets() -> None:
    with FakeServer(faults=[Fault.status(401, body="your key sesame-1 is unknown")]) as server:
        env = {"ACYTOO_BASE_URL": server.url, "ACYTOO_KEY": "sesame-1", "ACYTOO_PASSWORD": "pw"}
        done = acytoo("ask", "-v", "--header", "authorization=Bearer token-22", "Hi", env=env)
        assert sent(server)["key"] == "sesame-1"
    assert done.status == 4
    assert f"> POST {server.url}/api/completions" in done.stderr
    for line in ('>   "key": "***",', '>   "password": "***"', "> authorization: ***", '>       "content": "Hi"'):
        assert line in done.stderr.splitlines()
    assert "< HTTP 401" in done.stderr
    assert "< your key *** is unknown" in done.stderr
    assert "sesame" not in done.stderr
    assert "token-22" not in done.stderr
    assert '"pw"' not in done.stderr


def test_dry_run_shows_the_request_and_sends_nothing() -> None:
    with FakeServer() as server:
        env = {"ACYTOO_BASE_URL": server.url, "ACYTOO_KEY": "sesame-1"}
        done = acytoo("ask", "--dry-run", "-m", "tiny", "--header", "x-key=abcd1234", "Hi \x9b", env=env)
        as_json = json.loads(acytoo("ask", "--dry-run", "--json", "Hi", env=env).stdout)
        assert server.connections == 0
    assert done.status == 0
    head, _, body = done.stdout.partition("\n\n")
    assert head.splitlines()[0] == f"POST {server.url}/api/completions"
    assert "x-key: ***" in head.splitlines()
    assert json.loads(body)["model"] == "tiny"
    assert json.loads(body)["messages"][0]["content"] == "Hi \x9b"
    assert (json.loads(body)["key"], as_json["body"]["key"], as_json["method"]) == ("***", "***", "POST")
    assert "sesame" not in done.stdout
    assert "abcd1234" not in done.stdout


def test_rendered_markdown_in_a_pipe_has_escapes_only_if_they_are_asked_for() -> None:
    reply = "# Title\n\nSome **bold** text.\n\n```py\nx = 1\n```\n"
    plain = asked("--md", reply=reply)
    assert "\x1b" not in plain.stdout
    assert "**" not in plain.stdout
    assert "bold" in plain.stdout
    assert "\x1b[" in asked("--md", "--color", "always", reply=reply).stdout
    assert "\x1b[" in asked("--md", reply=reply, env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in asked("--md", reply=reply, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout


# How it ends


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (None, 0),
        (Fault.status(500), 1),
        (Fault.html_page(), 1),
        (Fault.empty(), 1),
        (Fault.drop(), 3),
        (Fault.status(401), 4),
        (Fault.status(403), 4),
        (Fault.status(429, retry_after=7), 5),
        (Fault.cut(after=1), 6),
        (Fault.reset(after=1), 6),
    ],
)
def test_each_failure_has_its_status(fault: Fault | None, status: int) -> None:
    done = asked(reply=["one ", "two"], fault=fault)
    assert done.status == status
    assert done.stdout == {0: "one two\n", 6: "one \n"}.get(status, "")
    assert done.stderr.count("\n") == (0 if status == 0 else 1)
    assert done.stderr.startswith("Error: " if status else "")


def test_nobody_at_the_address_is_a_failed_connection() -> None:
    with FakeServer() as server:
        url = server.url
    done = acytoo("ask", "--base-url", url, "--retries", "0", "Hi")
    assert done.status == 3
    assert done.stderr.endswith("Connection refused (hint: nothing listens there; `acytoo serve` starts a server)\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ask", "Hi"], "no server: pass --base-url URL, set ACYTOO_BASE_URL, or try --local"),
        (["ask", "--local", "--base-url", "http://127.0.0.1:1", "Hi"], "leave --base-url out"),
        (["ask", "--local", "-"], "the prompt is empty"),
        (["ask", "--local", "-t", "warm", "Hi"], "'warm' is not a valid float"),
        (["ask", "--local", "-t", "9", "Hi"], "temperature must be 0 to 2"),
        (["ask", "--local", "--timeout", "0", "Hi"], "--timeout"),
        (["ask", "--local", "--payload", "openai", "Hi"], "'openai' is not one of 'acytoo', 'ai-sdk', 'prompt'"),
        (["ask", "--local", "--header", "x", "Hi"], "--header takes NAME=VALUE"),
        (["ask", "--local", "--json", "--raw", "Hi"], "--json has a form of its own"),
        (["ask", "--base-url", "ftp://h", "Hi"], "--base-url must begin with http:// or https://"),
        (["--colour", "always", "ask"], "No such option"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], sentence: str) -> None:
    done = acytoo(*arguments)
    assert (done.status, done.stdout) == (2, "")
    assert sentence in done.stderr
