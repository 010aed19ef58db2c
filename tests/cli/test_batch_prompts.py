"""What the lines of a batch's input become: the messages that are sent, or a sentence that names the line."""

from __future__ import annotations

import json
import os
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from acytoo_sdk.cli.batching.prompts import Prompts
from acytoo_sdk.cli.batching.source import Source
from acytoo_sdk.cli.statuses import sentence_of
from acytoo_sdk.errors import InvalidRequestError


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(content: str | bytes, *, name: str = "in.txt", **options: Any) -> list[Any]:
    """The messages of a file."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    all_options = {"is_json": None, "field": None, "template": None, "system": "", "limit": None, **options}
    with Source(name) as source:
        return [*Prompts(source, **all_options)]


def asked(content: str | bytes, **options: Any) -> list[str]:
    """The texts of prompts of one message each."""
    messages = read(content, **options)
    assert all(len(each) == 1 and each[0]["role"] == "user" for each in messages)
    return [each[0]["content"] for each in messages]


def refusal(content: str | bytes, **options: Any) -> str:
    """What is said of a file, as it is told."""
    with pytest.raises(InvalidRequestError) as caught:
        read(content, **options)
    return sentence_of(caught.value)


# Lines


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\n\n \t\n\u3000\ntwo", ["one", "two"]),
        ("  one \r\ntwo\r\n", ["  one ", "two"]),
        ("\ufeffПривет\n", ["Привет"]),
        ("\ufeff\n\none", ["one"]),
        ('{"prompt": "one"}\n', ['{"prompt": "one"}']),
        ("a\x0bb\x85c\u2028d\n", ["a\x0bb\x85c\u2028d"]),
        ("", []),
    ],
)
def test_each_line_is_a_prompt_and_blank_ones_are_left_out(content: str, texts: list[str]) -> None:
    assert asked(content) == texts


def test_a_template_holds_the_line() -> None:
    assert asked("one\n{x}\n", template="Say {{it}}: {text}, {text}!") == [
        "Say {it}: one, one!",
        "Say {it}: {x}, {x}!",
    ]


def test_no_more_is_read_than_is_wanted() -> None:
    reading, writing = os.pipe()
    with Source(f"/dev/fd/{reading}") as source, open(writing, "wb", buffering=0) as pipe:
        os.close(reading)
        pipe.write(b"one\ntwo\n")
        prompts = iter(Prompts(source, is_json=None, field=None, template=None, system="", limit=2))
        assert source.count(None) is None
        assert [next(prompts)[0]["content"] for _ in range(2)] == ["one", "two"]
        with pytest.raises(StopIteration):  # the pipe is open, and nothing is in it
            next(prompts)


def test_the_lines_of_a_file_are_counted_before_they_are_read() -> None:
    Path("in.txt").write_text("\none\n\ntwo\nthree", "utf-8")
    with Source("in.txt") as source:
        assert [source.count(most) for most in (None, 2, 9)] == [3, 2, 3]
        assert [*source.lines()] == [("in.txt, line 2", "one"), ("in.txt, line 4", "two"), ("in.txt, line 5", "three")]


def test_stdin_that_is_a_file_is_read_and_counted_from_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in.txt").write_text("head\none\ntwo\n", "utf-8")
    with open("in.txt", "rb") as file, TextIOWrapper(file) as stdin:
        file.readline()
        monkeypatch.setattr("sys.stdin", stdin)
        with Source("-") as source:
            assert source.count(None) == 2
            assert [*source.lines()] == [("stdin, line 1", "one"), ("stdin, line 2", "two")]
        assert not stdin.closed


def test_a_closed_stdin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidRequestError, match="no prompts: stdin is closed"):
        Source("-")


def test_a_file_that_cannot_be_read_is_named() -> None:
    with Source("/proc/self/mem") as source, pytest.raises(OSError, match=r"\S") as caught:
        [*source.lines()]
    assert caught.value.filename == "/proc/self/mem"


def test_a_line_that_is_not_utf_8_is_named_once_it_is_its_turn() -> None:
    assert refusal(b"one\n\nt\xffwo\n") == "in.txt, line 3 is not UTF-8 at byte 1"
    assert asked(b"one\n\nt\xffwo\n", limit=1) == ["one"]


# JSON


@pytest.mark.parametrize(
    ("row", "options", "text"),
    [
        ({"prompt": "one", "x": 1}, {}, "one"),
        ("one", {}, "one"),
        ({"question": "one", "prompt": "two"}, {"field": "question"}, "one"),
        ({"prompt": "one", "messages": []}, {"field": "prompt"}, "one"),
        ({"a": "one", "b": 2, "c": [True, "é"]}, {"template": "{b}: {a} {c}"}, '2: one [true, "é"]'),
        ({"first name": "Ada"}, {"template": "Hi {first name}"}, "Hi Ada"),
        ("one", {"template": "<{text}>"}, "<one>"),
        ({"q": "one", "text": "two", "x": "three"}, {"field": "q", "template": "{text} {x}"}, "one three"),
    ],
)
def test_a_row_is_a_text_or_an_object_with_fields(row: object, options: dict[str, Any], text: str) -> None:
    assert asked(json.dumps(row), name="in.jsonl", **options) == [text]


@pytest.mark.parametrize("name", ["in.jsonl", "in.NDJSON", "in.json"])
def test_json_is_what_has_its_name(name: str) -> None:
    assert asked('\ufeff"one"\n\n{"prompt": "two"}', name=name) == ["one", "two"]


def test_json_is_also_what_a_field_or_a_flag_says_and_lines_are_what_a_flag_says() -> None:
    assert asked('{"a": "one"}', field="a") == ["one"]
    assert asked('"one"', is_json=True) == ["one"]
    assert asked('"one"', name="in.jsonl", is_json=False) == ['"one"']


def test_a_row_may_be_messages_of_which_nothing_is_lost() -> None:
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two", "createdAt": 3}]
    for row in (turns, {"messages": turns, "prompt": "left out"}, {"prompt": turns}):
        assert read(json.dumps(row), name="in.jsonl") == [turns]
    assert read(json.dumps(turns[0]), name="in.jsonl", field="content") == [[turns[0]]]


def test_instructions_go_before_each_prompt_but_for_those_with_their_own() -> None:
    system = {"role": "system", "content": "Be brief."}
    own = [{"role": "system", "content": "Be long."}, {"role": "user", "content": "one"}]
    assert read("one\n", system="Be brief.") == [[system, own[1]]]
    rows = [*map(json.dumps, ["one", [own[1]], own])]
    assert read("\n".join(rows), name="in.jsonl", system="Be brief.") == [[system, own[1]], [system, own[1]], own]


@pytest.mark.parametrize(
    ("row", "options", "sentence"),
    [
        ("{", {}, "is not JSON at character 2"),
        ("[" * 100_000, {}, "is not JSON"),
        ("7", {}, "must be a text, an object or a list of messages, not a number"),
        ("null", {}, "must be a text, an object or a list of messages, not nothing"),
        ('""', {}, "is empty"),
        ('"\\ud800"', {}, "is not UTF-8"),
        ("{}", {}, "has no field 'prompt', but nothing"),
        ('{"a": 1, "b": 2}', {}, "has no field 'prompt', but 'a', 'b'"),
        ('{"prompt": null}', {}, "has nothing in its field 'prompt'"),
        ('{"prompt": 7}', {}, ": prompt must be a text, not a number"),
        ('{"prompt": "x"}', {"field": "q"}, "has no field 'q', but 'prompt'"),
        ('{"prompt": "x"}', {"template": "{q}"}, "has no field 'q', but 'prompt'"),
        ('"x"', {"template": "{q}"}, "has no field 'q', but 'text'"),
        ('"x"', {"field": "q", "template": "{text}"}, "has no field 'q', but 'text'"),
        ('{"messages": 7}', {}, ": messages must be a text, a message or a sequence of messages, not a number"),
        ('{"messages": []}', {}, ": messages is an empty list: say something"),
        ('[{"role": "user"}]', {}, "[0]"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_line(row: str, options: dict[str, Any], sentence: str) -> None:
    said = refusal(f"\n\n{row}\n", name="in.jsonl", **options)
    assert said.startswith("in.jsonl, line 3")
    assert sentence in said


@pytest.mark.parametrize(
    ("template", "options", "sentence"),
    [
        ("{", {}, "--template: Single '{' encountered in format string; {{ and }} stand for braces"),
        ("{text!r}", {}, "--template: names are filled in, as {name}, and nothing else; {{ and }} stand for braces"),
        ("Hi", {}, "--template has no {name} in it: every prompt would be the same"),
        ("{q}", {}, "--template: a line has no field 'q', only {text}; --jsonl reads objects with fields"),
        ("", {"is_json": True}, "--template is empty"),
    ],
)
def test_a_template_that_is_none_is_refused_before_a_line_is_read(
    template: str, options: dict[str, Any], sentence: str
) -> None:
    assert refusal(b"\xff", template=template, **options) == sentence
