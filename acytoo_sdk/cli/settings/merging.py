"""Settings: what a command is told of servers, merged from the command line, the environment and the user's file.

A key belongs to the address that it is kept beside: what a file keeps secret is sent to no other one, whoever names
that. Nothing is opened or read here; the file is in `file`, what is made of settings in `clients`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import split
from typing import Any

from ..._checks import (
    check_base_url,
    check_headers,
    check_number,
    check_path,
    check_secret,
    check_secret_proxy,
    check_temperature,
    check_text,
    type_name,
)
from ..._secrets import Secret, clears_frames
from ..._wire.payloads import FORMATS
from ...errors import InvalidRequestError
from ...protocol import DEFAULT_MODEL, DEFAULT_PATH, DEFAULT_TEMPERATURE

PROFILE_VARIABLE = "ACYTOO_PROFILE"
_PROFILES = "profiles"


def _check_count(place: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**6:
        raise InvalidRequestError(f"{place} must be a whole number, 0 or more")
    return value


def _check_seconds(place: str, value: object) -> float:
    return check_number(place, value, above=0)


def _check_format(place: str, value: object) -> str:
    if not isinstance(value, str) or value not in FORMATS:
        raise InvalidRequestError(f"{place} must be one of {', '.join(FORMATS)}")
    return value


def _check_command(place: str, value: object) -> str:
    command = check_text(place, value)
    words: list[str] = []
    failure = "names no program"
    try:
        words = split(command)
    except ValueError:
        failure = "has a quote that is not closed"
    if not words or "\0" in command:
        raise InvalidRequestError(f"{place} {failure}")
    return command


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        name: in the file, and after `acytoo config set`.
        what: what it is, in a few words, for `acytoo config --help`.
        check: takes the place that a value stands at, and the value, and returns the value as it will be used.
        default: where no source names one; None where there is none.
        variable: the environment variable, or None.
        secret: whether its value is never shown, nor taken from the arguments of a command.
        bound: whether it is sent to the address that it is kept beside, and to no other.
        from_text: reads what a person typed, raising ValueError.
    """

    name: str
    what: str
    check: Callable[[str, Any], object]
    default: object = None
    variable: str | None = None
    secret: bool = False
    bound: bool = False
    from_text: Callable[[str], object] = str

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--header" if self.name == "headers" else f"--{self.name.replace('_', '-')}"

    @property
    def explained(self) -> str:
        """What it is, its variable, and its default."""
        variable = f"; also {self.variable}" if self.variable else ""
        default = f"; default {self.default}" if self.default not in (None, ()) else ""
        return f"{self.what}{variable}{default}"


_TABLE = (
    Setting("base_url", "the address of your server", check_base_url, variable="ACYTOO_BASE_URL"),
    Setting("path", "the path of its endpoint", check_path, DEFAULT_PATH),
    Setting("payload", "the format of what is sent: acytoo, ai-sdk or prompt", _check_format, "acytoo"),
    Setting("key", "the service's key", check_secret, variable="ACYTOO_KEY", secret=True, bound=True),
    Setting("key_command", "a command that prints the key, instead of key", _check_command, bound=True),
    Setting("password", "the service's password", check_secret, variable="ACYTOO_PASSWORD", secret=True, bound=True),
    Setting("model", "the model", check_text, DEFAULT_MODEL, variable="ACYTOO_MODEL"),
    Setting("temperature", "the temperature, from 0 to 2", check_temperature, DEFAULT_TEMPERATURE, from_text=_number),
    Setting("system", "instructions for the model, sent before the prompt", check_text),
    Setting("timeout", "the most seconds for a reply, as --timeout", _check_seconds, from_text=_number),
    Setting("retries", "how often a request that failed is sent again", _check_count, 2, from_text=int),
    Setting("proxy", "the proxy for all requests; default: the environment's", check_secret_proxy, secret=True),
    Setting("ca", "a file of certificates to trust, in place of the usual ones", check_text),
    Setting("headers", "headers to send as well, each as headers.NAME", check_headers, (), secret=True, bound=True),
)
SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _TABLE}
"""Every setting by its name, in the order in which they are shown."""

# What belongs to an address, and its noun in a sentence. A key can be given in two ways, so the source that is heard
# for one of them is heard for both: ACYTOO_KEY, for instance, silences the `key_command` of the file.
_BOUND = {("key", "key_command"): "the key", ("password",): "the password", ("headers",): "the headers"}


@dataclass(frozen=True)
class Found:
    """A value, checked, and where it was found.

    Attributes:
        value: a secret is wrapped; None where there is none.
        source: in the words of a list: "flag --model", "ACYTOO_MODEL", "profile work", "the settings file", "default".
        place: in the words of an error.
    """

    value: Any
    source: str
    place: str = ""


