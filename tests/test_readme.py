"""The README's code runs as it stands there, and its shell blocks are the ones that CI runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of a server as the README has the reader start it, on a port that is free."""
    command = [sys.executable, "-m", "acytoo_sdk", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1].strip()[:40])
def test_python_block_runs_and_prints_what_its_comments_say(code: str, served: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", "-c", code.replace("http://127.0.0.1:8000", served)],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert not promised or done.stdout.splitlines() == promised


def test_shell_blocks_are_the_install_the_tests_and_the_command() -> None:
    first, tests, command = blocks("bash")
    assert "acytoo ask --local" in first
    assert "-m pytest" in tests
    assert "acytoo --local" in command


def test_the_lines_for_the_terminal_run_as_they_stand_there(tmp_path: Path) -> None:
    lines = blocks("bash")[2].splitlines()
    assert lines[0] == ". .venv/bin/activate"
    program = f'acytoo() {{ "{sys.executable}" -W error -X utf8 -m acytoo_sdk "$@"; }}'
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join([program, *lines[1:]])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
        cwd=tmp_path,
        env=env,
    )
    assert done.returncode == 0
    counted, unset, changed = sorted(done.stderr.splitlines())
    assert counted == "2 of 2 prompts answered"
    assert changed.startswith("base_url is set in ")
    assert unset.startswith("base_url is no longer set in ")
    for shown in (
        "You said: Привет, как дела?",
        "first piece after",
        "http://127.0.0.1:8000",
    ):
        assert shown in done.stdout
