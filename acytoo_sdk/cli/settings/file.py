"""The user's settings file: where it is, whether it may be trusted, and how it is read and written.

It may name the server that a key is sent to, and a command that is run: nobody but its user may be able to write it,
and none is ever looked for in the working directory. No message quotes what stands in it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from shlex import quote
from typing import TYPE_CHECKING, Any

from ..._secrets import Secret, clears_frames
from ...errors import InvalidRequestError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument as TOMLDocument  # for whoever changes one

_FOLDER, _FILE = "acytoo", "config.toml"
_MOST_LINKS = 40  # as many as Linux follows
TEMPLATE = """\
# The settings of acytoo. `acytoo config` shows which are in force, `acytoo config set` writes here.

# base_url = "https://chat.example.com"
# key_command = "pass show acytoo"  # belongs to the base_url beside it; or: acytoo config set key
# model = "gpt-3.5-turbo"
# timeout = 60

# A profile stands before the above, with --profile work:
# [profiles.work]
# base_url = "https://chat.work.example"
"""


def settings_path() -> Path:
    """Where the file is, be there one or not.

    Raises:
        InvalidRequestError: the home folder has no absolute path: whatever is named would depend on where one works.

    Source:
        https://specifications.freedesktop.org/basedir-spec/latest/: relative paths in its variables are ignored.
    """
    from platformdirs import user_config_path

    path = user_config_path(_FOLDER) / _FILE
    if not path.is_absolute():
        path = Path(os.path.expanduser("~"), ".config", _FOLDER, _FILE)
    if not path.is_absolute():
        raise InvalidRequestError("the home folder is a relative path: set HOME to an absolute one")
    return path


@clears_frames
def read_file(path: Path) -> Secret[Mapping[str, object]]:
    """What stands in the file; nothing if there is none.

    Raises:
        InvalidRequestError: others may write it, or it cannot be read, or is no TOML.
    """
    text = _read(path)
    return Secret(_parsed(path, text).unwrap() if text else {})


@clears_frames
def change_file(
    path: Path, change: Callable[[TOMLDocument], None], *, check: Callable[[Secret[Mapping[str, object]]], object]
) -> None:
    """Changes the file, keeping its comments and its order; whoever reads it meanwhile reads the old one.

    Args:
        path: of the file; it is made if it is not there. A link stays one.
        change: is given the document.
        check: is given what would be written, and refuses it by raising.

    Raises:
        InvalidRequestError: the file is refused, as by `read_file`, or cannot be written.
    """
    with _writing(path), _locked(_links(path)[-1].parent):
        document = _parsed(path, _read(path))
        change(document)
        text = Secret(document.as_string())
        written = _parsed(path, text).unwrap()  # what is read next time
        if written != document.unwrap():
            raise InvalidRequestError(f"{path} is written in a way that cannot be changed here: acytoo config edit")
        check(Secret(written))
        _replace(_links(path)[-1], text)


def create_file(path: Path) -> None:
    """Makes a file of comments, if there is none.

    Raises:
        InvalidRequestError: its folder is one that others may write, or cannot be written.
    """
    with _writing(path), _locked(_links(path)[-1].parent):
        check_trusted(path)
        if not path.exists():
            _replace(_links(path)[-1], Secret(TEMPLATE))


def put(document: TOMLDocument, names: Sequence[str], value: Secret[object]) -> None:
    """Sets a value, in tables that are made if they are not there.

    Args:
        document: the file's.
        names: of the tables, and of the value in the last one.
        value: the value.

    Raises:
        InvalidRequestError: what should be a table is none.
    """
    import tomlkit
    from tomlkit.items import InlineTable

    table: Any = document
    for index, name in enumerate(names[:-1]):
        if name not in table:
            in_line = isinstance(table, InlineTable)
            table[name] = tomlkit.inline_table() if in_line else tomlkit.table(is_super_table=name == "profiles")
        table = table[name]
        if not isinstance(table, Mapping):
            raise InvalidRequestError(f"{'.'.join(names[: index + 1])} must be a table")
    table[names[-1]] = value.reveal()


def take_out(document: TOMLDocument, names: Sequence[str]) -> None:
    """Removes a value that is there."""
    table: Any = document
    for name in names[:-1]:
        table = table[name]
    del table[names[-1]]


def profile_names() -> list[str]:
    """The profiles that there are, for who types one; none if anything is wrong with the file."""
    try:
        profiles = read_file(settings_path()).reveal().get("profiles", {})
    except InvalidRequestError:
        return []
    return [*profiles] if isinstance(profiles, Mapping) else []


def check_trusted(path: Path) -> None:
    """Refuses a file that others may write, and one that they may replace, since they may write a folder above it.

    Raises:
        InvalidRequestError: which file or folder it is, and what mends it.
    """
    for folder, inside, is_last in _way(path):
        with suppress(OSError):  # what is not there, or may not be looked at, cannot be read either
            found = os.stat(folder)
            if is_last or not _keeps(found, inside):
                _check_mine(folder, found)
    with suppress(OSError):
        _check_file(path, os.stat(path))


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequestError(f"{path} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no regular file'}")
    _check_mine(path, found)


def _check_mine(path: Path, found: os.stat_result) -> None:
    """Refuses what others may write. root, who may write anything, is no other.

    Source: as OpenSSH does with its files, in `safe_path` of misc.c.
    """
    if not hasattr(os, "getuid"):
        return
    name = quote(str(path))
    if found.st_uid not in (0, os.getuid()):
        raise InvalidRequestError(f"{path} belongs to another user, who may write it: chown {os.getuid()} {name}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidRequestError(f"{path} may be written by others: chmod go-w {name}")


def _keeps(folder: os.stat_result, inside: Path) -> bool:
    """Whether a folder keeps others from replacing this file in it, though they may write the folder, as /tmp does."""
    if not hasattr(os, "getuid") or not folder.st_mode & stat.S_ISVTX:
        return False
    ours = (0, os.getuid())
    try:
        return folder.st_uid in ours and os.lstat(inside).st_uid in ours
    except FileNotFoundError:
        return folder.st_uid in ours  # nobody has put anything there


def _read(path: Path) -> Secret[str]:
    check_trusted(path)  # before it is opened: reading a pipe would wait for who writes it
    failure = ""
    try:
        with open(path, "rb") as file:
            _check_file(path, os.fstat(file.fileno()))
            return Secret(file.read().decode("utf-8-sig"))
    except FileNotFoundError:
        return Secret("")
    except UnicodeDecodeError as error:
        failure = f"is not UTF-8 at byte {error.start}"
    except OSError as error:
        failure = f"cannot be read: {error.strerror}"
    raise InvalidRequestError(f"{path} {failure}")


def _parsed(path: Path, text: Secret[str]) -> TOMLDocument:
    from tomlkit import parse
    from tomlkit.exceptions import ParseError, TOMLKitError

    failure = ""
    try:
        document = parse(text.reveal())
        document.unwrap()  # where some of what is wrong is found
        return document
    except ParseError as error:
        failure = f" at line {error.line}"
    except (TOMLKitError, ValueError, TypeError, RecursionError):
        pass
    raise InvalidRequestError(f"{path} is no TOML{failure}")


def _links(path: Path) -> list[Path]:
    """The file, and each one that a link in its place leads to; the last one is the file itself."""
    paths = [path]
    while os.path.islink(paths[-1]) and len(paths) < _MOST_LINKS:
        paths.append(paths[-1].parent / os.readlink(paths[-1]))
    return paths


def _way(path: Path) -> Iterator[tuple[Path, Path, bool]]:
    """Each folder that leads to a file, what is looked up in it, and whether that is the file, or a link in its place.

    Links are followed one by one: whoever may write the folder of any of them may have it lead elsewhere.
    """
    here, names, links = Path(path.anchor), [*reversed(path.parts[1:])], 0
    while names:
        name = names.pop()
        if name == "..":
            here = here.parent
            continue
        yield here, here / name, not names
        if os.path.islink(here / name) and links < _MOST_LINKS:
            links += 1
            target = Path(os.readlink(here / name))
            here = Path(target.anchor) if target.anchor else here
            names += reversed(target.parts[1:] if target.anchor else target.parts)
        else:
            here = here / name


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Makes the folders, which nobody else may write, and a sentence of what fails in the block."""
    failure = None
    try:
        for folder in reversed(path.parents):
            folder.mkdir(mode=0o700, exist_ok=True)
        yield
    except OSError as error:
        failure = error.strerror or "input or output failed"
    if failure is not None:
        raise InvalidRequestError(f"{path} cannot be written: {failure}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Has others who change a file in this folder wait; where there are no such locks, the last one wins."""
    if sys.platform == "win32":
        yield
        return
    from fcntl import LOCK_EX, flock

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems have none
            flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: Secret[str]) -> None:
    beside = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text.reveal().encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    with suppress(OSError):  # Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
