"""How the command starts: soon, which it does where it imports little; and it completes words for shells."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from programs import PROGRAM

# What takes long to import, by the outermost name.
HEAVY = """
    aiohttp anyio asyncio concurrent email http logging markdown_it multiprocessing platformdirs prompt_toolkit pygments
    requests rich sqlite3 ssl tenacity tomlkit urllib3
""".split()  # noqa: SIM905


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["help"]])
def test_what_asks_for_nothing_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from acytoo_sdk.cli import main\n"
        f"sys.argv[1:] = {arguments}\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    # What measures coverage would import more.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert done.stdout.startswith(("acytoo-sdk 0.", "Usage: acytoo "))
    assert "click" in loaded
    assert not loaded & {*HEAVY}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("acytoo ", "doctor"),
        ("acytoo co", "config"),
        ("acytoo ask --te", "--temperature"),
        ("acytoo ask --payload ", "ai-sdk"),
    ],
)
def test_words_are_completed_for_bash(line: str, expected: str) -> None:
    words = line.split(" ")
    env = {"_ACYTOO_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        PROGRAM, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"plain,{expected}\n" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    env = {**os.environ, "_ACYTOO_COMPLETE": f"{shell}_source"}
    done = subprocess.run(PROGRAM, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_ACYTOO_COMPLETE" in done.stdout
