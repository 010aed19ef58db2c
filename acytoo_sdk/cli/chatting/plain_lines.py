"""Lines of input where no escape code may be written: the terminal's own line editing."""

from __future__ import annotations

from ...errors import InvalidRequestError
from ..display.terminal import Terminal
from .interrupts import Interrupts

PROMPT = "> "


class PlainLines:
    """Reads lines as they come.

    Args:
        terminal: the command's.
        interrupts: Ctrl-C drops the line.
    """

    keys = "Ctrl-C stops an answer, or drops the line; Ctrl-D leaves."
    """What the keys do, for who asks for help."""

    def __init__(self, terminal: Terminal, interrupts: Interrupts) -> None:
        self._terminal, self._interrupts = terminal, interrupts

    def read_line(self) -> str:
        """Waits for a line; "" for one that was dropped.

        Raises:
            EOFError: Ctrl-D.
            InvalidRequestError: what was typed is not text.
        """
        self._interrupts.forget()
        try:
            with self._interrupts.raising():
                self._terminal.write(PROMPT)
                return input()
        except (KeyboardInterrupt, SystemError) as error:
            # In a burst, CPython runs the next handler while the exception of the first is set already, and takes that
            # for a mistake of the handler's. Source: builtin_input_impl in CPython's Python/bltinmodule.c.
            if isinstance(error, SystemError) and not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            self._interrupts.forget()
            self._terminal.write("\n")
            return ""
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"What was typed is not {error.encoding.upper()}") from error
        except BaseException:  # the end of the input, or SIGTERM
            self._terminal.write("\n")
            raise
