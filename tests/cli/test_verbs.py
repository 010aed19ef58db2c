"""What is done without a verb: a prompt is sent, and what may have been meant for a command is not."""

from __future__ import annotations

import pytest
from programs import acytoo, in_terminal

from acytoo_sdk.cli.verbs import VERBS, is_near_miss
from acytoo_sdk.testing import FakeServer


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_examples(verb: str) -> None:
    env = {"COLUMNS": "80"}
    done = acytoo(verb, "--help", env=env)
    assert (done.status, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Examples:\n" in done.stdout
    assert f"acytoo {verb}" in done.stdout
    assert done.stdout.index("Examples:") < done.stdout.index("Options:")
    listed = acytoo("--help", env=env).stdout
    assert VERBS[verb][:-1].split(",")[0] in listed
    assert max(map(len, listed.splitlines())) <= 80


def test_help_lists_every_status() -> None:
    shown = acytoo("--help").stdout
    for status in (0, 1, 2, 3, 4, 5, 6, 130, 143):
        assert f"\n    {status:<4} " in shown


def test_bare_acytoo_is_help_on_a_terminal_and_asks_in_a_pipe() -> None:
    with FakeServer("Hello!", pause=0) as server:
        env = {"ACYTOO_BASE_URL": server.url}
        assert acytoo(stdin="Hi", env=env).stdout == "Hello!\n"
        with in_terminal(env=env, lines=60) as screen:
            assert screen.wait() == 0
        assert len(server.requests) == 1
    assert screen.lines[0].startswith("Usage: acytoo")


def test_help_may_be_asked_for_as_a_verb() -> None:
    assert acytoo("help") == acytoo("--help") == acytoo("-h")
    assert acytoo("help", "serve") == acytoo("serve", "--help")
    assert acytoo("help", "config", "set") == acytoo("config", "--help")
    assert "did you mean `acytoo chat`" in acytoo("help", "chatt").stderr
    assert acytoo("help", "me", "--local").stdout == "You said: help me (model gpt-3.5-turbo, 1 message)\n"


def test_options_before_the_verb_are_those_of_all_verbs() -> None:
    assert acytoo("--color", "never", "--help") == acytoo("--help")
    assert acytoo("--color=never", "--version") == acytoo("--version")
    assert acytoo("--color", "never", "ask", "--help") == acytoo("ask", "--help")
    missing = acytoo("--profile")
    assert missing.status == 2
    assert "Option '--profile' requires an argument" in missing.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["what is a chat"],
        ["what", "is up"],
        ["-m", "tiny", "Hi"],
        ["--color", "never", "Hi"],
        ["Hi", "ask"],
        ["set", "the table"],
    ],
)
def test_what_begins_with_no_verb_is_a_prompt(arguments: list[str]) -> None:
    with FakeServer("Hello!", pause=0) as server:
        assert acytoo(*arguments, env={"ACYTOO_BASE_URL": server.url}).stdout == "Hello!\n"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["confg", "set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["conifg", "set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["Config", "set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["configure", "key", "SECRET"], "did you mean `acytoo config`"),
        (["settings", "set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["-m", "tiny", "confg", "set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["--profile", "work", "confg", "set", "key", "SECRET"], "did you mean `acytoo config`"),
        (["confg set key SECRET"], "did you mean `acytoo config`"),
        (["key", "SECRET"], "did you mean `acytoo config`"),
        (["xonfig", "set", "headers.x", "SECRET"], "did you mean `acytoo config`"),
        (["login", "SECRET"], "did you mean `acytoo config`"),
        (["serv", "--port", "80"], "did you mean `acytoo serve`"),
        (["aks", "Hi"], "did you mean `acytoo ask`"),
        (["serv"], "did you mean `acytoo serve`"),
        (["-m", "tiny", "chat"], "the options of chat stand after it: acytoo chat ..."),
    ],
)
def test_a_near_miss_of_a_verb_is_refused_and_not_sent(words: list[str], meant: str) -> None:
    with FakeServer() as server:
        done = acytoo(*words, env={"ACYTOO_BASE_URL": server.url})
        assert server.connections == 0
    assert done.status == 2
    assert meant in done.stderr
    assert "SECRET" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["config", "set", "model", "two"],
        ["config", "set", "key_command", "pass"],
        ["config", "get", "model"],
        ["config", "unset", "model"],
        ["config", "path"],
        ["config", "edit"],
        ["doctor"],
        ["serve"],
        ["chat"],
    ],
)
def test_an_argument_that_is_too_many_is_not_quoted(words: list[str]) -> None:
    done = acytoo(*words, "sk-SECRET")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.endswith("\nError: too many arguments: a value with blanks in it stands in quotes\n")
    assert "SECRET" not in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_any_one_slip_behind_the_first_letter_is_a_near_miss(verb: str) -> None:
    for index in range(1, len(verb)):
        assert is_near_miss(verb[:index] + "z" + verb[index:], verb)
        assert is_near_miss(verb[:index] + "z" + verb[index + 1 :], verb)
        assert is_near_miss(verb[:index] + verb[index + 1 :], verb) or len(verb) == 3
        assert is_near_miss(verb[: index - 1] + verb[index] + verb[index - 1] + verb[index + 1 :], verb)
    assert is_near_miss(verb.upper(), verb)


def test_words_of_prompts_are_no_near_misses() -> None:
    prompts = """
        a an and are as can compare could create describe did do does draw explain find fix for generate give hello help
        hi how i if in is list make my name plan please say should show sing suggest summarize tell test that the there
        task think this to translate use was we were what when where which who why will with would write you your
        что привет 你好 ¿qué
    """.split()  # noqa: SIM905
    assert [(word, verb) for word in prompts for verb in VERBS if is_near_miss(word, verb)] == []
