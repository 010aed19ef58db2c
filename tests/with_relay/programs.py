"""Servers as programs: each is started as a user starts it, waited for, and ended, in the middle too."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

BIN = Path(sys.executable).parent
_START_SECONDS = 300.0  # litellm imports for half a minute on an idle machine
# Whatever a server would fetch from elsewhere, it fetches through a proxy that is not there.
_STAYS_HERE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Program:
    """A server of others that runs.

    Args:
        command: what to run.
        url: where it will listen.
        health: the path that answers with success once it does.
        environment: further variables.
    """

    def __init__(
        self, command: Sequence[str | Path], *, url: str, health: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self._command = [str(part) for part in command]
        self._health = health
        self._environment = {**os.environ, **_STAYS_HERE, **(environment or {})}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed at the end of the program
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.kill()
        if kind is not None:
            print(self._end_of_log(), file=sys.stderr)
        self._log.close()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, env=self._environment, start_new_session=True
        )
        due = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > due:
                self.kill()
                raise AssertionError(f"{self._command[0]} did not start")
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends it at once, and its children."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and does nothing any more; `kill` ends that."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def _end_of_log(self) -> str:
        self._log.seek(0)
        return f"{self._command[0]} said:\n{self._log.read().decode(errors='replace')[-4000:]}"

    def _answers(self) -> bool:
        try:
            fetch(self.url + self._health)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def relay(*options: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs the installed `acytoo serve`, on a port of its choice; yields its address, and judges its end."""
    process = subprocess.Popen(
        [BIN / "acytoo", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("acytoo: listening on http://"), line
    try:
        yield line.split()[-1]
    except BaseException:
        process.kill()
        print(process.communicate()[1], file=sys.stderr)
        raise
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, ""), (process.returncode, out, err)
    for words in ("Traceback", "internal error", *(environment or {}).values()):
        assert words not in err, err


def fetch(url: str, body: object = None) -> Any:
    """What a server answers, parsed if it is JSON; with a body it is a POST."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    with opener.open(urllib.request.Request(url, data, {"content-type": "application/json"}), timeout=120) as response:
        said = response.read()
    try:
        return json.loads(said)
    except ValueError:
        return said
