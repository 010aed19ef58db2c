"""The server in process, in a thread and a loop of its own; and as a program."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar

from raw_client import RawClient, Reply, post

from acytoo_sdk.server.app import Server
from acytoo_sdk.server.log import Log
from acytoo_sdk.server.settings import Settings

_Result = TypeVar("_Result")


class Lines(Log):
    """A log that can be waited for; its lines come without the time."""

    def __init__(self) -> None:
        super().__init__(None)
        self.lines: list[str] = []
        self._changed = threading.Condition()

    def write(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def wait(self, count: int = 1) -> list[str]:
        """The lines, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= count, 5.0), self.lines
            return list(self.lines)

    def wait_for(self, words: str, count: int = 1) -> None:
        """Waits until so many lines say this."""
        with self._changed:
            found = self._changed.wait_for(lambda: sum(words in line for line in self.lines) >= count, 5.0)
            assert found, (words, self.lines)


class Served:
    """Runs a server from `with` to its end, which is at once unless `close` was called."""

    def __init__(self, *, pause: float = 0.0, **settings: Any) -> None:
        self.settings = Settings(port=0, pause=pause, **settings)
        self.log = Lines()
        self.url = ""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served")
        self._at_once = asyncio.Event()
        self._done: threading.Event | None = None

    def __enter__(self) -> Served:
        self._thread.start()
        try:
            self._server = self.call(self._start())
        except BaseException:
            self._end_loop()
            raise
        self.url = self._server.url
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.close(at_once=True)

    def call(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Runs something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20.0)

    def run(self, function: Callable[[], _Result]) -> _Result:
        """Calls something there."""

        async def call() -> _Result:
            return function()

        return self.call(call())

    @property
    def connections(self) -> list[object]:
        """Those that are open; to be asked in the server's loop."""
        return list(self._server.connections)

    def end(self, *, at_once: bool = False) -> threading.Event:
        """Begins to end the server, as a signal does; the event tells when it is done."""
        if at_once:
            self.end_at_once()
        if self._done is None:
            self._done = done = threading.Event()
            future = asyncio.run_coroutine_threadsafe(self._server.close(at_once=self._at_once), self._loop)
            future.add_done_callback(lambda _: done.set())
        return self._done

    def end_at_once(self) -> None:
        """As a second signal does."""
        self._loop.call_soon_threadsafe(self._at_once.set)

    def close(self, *, at_once: bool = False) -> None:
        """Ends the server, and all that is left of it."""
        try:
            assert self.end(at_once=at_once).wait(20.0)
        finally:
            self._end_loop()

    def ask(self, request: bytes | None = None, *, tls: Any = None) -> Reply:
        """One request on a connection of its own, and its reply."""
        with RawClient(self.port, tls=tls) as client:
            return client.ask(post() if request is None else request)

    async def _start(self) -> Server:
        server = Server(self.settings, self.log)
        await server.start()
        return server

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class Program:
    """`python -m acytoo_sdk serve`, on a free port, from `with` to SIGTERM."""

    def __init__(self, *options: str, env: Mapping[str, str] | None = None, stderr: int = subprocess.PIPE) -> None:
        self._options = options
        self._env = {**os.environ, "PYTHONUTF8": "1", **(env or {})}
        self._stderr = stderr
        self.first_line = ""
        self.out = self.err = ""

    def __enter__(self) -> Program:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "acytoo_sdk", "serve", "--port", "0", *self._options],
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=self._env,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        self.url = self.first_line.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            out, err = self.process.communicate(timeout=20)
            self.out, self.err = out, err or ""
        finally:
            self.process.kill()

    def ask(self, request: bytes | None = None) -> Reply:
        """One request on a connection of its own, and its reply."""
        with RawClient(self.port) as client:
            return client.ask(post() if request is None else request)
