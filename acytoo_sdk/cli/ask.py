"""`acytoo ask`: one question, its reply on stdout as it arrives, everything else on stderr."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from .asking.outputs import Output, output_of
from .asking.prompt import read_prompt
from .asking.report import reply_lines, request_lines, request_object, stats_line
from .display.keyboard import without_echo
from .display.terminal import Terminal
from .display.waiting import Waiting
from .options import Flags, connection_options, terminal_options
from .servers import settings_in_force
from .settings.clients import client_of
from .verbs import LEFT_OUT, refuse_near_miss

if TYPE_CHECKING:
    from .._streams.stream import Stream
    from ..protocol import Message, Request
    from .settings.merging import Settings


@click.command()
@click.argument("prompt", nargs=-1)
@connection_options()
@click.option(
    "--md/--raw",
    "markdown",
    default=None,
    help="Render Markdown, or leave the text as it came; default: render on terminals.",
)
@click.option("--no-stream", is_flag=True, help="Show the reply only once it has ended.")
@click.option(
    "--json",
    "form",
    flag_value="json",
    help="One JSON object at the end: text, whole, notice, stats, request_id, error.",
)
@click.option(
    "--jsonl",
    "form",
    flag_value="jsonl",
    help="A JSON object a line: each piece as it comes, and at the end that of --json.",
)
@click.option(
    "-x", "--extract", "form", flag_value="extract", help="Only the first code block of the reply, once it has ended."
)
@click.option("-u", "--stats", is_flag=True, help="Tell the time to the first piece and other figures, on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Tell what is sent and received, on stderr; secrets are masked.")
@click.option("--dry-run", is_flag=True, help="Show the request, and send nothing; secrets are masked.")
@terminal_options
def ask(
    prompt: tuple[str, ...],
    *,
    flags: Flags,
    terminal: Terminal,
    markdown: bool | None,
    no_stream: bool,
    form: str | None,
    stats: bool,
    verbose: bool,
    dry_run: bool,
) -> None:
    """Sends PROMPT, and prints the reply as it arrives.

    What is piped in goes before PROMPT, with a blank line between them. Without PROMPT, or where it is `-`, the prompt
    is read from stdin alone.

    \b
    Examples:
      acytoo ask --local 'Привет, как дела?'
      git diff | acytoo ask 'Review this change.'
      acytoo ask -x 'A shell script that counts lines' > count.sh
      acytoo ask --json 'Hi' | jq -r .text
      acytoo ask --base-url https://app.example.com \\
                 --path /api/chat --payload ai-sdk 'Hi'

    stdout is the reply and nothing else: in a pipe as it came, on a terminal as Markdown that grows, or in the form
    that an option names. What a server writes never controls your terminal. The exit status tells what went wrong: see
    `acytoo --help`.
    """
    if form is not None and (markdown is not None or no_stream):
        raise click.UsageError(f"--{form} has a form of its own: leave --md, --raw and --no-stream out")
    if prompt and LEFT_OUT in click.get_current_context().meta:
        refuse_near_miss(prompt)
    if dry_run:
        _show_request(prompt, flags, terminal, as_json=form in ("json", "jsonl"))
    else:
        output = output_of(form, terminal, markdown=markdown, at_end=no_stream)
        _ask(prompt, flags, terminal, output, verbose=verbose, stats=stats)


def _ask(
    prompt: tuple[str, ...], flags: Flags, terminal: Terminal, output: Output, *, verbose: bool, stats: bool
) -> None:
    with ExitStack() as stack:
        ended_by: BaseException | None = None
        try:
            settings = stack.enter_context(settings_in_force(flags, terminal))
            messages = _messages(read_prompt(prompt, terminal), settings)
            if verbose:
                terminal.tell_lines("> ", request_lines(_request(messages, settings)))
            client = stack.enter_context(client_of(settings))
            output.stream = stack.enter_context(client.stream(messages))
            if terminal.is_live:
                stack.enter_context(without_echo())
            with Waiting(terminal, output.stream, urlsplit(settings["base_url"]).netloc) as waiting:
                for piece in output.stream:
                    waiting.over()
                    output.add(piece)
        except BaseException as error:
            ended_by = error
            raise
        finally:
            output.end(ended_by)
            if output.stream is not None:
                _tell(output.stream, ended_by, terminal, verbose=verbose, stats=stats)


def _tell(stream: Stream, error: BaseException | None, terminal: Terminal, *, verbose: bool, stats: bool) -> None:
    if verbose:
        terminal.tell_lines("< ", reply_lines(stream, error))
    if stream.notice:
        terminal.tell(f"The server added a notice: {' '.join(stream.notice.split())}")
    if stats:
        terminal.tell(stats_line(stream))


def _show_request(prompt: tuple[str, ...], flags: Flags, terminal: Terminal, *, as_json: bool) -> None:
    with settings_in_force(flags, terminal) as settings:
        request = _request(_messages(read_prompt(prompt, terminal), settings), settings)
    if as_json:
        terminal.write_json(request_object(request))
    else:
        terminal.write("\n".join([*request_lines(request), ""]))


def _messages(prompt: str, settings: Settings) -> list[Message]:
    system: list[Message] = [{"role": "system", "content": settings["system"]}] if settings["system"] else []
    return [*system, {"role": "user", "content": prompt}]


def _request(messages: list[Message], settings: Settings) -> Request:
    """The request as it would be sent, with each secret masked."""
    options = client_of(settings, shown=True).options
    return options.request(messages, options.for_call(model=None, temperature=None, timeout=..., retry=None))
