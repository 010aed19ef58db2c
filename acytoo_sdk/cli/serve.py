"""`acytoo serve`: a server for everybody who speaks this wire, in front of an OpenAI-compatible one, or of none."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .._checks import check_base_url
from .._hosts import is_loopback
from .._secrets import Secret
from ..errors import InvalidRequestError
from ..server.offline import FAULT_NAMES
from ..server.settings import Settings
from ..server.wire import curl_line
from .options import QuietCommand
from .statuses import sentence_of

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DEFAULTS = Settings()
_POSITIVE = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=1)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+")


def _seconds(
    name: str, default: float, what_for: str, *, least: click.FloatRange = _POSITIVE
) -> Callable[[_Function], _Function]:
    return click.option(name, type=least, default=default, show_default=True, metavar="SECONDS", help=what_for)


@click.command(cls=QuietCommand)
@click.option("--host", default=_DEFAULTS.host, show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULTS.port,
    show_default=True,
    metavar="PORT",
    help="0 picks a free one.",
)
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False),
    help="Serve https, with this certificate (PEM) and its key, which may be in the same file.",
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The key of --tls-cert, not encrypted.")
@click.option("--upstream", default="", metavar="URL", help="The OpenAI-compatible server to ask, with its /v1.")
@click.option("--model", default="", metavar="NAME", help="Ask the upstream for this model, whatever a client names.")
@click.option(
    "--model-map", multiple=True, metavar="A=B", help="Ask for B where a client names A; before --model. Repeatable."
)
@click.option("--upstream-key-env", metavar="VARIABLE", help="The environment variable that holds the upstream's key.")
@click.option(
    "--pass-client-key",
    is_flag=True,
    help="Send the upstream a client's own key, where it has one, instead of the server's.",
)
@click.option(
    "--password-env", metavar="VARIABLE", help="The environment variable that holds a password; clients must send it."
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Let web pages of this origin ask, as https://chat.example.com, or * for any. Repeatable.",
)
@_seconds(
    "--first-byte-timeout",
    _DEFAULTS.first_byte_timeout,
    "How long the upstream may take to the first byte of its reply.",
)
@_seconds("--idle-timeout", _DEFAULTS.idle_timeout, "How long the upstream may be silent after that.")
@click.option(
    "--max-body",
    type=_COUNT,
    default=_DEFAULTS.max_body,
    show_default=True,
    metavar="BYTES",
    help="Refuse longer questions (413).",
)
@click.option(
    "--max-streams",
    type=_COUNT,
    default=_DEFAULTS.max_streams,
    show_default=True,
    metavar="NUMBER",
    help="Refuse questions while so many replies are on their way (503).",
)
@_seconds(
    "--grace",
    _DEFAULTS.grace,
    "How long running replies may go on after SIGTERM or Ctrl-C.",
    least=click.FloatRange(min=0),
)
@click.option("--reply", metavar="TEXT", help="Without --upstream: answer this.")
@click.option("--echo", is_flag=True, help="Without --upstream: say back what was said (the default).")
@_seconds("--pause", _DEFAULTS.pause, "Without --upstream: wait so long between words.", least=click.FloatRange(min=0))
@click.option(
    "--fault",
    default="",
    metavar="NAME[=VALUE]",
    help=f"Without --upstream: go wrong each time, by one of {', '.join(FAULT_NAMES)}.",
)
def serve(
    *,
    model_map: tuple[str, ...],
    upstream: str,
    upstream_key_env: str | None,
    password_env: str | None,
    allow_origin: tuple[str, ...],
    echo: bool,
    **options: Any,
) -> None:
    """Serves chat replies as bare UTF-8 text, piece by piece.

    With --upstream, an OpenAI-compatible server answers: Ollama, llama.cpp, vLLM, LM Studio, OpenRouter, OpenAI. Where
    its reply breaks, what the client gets breaks too, and never looks whole. Without --upstream, the server says back
    what was said, so that a client can be tried.

    \b
    Examples:
      acytoo serve
      acytoo serve --upstream http://127.0.0.1:11434/v1 --model llama3.2
      acytoo serve --fault cut=2

    What a client gets when the upstream fails, who may ask, the log, and how to run it as a service or in a container:

    \b
      python -m pydoc acytoo_sdk.server
    """
    if echo and options["reply"] is not None:
        raise click.UsageError("--echo and --reply are two answers: leave one out")
    if options["tls_key"] and not options["tls_cert"]:
        raise click.UsageError("--tls-key alone serves no https: add --tls-cert FILE")
    if upstream and (echo or options["reply"] is not None or options["fault"]):
        raise click.UsageError("--echo, --reply and --fault answer offline: leave them out, or --upstream")
    try:
        settings = Settings(
            upstream=_upstream(upstream),
            model_map=dict(map(_pair, model_map)),
            upstream_key=_secret("--upstream-key-env", upstream_key_env),
            password=_secret("--password-env", password_env),
            allow_origins=tuple(map(_origin, allow_origin)),
            **options,
        )
        _run(settings)
    except InvalidRequestError as error:
        raise click.UsageError(sentence_of(error)) from error


def _run(settings: Settings) -> None:
    try:
        from ..server.log import Log
        from ..server.program import serve as run
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise InvalidRequestError("the server needs aiohttp: pip install 'acytoo-sdk[serve]'") from error
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries would tell stderr may quote a request
    log = Log(_stderr())

    def announce(url: str) -> None:
        click.echo(f"acytoo: listening on {url}")
        sys.stdout.flush()
        password = "ACYTOO_PASSWORD=... " if settings.password else ""
        log.tell(f"try it:  {password}acytoo ask --base-url {url} 'Hi'\nor:      {curl_line(url)}")
        if not settings.password and not is_loopback(settings.host):
            log.tell("Warning: whoever reaches this address may ask, at your expense: set --password-env VARIABLE")

    try:
        asyncio.run(run(settings, log=log, announce=announce))
    finally:
        log.close()


def _stderr() -> int:
    return sys.stderr.fileno()


def _upstream(url: str) -> str:
    return check_base_url("--upstream", url).removesuffix("/chat/completions") if url else ""


def _pair(text: str) -> tuple[str, str]:
    asked, _, sent = text.partition("=")
    if not asked or not sent:
        raise click.UsageError(f"--model-map takes A=B, not {text!r}")
    return asked, sent


def _secret(option: str, variable: str | None) -> Secret[str]:
    """The value of a variable: arguments can be seen by every user of the machine."""
    if variable is None:
        return Secret("")
    if not os.environ.get(variable):
        if not _VARIABLE.fullmatch(variable):
            raise click.UsageError(f"{option} takes the name of a variable: put the secret itself into one")
        raise click.UsageError(f"{option} names the variable {variable}, which is not set")
    return Secret(os.environ[variable])


def _origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise click.UsageError(f"--allow-origin takes an origin like https://chat.example.com, not {origin!r}")
    return origin