@dataclass(frozen=True)
class Source:
    """What one source says, checked.

    Attributes:
        values: by the name of the setting.
        where: which table of which file it is; "" for the command line and the environment.
        address: that which its secrets belong to; None where it names none. Of use for a file alone: who passes a
            secret on the command line or in the environment has chosen where it goes.
    """

    values: Mapping[str, Found]
    where: str = ""
    address: str | None = None

    @property
    def bound(self) -> list[str]:
        """The settings in it that belong to its address."""
        return [name for name in self.values if SETTINGS[name].bound]


@dataclass(frozen=True)
class Tables:
    """What the user's file says, checked.

    Attributes:
        file: its path.
        top: what stands at its top level.
        profiles: by their names.
    """

    file: str
    top: Source = field(default_factory=lambda: Source({}))
    profiles: Mapping[str, Source] = field(default_factory=dict)

    def of(self, profile: str | None, *, place: str = "--profile") -> tuple[Source, ...]:
        """The tables in which a setting is looked for, in this order: the profile's, if one is named, and the top.

        Raises:
            InvalidRequestError: there is no such profile; `place` named it.
        """
        if profile is None:
            return (self.top,)
        if profile not in self.profiles:
            others = near(profile, self.profiles, "the profiles") or "there are none"
            raise InvalidRequestError(f"{place} names a profile that is not in {self.file}: {others}")
        return self.profiles[profile], self.top


class Settings:
    """The settings in force; shows no secret.

    Attributes:
        found: each setting, also where it has its default.
        withheld: a sentence for each secret of the file that is not sent, and why.
    """

    def __init__(self, found: Mapping[str, Found], *, withheld: Sequence[str] = ()) -> None:
        self.found = found
        self.withheld = tuple(withheld)

    def __getitem__(self, name: str) -> Any:
        """The value of a setting, as its check returned it; None where it has none."""
        return self.found[name].value


@clears_frames
def of_flags(values: Secret[Mapping[str, object]]) -> Source:
    """What the command line says; what may be a secret may be wrapped once more."""
    found = {}
    for name, value in values.reveal().items():
        setting = SETTINGS[name]
        plain = value.reveal() if isinstance(value, Secret) else value
        found[name] = Found(setting.check(setting.flag, plain), f"flag {setting.flag}", setting.flag)
    return Source(found)


@clears_frames
def of_environment(variables: Secret[Mapping[str, str]]) -> Source:
    """What environment variables say; an empty one is unset."""
    found = {}
    for setting in SETTINGS.values():
        if setting.variable and (value := variables.reveal().get(setting.variable)):
            found[setting.name] = Found(setting.check(setting.variable, value), setting.variable, setting.variable)
    return Source(found)


@clears_frames
def of_file(document: Secret[Mapping[str, object]], *, file: str) -> Tables:
    """What a file says, all of its tables checked.

    Raises:
        InvalidRequestError: a setting is unknown, or its value is not usable; the place is named, and no value.
    """
    content = {**document.reveal()}
    profiles = content.pop(_PROFILES, {})
    if not isinstance(profiles, Mapping):
        raise InvalidRequestError(f"{file}: {_PROFILES} must be a table of profiles, not {type_name(profiles)}")
    top = _table(content, file, "", "the settings file", file, None)
    tables = {}
    for name, table in profiles.items():
        place = f"{_PROFILES}.{name}"
        if not isinstance(table, Mapping):
            raise InvalidRequestError(f"{file}: {place} must be a table, [{place}]")
        tables[name] = _table(table, file, f"{place}.", f"profile {name}", f"profile {name} of {file}", top.address)
    return Tables(file, top, tables)


def _table(
    content: Mapping[str, object], file: str, prefix: str, source: str, where: str, inherited: str | None
) -> Source:
    found = {}
    for name, value in content.items():
        place = f"{file}: {prefix}{name}"
        if name not in SETTINGS:
            known = [*SETTINGS, *([] if prefix else [_PROFILES])]
            raise InvalidRequestError(f"{place} is no setting: {near(name, known, 'the settings')}")
        if name == "ca" and isinstance(value, str) and value:
            value = os.path.join(os.path.dirname(file), os.path.expanduser(value))
        found[name] = Found(SETTINGS[name].check(place, value), source, place)
    if "key" in found and "key_command" in found:
        raise InvalidRequestError(f"{file}: {prefix}key and {prefix}key_command are two keys: leave one out")
    address = found["base_url"].value if "base_url" in found else inherited
    return Source(found, where, address)


