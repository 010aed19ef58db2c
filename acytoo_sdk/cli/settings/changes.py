"""What `acytoo config` changes in the user's file: each change is checked, and moves no secret to another address."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._checks import check_verify
from ..._secrets import Secret, clears_frames
from ...errors import InvalidRequestError
from .clients import read_tables
from .file import change_file, put, read_file, take_out
from .merging import SETTINGS, Setting, Tables, check_move, near, of_file

if TYPE_CHECKING:
    from .file import TOMLDocument

_IN_PROFILE = re.compile(r"profiles\.([\w-]+)\.(\w+)(?:\.[\w.-]+)?", re.ASCII)
_HEADER = re.compile(r"[\w.-]+", re.ASCII)


def setting_of(name: str) -> tuple[Setting, str | None]:
    """The setting of a name, and the header of `headers.NAME`.

    Raises:
        InvalidRequestError: there is none; what was typed instead may be a secret, and is not quoted.
    """
    stem, dot, header = name.partition(".")
    if stem == "headers" and dot:
        if not _HEADER.fullmatch(header):
            raise InvalidRequestError("after headers. stands the name of a header, and nothing else")
        return SETTINGS["headers"], header
    if (way := _IN_PROFILE.fullmatch(name)) and way[2] in SETTINGS:
        raise InvalidRequestError(f"there is no such setting: with --profile {way[1]} its name is {way[2]}")
    if dot or name not in SETTINGS:
        known = near(stem.partition("=")[0], SETTINGS, "the settings")
        raise InvalidRequestError(f"there is no such setting: {known}{' No = stands between' * ('=' in name)}")
    return SETTINGS[name], None


def table_name(path: Path, profile: str | None) -> str:
    """The file, or a profile of it."""
    return str(path) if profile is None else f"profile {profile} of {path}"


def owner_of(setting: Setting, profile: str | None) -> str:
    """The address that a secret will belong to.

    Raises:
        InvalidRequestError: none is named beside it.
    """
    tables = read_tables()
    address = (tables.top if profile is None else tables.profiles.get(profile, tables.top)).address
    if address is None:
        before = f"acytoo config{f' --profile {profile}' if profile else ''} set base_url URL"
        raise InvalidRequestError(f"{setting.name} would belong to no server: name it first, with `{before}`")
    return address


def write_setting(path: Path, profile: str | None, setting: Setting, header: str | None, typed: Secret[str]) -> bool:
    """Writes what a person typed, once it is checked; returns whether its profile was made.

    Args:
        path: of the file.
        profile: that it belongs to, made if it is not there; None for the top level.
        setting: which one.
        header: its name, of `headers`.
        typed: the value.

    Raises:
        InvalidRequestError: it is not usable, or has a secret stand beside another address; or the file is refused.
    """
    if profile is not None and not (profile.strip() and profile.isprintable()):
        raise InvalidRequestError("the name of a profile is empty, or has a character that cannot be printed")
    value = _checked(setting, header, typed)
    names = _way(profile, setting.name, header)
    is_new = False

    def change(document: TOMLDocument) -> None:
        nonlocal is_new
        is_new = profile is not None and _found(["profiles", profile], Secret(document)) is None
        put(document, _found(names, Secret(document)) or names, value)

    _change(path, change, strict=True)
    return is_new


def unset_setting(path: Path, profile: str | None, name: str) -> bool:
    """Takes a setting out of the file, also one that has no business there; returns whether it was there.

    Raises:
        InvalidRequestError: it has a secret stand beside another address; or the file is refused.
    """
    stem, dot, header = name.partition(".")
    content = read_file(path)
    found = _found(_way(profile, stem, header) if dot and stem == "headers" else _way(profile, name, None), content)
    if found is None or found == ["profiles"]:
        setting_of(name)
        return False
    is_strict = found[-1] == "base_url"
    if is_strict:
        of_file(content, file=str(path))
    # Else a file in which more than one thing is wrong may be mended piece by piece: no secret moves by it.
    _change(path, lambda document: take_out(document, found), strict=is_strict)
    return True


@clears_frames
def _checked(setting: Setting, header: str | None, typed: Secret[str]) -> Secret[object]:
    """What a person typed, as it is written."""
    value: object = None
    try:
        value = setting.from_text(typed.reveal())
    except ValueError:
        pass
    if value is None:
        kind = "a whole number" if setting.from_text is int else "a number"
        raise InvalidRequestError(f"{setting.name} must be {kind}")
    if header is not None:
        setting.check("headers", {header: value})
        return Secret(value)
    checked = setting.check(setting.name, value)
    if setting.name == "ca":
        checked = check_verify("ca", os.path.abspath(os.path.expanduser(str(checked))))
    return checked if isinstance(checked, Secret) else Secret(checked)


def _way(profile: str | None, name: str, header: str | None) -> list[str]:
    """The names of the tables in which a setting stands, and its own."""
    return [*([] if profile is None else ["profiles", profile]), name, *([] if header is None else [header])]


def _found(way: Sequence[str], content: Secret[Mapping[str, Any]]) -> list[str] | None:
    """The same as it is spelled in the file, where the case of a header's name says nothing; None: it is not there."""
    table: Any = content.reveal()
    spelled: list[str] = []
    for name in way:
        if not isinstance(table, Mapping):
            return None
        in_any_case = spelled[-1:] == ["headers"]
        own = next((own for own in table if own == name or (in_any_case and own.lower() == name.lower())), None)
        if own is None:
            return None
        spelled.append(own)
        table = table[own]
    return spelled


def _change(path: Path, change: Callable[[TOMLDocument], None], *, strict: bool) -> None:
    """Changes the file, so that no secret in it stands beside another address than before.

    Args:
        path: the file's.
        change: is given the document.
        strict: the file is to be right afterwards, in all of its tables.
    """
    before: list[Tables] = []

    def changing(document: TOMLDocument) -> None:
        try:
            before.append(of_file(Secret(document.unwrap()), file=str(path)))
        except InvalidRequestError:
            pass  # what is wrong may be what is changed
        change(document)

    def check(content: Secret[Mapping[str, object]]) -> None:
        try:
            after = of_file(content, file=str(path))
        except InvalidRequestError:
            if strict:
                raise
            return
        if before:
            check_move(before[0], after)

    change_file(path, changing, check=check)
