"""`acytoo config`: shows the settings, and changes the user's file. Secrets are neither shown nor arguments."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from .._secrets import MASK, Secret, clears_frames, without_credentials
from ..errors import InvalidRequestError
from .display.terminal import Terminal
from .options import Flags, QuietCommand, profile_option, shared, terminal_options

if TYPE_CHECKING:
    from pathlib import Path

    from .settings.merging import Found

F = TypeVar("F", bound=Callable[..., Any])

_UNSET = 1
"""The exit status where a setting has no value."""
_IN_HISTORY = (
    "is not taken from the arguments, which others may see: leave it out, and type it when asked, or pass it on stdin. "
    "What was typed may be in your shell's history now"
)


class _Group(click.Group):
    """Refuses an unknown verb without quoting it: who forgets the verb may have typed a secret."""

    command_class = QuietCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            from .settings.merging import near

            raise InvalidRequestError(f"config has no such verb: {near(args[0], self.commands, 'its verbs')}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs, each with its whole first sentence."""
        verbs = [(name, command.get_short_help_str(limit=200)) for name, command in self.commands.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(verbs)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the settings: what each is, its variable, its default."""
        from .settings.merging import SETTINGS

        with formatter.section("Settings"):
            formatter.write_dl([(setting.name, setting.explained) for setting in SETTINGS.values()])


class _Set(QuietCommand):
    """Says of a secret in several arguments what is said of one in a single argument."""

    def refuse_surplus(self, ctx: click.Context) -> NoReturn:
        from .settings.changes import setting_of

        name = ctx.params["name"]
        setting, _ = setting_of(name)
        if setting.secret:
            raise InvalidRequestError(f"{name} {_IN_HISTORY}")
        super().refuse_surplus(ctx)


def _hidden(context: click.Context, parameter: click.Parameter, value: str | None) -> Secret[str] | None:
    return None if value is None else Secret(value)


def _takes_profile(function: F) -> F:
    """`--profile` of a verb: it may stand before the verb, too."""

    @functools.wraps(function)
    def collecting(*args: Any, profile: str | None, **options: Any) -> Any:
        return function(*args, profile=shared("profile") if profile is None else profile, **options)

    return profile_option(collecting)  # type: ignore[return-value]


def _names(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The settings whose names go on from what was typed, for shells."""
    from .settings.merging import SETTINGS

    return [name for name in SETTINGS if name.startswith(typed)]


_name = click.argument("name", shell_complete=_names)


@click.group(cls=_Group, invoke_without_command=True, subcommand_metavar="[VERB] [ARGS]...")
@_takes_profile
@click.option("--json", "as_json", is_flag=True, help="One JSON object: file, profile, profiles, settings, withheld.")
@terminal_options
@click.pass_context
def config(context: click.Context, *, profile: str | None, as_json: bool, terminal: Terminal) -> None:
    """Shows your settings and where each comes from; its verbs change your settings file.

    An option of a command beats the environment, which beats the profile, which beats the rest of the file. Settings
    are read from no other place: not from the working directory, nor from a file that others may write.

    \b
    Examples:
      acytoo config set base_url https://chat.example.com
      acytoo config set key               asks for it, or reads it from stdin
      acytoo config set key_command 'pass show acytoo'
      acytoo config --profile local set base_url http://127.0.0.1:8000

    `acytoo config path` says where the file is; a new one can be read by you alone. No secret is shown, nor taken from
    the arguments. A key can stay out of the file: key_command is run, in the file's folder, whenever something is sent,
    and prints the key.

    The key, the password and the headers in the file belong to the base_url that they stand beside. They are sent to no
    other address, whoever names it, and not over plain http through a proxy that the file does not name. When one of
    them is not sent, you are told so.

    A profile has settings for another server, and takes what it does not name from the top level of the file. It is
    chosen by --profile or ACYTOO_PROFILE.
    """
    context.obj = terminal
    if context.invoked_subcommand is None:
        _show(terminal, profile, as_json=as_json)
    elif as_json:
        raise click.UsageError("--json shows all settings: leave it out, or the verb")


@config.command("get")
@_name
@_takes_profile
@click.pass_obj
def get(terminal: Terminal, name: str, *, profile: str | None) -> None:
    """Prints the value of a setting that is no secret.

    NAME is one of the settings that `acytoo config --help` lists, or headers.NAME for a header. The exit status is 1
    where the setting has no value.

    \b
    Example:
      acytoo config get model
    """
    from .settings.changes import setting_of
    from .settings.clients import read_settings

    setting, header = setting_of(name)
    value = read_settings(Flags({}, profile, False))[setting.name]
    if header is not None:
        value = dict(value).get(header.lower())
    if value is None or value == ():
        click.get_current_context().exit(_UNSET)
    if setting.secret and not _may_be_shown(setting.name, value):
        raise InvalidRequestError(f"{name} is a secret, which is not printed")
    terminal.write(f"{value.reveal() if isinstance(value, Secret) else value}\n")


@config.command("set", cls=_Set)
@_name
@click.argument("value", required=False, callback=_hidden)
@_takes_profile
@click.pass_obj
def set_(terminal: Terminal, name: str, value: Secret[str] | None, *, profile: str | None) -> None:
    """Writes a setting to your file. A secret is asked for, or read from stdin.

    NAME is one of the settings that `acytoo config --help` lists, or headers.NAME for a header. VALUE is read from
    stdin where it is left out. With --profile, the setting is written to that profile, which is made if it is not
    there.

    \b
    Examples:
      acytoo config set model gpt-4o-mini
      acytoo config set headers.authorization < token.txt
    """
    from .settings.changes import owner_of, setting_of, table_name, write_setting
    from .settings.clients import profile_in_force
    from .settings.file import settings_path

    setting, header = setting_of(name)
    if value is not None and setting.secret and not _may_be_shown(setting.name, value):
        raise InvalidRequestError(f"{name} {_IN_HISTORY}")
    if setting.name == "headers" and header is None:
        raise InvalidRequestError("headers are set one by one: acytoo config set headers.NAME")
    path, (profile, place) = settings_path(), profile_in_force(profile)
    owner = owner_of(setting, profile) if setting.bound else ""
    typed = value if value is not None else _typed(name, owner, secret=setting.secret)
    is_new = write_setting(path, profile, setting, header, typed)
    terminal.tell(f"{name} is set in {table_name(path, profile)}{f', which is new: {place} names it' * is_new}")


@config.command("unset")
@_name
@_takes_profile
@click.pass_obj
def unset(terminal: Terminal, name: str, *, profile: str | None) -> None:
    """Takes a setting out of your file.

    NAME is one of the settings that `acytoo config --help` lists, or headers.NAME for a header. With --profile, it is
    taken out of that profile. The exit status is 1 where it is not there.

    \b
    Example:
      acytoo config --profile local unset model
    """
    from .settings.changes import table_name, unset_setting
    from .settings.clients import profile_in_force
    from .settings.file import settings_path

    path, (profile, _) = settings_path(), profile_in_force(profile)
    if not unset_setting(path, profile, name):
        terminal.tell(f"{name} is not set in {table_name(path, profile)}")
        click.get_current_context().exit(_UNSET)
    terminal.tell(f"{name} is no longer set in {table_name(path, profile)}")


@config.command("path")
@click.pass_obj
def path_(terminal: Terminal) -> None:
    """Prints the path of your settings file, whether the file exists or not."""
    from .settings.file import settings_path

    terminal.write(f"{settings_path()}\n")


@config.command("edit")
@click.pass_obj
def edit(terminal: Terminal) -> None:
    """Opens your settings file in $VISUAL or $EDITOR, and checks what was written."""
    from .settings.clients import read_tables
    from .settings.file import create_file, settings_path

    path = settings_path()
    named_by = next((name for name in ("VISUAL", "EDITOR") if os.environ.get(name)), None)
    if named_by is None and (sys.stdin is None or not sys.stdin.isatty()):
        raise InvalidRequestError("an editor needs a terminal, unless VISUAL or EDITOR names one that does not")
    create_file(path)
    _edit(path, named_by)
    read_tables()
    terminal.tell(f"{path} is in order")


def _edit(path: Path, named_by: str | None) -> None:
    try:
        click.edit(filename=str(path))
        return
    except (click.ClickException, ValueError):  # which quote the system's own words
        pass
    which = f"the editor that {named_by} names" if named_by else "the editor"
    raise InvalidRequestError(f"{which} is not there, or failed: VISUAL or EDITOR names another one")


# What is shown


def _show(terminal: Terminal, profile: str | None, *, as_json: bool) -> None:
    from .settings.clients import profile_in_force, read_tables, settings_of

    tables = read_tables()
    settings = settings_of(Flags({}, profile, False), tables)
    profile, _ = profile_in_force(profile)
    for sentence in settings.withheld:
        terminal.tell(sentence)
    if as_json:
        listed = {name: {"value": _masked(name, one), "source": one.source} for name, one in settings.found.items()}
        terminal.write_json(
            {
                "file": tables.file,
                "profile": profile,
                "profiles": [*tables.profiles],
                "settings": listed,
                "withheld": [*settings.withheld],
            }
        )
        return
    others = ", ".join(f"{name} (in force)" if name == profile else name for name in tables.profiles)
    lines = [tables.file, f"profiles: {others or 'none'}", ""]
    lines += [f"{name:<12} {_listed(name, one)}" for name, one in settings.found.items()]
    terminal.write("".join(f"{line}\n" for line in map(_in_one_line, lines)))


def _listed(name: str, found: Found) -> str:
    value = _masked(name, found)
    if not value and found.source == "default":
        return "not set"
    text = ", ".join(f"{each}={mask}" for each, mask in value.items()) if isinstance(value, Mapping) else value
    return f"{text}  ({found.source})"


def _masked(name: str, found: Found) -> Any:
    """A value without what is secret of it."""
    value = found.value
    if name == "headers":
        return {each: MASK for each, _ in value}
    if not isinstance(value, Secret):
        return value
    if _may_be_shown(name, value):
        return value.reveal()
    return without_credentials(value.reveal()).replace("//", f"//{MASK}@", 1) if name == "proxy" else MASK


def _may_be_shown(name: str, value: Secret[str]) -> bool:
    """Whether what may be a secret is none: the address of a proxy, without a user and a password."""
    return name == "proxy" and "@" not in value.reveal()


def _in_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@clears_frames
def _typed(name: str, owner: str, *, secret: bool) -> Secret[str]:
    """A value that is asked for on a terminal, unseen, or is all of stdin."""
    if sys.stdin is not None and sys.stdin.isatty():
        if not secret:
            raise click.UsageError("Missing argument 'VALUE'.")
        return Secret(click.prompt(f"{name} for {owner}" if owner else name, hide_input=True, err=True))
    failure = "is empty"
    try:
        text = "" if sys.stdin is None else sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:  # which holds what was read
        failure = f"is not UTF-8 at byte {error.start}"
    else:
        if text and not (secret and text.splitlines() != [text]):
            return Secret(text)
        failure = "has more than one line" if text else failure
    raise InvalidRequestError(f"stdin, which {name} is read from, {failure}")
