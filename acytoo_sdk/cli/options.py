"""Options that commands share: which server is asked, and how; and what is shown. They only declare and collect."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import click

from .._secrets import Secret
from .._wire.payloads import FORMATS
from .display.terminal import Color, Terminal

F = TypeVar("F", bound=Callable[..., Any])

_TERMINAL = f"{__name__}.terminal"


@dataclass(frozen=True, repr=False)
class Flags:
    """What the command line says of settings; see `settings.merging` for the other sources.

    Attributes:
        values: by the name of the setting; those that were not given are not there. What may be a secret is wrapped.
        profile: of the settings file; None for none.
        local: whether a server is to be started for this one call.
    """

    values: dict[str, object]
    profile: str | None
    local: bool


class QuietCommand(click.Command):
    """A command that quotes no argument that is too many, since it may be a secret, or a part of one."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        surplus = super().parse_args(ctx, args)
        if surplus and not ctx.resilient_parsing:
            self.refuse_surplus(ctx)
        return surplus

    def refuse_surplus(self, ctx: click.Context) -> NoReturn:
        """Says that there are too many arguments."""
        raise click.UsageError("too many arguments: a value with blanks in it stands in quotes", ctx)


_LIMIT = click.FloatRange(min=0, min_open=True)
_SYSTEM = click.option("-s", "--system", metavar="TEXT", help="Instructions for the model, sent before the prompt.")
_BEFORE_TIMEOUT = (
    click.option(
        "--base-url",
        metavar="URL",
        help="The address of your server, for instance https://chat.example.com; also ACYTOO_BASE_URL.",
    ),
    click.option("--path", metavar="PATH", help="The path of its endpoint; default /api/completions."),
    click.option(
        "--payload",
        type=click.Choice([*FORMATS]),
        help="The format of what is sent: ai-sdk is that of the Vercel AI SDK's useChat, prompt that of its "
        "useCompletion; default acytoo.",
    ),
    click.option(
        "--local",
        is_flag=True,
        help="Try it without a server: ask one that is started for this call, and says back what was said.",
    ),
    click.option("-m", "--model", metavar="NAME", help="The model; also ACYTOO_MODEL; default gpt-3.5-turbo."),
    click.option("-t", "--temperature", type=float, metavar="NUMBER", help="The temperature, 0 to 2; default 0.5."),
)
_AFTER_TIMEOUT = (
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        metavar="N",
        help="How often a request that failed is sent again; default 2.",
    ),
    click.option(
        "--proxy", metavar="URL", help="The proxy for all requests; default: the environment's, as HTTPS_PROXY."
    ),
    click.option(
        "--ca",
        type=click.Path(exists=True),
        metavar="FILE",
        help="Certificates (PEM) to trust, in place of the usual ones.",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar="NAME=VALUE",
        help="A header to send as well; may be given again. A secret one: acytoo config set headers.NAME.",
    ),
)


def profile_option(function: F) -> F:
    """`--profile`, which may stand before the verb or after it."""
    return click.option(
        "--profile",
        metavar="NAME",
        shell_complete=_profiles,
        help="The profile of your settings file to use; also ACYTOO_PROFILE.",
    )(function)


def color_option(function: F) -> F:
    """`--color`, which may stand before the verb or after it."""
    return click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        help="Whether to write colours; default auto: on terminals, unless NO_COLOR is set.",
    )(function)


def connection_options(*, system: bool = True, timed: str = "a reply, with all its attempts") -> Callable[[F], F]:
    """The options of a command that asks a server; they reach it as `flags`.

    Args:
        system: whether it takes instructions, too.
        timed: what `--timeout` limits, for its help.
    """
    timeout = click.option(
        "--timeout",
        type=_LIMIT,
        metavar="SECONDS",
        help=f"The most time for {timed}; default: none in all, but 5 to connect, 60 until the reply begins, and 30 "
        "for each silence after that.",
    )

    def decorated(function: F) -> F:
        @functools.wraps(function)
        def collecting(*args: Any, local: bool, profile: str | None, headers: tuple[str, ...], **options: Any) -> Any:
            values = {name: options.pop(name) for name in names}
            given = {name: value for name, value in values.items() if value is not None}
            if headers:
                given["headers"] = Secret(dict(map(_header, headers)))
            if "proxy" in given:
                given["proxy"] = Secret(given["proxy"])
            flags = Flags(given, shared("profile") if profile is None else profile, local)
            del headers, values
            return function(*args, flags=flags, **options)

        names = ["base_url", "path", "payload", "model", "temperature", "timeout", "retries", "proxy", "ca"]
        chosen = [*_BEFORE_TIMEOUT, timeout, *_AFTER_TIMEOUT]
        if system:
            names.append("system")
            chosen.insert(0, _SYSTEM)
        command: Any = profile_option(collecting)
        for option in reversed(chosen):
            command = option(command)
        return command  # type: ignore[no-any-return]

    return decorated


def terminal_options(function: F) -> F:
    """`--color` and `-q`; they reach the command as `terminal`."""

    @functools.wraps(function)
    def collecting(*args: Any, color: Color | None, quiet: bool, **options: Any) -> Any:
        context = click.get_current_context()
        context.meta[_TERMINAL] = Terminal(color or shared("color") or "auto", quiet=quiet)
        return function(*args, terminal=context.meta[_TERMINAL], **options)

    command: Any = color_option(collecting)
    return click.option("-q", "--quiet", is_flag=True, help="Write nothing but errors to stderr.")(command)  # type: ignore[no-any-return]


def shared(name: str) -> Any:
    """The value of an option that stands before the verb, or before one of `config`'s; None where it does not."""
    context = click.get_current_context().parent
    while context is not None:
        if (value := context.params.get(name)) is not None:
            return value
        context = context.parent
    return None


def terminal_in_use(context: click.Context) -> Terminal:
    """That of the command that runs, or one for what stands before the verb."""
    terminal: Terminal = context.meta.get(_TERMINAL) or Terminal(context.params.get("color") or "auto")
    return terminal


def _profiles(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The profiles whose names go on from what was typed, for shells."""
    from .settings.file import profile_names

    return [name for name in profile_names() if name.startswith(typed)]


def _header(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not name or not mark:
        raise click.UsageError("--header takes NAME=VALUE")
    return name, value
