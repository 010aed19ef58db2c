"""A worker: the process in which one peer does one task, a round for each line that it is sent.

A process of its own keeps imports, memory and garbage of the peers apart; one that lives for all rounds is warm.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType

from . import peers, tasks
from .server import allow_many_sockets
from .tasks import Figures

# Whoever takes longer hangs: seconds.
_LONGEST_ROUND = 120.0


class PeerMissingError(Exception):
    """The peer is not installed."""


class Worker:
    """One peer at one task, in a process of its own.

    Args:
        peer: a name in `peers`.
        task: a name in `tasks`.
        path: what is posted to.
        url: of the server.
    """

    def __init__(self, peer: str, *, task: str, path: str, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, peer, task, path, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self) -> Figures:
        """Does the task once; its figures, and the CPU and the wall seconds that it took.

        Raises:
            PeerMissingError: the peer is not installed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the worker broke down; it has said why")
        answer = json.loads(line)
        if isinstance(answer, str):
            raise PeerMissingError(answer)
        return {name: float(figure) for name, figure in answer.items()}

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()


def _task(peer: str, task: str, path: str, url: str) -> Callable[[], Figures]:
    """The task, after the peer was imported and has opened a connection."""
    if peer in peers.BLOCKING:
        pieces = peers.BLOCKING[peer](url)
        tasks.drain(pieces, "/hello")
        return partial(tasks.BLOCKING[task], pieces, path)
    apieces = peers.ASYNC[peer](url)
    loop = asyncio.new_event_loop()

    async def run() -> Figures:
        return await tasks.ASYNC[task](apieces, path)

    loop.run_until_complete(tasks.drain_async(apieces, "/hello"))
    return lambda: loop.run_until_complete(run())


def _serve_rounds(peer: str, task: str, path: str, url: str) -> None:
    allow_many_sockets()
    try:
        run = _task(peer, task, path, url)
    except ImportError as error:
        if peer.startswith("acytoo"):
            raise
        sys.stdin.readline()  # the answer to the first round, like any other
        print(json.dumps(f"{peer} is left out: {error}"), flush=True)
        return
    for _ in sys.stdin:
        faulthandler.dump_traceback_later(_LONGEST_ROUND, exit=True)
        gc.collect()
        gc.disable()  # a collection would be paid by whoever happens to be running
        wall, cpu = time.perf_counter(), time.process_time()
        figures = run()
        figures["cpu"], figures["wall"] = time.process_time() - cpu, time.perf_counter() - wall
        gc.enable()
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    _serve_rounds(*sys.argv[1:])
