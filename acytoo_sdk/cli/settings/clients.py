"""Clients: the command line, the environment and the user's file become settings; and settings, a client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from shlex import split
from typing import TypeVar

from ..._checks import check_verify
from ..._client import Client
from ..._options import RetryPolicy, Timeout
from ..._secrets import MASK, Secret, clears_frames, header_secrets, without_credentials
from ..._wire.payloads import MESSAGES_ALONE
from ...errors import InvalidRequestError
from ..options import Flags
from .file import read_file, settings_path
from .merging import PROFILE_VARIABLE, SETTINGS, Found, Settings, Tables, merge, of_environment, of_file, of_flags

C = TypeVar("C")


def read_settings(flags: Flags, *, base_url: str | None = None) -> Settings:
    """The settings in force: of the command line, the environment, the user's file, and the defaults.

    Args:
        flags: what the command line says.
        base_url: of a server that was started for this one call, and is asked whatever the settings say; None where
            none was started.

    Raises:
        InvalidRequestError: a value is not usable, or the file is refused; the place is named.
    """
    return settings_of(flags, read_tables(), base_url=base_url)


def read_tables() -> Tables:
    """What the user's file says.

    Raises:
        InvalidRequestError: the file is refused, or something in it; the place is named.
    """
    path = settings_path()
    return of_file(read_file(path), file=str(path))


def settings_of(flags: Flags, tables: Tables, *, base_url: str | None = None) -> Settings:
    """The same as `read_settings`, of a file that was read."""
    profile, place = profile_in_force(flags.profile)
    named = [setting.variable for setting in SETTINGS.values() if setting.variable]
    variables = Secret({name: os.environ.get(name, "") for name in named})
    given = Secret(flags.values)
    sources = [of_flags(given), of_environment(variables), *tables.of(profile, place=place)]
    return merge(sources, local=base_url, has_proxy=_environment_has_proxy)


def _environment_has_proxy(url: str) -> bool:
    from ..._network.transport import environment_proxies

    try:
        return bool(environment_proxies().address_for(url))
    except InvalidRequestError:  # which a call tells; whatever it is, it is not trusted
        return True


def profile_in_force(named: str | None) -> tuple[str | None, str]:
    """Which profile is asked for, None for none, and by what."""
    if named is not None:
        return named, "--profile"
    return os.environ.get(PROFILE_VARIABLE) or None, PROFILE_VARIABLE


def client_of(settings: Settings, *, shown: bool = False, retries: int | None = None) -> Client:
    """A client with these settings. A `key_command` is run now.

    Args:
        settings: those in force.
        shown: nothing is sent, but what would be is shown: in the place of each secret stands `***`, and no command is
            run.
        retries: further attempts; None: as many as the settings say.

    Raises:
        InvalidRequestError: a value is not usable, or the command yields no key.
    """
    return make_client(Client, settings, shown=shown, retries=retries)


@clears_frames
def make_client(kind: Callable[..., C], settings: Settings, *, shown: bool = False, retries: int | None = None) -> C:
    """The same as `client_of`, of either kind: `Client`, or `AsyncClient`, which a command need not import."""
    if settings["payload"] in MESSAGES_ALONE:
        _check_no_secret(settings)
    return kind(
        settings["base_url"],
        path=settings["path"],
        payload=settings["payload"],
        key=(_shown_key(settings) if shown else _key(settings)).reveal(),
        password=_text(settings["password"], shown=shown),
        model=settings["model"],
        temperature=settings["temperature"],
        headers=_headers(settings["headers"], shown=shown),
        timeout=limits(settings["timeout"]),
        retry=RetryPolicy(attempts=(settings["retries"] if retries is None else retries) + 1),
        proxy=_proxy(settings["proxy"], shown=shown),
        verify=True if settings["ca"] is None else check_verify(settings.found["ca"].place, settings["ca"]),
    )


def _check_no_secret(settings: Settings) -> None:
    """Refuses a secret for which the format has no place."""
    for name in ("key", "key_command", "password"):
        if settings[name]:
            raise InvalidRequestError(
                f"{settings.found[name].place} is set, and the payload {settings['payload']} has no place for it: what "
                "is to be sent stands in a header, see `acytoo config set headers.authorization`"
            )


def limits(total: float | None) -> Timeout:
    """The limits of a call that may take so many seconds in all; None: the usual ones.

    A longer time than usual is also given to the first byte and to each silence, which would else end the call sooner.
    """
    usual = Timeout()
    if total is None:
        return usual
    return Timeout(total=total, first_byte=max(usual.first_byte or 0, total), idle=max(usual.idle or 0, total))


def _text(secret: Secret[str] | None, *, shown: bool) -> str:
    # "" and not None, for which a client would look into the environment.
    return "" if not secret else MASK if shown else secret.reveal()


def _headers(headers: tuple[tuple[str, Secret[str]], ...], *, shown: bool) -> Mapping[str, str]:
    return {
        name: MASK if shown and any(header_secrets(name, value.reveal())) else value.reveal() for name, value in headers
    }


def _proxy(proxy: Secret[str] | None, *, shown: bool) -> str | None:
    if proxy is None:
        return None
    return without_credentials(proxy.reveal()) if shown else proxy.reveal()


def _shown_key(settings: Settings) -> Secret[str]:
    return Secret(MASK if settings["key"] or settings["key_command"] else "")


def _key(settings: Settings) -> Secret[str]:
    if settings["key_command"] is None:
        return settings["key"] or Secret("")
    return run_key_command(settings.found["key_command"])


@clears_frames
def run_key_command(found: Found) -> Secret[str]:
    """What a command prints, which is a key. It reads nothing, and its stderr is the command's own.

    It runs in the folder of the settings file: what it names by a relative path is no file of the working directory.

    Raises:
        InvalidRequestError: it cannot be run, fails, or prints anything but one line; what it printed is not told.
    """
    done = _run(found)
    if done.returncode < 0:
        raise InvalidRequestError(f"{found.place} was ended by signal {-done.returncode}")
    if done.returncode:
        raise InvalidRequestError(f"{found.place} failed with status {done.returncode}")
    failure = ""
    try:
        key = done.stdout.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:  # which holds what was printed
        failure = "what is not UTF-8"
    else:
        if key.splitlines() == [key]:
            return Secret(key)
        failure = "more than one line, and the key has to stand alone" if key else "no key"
    raise InvalidRequestError(f"{found.place} printed {failure}")


def _run(found: Found) -> subprocess.CompletedProcess[bytes]:
    try:
        # An interruption ends it, too.
        return subprocess.run(
            split(found.value),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=settings_path().parent,
            check=False,
        )
    except OSError as error:
        failure = error.strerror
    raise InvalidRequestError(f"{found.place} cannot be run: {failure}")
