"""Exit statuses, and hints for who typed a command, for every failure that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import acytoo_sdk
from acytoo_sdk import errors
from acytoo_sdk.cli.statuses import EXPLAINED, hint_of, status_of

# To these, who typed a command can do nothing.
FOR_PROGRAMS_ALONE = {
    "an ssl.SSLContext as verify= may load_cert_chain() with its password",
    "it may want to see a certificate of yours that it trusts: pass cert=",
    "raise max_streams=, or Timeout(total=...)",
    "Timeout(connect=...) sets the limit",
}


def hints() -> Iterator[str]:
    """Every hint that the package gives, but for those made of several parts."""
    package = Path(acytoo_sdk.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if (isinstance(node, ast.keyword) and node.arg == "hint") or (
                isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "hint"
            ):
                yield from texts(node.value)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and "_STATUS_RULES" in ast.unparse(node).split("=")[0]:
                yield from texts(node)
    yield from (f"Timeout({phase}=...) sets the limit" for phase in ("connect", "first_byte", "idle", "total"))
    yield "the new address is https://h.test/: pass it as base_url if you trust it"


def texts(node: ast.AST) -> Iterator[str]:
    parts = [part for each in ast.walk(node) if isinstance(each, ast.JoinedStr) for part in each.values]
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in parts and " " in each.value:
            yield each.value


HINTS = sorted(set(hints()))


def test_the_hints_are_found() -> None:
    assert len(HINTS) > 20
    assert "check key= and password=, or ACYTOO_KEY and ACYTOO_PASSWORD" in HINTS


@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_speaks_to_who_typed_a_command(hint: str) -> None:
    said = hint_of(errors.AcytooError("It failed", hint=hint))
    assert (said is None) == (hint in FOR_PROGRAMS_ALONE)
    assert said is None or not re.search(r"\b\w+=(?![A-Z])|partial_text|base_url|max_|retry_after|Timeout\(", said)


def test_every_error_has_a_status_that_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AcytooError)]
    made = [kind.__new__(kind, "It failed") for kind in kinds]
    for error in made:
        error.partial_text = ""
        assert f"\n  {status_of(error):<4} " in EXPLAINED


@pytest.mark.parametrize("phase", ["connect", "first_byte", "idle", "total"])
def test_a_limit_that_runs_out_after_text_is_a_broken_stream(phase: errors.Phase) -> None:
    assert status_of(errors.APITimeoutError("Too late", phase=phase)) == 3
    assert status_of(errors.APITimeoutError("Too late", phase=phase, partial_text="some")) == 6
