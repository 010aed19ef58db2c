"""The memory of a batch: however many prompts there are, it takes no more than for a few."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from pathlib import Path

import anyio
import pytest
from benchmarks.server import running

from acytoo_sdk import AsyncClient, Client

PROMPT = "{} times around the world".ljust(2048)
SOME, MANY, STEP = 80, 300, 10
ALLOWED = 256 * 1024  # for the 220 between, whose prompts alone take twice as much


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage keeps something for each thread there was")
def test_memory_does_not_grow_with_the_number_of_prompts(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # for the server
    prompts = map(PROMPT.format, itertools.count())
    sizes: list[int] = []

    def note(taken: int) -> None:
        if taken % STEP == 0:
            sizes.append(tracemalloc.get_traced_memory()[0])

    def ask_blocking(url: str) -> None:
        with Client(url, path="/hello") as client, client.map(prompts) as batch:
            for result in itertools.islice(batch, MANY):
                assert result.unwrap() == "Hello!"
                note(result.index + 1)

    async def ask(url: str) -> None:
        async with AsyncClient(url, path="/hello") as client, client.map(prompts) as batch:
            for _ in range(MANY):
                result = await anext(batch)
                assert result.unwrap() == "Hello!"
                note(result.index + 1)

    with running() as served:
        tracemalloc.start()
        try:
            ask_blocking(served.url) if flavour == "blocking" else anyio.run(ask, served.url, backend=flavour)
        finally:
            tracemalloc.stop()
    some, many = sizes[SOME // STEP - 5 : SOME // STEP], sizes[-5:]
    assert min(many) - min(some) < ALLOWED, "the least of some: what runs at the moment takes more or less"
