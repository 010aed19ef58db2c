"""The `acytoo` command as a process: its signals, its outputs, and the exit status that it ends with.

What a command does is none of its business: the verbs are in `app`. That is imported once the signals are handled, and
the lack of the extra `[cli]` can be told.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

_COMPLETE = "_ACYTOO_COMPLETE"


def main() -> None:
    """Runs the command with the arguments of the process, and ends the process with its status, see `statuses`."""
    ours = _unclaimed_signals()
    _handle(ours, _end_at_once)  # while modules are imported, nothing is open
    if sys.stderr is None:  # it was closed: what would be told is told to nobody
        sys.stderr = open(os.devnull, "w", errors="replace")  # noqa: SIM115 - for as long as the process lasts
    if sys.stdout is None:
        sys.exit("Error: stdout is closed")
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("acytoo: the command line needs click: pip install 'acytoo-sdk[cli]'")
    try:
        _handle(ours, _unwind)
        status = _run(app)
    except KeyboardInterrupt:  # once more, while the first one was seen to
        status = 130
    _handle(ours, _end_at_once)
    sys.exit(status)


def _run(app: click.Command) -> int:
    """Runs the command, or completes it for a shell that asks; returns its status."""
    import click
    from click.shell_completion import shell_complete

    try:
        if instruction := os.environ.get(_COMPLETE):
            return shell_complete(app, {}, "acytoo", _COMPLETE, instruction)
        with app.make_context("acytoo", sys.argv[1:]) as context:
            app.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as end:
        sys.stdout.flush()
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort, EOFError):  # before a command runs, or at a prompt
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        return _nobody_reads()
    except OSError as error:  # a full disk, for instance
        _drop_what_was_not_written()
        name = f"{error.filename}: " if error.filename else ""
        print(f"Error: input or output failed: {name}{error.strerror or error}", file=sys.stderr)
        return 1


def _nobody_reads() -> int:
    """A reply that its reader has left is a good end, as for any program in a pipe."""
    _drop_what_was_not_written()
    return 0


def _drop_what_was_not_written() -> None:
    """Has the interpreter's last flush succeed.

    Source:
        https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# Signals


def _unclaimed_signals() -> list[signal.Signals]:
    """SIGINT and SIGTERM, but for one that is ignored: `nohup` and shells ask that of what runs in the background."""
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    return [number for number, default in defaults.items() if signal.getsignal(number) == default]


def _handle(signals: Collection[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> None:
    for number in signals:
        signal.signal(number, handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _unwind(number: int, frame: FrameType | None) -> None:
    """Closes what is open, on the way out."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
