"""The files of conversations, as their user sees them."""

from __future__ import annotations

import json
from pathlib import Path

from chats import ask, chat, leave

from acytoo_sdk.testing import FakeServer


def contents(path: Path) -> list[str]:
    return [turn["content"] for turn in json.loads(path.read_text("utf-8"))["messages"]]


def test_a_conversation_is_saved_and_gone_on_with(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.json")
    with FakeServer(lambda request: f"answer {len(request['messages'])}") as server:
        for question in ("one", "two"):
            with chat(
                "--load", path, "--save", path, "-s", "Be brief.", server=server, home=tmp_path, columns=200
            ) as s:
                ask(s, question, "answer")
                lines = leave(s)
        assert server.requests[1].json is not None
        assert [turn["content"] for turn in server.requests[1].json["messages"]] == [
            "Be brief.",
            "one",
            "answer 2",
            "two",
        ]
    assert f'Loaded {path}: 1 question, the last "one", asked of gpt-3.5-turbo' in " ".join(lines)
    assert contents(Path(path)) == ["Be brief.", "one", "answer 2", "two", "answer 4"]


def test_the_model_of_the_command_line_beats_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text('{"version": 1, "model": "of-file", "messages": []}')
    for options, model in (["-m", "mine"], "mine"), ([], "of-file"):
        with chat("--load", str(path), *options, home=tmp_path, env={"ACYTOO_MODEL": "of-variable"}) as screen:
            ask(screen, "Hi", f"(model {model}")
            assert any(line.startswith(f"{model} at http") for line in leave(screen))


def test_what_cannot_be_saved_is_told_and_told_again_at_the_end(tmp_path: Path) -> None:
    with chat("--save", str(tmp_path / "no" / "talk.json"), home=tmp_path, columns=200) as screen:
        ask(screen, "one", "is not saved")
        ask(screen, "two", "You said: two")
        lines = leave(screen)
    assert "\n".join(lines).count("Error: The conversation is not saved in") == 2
