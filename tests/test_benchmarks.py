"""The benchmarks still run. What they measure is not looked at here: this machine may be busy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_quick_run_shows_each_contender_and_the_bars() -> None:
    only = ["--only", "pieces", "--only", "delay-length", "--only", "import"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", *only],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.stderr == ""
    assert run.returncode in (0, 1)
    heading, *lines = run.stdout.splitlines()
    assert heading.split()[:2] == ["row", "contender"]
    for contender in (" acytoo ", " acytoo async ", " requests ", " read1 ", " socket ", " import acytoo_sdk "):
        assert any(contender in line for line in lines), contender
    assert any(line.endswith(("reached", "FAILED")) for line in lines)
