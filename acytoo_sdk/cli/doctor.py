"""`acytoo doctor`: what is wrong with a server, and how to mend it; the report goes to stdout as it grows."""

from __future__ import annotations

import shutil
import sys
import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from .._display.characters import printable
from .display.terminal import Terminal, encodable
from .options import Flags, QuietCommand, connection_options, terminal_options

if TYPE_CHECKING:
    from .examining.examination import Step

_GREEN, _RED, _YELLOW, _DIM, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_MARKS = {True: ("ok", _GREEN), False: ("FAIL", _RED), None: ("-", _DIM)}
_TO_BEGIN = "\r\x1b[K"  # of a line, which is cleared
_INDENT, _SMALL_INDENT = 17, 6  # columns before what was seen, on the lines after the first
_NARROW = 60  # columns; with fewer, the small indent
_ENDLESS = 10**6  # columns of what is no terminal


@click.command(cls=QuietCommand)
@connection_options(system=False, timed="each question")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object in place of the report: ok, status, summary, steps."
)
@terminal_options
def doctor(flags: Flags, terminal: Terminal, as_json: bool) -> None:
    """Looks at a server step by step, and says how to mend the first thing that is wrong.

    The steps are the proxy, the server's name, the connection, TLS, the reply, its text, its end, and whether it
    streams. At most two questions are asked, and none of them again, whatever --retries says. The exit status is that
    of `acytoo ask`, see `acytoo --help`; where the reply comes, but does not stream, it is 1.

    \b
    Examples:
      acytoo doctor --base-url http://127.0.0.1:8000
      acytoo doctor --base-url https://app.example.com \\
                    --path /api/chat --payload ai-sdk
      acytoo doctor --json
    """
    report = Report(terminal, shows_steps=not as_json)
    with ExitStack() as stack:
        stack.callback(report.leave)
        status = _examine(flags, report, stack)
    summary = _summary(report.steps, status)
    if as_json:
        steps = [vars(step) for step in report.steps]
        terminal.write_json({"ok": status == 0, "status": status, "summary": summary, "steps": steps})
    else:
        report.end(summary)
    click.get_current_context().exit(status)


def _examine(flags: Flags, report: Report, stack: ExitStack) -> int:
    """Takes every step; returns the exit status."""
    from ..errors import InvalidRequestError
    from .examining.cases import Case
    from .examining.diagnoses import mend_of
    from .examining.examination import Examination, Step
    from .servers import settings_in_force
    from .settings.clients import client_of
    from .statuses import USAGE, sentence_of

    refused: InvalidRequestError | None = None
    try:
        settings = stack.enter_context(settings_in_force(flags, report.terminal))
        client = stack.enter_context(client_of(settings, retries=0))
    except InvalidRequestError as error:
        refused = error
    if refused is not None:
        report.add(Step("server", False, sentence_of(refused), mend=mend_of(Case(refused, "server"))))
        return USAGE
    source = "--local" if flags.local else settings.found["base_url"].source
    report.add(Step("server", True, f"{client.options.base_url} ({source})"))
    examination = Examination(client)
    for step in examination.steps(report.begin):
        report.add(step)
    return examination.status


class Report:
    """The report on stdout: a line for each step as soon as it is done, and what to do about it below.

    Args:
        terminal: knows what may be written.
        shows_steps: whether they are written at all.

    Attributes:
        terminal: as it was given.
        steps: so far.
    """

    def __init__(self, terminal: Terminal, *, shows_steps: bool) -> None:
        self.terminal = terminal
        self.steps: list[Step] = []
        self._shows_steps = shows_steps
        self._escapes = terminal.may_escape(sys.stdout)
        self._waits = False  # whether a line tells what is being done

    def begin(self, name: str) -> None:
        """On a terminal that may redraw, shows what is being done, until it is done."""
        if self._shows_steps and self.terminal.is_live:
            self._write(f"{_DIM}...   {name}{_PLAIN}")
            self._waits = True

    def add(self, step: Step) -> None:
        """Shows a step that is done."""
        self.steps.append(step)
        if not self._shows_steps:
            return
        mark, color = _MARKS[step.ok]
        lines = self._wrapped(f"{mark:<6}{step.name:<11}", step.saw)
        lines[0] = self._colored(mark, color) + lines[0][len(mark) :]
        if step.mend is not None:
            title, color = ("better: ", _YELLOW) if step.ok else ("to mend: ", _RED)
            first, *others = self._wrapped(" " * self._indent, title + step.mend)
            lines += [first.replace(title.rstrip(), self._colored(title.rstrip(), color), 1), *others]
        self._write((_TO_BEGIN if self._waits else "") + "".join(f"{line}\n" for line in lines))
        self._waits = False

    def end(self, summary: str) -> None:
        """Writes the last line."""
        self._write("".join(f"{line}\n" for line in self._wrapped("", summary)))

    def leave(self) -> None:
        """Ends the line of a step that was interrupted."""
        if self._waits:
            self._write("\n")
            self._waits = False

    @property
    def _columns(self) -> int:
        return shutil.get_terminal_size().columns if self.terminal.shows else _ENDLESS

    @property
    def _indent(self) -> int:
        return _INDENT if self._columns >= _NARROW else _SMALL_INDENT

    def _wrapped(self, beginning: str, text: str) -> list[str]:
        """The lines of a text; on terminals, at words, and addresses stay whole."""
        return textwrap.wrap(
            beginning + printable(text).replace("\n", " "),
            self._columns,
            subsequent_indent=" " * self._indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _colored(self, text: str, color: str) -> str:
        return f"{color}{text}{_PLAIN}" if self._escapes else text

    def _write(self, text: str) -> None:
        sys.stdout.write(encodable(text, sys.stdout))
        sys.stdout.flush()


def _summary(steps: list[Step], status: int) -> str:
    if status != 0:
        return f"It fails at: {steps[-1].name} (exit status {status})."
    remarks = sum(step.mend is not None for step in steps)
    if remarks:
        return f"All is well; {'one thing' if remarks == 1 else f'{remarks} things'} could be better."
    return "All is well."
