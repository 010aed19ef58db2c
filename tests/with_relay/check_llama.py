"""`acytoo serve` in front of llama-cpp-python's server. `check_llama.py PYTHON`, of an environment that has it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from acytoo_sdk import Client

from .asking import WAYS, Outcome, ask_blocking, expect
from .programs import Program, fetch, free_port, relay

_CONTEXT = 512
_LONG = "👋"
_QUESTIONS = ("Hi", "Привет", "Как дела?", _LONG)


def check_replies(server: Program, url: str) -> int:
    for question in _QUESTIONS:
        asked = {"messages": [{"role": "user", "content": question}], "temperature": 0}
        text = fetch(f"{server.url}/v1/chat/completions", asked)["choices"][0]["message"]["content"]
        for way, ask in WAYS.items():
            expect(ask(url, question, "tiny"), f"{way}: {question}", "whole", text=text)
    return len(_QUESTIONS) * len(WAYS)


def check_too_long(url: str) -> None:
    """Which it answers with success, and nothing."""
    for way, ask in WAYS.items():
        expect(ask(url, "Hi " * _CONTEXT, "tiny"), f"{way}: too long", "502", message="before any text")


def check_interrupted(url: str) -> None:
    """It ends a reply with a mere `[DONE]` when the next question comes, and breaks the connection off."""
    for way, ask in WAYS.items():
        said, between = interrupt(ask, url)
        expect(said, f"{way}: interrupted", "broken")
        expect(between, f"{way}: what came between", "whole")
    with ThreadPoolExecutor(len(WAYS) * 2) as executor:
        answers = list(executor.map(lambda ask: ask(url, _LONG, "tiny"), list(WAYS.values()) * 2))
    for said in answers:
        expect(said, "several at once", "whole|broken|502")
    assert "whole" in [said.ending for said in answers], answers
    assert len({said.text for said in answers if said.ending == "whole"}) == 1, answers


def interrupt(ask: Callable[..., Outcome], url: str) -> tuple[Outcome, Outcome]:
    """What becomes of a question, and of another that is asked while the first is answered."""
    between: list[Outcome] = []
    said = ask(url, _LONG, "tiny", after_first=lambda: between.append(ask_blocking(url, "Hi", "tiny")))
    return said, between[0]


def check_clients_that_leave(url: str) -> None:
    """It goes on to the next question, for which it would have no time else."""
    for _ in range(3):
        with Client(url, model="tiny") as client:
            next(client.stream("Привет"))
    expect(ask_blocking(url, "Hi", "tiny"), "after those that left", "whole")


def check_ends(server: Program, url: str) -> None:
    for way, ask in WAYS.items():
        expect(ask(url, _LONG, "tiny", after_first=server.kill), f"{way}: killed", "broken")
        expect(ask(url, "Привет", "tiny"), f"{way}: not there", "502", message="no connection")
        server.start()
        expect(ask(url, _LONG, "tiny", after_first=server.freeze), f"{way}: frozen", "broken")
        server.kill()
        server.start()


def main(python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "tiny.gguf")
        subprocess.run([python, Path(__file__).with_name("tiny_model.py"), model], check=True)
        port = free_port()
        command: list[str | Path] = [
            python,
            "-m",
            "llama_cpp.server",
            "--model",
            model,
            "--n_ctx",
            str(_CONTEXT),
            "--port",
            str(port),
        ]
        command += ["--verbose", "False"]
        with (
            Program(command, url=f"http://127.0.0.1:{port}", health="/v1/models") as server,
            relay("--upstream", f"{server.url}/v1", "--idle-timeout", "8") as url,
        ):
            count = check_replies(server, url)
            check_too_long(url)
            check_interrupted(url)
            check_clients_that_leave(url)
            check_ends(server, url)
    print(
        f"llama-cpp-python: {count} replies, through {', '.join(WAYS)}; too long ones, interrupted ones, and its ends"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
