"""`acytoo ask`: one question, its reply on stdout as it arrives, everything else on stderr."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from io import TextIOWrapper

import click

from .._client import Client
from .._wire.payloads import FORMATS
from ..protocol import DEFAULT_PATH, Message, Payload
from ..testing import FakeServer
from .terminal import Output


@click.command(no_args_is_help=False)
@click.argument("prompt", nargs=-1)
@click.option("--local", is_flag=True, help="Ask a local server, started for this one call: try it without a server.")
@click.option("--base-url", metavar="URL", help="Your server, for instance https://chat.example.com.")
@click.option("--path", metavar="PATH", default=DEFAULT_PATH, help=f"The endpoint; default {DEFAULT_PATH}.")
@click.option(
    "--payload",
    type=click.Choice([*FORMATS]),
    default="acytoo",
    help="What is sent: ai-sdk for the Vercel AI SDK's useChat, prompt for its useCompletion; default acytoo.",
)
@click.option("--model", metavar="NAME", help="The model; default gpt-3.5-turbo.")
@click.option("--temperature", type=float, metavar="NUMBER", help="From 0 to 2; default 0.5.")
@click.option("--system", metavar="TEXT", help="Instructions for the model, sent before the prompt.")
def ask(
    prompt: tuple[str, ...],
    local: bool,
    base_url: str | None,
    path: str,
    payload: Payload,
    model: str | None,
    temperature: float | None,
    system: str | None,
) -> None:
    """Sends PROMPT, or what stdin holds, and prints the reply as it arrives.

    \b
    Examples:
      acytoo ask --local 'Привет, как дела?'
      git diff | acytoo ask --base-url https://chat.example.com --system 'Review this change.'
      acytoo ask --base-url https://app.example.com --path /api/chat --payload ai-sdk Hi
    """
    question = _question(prompt)
    with ExitStack() as stack:
        if local:
            if base_url is not None:
                raise click.UsageError("--local starts a server of its own: leave --base-url out")
            base_url = stack.enter_context(FakeServer()).url
        elif not (base_url or os.environ.get("ACYTOO_BASE_URL")):
            raise click.UsageError("no server: pass --base-url URL, set ACYTOO_BASE_URL, or try --local")
        client = stack.enter_context(Client(base_url, path=path, payload=payload, model=model, temperature=temperature))
        instructions: list[Message] = [] if system is None else [{"role": "system", "content": system}]
        stream = stack.enter_context(client.stream([*instructions, {"role": "user", "content": question}]))
        output = Output()
        try:
            for piece in stream:
                output.add(piece)
        finally:
            if stream.text and not stream.text.endswith("\n"):
                output.add("\n")
        if stream.notice:
            click.echo(f"The server added a notice: {' '.join(stream.notice.split())}", err=True)


def _question(prompt: tuple[str, ...]) -> str:
    """The prompt from the arguments; `-`, or none, stands for stdin."""
    if prompt and prompt != ("-",):
        return " ".join(prompt)
    if sys.stdin is None or (sys.stdin.isatty() and not prompt):
        raise click.UsageError("no prompt: pass it as an argument, or on stdin")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")  # in some locales, what is no text would come as surrogates
    try:
        question = sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the prompt on stdin is not {error.encoding.upper()} at byte {error.start}") from error
    if not question:
        raise click.UsageError("the prompt is empty")
    return question
