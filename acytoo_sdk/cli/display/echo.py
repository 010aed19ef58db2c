"""The terminal's echo: what is typed while a text is redrawn there would tear that apart, so it does not show."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_echo() -> Iterator[None]:
    """Has the terminal that stdout is show no key, until the block is left; then keys go to who reads them next.

    A program in the background leaves the terminal alone: it would be stopped for touching it.
    """
    try:
        import termios
    except ModuleNotFoundError:  # Windows: a console echoes only where it is read
        yield
        return
    terminal = sys.stdout.fileno()
    if os.tcgetpgrp(terminal) != os.getpgrp():
        yield
        return
    before = termios.tcgetattr(terminal)
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, quiet)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
