"""The recipes, as the docstring of `acytoo_sdk.integrations` has them, and the server that they are run against."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acytoo_sdk import integrations
from acytoo_sdk.testing import FakeServer

HERE = Path(__file__).resolve().parent
KEY = os.environ.get("KEY_OF_THE_CHECK", "key-of-the-check")
PIECES = ["Жил-", "был ", "кот"]
TEXT = "Жил-был кот"


def read_recipes() -> dict[str, list[str]]:
    """The code of each framework, by its name in lower case."""
    recipes: dict[str, list[str]] = {}
    for name, block in re.findall(
        r"^(\w+): [^\n]*\n\n((?:    [^\n]*\n|\n)+)", f"{integrations.__doc__}\n", re.MULTILINE
    ):
        recipes.setdefault(name.lower(), []).append(re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() + "\n")
    return recipes


def play(name: str, *, number: int = 0) -> dict[str, Any]:
    """Runs a recipe; returns its names."""
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(read_recipes()[name][number], f"<{name}>", "exec"), names)
    return names


@contextlib.contextmanager
def served(reply: Any = PIECES, **options: Any) -> Iterator[FakeServer]:
    """A server that the clients of a recipe ask."""
    with FakeServer(reply, **options) as server:
        os.environ.update(ACYTOO_BASE_URL=server.url, ACYTOO_KEY=KEY)
        yield server


def asked(server: FakeServer) -> list[list[str]]:
    """The texts that each request held."""
    return [[each["content"] for each in (request.json or {})["messages"]] for request in server.requests]


@contextlib.contextmanager
def failing(kind: type[BaseException] = Exception) -> Iterator[list[Any]]:
    """Expects an error of the block; it is in the list afterwards, and quotes no key."""
    errors: list[Any] = []
    try:
        yield errors
    except kind as error:
        errors.append(error)
    assert errors, "no error"
    assert KEY not in str(errors[0]), "the key was shown"
