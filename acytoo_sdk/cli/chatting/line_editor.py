"""The line editor of the prompt: the one door to prompt_toolkit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.search import stop_search
from prompt_toolkit.shortcuts import CompleteStyle

from .interrupts import Interrupts
from .line_history import LineHistory
from .plain_lines import PROMPT


class LineEditor:
    """Reads what a person types into a terminal that obeys escape codes.

    Args:
        history: what was typed before, and will be kept.
        commands: that Tab completes.
        interrupts: Ctrl-C clears the line, also where it comes as a signal.
        tell: is told, once, that lines cannot be kept.
    """

    keys = (
        "Alt-Enter begins a new line; Tab completes a command; Ctrl-R searches what was typed before; Ctrl-C stops an "
        "answer, or clears the line; Ctrl-D leaves."
    )
    """What the keys do, for who asks for help."""

    def __init__(
        self, history: LineHistory, commands: Sequence[str], interrupts: Interrupts, *, tell: Callable[[str], None]
    ) -> None:
        self._history, self._interrupts = history, interrupts
        self._tell: Callable[[str], None] | None = tell
        self._session: PromptSession[str] = PromptSession(
            [("bold", PROMPT)],
            multiline=True,  # for its lines below each other; Enter ends the input nevertheless
            prompt_continuation=" " * len(PROMPT),
            history=_History(history),
            completer=_Commands(commands),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,  # takes no room below the prompt
            key_bindings=_keys(interrupts),
            enable_suspend=True,
            output=_output(),
        )

    def read_line(self) -> str:
        """Waits for a line, or several of them; "" for none.

        Raises:
            EOFError: Ctrl-D.
        """
        if self._history.failure is not None and self._tell is not None:
            self._tell(self._history.failure)
            self._tell = None
        self._interrupts.forget()
        try:
            with self._interrupts.stopping(self._clear):
                return self._session.prompt(handle_sigint=False)  # its own handling leaves gaps
        except KeyboardInterrupt:  # at a question that the editor asks itself, about many completions
            return ""
        except SystemExit:  # from SIGTERM; of what is drawn at that very moment, nothing must stay
            self._session.output.write_raw("\r")
            self._session.output.erase_down()
            self._session.output.flush()
            raise

    def _clear(self) -> None:
        """Called by a signal: between any two steps of the editor."""
        app = self._session.app
        if app.loop is not None and app.is_running:
            app.loop.call_soon_threadsafe(app.key_processor.send_sigint)


def _output() -> Output | None:
    """The terminal, which is not asked for the place of its cursor: its answer could come when nobody waits for it.

    None, on Windows: what prompt_toolkit chooses.
    """
    if sys.platform == "win32":
        return None
    from prompt_toolkit.output.vt100 import Vt100_Output

    return Vt100_Output(sys.stdout, _size, term=os.environ.get("TERM"), enable_cpr=False)


def _size() -> Size:
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:  # the terminal is gone
        columns, rows = 0, 0
    return Size(rows=rows or 24, columns=columns or 80)


def _keys(interrupts: Interrupts) -> KeyBindings:
    keys = KeyBindings()
    in_text = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=in_text)
    def end(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=in_text)
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    @keys.add("<sigint>")
    def clear(event: KeyPressEvent) -> None:
        interrupts.forget()  # one that comes once Enter was pressed does not get here, and stops the answer
        if event.app.layout.is_searching:
            stop_search()
        event.current_buffer.reset()

    return keys


class _Commands(Completer):
    """Completes the first word, if it is to be a command."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [f"/{name}" for name in names]

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        begun = document.text_before_cursor
        if begun.startswith("/"):
            yield from (Completion(name, -len(begun)) for name in self._names if name.startswith(begun))


class _History(History):
    def __init__(self, lines: LineHistory) -> None:
        super().__init__()
        self._lines = lines

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._lines.lines)

    def store_string(self, string: str) -> None:
        self._lines.add(string)
