"""The user's settings file: where it is, who may write it, and that no change of it loses anything."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acytoo_sdk import InvalidRequestError
from acytoo_sdk._secrets import Secret
from acytoo_sdk.cli.settings import file as settings_file
from acytoo_sdk.cli.settings.file import (
    TEMPLATE,
    change_file,
    check_trusted,
    create_file,
    profile_names,
    put,
    read_file,
    settings_path,
    take_out,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners and modes")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return settings_path()


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def change(path: Path, names: list[str], value: object) -> None:
    change_file(path, lambda document: put(document, names, Secret(value)), check=lambda content: None)


# Where it is


def test_it_is_in_the_folder_for_settings(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert path == tmp_path / "config" / "acytoo" / "config.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    if sys.platform == "linux":
        assert settings_path() == tmp_path / ".config" / "acytoo" / "config.toml"


@pytest.mark.parametrize("relative", [".", "config", "./a/../b", "~"])
def test_no_file_of_the_working_directory_is_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    cloned = tmp_path / "cloned"
    write(cloned / relative / "acytoo" / "config.toml", 'base_url = "https://evil.example"')
    write(cloned / ".config" / "acytoo" / "config.toml", 'base_url = "https://evil.example"')
    monkeypatch.chdir(cloned)
    monkeypatch.setenv("XDG_CONFIG_HOME", relative)
    assert settings_path().is_absolute()
    assert cloned not in settings_path().parents
    assert read_file(settings_path()).reveal() == {}


def test_what_an_older_platformdirs_makes_of_relative_folders_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: Path("config", name))
    assert settings_path() == Path(os.environ["HOME"], ".config", "acytoo", "config.toml")
    monkeypatch.setenv("HOME", "home")
    with pytest.raises(InvalidRequestError, match="set HOME to an absolute one"):
        settings_path()


# Whether it may be trusted


def test_a_file_of_ones_own_is_read(path: Path) -> None:
    write(path, 'model = "m"')
    assert read_file(path).reveal() == {"model": "m"}
    path.chmod(0o644)
    assert read_file(path).reveal() == {"model": "m"}, "reading it is a matter of its secrets"


@pytest.mark.parametrize("bits", [0o620, 0o602, 0o666])
@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_may_write_is_refused(path: Path, bits: int, which: str) -> None:
    write(path, 'model = "m"')
    refused = path if which == "file" else path.parent
    refused.chmod(bits | (0o100 if which == "folder" else 0))
    for act in (lambda: read_file(path), lambda: change(path, ["model"], "n"), lambda: create_file(path)):
        with pytest.raises(InvalidRequestError) as caught:
            act()
        assert str(caught.value) == f"{refused} may be written by others: chmod go-w {refused}"
    assert path.read_text() == 'model = "m"'


@pytest.mark.parametrize("bits", [0o720, 0o702, 0o777])
def test_a_folder_above_that_others_may_write_is_refused(path: Path, tmp_path: Path, bits: int) -> None:
    write(path, 'model = "m"')
    (tmp_path / "config").chmod(bits)
    for act in (lambda: read_file(path), lambda: change(path, ["model"], "n"), lambda: create_file(path)):
        with pytest.raises(InvalidRequestError, match=f"^{tmp_path / 'config'} may be written by others: chmod go-w "):
            act()
    (tmp_path / "config").chmod(bits | stat.S_ISVTX)
    assert read_file(path).reveal() == {"model": "m"}, "what is in it is ours, and stays"


@pytest.mark.parametrize("which", ["of the link", "of the next link", "above the file"])
@pytest.mark.parametrize("is_relative", [False, True])
def test_each_folder_that_a_link_leads_through_is_looked_at(
    path: Path, tmp_path: Path, which: str, is_relative: bool
) -> None:
    folders = {"of the link": "config", "of the next link": "between", "above the file": "shared"}
    write(tmp_path / "shared" / "checkout" / path.name, 'model = "m"')
    (tmp_path / "between").mkdir()
    (tmp_path / "config").mkdir()
    start = Path("..") if is_relative else tmp_path
    (tmp_path / "between" / "link").symlink_to(start / "shared" / "checkout")
    path.parent.symlink_to(start / "between" / "link")
    assert read_file(path).reveal() == {"model": "m"}
    refused = tmp_path / folders[which]
    refused.chmod(0o777)
    with pytest.raises(InvalidRequestError) as caught:
        read_file(path)
    assert str(caught.value) == f"{refused} may be written by others: chmod go-w {refused}"


def test_what_another_user_keeps_in_a_folder_for_all_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, 'model = "m"')
    (tmp_path / "config").chmod(0o1777)
    real = os.lstat

    def theirs(name: Path) -> os.stat_result:
        found = real(name)
        return os.stat_result((*found[:4], os.getuid() + 1, *found[5:])) if name == path.parent else found

    monkeypatch.setattr(os, "lstat", theirs)
    with pytest.raises(InvalidRequestError, match="config may be written by others"):
        read_file(path)


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_belongs_to_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    write(path, 'model = "m"')
    theirs = path if which == "file" else path.parent
    real, opened = os.stat, os.fstat
    owner = os.getuid() + 1

    def owned(found: os.stat_result) -> os.stat_result:
        return os.stat_result((*found[:4], owner, *found[5:]))

    monkeypatch.setattr(os, "stat", lambda name, **more: owned(real(name)) if name == theirs else real(name, **more))
    with pytest.raises(InvalidRequestError) as caught:
        read_file(path)
    assert str(caught.value) == (f"{theirs} belongs to another user, who may write it: chown {os.getuid()} {theirs}")
    # What was opened counts, not what stood there a moment before.
    monkeypatch.setattr(os, "stat", real)
    monkeypatch.setattr(os, "fstat", lambda descriptor: owned(opened(descriptor)))
    with pytest.raises(InvalidRequestError, match="belongs to another user"):
        read_file(path)
    owner = 0
    assert read_file(path).reveal() == {"model": "m"}, "root may write it anyway"


def test_where_there_are_no_owners_nobody_is_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, 'model = "m"')
    path.chmod(0o666)
    monkeypatch.delattr(os, "getuid")
    assert read_file(path).reveal() == {"model": "m"}


@pytest.mark.parametrize("steps", [1, 2])
def test_the_folder_that_a_link_leads_to_is_looked_at(path: Path, tmp_path: Path, steps: int) -> None:
    target = tmp_path / "dotfiles" / "acytoo.toml"
    write(target, 'model = "m"')
    between = tmp_path / "between" / "link"
    between.parent.mkdir()
    path.parent.mkdir(parents=True)
    if steps == 2:
        between.symlink_to("../dotfiles/acytoo.toml")
    path.symlink_to(between if steps == 2 else target)
    assert read_file(path).reveal() == {"model": "m"}
    for folder in [target.parent, path.parent, *([between.parent] if steps == 2 else [])]:
        folder.chmod(0o777)
        with pytest.raises(InvalidRequestError, match=f"{folder.name} may be written by others"):
            read_file(path)
        folder.chmod(0o755)
    target.chmod(0o666)
    with pytest.raises(InvalidRequestError, match=f"^{path} may be written by others"):
        read_file(path)


def test_links_that_lead_in_a_circle_are_one_sentence(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(path)
    with pytest.raises(InvalidRequestError, match=f"^{path} cannot be read: Too many levels of symbolic links"):
        read_file(path)


# What is read


def test_a_missing_file_is_an_empty_one(path: Path) -> None:
    assert read_file(path).reveal() == {}
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'model = "\xff"', "is not UTF-8 at byte 9"),
        ('model = "m"\nkey = SECRET\n', "is no TOML at line 2"),
        ('model = "m"\n\nkey = "SECRET\n', "is no TOML at line 3"),
        ("SECRET", "is no TOML at line 1"),
        ('key = "SECRET"\nkey = "SECRET"\n', "is no TOML at line 2"),
        ('[a]\nb = "SECRET"\n[a.b]\nc = 1\n', "is no TOML"),
        (f"a = {'[' * 5000}", "is no TOML"),
    ],
)
def test_what_is_no_toml_is_told_by_its_line_and_never_quoted(path: Path, text: str | bytes, sentence: str) -> None:
    write(path, text)
    with pytest.raises(InvalidRequestError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path} {sentence}")
    error: BaseException | None = caught.value
    while error is not None:
        assert "SECRET" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_byte_order_mark_is_no_text(path: Path) -> None:
    write(path, b'\xef\xbb\xbfmodel = "m"')
    assert read_file(path).reveal() == {"model": "m"}


def test_what_is_no_file_is_one_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(InvalidRequestError, match=f"^{path} is a folder$"):
        read_file(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(InvalidRequestError, match=f"^{path} is no regular file$"):
        read_file(path)


def test_what_may_not_be_read_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, 'model = "m"')

    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InvalidRequestError, match=f"^{path} cannot be read: Permission denied$"):
        read_file(path)


def test_a_file_where_the_folder_should_be_is_one_sentence(path: Path) -> None:
    write(path.parent, "")
    with pytest.raises(InvalidRequestError, match=f"^{path} cannot be read: Not a directory$"):
        read_file(path)
    with pytest.raises(InvalidRequestError, match=f"^{path} cannot be written: File exists$"):
        change(path, ["model"], "m")


# What is written


def test_a_new_file_is_its_users_alone(path: Path) -> None:
    os.umask(0)
    change(path, ["model"], "m")
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert path.read_text() == 'model = "m"\n'


def test_a_file_that_others_might_read_is_so_no_more(path: Path) -> None:
    write(path, 'model = "m"')
    path.chmod(0o644)
    change(path, ["model"], "n")
    assert mode(path) == 0o600


def test_comments_and_order_stay(path: Path) -> None:
    write(path, '# mine\nmodel = "m"  # good\n\n[profiles.work]  # there\nmodel = "w"\n\n[headers]\nX-A = "v"\n')
    change(path, ["timeout"], 30)
    change(path, ["profiles", "work", "model"], "x")
    change(path, ["profiles", "home", "model"], "h")
    change(path, ["headers", "x-b"], "w")
    change_file(path, lambda document: take_out(document, ["headers", "X-A"]), check=lambda content: None)
    text = path.read_text()
    assert '# mine\nmodel = "m"  # good\ntimeout = 30\n' in text
    assert '[profiles.work]  # there\nmodel = "x"\n' in text
    assert read_file(path).reveal() == {
        "model": "m",
        "timeout": 30,
        "profiles": {"work": {"model": "x"}, "home": {"model": "h"}},
        "headers": {"x-b": "w"},
    }


@pytest.mark.parametrize(
    "text",
    [
        'profiles = {work = {model = "m"}}\n',
        '[profiles]\nwork = {model = "m"}\n',
        '[profiles.work]\nmodel = "m"\n[headers]\nx = "y"\n[profiles.other]\nmodel = "o"\n',
        'model = "m"\r\n\r\n[profiles.work]\r\nmodel = "m"\r\n',
        "",
        "# nothing",
        TEMPLATE,
    ],
)
def test_however_a_file_is_written_what_is_set_is_read_again(path: Path, text: str) -> None:
    write(path, text)
    before = read_file(path).reveal()
    change(path, ["profiles", "work", "timeout"], 5)
    change(path, ["profiles", "new", "headers", "x-a"], "v\n'\"\\")
    change(path, ["system"], "one\ntwo")
    after = read_file(path).reveal()
    profiles = after["profiles"]
    assert isinstance(profiles, dict)
    assert profiles.pop("new") == {"headers": {"x-a": "v\n'\"\\"}}
    assert profiles["work"].pop("timeout") == 5
    assert {**after, "system": 0} == {"profiles": {"work": {}}, **before, "system": 0}


def test_what_cannot_be_put_where_it_belongs_is_refused(path: Path) -> None:
    write(path, "profiles = 3\n")
    with pytest.raises(InvalidRequestError, match=r"^profiles must be a table"):
        change(path, ["profiles", "work", "model"], "m")
    # A new table would stand before the headers, which would then be those of the profile.
    text = 'profiles.a.model = "x"\nheaders.x = "y"\n'
    write(path, text)
    with pytest.raises(InvalidRequestError, match="cannot be changed here: acytoo config edit"):
        change(path, ["profiles", "c", "model"], "m")
    assert path.read_text() == text


def test_what_the_check_refuses_is_not_written(path: Path) -> None:
    write(path, 'model = "m"')

    def refuse(content: Secret[object]) -> None:
        assert content.reveal() == {"model": "n"}
        raise InvalidRequestError("no")

    with pytest.raises(InvalidRequestError, match=r"^no$"):
        change_file(path, lambda document: put(document, ["model"], Secret("n")), check=refuse)
    assert path.read_text() == 'model = "m"'
    assert os.listdir(path.parent) == ["config.toml"]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_a_link(path: Path, tmp_path: Path, dangling: bool) -> None:
    target = tmp_path / "dotfiles" / "acytoo.toml"
    write(target, 'model = "m"')
    if dangling:
        target.unlink()
    path.parent.mkdir(parents=True)
    path.symlink_to("../../dotfiles/acytoo.toml")
    change(path, ["model"], "n")
    assert path.is_symlink()
    assert not target.is_symlink()
    assert target.read_text().strip() == 'model = "n"'
    assert os.listdir(path.parent) == ["config.toml"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("by", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, by: BaseException
) -> None:
    write(path, 'model = "m"')

    def fail(*arguments: object) -> None:
        raise by

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((InvalidRequestError, KeyboardInterrupt)) as caught:
        change(path, ["model"], "n")
    if isinstance(by, OSError):
        assert str(caught.value) == f"{path} cannot be written: No space left on device"
    monkeypatch.undo()
    assert path.read_text() == 'model = "m"'
    assert os.listdir(path.parent) == ["config.toml"]


def test_what_is_written_is_on_the_disk_before_it_takes_the_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def noting(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def noted(*arguments: object) -> None:
            steps.append(name)
            real(*arguments)

        return noted

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    change(path, ["model"], "m")
    assert steps == ["fsync", "replace", "fsync"], "the file, its name, the folder"


def test_writers_at_the_same_time_lose_nothing_and_readers_see_no_half(path: Path) -> None:
    write(path, "")
    code = (
        "import sys; from pathlib import Path; from acytoo_sdk._secrets import Secret\n"
        "from acytoo_sdk.cli.settings.file import change_file, put\n"
        "for number in range(10):\n"
        "    names = ['headers', f'x-{sys.argv[2]}-{number}']\n"
        "    change_file(Path(sys.argv[1]), lambda d: put(d, names, Secret('v' * 5000)), check=lambda content: None)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(each)]) for each in range(3)]
    sizes = [0]
    while any(writer.poll() is None for writer in writers):
        headers = read_file(path).reveal().get("headers", {})
        assert isinstance(headers, dict)
        sizes.append(len(headers))
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    assert sizes == sorted(sizes)
    headers = read_file(path).reveal()["headers"]
    assert isinstance(headers, dict)
    assert len(headers) == 30


def test_threads_wait_for_one_another_too(path: Path) -> None:
    threads = [threading.Thread(target=change, args=(path, ["headers", f"x-{each}"], "v")) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(read_file(path).reveal()["headers"]) == 8  # type: ignore[arg-type]


def test_the_template_is_written_where_there_is_no_file(path: Path) -> None:
    create_file(path)
    assert (path.read_text(), mode(path)) == (TEMPLATE, 0o600)
    assert read_file(path).reveal() == {}
    write(path, 'model = "m"')
    create_file(path)
    assert path.read_text() == 'model = "m"'


def test_what_the_template_says_is_right() -> None:
    from acytoo_sdk.cli.settings.merging import of_file

    lines = [line.removeprefix("# ") for line in TEMPLATE.splitlines() if "=" in line or "[" in line]
    path = Path(settings_file.__file__).with_name("none.toml")
    text = "\n".join(line for line in lines if not line.startswith(("The ", "A ")))
    import tomlkit

    tables = of_file(Secret(tomlkit.parse(text).unwrap()), file=str(path))
    assert [*tables.top.values] == ["base_url", "key_command", "model", "timeout"]
    assert [*tables.profiles] == ["work"]


def test_names_of_profiles_are_known_and_of_a_refused_file_none(path: Path) -> None:
    assert profile_names() == []
    write(path, "[profiles.work]\n[profiles.home]\n")
    assert profile_names() == ["work", "home"]
    path.chmod(0o666)
    assert profile_names() == []
    path.chmod(0o600)
    for text in ("profiles = 3", "[", b"\xff"):
        write(path, text)
        assert profile_names() == []


def test_a_trusted_file_is_not_opened_to_be_looked_at(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(InvalidRequestError, match="is no regular file"):
        check_trusted(path)
