"""The `acytoo` command: one file a subcommand, gathered in `app`; what they share about terminals is in `terminal`.

It needs the extra `[cli]`, which is imported here and nowhere else in the package.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command with the arguments of the process, and ends the process.

    The exit status is 0 after a whole reply, 1 after an error, 2 for wrong usage, 130 after Ctrl-C.
    """
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
        app(prog_name="acytoo")
    except OSError as error:  # a full disk, for instance; with a closed pipe, click ends quietly
        _drop_what_was_not_written()
        sys.exit(f"Error: input or output failed: {error.strerror or error}")


def _drop_what_was_not_written() -> None:
    """Has the interpreter's last flush succeed.

    Source:
        https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
