"""The keyboard while a reply is shown: what is typed then does not show, and waits for the next prompt."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_BEGIN_PASTES, _END_PASTES = "\x1b[?2004h", "\x1b[?2004l"
"""From one to the other, a terminal marks what is pasted. Source: XTerm Control Sequences, bracketed paste mode."""


@contextmanager
def quiet_keyboard() -> Iterator[None]:
    """Has the terminal echo no key, for what is redrawn there would be torn apart. Ctrl-C and Ctrl-Z work as ever.

    Keys come to the next prompt as they were typed there, and what was pasted as one paste. For a stdin and a stdout
    that are one terminal, which obeys escape codes.
    """
    try:
        import termios
    except ModuleNotFoundError:  # Windows: a console echoes only where it is read
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before]
    quiet[0] &= ~termios.ICRNL
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        sys.stdout.write(_BEGIN_PASTES)
        sys.stdout.flush()
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
        sys.stdout.write(_END_PASTES)
        sys.stdout.flush()
