"""Batches: many prompts, eight at once, by this package and by a bare pool of threads over requests.

Each contender is a function from the server's URL to one from a path, and a number of prompts, to how many characters
came back. All of them keep their connections between rounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from . import peers

_AT_ONCE = 8

Batch = Callable[[str, int], int]


def of_client(url: str) -> Batch:
    from acytoo_sdk import Client

    client = Client(url)

    def ask(path: str, number: int) -> int:
        results = client.with_options(path=path).map(_prompts(number), concurrency=_AT_ONCE)
        return sum(len(result.unwrap()) for result in results)

    return ask


def of_client_with_journal(url: str) -> Batch:
    from acytoo_sdk import Client

    client = Client(url)

    def ask(path: str, number: int) -> int:
        with TemporaryDirectory() as folder:
            journal = Path(folder, "journal.jsonl")
            results = client.with_options(path=path).map(_prompts(number), concurrency=_AT_ONCE, journal=journal)
            return sum(len(result.unwrap()) for result in results)

    return ask


def of_async_client(url: str) -> Batch:
    from acytoo_sdk import AsyncClient

    client = AsyncClient(url)
    loop = asyncio.new_event_loop()

    async def answers(path: str, number: int) -> int:
        results = client.with_options(path=path).map(_prompts(number), concurrency=_AT_ONCE)
        return sum([len(result.unwrap()) async for result in results])

    return lambda path, number: loop.run_until_complete(answers(path, number))


def of_threads_over_requests(url: str) -> Batch:
    pieces = peers.requests(url)

    def ask(path: str, number: int) -> int:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return sum(threads.map(lambda _: sum(map(len, pieces(path))), _prompts(number)))

    return ask


BATCHES: dict[str, Callable[[str], Batch]] = {
    "Client.map": of_client,
    "Client.map, with a journal": of_client_with_journal,
    "AsyncClient.map": of_async_client,
    "threads over requests": of_threads_over_requests,
}


def _prompts(number: int) -> list[str]:
    return ["Hi"] * number
