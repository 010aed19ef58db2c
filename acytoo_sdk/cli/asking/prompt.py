"""The prompt: from the arguments, from stdin, or from both."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

from ...errors import InvalidRequestError
from ..display.terminal import Terminal

_PATIENCE = 1.0  # seconds, after which who waits for an end of stdin is told so


def read_prompt(words: tuple[str, ...], terminal: Terminal) -> str:
    """The prompt; blocks until stdin has ended, unless that is a terminal.

    Args:
        words: the arguments. `-` alone is stdin, be it a terminal or not.
        terminal: where it is told that stdin stays open.

    Returns:
        The arguments, joined by blanks; what stdin held, without line ends around it; or that, a blank line, and the
        arguments.

    Raises:
        InvalidRequestError: there is no prompt, or it is not UTF-8.
    """
    wants_stdin = words == ("-",)
    asked = "" if wants_stdin else " ".join(words)
    if any("\ud800" <= char <= "\udfff" for char in asked):
        raise InvalidRequestError("the prompt is not UTF-8")
    if sys.stdin is None or (sys.stdin.isatty() and not wants_stdin):
        piped = None
    else:
        with _telling(terminal) if asked else contextlib.nullcontext():
            piped = _read_stdin()
    if piped is None and not words:
        raise InvalidRequestError("no prompt: pass it as an argument, or on stdin")
    if piped is None and wants_stdin:
        raise InvalidRequestError("no prompt: stdin is closed")
    parts = [part for part in (piped, asked) if part and not part.isspace()]
    if not parts:
        raise InvalidRequestError("the prompt is empty")
    return "\n\n".join(parts)


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the prompt on stdin is not UTF-8 at byte {error.start}") from error


@contextlib.contextmanager
def _telling(terminal: Terminal) -> Iterator[None]:
    """Tells, after a while, what is waited for: an inherited pipe may stay open for ever."""
    sentence = "Waiting for the end of stdin, which goes before the prompt; with none to come, run it with </dev/null"
    timer = threading.Timer(_PATIENCE, terminal.tell, (sentence,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
