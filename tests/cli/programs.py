"""The command as its user runs it: in this process where that is the same, as a program, and in a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from subprocess import run
from typing import Any

import pexpect
import pyte
from click.testing import CliRunner

from acytoo_sdk.cli.app import app

PROGRAM = [sys.executable, "-m", "acytoo_sdk"]


@dataclass(frozen=True)
class Done:
    """What a command has left: its exit status and its outputs."""

    status: int
    stdout: str
    stderr: str


def acytoo(*arguments: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None) -> Done:
    """Runs the command in this process; neither output is a terminal."""
    result = CliRunner().invoke(app, arguments, input=stdin, env=env, prog_name="acytoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def program(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, through_shell: str = "") -> Done:
    """Runs the command as a program.

    Args:
        arguments: of the command.
        stdin: what it reads.
        env: variables to be added.
        through_shell: what a shell does with its descriptors, as `>&-`.
    """
    command = [*PROGRAM, *arguments]
    if through_shell:
        command = ["sh", "-c", f'exec "$@" {through_shell}', "sh", *command]
    done = run(command, input=stdin, env={**os.environ, **(env or {})}, capture_output=True, timeout=30, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


class Screen:
    """The command in a terminal.

    Attributes:
        written: everything that it has written to the terminal.
    """

    def __init__(self, process: Any, columns: int, lines: int) -> None:
        self.process = process
        self.written = ""
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1)
        self._stream = pyte.Stream(self._screen)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, blank lines at its end left out."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    @property
    def all_lines(self) -> list[str]:
        """What has left the screen at its top, and what stands on it."""
        columns = self._screen.columns
        above = ["".join(line[x].data for x in range(columns)).rstrip() for line in self._screen.history.top]
        return [*above, *self.lines]

    @property
    def cursor(self) -> tuple[int, int]:
        """Its column and its line, from 0 on."""
        return self._screen.cursor.x, self._screen.cursor.y

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(self.process.getecho())

    def wait_for(self, is_there: str | Callable[[Screen], object]) -> None:
        """Waits until a text stands on the screen, or something else is true of it."""
        while not (is_there in "\n".join(self.lines) if isinstance(is_there, str) else is_there(self)):
            self._feed(self.process.read_nonblocking(size=4096, timeout=20))

    def send(self, keys: str) -> None:
        """Types."""
        self.process.send(keys)

    def wait(self) -> int:
        """Waits for the end; returns the exit status."""
        with suppress(pexpect.EOF):
            self.wait_for(lambda screen: False)
        self.process.close()
        return int(self.process.exitstatus if self.process.exitstatus is not None else -self.process.signalstatus)

    def _feed(self, text: str) -> None:
        self.written += text
        self._stream.feed(text)


@contextmanager
def in_terminal(
    *arguments: str,
    columns: int = 80,
    lines: int = 24,
    env: Mapping[str, str] | None = None,
    shell: str = "",
    program: Sequence[str] = (),
) -> Iterator[Screen]:
    """Runs the command in a terminal.

    Args:
        arguments: of the command.
        columns: of the screen.
        lines: of the screen.
        env: variables to be added.
        shell: what a shell does with its descriptors, as `2>/dev/null`.
        program: what is run in the place of the command.
    """
    command = [*(program or PROGRAM), *arguments]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    process = pexpect.spawn(
        command[0],
        command[1:],
        dimensions=(lines, columns),
        env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(env or {})},
        encoding="utf-8",
        timeout=20,
        echo=True,
    )
    try:
        yield Screen(process, columns, lines)
    finally:
        process.close(force=True)
