"""`acytoo chat`: a conversation at the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import click

from ..errors import InvalidRequestError
from .display.terminal import Terminal
from .options import Flags, QuietCommand, connection_options, terminal_options
from .statuses import sentence_of

if TYPE_CHECKING:
    from .chatting.interrupts import Interrupts
    from .chatting.output import ChatOutput
    from .chatting.talk import Talk


class _Reader(Protocol):
    """Where lines come from."""

    @property
    def keys(self) -> str:
        """What the keys do."""

    def read_line(self) -> str:
        """Waits for a line; EOFError is the end."""


@click.command(cls=QuietCommand)
@connection_options()
@click.option("--raw", is_flag=True, help="Show replies as they come, and not as Markdown.")
@click.option("--load", type=click.Path(), metavar="FILE", help="Go on with the conversation in this file.")
@click.option(
    "--save", type=click.Path(), metavar="FILE", help="Write the conversation to this file after each answer."
)
@terminal_options
def chat(*, flags: Flags, terminal: Terminal, raw: bool, load: str | None, save: str | None) -> None:
    """Holds a conversation at the terminal.

    Enter sends what you typed, and Alt-Enter begins a new line. Ctrl-C stops an answer, and Ctrl-D leaves. Commands
    begin with a slash, as /retry, /undo, /save FILE or /model NAME; /help lists them. What you type is kept for the
    next time: the arrow keys bring it back, and Ctrl-R searches it.

    \b
    Examples:
      acytoo chat --local
      acytoo chat --system 'Be brief.' --save talk.json
      acytoo chat --load talk.json --save talk.json    go on with it, or begin it
    """
    if sys.stdin is None or not (sys.stdin.isatty() and terminal.shows):
        raise click.UsageError("a conversation needs a terminal; where there is none: acytoo ask")
    from .chatting.interrupts import Interrupts
    from .chatting.output import ChatOutput
    from .chatting.talk import Talk
    from .display.keyboard import without_echo
    from .servers import settings_in_force
    from .settings.clients import client_of

    with settings_in_force(flags, terminal) as settings:
        if settings["payload"] == "prompt":
            raise click.UsageError("--payload prompt sends one text, and no conversation: acytoo ask sends one")
        is_new = _begins_file(load, save)
        system = settings["system"] if load is None or is_new else None
        with client_of(settings) as client, Interrupts() as interrupts:
            conversation = client.conversation(
                system=system, model=settings["model"] if "model" in flags.values else None
            )
            peer = urlsplit(settings["base_url"]).netloc
            output = ChatOutput(terminal, interrupts, peer=peer, raw=raw)
            reader = _reader(terminal, interrupts, output)
            talk = Talk(client, conversation, output, keys=reader.keys, file=save)
            if is_new:
                output.tell(f"{load} is not there yet: it begins now.")
            elif load is not None:
                _load(talk, load, interrupts)
                if "system" in flags.values:
                    conversation.system = settings["system"]
            output.tell(f"{talk.model or 'A model'} at {settings['base_url']}. /help helps, Ctrl-D leaves.")
            with without_echo(for_prompt=True) if terminal.is_live else nullcontext():
                _hold(talk, reader, output)


def _begins_file(load: str | None, save: str | None) -> bool:
    """Whether the file to go on with does not exist yet, as at the first of many times.

    Raises:
        click.UsageError: a file would be lost.
    """
    from .chatting.talk import holds_something

    is_same = load is not None and save is not None and os.path.realpath(load) == os.path.realpath(save)
    if save is not None and not is_same and holds_something(save):
        raise click.UsageError(f"{save} is there already: to go on with it, --load it as well")
    return is_same and not os.path.lexists(str(load))


def _load(talk: Talk, path: str, interrupts: Interrupts) -> None:
    try:
        with interrupts.raising():
            talk.load(path)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _reader(terminal: Terminal, interrupts: Interrupts, output: ChatOutput) -> _Reader:
    """What reads lines, as far as the terminal goes along."""
    if not terminal.is_live:
        from .chatting.plain_lines import PlainLines

        return PlainLines(terminal, interrupts)
    from .chatting.line_editor import LineEditor
    from .chatting.line_history import LineHistory, history_path
    from .chatting.talk import COMMANDS

    history = LineHistory(history_path())
    return LineEditor(history, [command.name for command in COMMANDS], interrupts, tell=output.tell)


def _hold(talk: Talk, reader: _Reader, output: ChatOutput) -> None:
    """Leads the conversation, line by line, up to its end."""
    while not talk.is_over:
        try:
            line = reader.read_line()
        except EOFError:
            break
        except InvalidRequestError as error:
            output.fail(sentence_of(error))
            continue
        talk.receive(line)
        if line.strip() and not talk.is_over:
            output.write("\n")
    talk.end()
