"""The command group: what `acytoo --help` shows, what is done without a verb, and how any command's failure is told."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from .._version import __version__
from ..errors import AcytooError
from .options import color_option, profile_option, terminal_in_use
from .statuses import EXPLAINED, INTERRUPTED, hint_of, sentence_of, status_of
from .verbs import LEFT_OUT, VERBS, WITHOUT_VERB, refuse_near_miss


class _Group(click.Group):
    """Imports a command when it is asked for. What begins with no verb is a prompt for `ask`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{cmd_name}", __package__), cmd_name)
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([*VERBS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        index = self._end_of_own_options(ctx, args)
        own, rest = args[:index], args[index:]
        if ctx.resilient_parsing or rest[:1] in _AS_VERBS or index > len(args):
            return super().parse_args(ctx, args)
        if rest == ["help"] or (not rest and _on_terminal()):
            return super().parse_args(ctx, [*own, "--help"])
        if rest[:1] == ["help"] and rest[1] in VERBS:
            return super().parse_args(ctx, [*own, rest[1], "--help"])
        if rest[:1] == ["help"]:
            refuse_near_miss(tuple(rest[1:]))
        if rest and not rest[0].startswith("-"):
            refuse_near_miss(tuple(rest))
        ctx.meta[LEFT_OUT] = True
        return super().parse_args(ctx, [*own, WITHOUT_VERB, *rest])

    def _end_of_own_options(self, ctx: click.Context, args: list[str]) -> int:
        own = {name: option for option in self.get_params(ctx) for name in option.opts}
        index = 0
        while index < len(args) and (option := own.get(args[index].partition("=")[0])) is not None:
            if isinstance(option, click.Option) and option.is_flag:
                break  # `--help` or `--version`: nothing else counts
            index += 1 if "=" in args[index] else 2
        return index

    def invoke(self, ctx: click.Context) -> Any:
        """Tells errors of the SDK in one sentence, each with its status, and Ctrl-C by its status alone."""
        try:
            return super().invoke(ctx)
        except AcytooError as error:
            terminal_in_use(ctx).fail(sentence_of(error), hint_of(error))
            ctx.exit(status_of(error))
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


_AS_VERBS = [[verb] for verb in (*VERBS, "-h", "--help", "--version")]


def _on_terminal() -> bool:
    return sys.stdin is None or sys.stdin.isatty()


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="[VERB] [ARGS]...",
    epilog=f"\b\n{EXPLAINED}",
)
@profile_option
@color_option
@click.version_option(__version__, message="acytoo-sdk %(version)s")
def app(**options: Any) -> None:
    """Streams chat replies from endpoints that send bare UTF-8 text.

    \b
    Examples:
      acytoo ask --local 'Hello'               a first reply, without a server
      acytoo config set base_url http://127.0.0.1:8000
      acytoo 'What is a stream?'               the same as: acytoo ask ...
      git diff | acytoo 'Review this change.'  the prompt follows what is piped
      acytoo chat                              a conversation
      acytoo batch prompts.txt -o answers.jsonl
      acytoo doctor                            what is wrong with this server?

    `acytoo VERB --help` explains each verb. The reply goes to stdout, and everything else that is told to stderr.

    Settings come from the options, then the environment (ACYTOO_BASE_URL, ACYTOO_KEY, ACYTOO_PASSWORD, ACYTOO_MODEL,
    ACYTOO_PROFILE), then your settings file: see `acytoo config --help`. No secret ever has to stand in the
    arguments, which every user of the machine can see.

    \b
    Tab completes words once your shell's own file holds one of these lines:
      eval "$(_ACYTOO_COMPLETE=bash_source acytoo)"    ~/.bashrc
      eval "$(_ACYTOO_COMPLETE=zsh_source acytoo)"     ~/.zshrc
      _ACYTOO_COMPLETE=fish_source acytoo | source     ~/.config/fish/config.fish
    """
