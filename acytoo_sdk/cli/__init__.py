"""The `acytoo` command: one file a subcommand, gathered in `app`; what they share about terminals is in `terminal`.

It needs the extra `[cli]`, which is imported here and nowhere else in the package.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command with the arguments of the process, and ends the process.

    The exit status is 0 after a whole reply, 1 after an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("acytoo: the command line needs click: pip install 'acytoo-sdk[cli]'")
    app(prog_name="acytoo")
