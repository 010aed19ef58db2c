"""What a notebook shows: a text that grows in one output, and an error or an interruption in a few lines.

Knows texts, not streams. Imports IPython, and that only when something is shown; what notebooks type is in `notebook`.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from collections.abc import Iterator
from functools import partial
from io import IncrementalNewlineDecoder
from types import TracebackType
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from ..errors import AcytooError
from .markdown import printable, safe_markdown

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from typing_extensions import Self

# Seconds between two refreshes. Each carries the whole text, so that long ones are refreshed less often: one of this
# many characters half as often.
_INTERVAL = 0.1
_LONG = 20_000
_PARTIAL = 2_000  # characters of the partial text that a brief error shows

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"

# Errors and interruptions whose text stands in an output already.
_above: WeakSet[AcytooError] = WeakSet()


class Output(Protocol):
    """Where a growing text is shown."""

    def add(self, piece: str) -> None:
        """Shows one more piece, soon."""


@contextlib.contextmanager
def output(text: str = "", *, raw: bool = False) -> Iterator[Output]:
    """Shows a text that grows until the block is left, however it is left; then all of it stays.

    Args:
        text: what is there already.
        raw: as it is, in place of Markdown.

    Raises:
        ModuleNotFoundError: IPython is not installed.
    """
    shell = running_shell()
    with _Live(text, raw=raw) if shell is not None and _updates(shell) else _Printed(text) as shown:
        try:
            yield shown
        except AcytooError as error:
            _above.add(error)
            raise
        except Exception:
            raise
        except BaseException as interruption:  # Ctrl-C, or the cancellation that async cells get in its place
            sentence = "the connection is closed, and what had arrived stays"
            _in_brief(interruption, [f"{_RED}{type(interruption).__name__}{_PLAIN}: {sentence}"])
            raise


def running_shell() -> InteractiveShell | None:
    """The IPython this code runs in; None: it does not.

    Raises:
        ModuleNotFoundError: IPython is not installed.
    """
    try:
        from IPython.core.getipython import get_ipython
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "IPython":
            raise
        raise ModuleNotFoundError(
            "To show replies in a notebook, install the extra: pip install 'acytoo-sdk[notebook]'", name="IPython"
        ) from None
    return get_ipython()


@contextlib.contextmanager
def failing_in_brief() -> Iterator[None]:
    """For a value that is shown at the end of a cell: an error is shown in a few lines, and fails the cell.

    IPython shows errors of a value's display itself, in full, and goes on as if there was none.
    """
    try:
        yield
    except AcytooError as error:
        shell = running_shell()
        if shell is None:
            raise
        show_in_brief(shell, error)
        if shell.displayhook.exec_result is not None:
            shell.displayhook.exec_result.error_in_exec = error


def show_in_brief(shell: InteractiveShell, error: AcytooError) -> None:
    """Shows an error: its sentence, the hint, and the text that had arrived; `%tb` then shows its traceback."""
    lines = [f"{_RED}{type(error).__name__}{_PLAIN}: {printable(str(error))}"]
    if error.hint:
        lines.append(f"Hint: {printable(error.hint)}")
    if error.partial_text and error not in _above:
        shortened = "..." if len(error.partial_text) > _PARTIAL else ""
        lines.append(f"What had arrived:\n{shortened}{printable(error.partial_text[-_PARTIAL:])}")
    elif error.partial_text:
        lines.append("What had arrived is shown above.")
    lines.append("The full traceback: %tb")
    _in_brief(error, lines)
    shell.showtraceback((type(error), error, error.__traceback__))


def _in_brief(error: BaseException, lines: list[str]) -> None:
    """Has IPython show these lines in place of a traceback, once."""

    def render() -> list[str]:
        del error._render_traceback_  # type: ignore[attr-defined]
        return lines

    error._render_traceback_ = render  # type: ignore[attr-defined]


def _updates(shell: InteractiveShell) -> bool:
    """Whether an output can be updated. A terminal would print all of it again."""
    from IPython.core.displaypub import DisplayPublisher

    return type(shell.display_pub) is not DisplayPublisher


class _Live:
    """An output that is refreshed through one display handle: at the first piece, in intervals, and at the end.

    A thread of its own refreshes, so that a reply that pauses is shown up to its last piece.
    """

    def __init__(self, text: str, *, raw: bool) -> None:
        from IPython.display import DisplayHandle

        self._handle = DisplayHandle()
        self._raw = raw
        self._pieces = [text] if text else []
        self._begun = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        # Its outputs belong to the cell that runs now.
        target = partial(contextvars.copy_context().run, self._refresh_in_intervals)
        self._thread = threading.Thread(target=target, name="acytoo_sdk display", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        if not self._begun:
            self._refresh()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._refresh()

    def _refresh_in_intervals(self) -> None:
        pause = _INTERVAL
        with contextlib.suppress(Exception):  # the last refresh, in the thread of the cell, meets it too
            while not self._over.wait(pause):
                pause = _INTERVAL * (1 + self._refresh() / _LONG)

    def _refresh(self) -> int:
        """Shows all of the text, if any is new; returns how long it is."""
        with self._lock:
            count = len(self._pieces)
            text = "".join(self._pieces[:count])
            if count == 0 or (count == 1 and self._begun):
                return len(text)
            self._pieces[:count] = [text]
            bundle = {"text/plain": printable(text)}
            if not self._raw:
                bundle["text/markdown"] = safe_markdown(text)
            show = self._handle.update if self._begun else self._handle.display
            self._begun = True
            show(bundle, raw=True)
            return len(text)


class _Printed:
    """A terminal, or the output of a script."""

    def __init__(self, text: str) -> None:
        self._last = text
        # One that ends a piece waits for the next, which may begin with the line feed to it.
        self._line_ends = IncrementalNewlineDecoder(None, translate=True)

    def __enter__(self) -> Self:
        if self._last:
            self.add(self._last)
        return self

    def add(self, piece: str) -> None:
        self._last = piece
        encoding = sys.stdout.encoding or "utf-8"
        text = printable(self._line_ends.decode(piece))
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._last and not self._last.endswith("\n"):
            self.add("\n")
