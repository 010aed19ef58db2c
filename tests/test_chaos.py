"""The chaos job still runs: one short round of it, in which nothing is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux shows")
def test_a_short_round_finds_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seconds", "5", "--seed", "12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (line,) = run.stdout.splitlines()
    assert line.startswith("seed 12: blocking")
    assert all(f" {outcome}" in line for outcome in ("whole", "handler's", "StreamCancelledError"))
    assert line.endswith(": ok")
