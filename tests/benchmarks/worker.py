"""A worker: the process in which one peer does one task, a round for each path that it is sent.

A process of its own keeps imports, memory and garbage of the peers apart; one that lives for all rounds is warm.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType

from . import batches, peers, relays, tasks
from .server import allow_many_sockets
from .streams import Figures, TooSlowError

# Whoever takes longer hangs: seconds.
_LONGEST_ROUND = 120.0


class LeftOutError(Exception):
    """The peer is not installed, or cannot do the task."""


class Worker:
    """One peer at one task, in a process of its own.

    Args:
        peer: a name in `peers`.
        task: a name in `tasks`.
        url: of the server.
        authority: the file of the certificate to trust; None for those of the system.
    """

    def __init__(self, peer: str, *, task: str, url: str, authority: str | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, peer, task, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if authority is None else {**os.environ, peers.AUTHORITY: authority},
        )

    def round(self, path: str) -> Figures:
        """Does the task once; its figures, and the CPU and the wall seconds that it took.

        Args:
            path: what is posted to.

        Raises:
            LeftOutError: the peer is not installed, or too slow for the task.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the worker broke down; it has said why")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise LeftOutError(answer)
        return {name: float(figure) for name, figure in answer.items()}

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()


def _task(peer: str, task: str, url: str) -> Callable[[str], Figures]:
    """The task, after the peer was imported and has opened a connection."""
    if peer in peers.BLOCKING:
        pieces = peers.BLOCKING[peer](url)
        tasks.drain(pieces, "/hello")
        return partial(tasks.BLOCKING[task], pieces)
    if peer in peers.TRIO:
        import trio

        apieces = peers.TRIO[peer](url)
        trio.run(tasks.drain_async, apieces, "/hello")
        return lambda path: trio.run(tasks.TRIO[task], apieces, path)
    if peer in batches.BATCHES:
        ask, prompts = batches.BATCHES[peer](url), tasks.ASKED[task]
        return lambda path: {"characters": ask(path, prompts)}
    loop = asyncio.new_event_loop()
    if peer in relays.RELAYS:
        number = tasks.RELAYED[task]
        return lambda path: loop.run_until_complete(relays.relayed(peer, url, path, number))
    apieces = peers.ASYNC[peer](url)

    async def run(path: str) -> Figures:
        return await tasks.ASYNC[task](apieces, path)

    loop.run_until_complete(tasks.drain_async(apieces, "/hello"))
    return lambda path: loop.run_until_complete(run(path))


def _serve_rounds(peer: str, task: str, url: str) -> None:
    allow_many_sockets()
    try:
        run = _task(peer, task, url)
    except ImportError as error:
        if (error.name or "").startswith("acytoo"):
            raise
        sys.stdin.readline()  # the answer to the first round, like any other
        print(json.dumps(f"{peer} is left out: {error}"), flush=True)
        return
    for line in sys.stdin:
        faulthandler.dump_traceback_later(_LONGEST_ROUND, exit=True)
        gc.collect()
        gc.disable()  # a collection would be paid by whoever happens to be running
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            figures = run(line.strip())
        except TooSlowError as error:
            print(json.dumps(f"{peer} is left out: {error}"), flush=True)
            return
        figures["cpu"], figures["wall"] = time.process_time() - cpu, time.perf_counter() - wall
        gc.enable()
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    _serve_rounds(*sys.argv[1:])
