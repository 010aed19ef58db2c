"""The command group: which verbs there are, and what is done without one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from .._version import __version__
from .options import color_option, profile_option, shared
from .statuses import EXPLAINED

_VERBS = ("ask", "chat", "doctor", "config", "serve")
_WITHOUT_VERB = "ask"


class _Group(click.Group):
    """Imports a command when it is asked for; what begins with no verb is a prompt for `ask`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_VERBS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{name}", __package__), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and sys.stdin is not None and not sys.stdin.isatty() and not ctx.resilient_parsing:
            args = [_WITHOUT_VERB]
        index = self._first_of_verb(ctx, args)
        if index < len(args) and args[index] not in _VERBS and not ctx.resilient_parsing:
            refuse_near_miss(args[index:])
            args = [*args[:index], _WITHOUT_VERB, *args[index:]]
        return super().parse_args(ctx, args)

    def _first_of_verb(self, ctx: click.Context, args: list[str]) -> int:
        """Where the options of the group end."""
        index = 0
        own = {name: option for option in self.get_params(ctx) for name in option.opts}
        while index < len(args) and (option := own.get(args[index].partition("=")[0])) is not None:
            takes_next = not getattr(option, "is_flag", False) and "=" not in args[index]
            index += 2 if takes_next else 1
        return index


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    options_metavar="[OPTIONS]",
    subcommand_metavar="[VERB] ...",
    epilog=f"\b\n{EXPLAINED}",
    no_args_is_help=True,
)
@profile_option
@color_option
@click.version_option(__version__, message="acytoo-sdk %(version)s")
def app(**options: Any) -> None:
    """Streams chat replies from endpoints that send bare UTF-8 text.

    \b
    Examples:
      acytoo ask --local 'Hello'                    try it without a server
      acytoo 'What is a stream?'                    the same as: acytoo ask ...
      git diff | acytoo 'Review this change.'       what is piped goes before the prompt
      acytoo chat                                   a conversation
      acytoo config set base_url http://127.0.0.1:8000
      acytoo doctor                                 what is wrong with my server?

    The server is named by --base-url, by ACYTOO_BASE_URL, or in the settings: see acytoo config --help.
    """


def refuse_near_miss(words: list[str]) -> None:
    """Refuses what looks like a mistyped command: it is not sent as a prompt, since a secret may be in it.

    Raises:
        click.UsageError: the first word is nearly a verb, or the words set or ask for a setting.
    """
    word = words[0]
    near = next((verb for verb in _VERBS if is_near_miss(word, verb)), None)
    if near is None and {"get", "set", "unset"} & {*words[:2]} and len(words) > 1:
        near = "config"
    if near is not None:
        raise click.UsageError(f"no such command: {word!r}. Did you mean {near}? To send it as a prompt: acytoo ask ...")


def is_near_miss(word: str, verb: str) -> bool:
    """Whether a word is a verb with a slip of the finger in it, its beginning, or goes on after it.

    The first letter is seldom wrong: `what`, the beginning of many a question, is not nearly `chat`.
    """
    word = word.lower()
    if len(word) > 2 and verb.startswith(word):
        return True
    slips = 2 if len(verb) > 5 else 1
    if len(verb) > 5 and word.startswith(verb) and " " not in word:
        return True
    return word[:1] == verb[0] and _slips(word, verb) <= slips or sorted(word) == sorted(verb) and word[1:2] == verb[0]


def _slips(word: str, verb: str) -> int:
    """How many letters are wrong, missing, too much, or in each other's place.

    Source: the optimal string alignment distance.
    """
    rows = [[*range(len(verb) + 1)]]
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, wanted in enumerate(verb, 1):
            least = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == verb[j - 2] and word[i - 2] == wanted:
                least = min(least, rows[i - 2][j - 2] + 1)
            row.append(least)
        rows.append(row)
    return rows[-1][-1]


__all__ = ["app", "is_near_miss", "refuse_near_miss", "shared"]