def check_move(before: Tables, after: Tables) -> None:
    """Refuses a change of the file that would have a secret stand beside another address, or beside none.

    Raises:
        InvalidRequestError: it would; what to do instead is named.
    """
    for name, table in [("", after.top), *after.profiles.items()]:
        old = before.profiles.get(name, Source({})) if name else before.top
        verb = f"acytoo config{f' --profile {name}' if name else ''}"
        for secret in table.bound:
            moved = secret in old.values and old.address is not None and old.address != table.address
            if moved:
                raise InvalidRequestError(
                    f"{secret} in {table.where} belongs to {old.address}: take it out first, with `{verb} unset "
                    f"{secret}`; or keep both servers, the other one in a profile: acytoo config --profile NAME set "
                    "base_url URL"
                )
            if table.address is None and secret not in old.values:
                raise InvalidRequestError(
                    f"{secret} would belong to no server: name it first, with `{verb} set base_url URL`"
                )


def merge(
    sources: Sequence[Source], *, local: str | None = None, has_proxy: Callable[[str], bool] = lambda url: False
) -> Settings:
    """The settings in force.

    Args:
        sources: the most important first. A setting is taken from the first source that names it, but secrets in a file
            are passed over where they belong to another address than the one in force.
        local: the address of a server that was started for this one call: no other is asked, and through no proxy that
            the file names.
        has_proxy: whether the environment names a proxy for an address.
    """
    found = {name: Found(setting.default, "default") for name, setting in SETTINGS.items()}
    for source in reversed(sources):
        found |= {name: one for name, one in source.values.items() if not SETTINGS[name].bound}
    if local is not None:
        found["base_url"] = Found(local, "--local", "--local")
        if found["proxy"].place not in ("", SETTINGS["proxy"].flag):
            found["proxy"] = Found(None, "default")
    withheld = []
    for names, noun in _BOUND.items():
        heard: dict[str, list[Found]] = {}
        for source in sources:
            own = [name for name in names if name in source.values]
            if not own:
                continue
            if source.where and (source.address is None or source.address != found["base_url"].value):
                withheld.append(_not_sent(noun, source, found["base_url"]))
                continue
            if source.where and (named_by := _foreign_proxy(found, has_proxy)):
                withheld.append(_not_for_proxy(noun, source, named_by))
                continue
            for name in own:
                heard.setdefault(name, []).append(source.values[name])
            if names != ("headers",):
                break
        found |= {name: _joined(several) for name, several in heard.items()}
    return Settings(found, withheld=[] if local is not None else withheld)


def _foreign_proxy(found: Mapping[str, Found], has_proxy: Callable[[str], bool]) -> str:
    """What names a proxy that could read what is sent, since it is not encrypted.

    "" where there is no such proxy, and where the file itself names it: it is then as much the user's choice as the
    secret.
    """
    proxy, url = found["proxy"], found["base_url"].value
    if not url.startswith("http://"):
        return ""
    if proxy.value is None:
        return "the environment" if has_proxy(url) else ""
    return proxy.place if proxy.place == SETTINGS["proxy"].flag else ""


def _joined(several: Sequence[Found]) -> Found:
    """One value; of headers, the first of each name."""
    if len(several) == 1:
        return several[0]
    headers: dict[str, Secret[str]] = {}
    for one in several:
        for name, value in one.value:
            headers.setdefault(name, value)
    return Found(tuple(headers.items()), ", ".join(one.source for one in several), several[0].place)


def _not_sent(noun: str, source: Source, base_url: Found) -> str:
    are, belong, them = _forms(noun)
    if source.address is None:
        return f"{noun} in {source.where} {are} not sent: no base_url stands beside {them}"
    named_by = base_url.source.removeprefix("flag ")
    return (
        f"{noun} in {source.where} {belong} to {source.address} and {are} not sent to {base_url.value}, which "
        f"{named_by} names"
    )


def _not_for_proxy(noun: str, source: Source, named_by: str) -> str:
    are, _, them = _forms(noun)
    return (
        f"{noun} in {source.where} {are} not sent: {source.address} is plain http, and the proxy that {named_by} names "
        f"would read {them}"
    )


def _forms(noun: str) -> tuple[str, str, str]:
    return ("are", "belong", "them") if noun.endswith("s") else ("is", "belongs", "it")


def near(name: str, known: Iterable[str], noun: str) -> str:
    """A sentence for a name that is unknown: which known one is close to it, whether in capitals or not, else all."""
    from difflib import get_close_matches

    names = [*known]
    folded = {each.casefold(): each for each in names}
    if close := get_close_matches(name.casefold(), folded, n=1):
        return f"did you mean {folded[close[0]]}?"
    return f"{noun} are {', '.join(names)}" if names else ""
