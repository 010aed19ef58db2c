"""`acytoo batch`: many prompts, their answers in a file that lets the command go on, or on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

import click

from .._batch.journal import entry_of, key_of
from .._batch.task import Result
from ..errors import AcytooError, InvalidRequestError
from ..protocol import Message
from .batching.progress import telling_progress
from .batching.prompts import Prompts
from .batching.source import STDIN, Source
from .batching.tally import Tally
from .display.terminal import Terminal
from .options import Flags, QuietCommand, connection_options, terminal_options
from .servers import settings_in_force
from .settings.clients import client_of

if TYPE_CHECKING:
    from .._client import Client

Answer: TypeAlias = Result[list[Message]]


@click.command(cls=QuietCommand)
@click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="OUT",
    help="Keep each answer in this file, and do not ask again for those that are in it.",
)
@click.option(
    "--jsonl/--lines",
    "is_json",
    default=None,
    help="Whether a line of IN is JSON, or a prompt; default: by the name of IN.",
)
@click.option("--field", metavar="NAME", help="The field of each JSON object that holds the prompt; default: prompt.")
@click.option(
    "--template",
    metavar="TEXT",
    help="What to ask, with {text} for the line, or for the field, and {NAME} for any field.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask only the first N prompts.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=8,
    metavar="N",
    help="How many requests run at once; default 8.",
)
@click.option(
    "--rpm",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="How many requests begin in a minute, at most; default: any number.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@connection_options(timed="each attempt")
@terminal_options
def batch(
    source: str,
    *,
    output: str | None,
    is_json: bool | None,
    field: str | None,
    template: str | None,
    limit: int | None,
    concurrency: int,
    rpm: float | None,
    fail_fast: bool,
    flags: Flags,
    terminal: Terminal,
) -> None:
    """Asks every prompt of IN, several at once. IN is a file, or `-` for stdin; each line is a prompt, or JSON.

    With -o, OUT keeps each answer as soon as it is there. Whatever ended the command, Ctrl-C or a crash, too, the same
    command again asks only for what has no answer. Without -o, the same lines go to stdout, in the order of IN. As long
    as the next line of IN is waited for, in a pipe for instance, nothing is written to either.

    \b
    Examples:
      printf 'one\\ntwo\\n' | acytoo batch --local -
      acytoo batch questions.txt -o answers.jsonl
      acytoo batch rows.jsonl --field question -o answers.jsonl --rpm 60
      acytoo batch names.txt --template 'Who was {text}?' | jq -r .text
      acytoo batch rows.jsonl --template 'Translate to {language}: {text}'

    A line of JSON is a text, or a list of messages, or an object that holds either in its field `prompt`, or a list of
    messages in `messages`. A name that ends in .jsonl, .ndjson or .json means JSON, and so does --field. In a template,
    {{ and }} stand for braces.

    A line of OUT is a JSON object: id, index (of the prompt, from 0), at (the time), messages, text (or error, with its
    type, message and retryable), attempts, notice, whole and request_id. No key and no password is in it. A new
    OUT can be read by you alone, and one command at a time uses it.

    A prompt that fails does not stop the others, unless --fail-fast is given; a line of IN that is no prompt ends the
    command, once those before it have been asked. A server that says that there are too many requests makes all of
    them wait. The exit status is 0 only if every prompt has an answer; else it is that of the failures, or 1 if they
    differ: see `acytoo --help`.
    """
    if field is not None and is_json is False:
        raise click.UsageError("--field names a field of JSON: leave --lines out")
    output = None if output == STDIN else output
    with ExitStack() as stack:
        settings = stack.enter_context(settings_in_force(flags, terminal))
        lines = stack.enter_context(Source(source))
        if lines.is_written_to(output):
            raise click.UsageError("IN and OUT are the same file")
        system = settings["system"] or ""
        prompts = Prompts(lines, is_json=is_json, field=field, template=template, system=system, limit=limit)
        client = stack.enter_context(client_of(settings))
        results = client.map(
            prompts, concurrency=concurrency, ordered=output is None, requests_per_minute=rpm, journal=output
        )
        tally = Tally(lines.count(limit), output=output)
        write = _writing(client, terminal) if output is None else _write_nothing
        has_bar = not lines.is_terminal and (output is not None or not terminal.shows)
        try:
            with results, telling_progress(tally, terminal, has_bar=has_bar):
                _take(results, tally, write, fail_fast=fail_fast)
        except BrokenPipeError:  # who reads the answers has enough of them
            raise
        except BaseException as error:
            if tally.done or not isinstance(error, AcytooError | OSError):
                terminal.tell(tally.stopped(by_input=isinstance(error, InvalidRequestError)))
            raise
    _tell_end(tally, terminal, fail_fast=fail_fast)
    click.get_current_context().exit(tally.status)


def _take(results: Iterable[Answer], tally: Tally, write: Callable[[Answer], None], *, fail_fast: bool) -> None:
    for result in results:
        tally.add(result)
        write(result)
        if fail_fast and result.error is not None:
            break


def _write_nothing(result: Answer) -> None:
    """The journal has it."""


def _writing(client: Client, terminal: Terminal) -> Callable[[Answer], None]:
    """Writes each result to stdout, as it would stand in a journal."""
    options = client.options

    def write(result: Answer) -> None:
        key = key_of(result.item, model=options.model, temperature=options.temperature)
        terminal.write_json(entry_of(result, key=key, messages=result.item))

    return write


def _tell_end(tally: Tally, terminal: Terminal, *, fail_fast: bool) -> None:
    if not tally.failed:
        terminal.tell(tally.summary())
    elif fail_fast:
        terminal.tell(tally.stopped())
        terminal.fail(tally.first_failure)
    else:
        terminal.fail(tally.summary())
