"""The keyboard while a reply is shown: what is typed then would tear apart what is redrawn, so it does not show."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_BEGIN_PASTES, _END_PASTES = "\x1b[?2004h", "\x1b[?2004l"
"""From one to the other, a terminal marks what is pasted. Source: XTerm Control Sequences, bracketed paste mode."""


@contextmanager
def without_echo(stream: TextIO | None = None, *, for_prompt: bool = False) -> Iterator[None]:
    """Has a terminal echo no key. Ctrl-C and Ctrl-Z work as ever; the keys go to who reads them next.

    A program in the background leaves the terminal alone: it would be stopped for touching it.

    Args:
        stream: which is the terminal; None: stdout.
        for_prompt: who reads next is a prompt, which gets the keys as they were typed there, and what was pasted as one
            paste; for a terminal that obeys escape codes.
    """
    try:
        import termios
    except ModuleNotFoundError:  # Windows: a console echoes only where it is read
        yield
        return
    terminal = (stream or sys.stdout).fileno()
    if os.tcgetpgrp(terminal) != os.getpgrp():
        yield
        return
    before = termios.tcgetattr(terminal)
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    if for_prompt:
        quiet[0] &= ~termios.ICRNL
        quiet[3] &= ~termios.ICANON
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, quiet)
        if for_prompt:
            _write(_BEGIN_PASTES)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        if for_prompt:
            _write(_END_PASTES)


def _write(code: str) -> None:
    sys.stdout.write(code)
    sys.stdout.flush()
