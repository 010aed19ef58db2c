"""What a notebook shows: a text that grows in one output, and an error or an interruption in a few lines.

Nothing here knows streams. IPython is imported only when something is shown. What users type is read in `notebook`.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial
from io import IncrementalNewlineDecoder
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ..errors import AcytooError
from .characters import printable
from .markdown import safe_html

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from typing_extensions import Self

_INTERVAL = 0.1  # seconds between two refreshes, at least
_PAUSE_FACTOR = 4  # after a long refresh the pause is so many times as long, to leave kernel and page time for others
# The kernel does not learn how long a page takes to show an output. It is estimated from the output's size: seconds for
# each character of HTML, and for each formula.
_PER_CHARACTER, _PER_FORMULA = 2e-6, 2e-3
_LONGEST_PARTIAL = 2_000  # characters of the partial text that a brief error shows

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"

# Errors whose partial text stands in an output already.
_already_shown: weakref.WeakSet[AcytooError] = weakref.WeakSet()


class Output(Protocol):
    """Where a growing text is shown."""

    def add(self, piece: str) -> None:
        """Shows one more piece, soon."""


@contextlib.contextmanager
def output(text: str = "", *, raw: bool = False) -> Iterator[Output]:
    """Shows a text that grows until the block is left, however it is left; then all of it stays.

    Args:
        text: what is there already.
        raw: whether it is shown as it is, not as Markdown.

    Raises:
        ModuleNotFoundError: IPython, or what reads Markdown, is not installed.
    """
    shell = running_shell()
    with _Live(text, raw=raw) if shell is not None and _updates(shell) else _Printed(text) as shown:
        try:
            yield shown
        except AcytooError as error:
            _already_shown.add(error)
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
    sentence = f"{_RED}{type(error).__name__}{_PLAIN}: {printable(str(error))}"
    lines = [sentence]
    # A hint that points to `error.partial_text` is of no use here: the reader holds no error, and the text is shown.
    hints = [hint for hint in (error.hint or "").split("; ") if hint and "partial_text" not in hint]
    if hints:
        lines.append(f"Hint: {printable('; '.join(hints))}")
    if error.partial_text and error not in _already_shown:
        shortened = "..." if len(error.partial_text) > _LONGEST_PARTIAL else ""
        lines.append(f"What had arrived:\n{shortened}{printable(error.partial_text[-_LONGEST_PARTIAL:])}")
    elif error.partial_text:
        lines.append("What had arrived is shown above.")
    lines.append("The full traceback: %tb")
    _in_brief(error, lines)
    shell.showtraceback((type(error), error, error.__traceback__))
    _put_sentence_first(error, sentence, shell)


def _put_sentence_first(error: AcytooError, sentence: str, shell: InteractiveShell) -> None:
    """From now on, IPython shows the error's traceback below its sentence.

    A traceback begins with the first cause, and the error itself comes last.
    """
    shown = weakref.ref(error)  # the error must not hold itself

    def render() -> list[str]:
        error = shown()
        assert error is not None
        rest: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
        return [sentence, *rest]

    error._render_traceback_ = render  # type: ignore[attr-defined]


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
        if not raw:
            safe_html("")  # so that a missing package is an error now, and not once the reply is there
        self._pieces = [text] if text else []
        self._shown: dict[str, str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        # In a copy of this context, the outputs of the thread belong to the cell that runs now.
        target = partial(contextvars.copy_context().run, self._refresh_in_intervals)
        self._thread = threading.Thread(target=target, name="acytoo_sdk display", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        if not self._shown:
            self._refresh(grows=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._refresh(grows=False)

    def _refresh_in_intervals(self) -> None:
        pause = _INTERVAL
        # An error that is met here is met again, and raised, by the last refresh, in the thread of the cell.
        with contextlib.suppress(Exception):
            while not self._over.wait(pause):
                pause = max(_INTERVAL, _PAUSE_FACTOR * self._refresh(grows=True))

    def _refresh(self, *, grows: bool) -> float:
        """Shows all of the text, unless that is shown already; returns the seconds it takes, here and in the page."""
        with self._lock:
            begun, count = time.monotonic(), len(self._pieces)
            if count == 0 or (grows and count == 1 and self._shown):
                return 0
            text = "".join(self._pieces[:count])
            self._pieces[:count] = [text]
            bundle = {"text/plain": printable(text)}
            if not self._raw:
                bundle["text/html"] = safe_html(text, grows=grows)
            if bundle == self._shown:
                return 0
            show = self._handle.update if self._shown else self._handle.display
            self._shown = bundle
            show(bundle, raw=True)
            return time.monotonic() - begun + _seconds_of_page(bundle.get("text/html", text))


def _seconds_of_page(html: str) -> float:
    return len(html) * _PER_CHARACTER + html.count("mathjax_process") * _PER_FORMULA


class _Printed:
    """A terminal, or the output of a script."""

    def __init__(self, text: str) -> None:
        self._last = text
        # A carriage return that ends a piece is kept back: the next piece may begin with its line feed.
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
