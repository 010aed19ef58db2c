"""Lint, format and types are the same commands wherever they run: in CI, before a commit, and in tox."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = next((folder for folder in Path(__file__).parents if (folder / "setup.cfg").exists()), None)
pytestmark = pytest.mark.skipif(ROOT is None, reason="an installed package has no folder around it")


def test_ci_and_pre_commit_and_tox_run_the_same_checks() -> None:
    assert ROOT is not None
    ci = (ROOT / ".ci" / "run").read_text("utf-8").partition('step "lint, format, types"\n')[2].partition("\nstep ")[0]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg", "utf-8")

    checks = [
        command for command in re.findall(r"^\.venv/bin/(.*)$", ci, re.MULTILINE) if not command.startswith("pip ")
    ]

    assert [command.split()[0] for command in checks] == ["ruff", "ruff", "mypy"]
    assert re.findall(r"^ +entry: (.*)$", hooks, re.MULTILINE) == checks
    assert settings["testenv:lint"]["commands"].split("\n")[1:] == checks
