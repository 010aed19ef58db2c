"""The programs for Dask and Ray in docstrings, on what looks like these engines; `tests/with_executors` has them."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from acytoo_sdk.testing import FakeServer

RUN = Path(__file__).parents[1] / "with_executors" / "run.py"
_spec = importlib.util.spec_from_file_location("with_executors_run", RUN)
assert _spec is not None and _spec.loader is not None  # noqa: PT018
_run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_run)


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    with ThreadPoolExecutor(2) as executor:
        yield types.SimpleNamespace(get_executor=lambda: executor)


def ray_executor(*, num_cpus: float) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2)


@pytest.mark.parametrize("engine", ["Dask", "Ray"])
def test_the_program_for_an_engine_prints_its_answers(
    engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, object] = {}
    dask = types.SimpleNamespace(
        config=types.SimpleNamespace(set=settings.update), distributed=types.SimpleNamespace(Client=cluster)
    )
    monkeypatch.setitem(sys.modules, "dask", dask)
    monkeypatch.setattr("acytoo_sdk.integrations.ray.RayExecutor", ray_executor)

    with FakeServer(lambda request: request["messages"][0]["content"].upper()) as server:
        exec(_run.read_program(engine).replace("http://127.0.0.1:8000", server.url), {"__name__": "__main__"})

    assert capsys.readouterr().out.split() == ["ONE", "TWO"]
    assert settings == ({"distributed.worker.profile.enabled": False} if engine == "Dask" else {})
