"""The recipes of `acytoo_sdk.integrations` are short, and each has a check; `tests/with_frameworks` runs them."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "with_frameworks"
_spec = importlib.util.spec_from_file_location("with_frameworks_recipes", FOLDER / "recipes.py")
assert _spec is not None and _spec.loader is not None  # noqa: PT018
_recipes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_recipes)
RECIPES: dict[str, list[str]] = _recipes.read_recipes()


def test_each_recipe_has_its_check_and_each_check_its_recipe() -> None:
    assert {f"check_{name}.py" for name in RECIPES} == {path.name for path in FOLDER.glob("check_*.py")}


@pytest.mark.parametrize("code", [code for blocks in RECIPES.values() for code in blocks])
def test_a_recipe_is_at_most_ten_lines_besides_its_imports(code: str) -> None:
    body = ast.parse(code).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len([line for line in code.splitlines() if line]) - len(imports) <= 10
    assert all(node.lineno == node.end_lineno for node in imports)
    assert all(len(line) <= 116 for line in code.splitlines()), "it stands indented in a file"
