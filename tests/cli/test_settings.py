"""Settings of several sources: which is heard, what is refused, and where a secret may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import InvalidRequestError
from acytoo_sdk._checks import check_base_url
from acytoo_sdk._secrets import Secret
from acytoo_sdk.cli.settings.merging import (
    SETTINGS,
    Settings,
    Tables,
    check_move,
    merge,
    of_environment,
    of_file,
    of_flags,
)

FILE = "/home/u/.config/acytoo/config.toml"


def tables_of(**content: Any) -> Tables:
    return of_file(Secret(content), file=FILE)


def settings_of(
    content: Mapping[str, Any],
    *,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    profile: str | None = None,
    local: str | None = None,
    has_proxy: bool = False,
) -> Settings:
    sources = [of_flags(Secret(flags or {})), of_environment(Secret(environment or {}))]
    return merge([*sources, *tables_of(**content).of(profile)], local=local, has_proxy=lambda url: has_proxy)


def plain(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


# Order


def test_a_flag_is_heard_before_the_environment_the_profile_the_file_and_the_default() -> None:
    content = {"model": "of-file", "profiles": {"work": {"model": "of-profile"}}}
    heard = [
        settings_of(content, flags={"model": "f"}, environment={"ACYTOO_MODEL": "e"}, profile="work"),
        settings_of(content, environment={"ACYTOO_MODEL": "e"}, profile="work"),
        settings_of(content, profile="work"),
        settings_of(content),
        settings_of({}),
    ]
    assert [(each["model"], each.found["model"].source) for each in heard] == [
        ("f", "flag --model"),
        ("e", "ACYTOO_MODEL"),
        ("of-profile", "profile work"),
        ("of-file", "the settings file"),
        ("gpt-3.5-turbo", "default"),
    ]


def test_an_empty_variable_is_unset() -> None:
    settings = settings_of({"model": "m"}, environment={"ACYTOO_MODEL": "", "ACYTOO_KEY": ""})
    assert (settings["model"], settings["key"]) == ("m", None)


def test_every_variable_is_heard() -> None:
    environment = {
        "ACYTOO_BASE_URL": "https://e/",
        "ACYTOO_KEY": "k",
        "ACYTOO_PASSWORD": "p",
        "ACYTOO_MODEL": "m",
    }
    settings = settings_of({}, environment=environment)
    assert [plain(settings[name]) for name in ("base_url", "key", "password", "model")] == ["https://e", "k", "p", "m"]


def test_defaults_are_those_of_the_library() -> None:
    settings = settings_of({})
    assert {name: settings[name] for name in SETTINGS if settings[name] is not None} == {
        "path": "/api/completions",
        "payload": "acytoo",
        "model": "gpt-3.5-turbo",
        "temperature": 0.5,
        "retries": 2,
        "headers": (),
    }


def test_headers_are_gathered_and_the_first_of_a_name_is_heard() -> None:
    content = {"base_url": "https://a", "headers": {"X-One": "file", "x-two": "file"}}
    settings = settings_of(content, flags={"headers": Secret({"x-one": "flag"})})
    assert {name: value.reveal() for name, value in settings["headers"]} == {"x-one": "flag", "x-two": "file"}
    assert settings.found["headers"].source == "flag --header, the settings file"


def test_a_path_in_the_file_is_relative_to_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    assert settings_of({"ca": "ca.pem"})["ca"] == "/home/u/.config/acytoo/ca.pem"
    assert settings_of({"ca": "~/ca.pem"})["ca"] == "/home/u/ca.pem"
    assert settings_of({"ca": "/etc/ca.pem"})["ca"] == "/etc/ca.pem"
    assert settings_of({}, flags={"ca": "ca.pem"})["ca"] == "ca.pem"


# What is refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"modle": "SECRET"}, "modle is no setting: did you mean model?"),
        ({"profile": {"work": {}}}, "profile is no setting: did you mean profiles?"),
        ({"zzz": {"a": "SECRET"}}, "zzz is no setting: the settings are base_url, path,"),
        ({"profiles": {"work": {"modle": "SECRET"}}}, "profiles.work.modle is no setting: did you mean model?"),
        ({"profiles": {"work": {"profiles": {}}}}, "profiles.work.profiles is no setting"),
        ({"profiles": "SECRET"}, "profiles must be a table of profiles, not str"),
        ({"profiles": {"work": "SECRET"}}, "profiles.work must be a table, [profiles.work]"),
        ({"temperature": "SECRET"}, "temperature must be a number, not str"),
        ({"profiles": {"work": {"temperature": 9}}}, "profiles.work.temperature must be 0 to 2, not int 9"),
        ({"key": 5}, "key must be a str, not int"),
        ({"key": {"a": "SECRET"}}, "key must be a str, not dict"),
        ({"key_command": "SECRET '"}, "key_command has a quote that is not closed"),
        ({"key_command": "  "}, "key_command names no program"),
        ({"key_command": "SECRET\0"}, "key_command names no program"),
        ({"timeout": 0}, "timeout must be more than 0, not int 0"),
        ({"timeout": True}, "timeout must be a number, not bool"),
        ({"retries": -1}, "retries must be a whole number, 0 or more"),
        ({"retries": 1.5}, "retries must be a whole number, 0 or more"),
        ({"payload": "SECRET"}, "payload must be one of acytoo, ai-sdk, prompt"),
        ({"base_url": "https://user:SECRET@a"}, "base_url is a str with credentials"),
        ({"path": "SECRET"}, "path must be a str that begins with a slash"),
        ({"proxy": "gopher://u:SECRET@x"}, "proxy must be a str that begins with"),
        ({"headers": "SECRET"}, "headers must be a mapping of str to str, not str"),
        ({"headers": {"x-a": 5}}, "headers['x-a'] must be a str, not int"),
        ({"headers": {"x-a": "SECRET\n"}}, "headers['x-a'] is a str with a line break"),
        ({"headers": {"host": "SECRET"}}, "headers['host'] cannot be set"),
        ({"key": "SECRET", "key_command": "pass"}, "key and key_command are two keys: leave one out"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_by_its_place_and_never_quoted(
    content: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        tables_of(**content)
    assert str(caught.value).startswith(f"{FILE}: {sentence}")
    assert "SECRET" not in str(caught.value)


def test_a_bad_value_of_another_source_is_told_by_that() -> None:
    with pytest.raises(InvalidRequestError, match=r"^--temperature must be 0 to 2"):
        settings_of({}, flags={"temperature": 9})
    with pytest.raises(InvalidRequestError, match=r"^ACYTOO_BASE_URL must be a str that begins with http"):
        settings_of({}, environment={"ACYTOO_BASE_URL": "chat"})
    with pytest.raises(InvalidRequestError, match=r"^--header\['a'\] is a str with a line break"):
        settings_of({}, flags={"headers": {"a": "\n"}})


def test_an_unknown_profile_is_told_with_what_is_near_it() -> None:
    tables = tables_of(profiles={"work": {}, "home": {}})
    for typed, told in [("wrk", "did you mean work?"), ("zzz", "the profiles are work, home")]:
        with pytest.raises(InvalidRequestError) as caught:
            tables.of(typed, place="ACYTOO_PROFILE")
        assert str(caught.value) == f"ACYTOO_PROFILE names a profile that is not in {FILE}: {told}"
    with pytest.raises(InvalidRequestError, match=r"there are none$"):
        tables_of().of("work")


# Where a secret goes

KEPT = {"key": "k1", "password": "p1", "headers": {"x-a": "h1"}}


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.example",
        "http://a.example/v1",
        "https://a.example",
        "https://a.example/v1/x",
        "https://a.example/V1",
        "https://a.example:444/v1",
        "https://a.example.evil.example/v1",
        "https://a.example./v1",
    ],
)
@pytest.mark.parametrize("by", ["flag", "environment", "profile"])
def test_no_secret_of_the_file_goes_to_another_address(other: str, by: str) -> None:
    content = {"base_url": "https://a.example/v1", **KEPT, "profiles": {"p": {"base_url": other}, "q": {}}}
    named_by = {"flag": "--base-url", "environment": "ACYTOO_BASE_URL", "profile": "profile p"}[by]
    settings = settings_of(
        content,
        flags={"base_url": other} if by == "flag" else None,
        environment={"ACYTOO_BASE_URL": other} if by == "environment" else None,
        profile="p" if by == "profile" else None,
    )
    assert (settings["key"], settings["password"], settings["headers"]) == (None, None, ())
    address = settings["base_url"]
    assert settings.withheld == tuple(
        f"{noun} in {FILE} {belongs} to https://a.example/v1 and {are} not sent to {address}, which {named_by} names"
        for noun, belongs, are in [
            ("the key", "belongs", "is"),
            ("the password", "belongs", "is"),
            ("the headers", "belong", "are"),
        ]
    )


@pytest.mark.parametrize("same", ["https://a.example/v1", "HTTPS://A.example/v1", "https://a.example/v1/"])
def test_the_same_address_in_another_spelling_is_no_other(same: str) -> None:
    settings = settings_of({"base_url": "https://A.EXAMPLE/v1/", **KEPT}, environment={"ACYTOO_BASE_URL": same})
    assert (plain(settings["key"]), plain(settings["password"])) == ("k1", "p1")
    assert settings.withheld == ()


def test_an_address_with_credentials_is_refused_by_whoever_names_it() -> None:
    with pytest.raises(InvalidRequestError, match=r"^ACYTOO_BASE_URL is a str with credentials"):
        settings_of({"base_url": "https://a", **KEPT}, environment={"ACYTOO_BASE_URL": "https://a@evil.example"})


def test_a_secret_beside_no_address_is_never_sent() -> None:
    for environment in ({}, {"ACYTOO_BASE_URL": "https://a"}):
        settings = settings_of(KEPT, environment=environment)
        assert (settings["key"], settings["password"], settings["headers"]) == (None, None, ())
        assert f"the key in {FILE} is not sent: no base_url stands beside it" in settings.withheld
    settings = settings_of({**KEPT, "profiles": {"p": {"base_url": "https://a"}}}, profile="p")
    assert (settings["key"], len(settings.withheld)) == (None, 3)


def test_a_profile_without_an_address_inherits_that_of_the_file_and_its_secrets() -> None:
    content = {"base_url": "https://a", **KEPT, "profiles": {"p": {"key": "k2"}}}
    settings = settings_of(content, profile="p")
    assert (settings["base_url"], plain(settings["key"]), plain(settings["password"])) == ("https://a", "k2", "p1")
    assert settings_of(content, profile="p", flags={"base_url": "https://b"})["key"] is None


def test_the_key_of_a_profile_belongs_to_its_address() -> None:
    content = {"base_url": "https://a", "key": "k1", "profiles": {"p": {"base_url": "https://b", "key": "k2"}}}
    assert plain(settings_of(content, profile="p")["key"]) == "k2"
    assert settings_of(content, profile="p").withheld == (), "the key of the file would not have been heard anyway"
    settings = settings_of(content, profile="p", environment={"ACYTOO_BASE_URL": "https://c"})
    assert (settings["key"], len(settings.withheld)) == (None, 2)


def test_secrets_of_the_environment_and_of_flags_go_where_the_user_says() -> None:
    settings = settings_of(
        {"base_url": "https://a", **KEPT},
        flags={"base_url": "https://b", "headers": {"x-b": "h2"}},
        environment={"ACYTOO_KEY": "k3", "ACYTOO_PASSWORD": "p3"},
    )
    assert (plain(settings["key"]), plain(settings["password"])) == ("k3", "p3")
    assert [(name, value.reveal()) for name, value in settings["headers"]] == [("x-b", "h2")]
    assert len(settings.withheld) == 1, "the headers of the file alone"


def test_a_key_is_heard_before_the_command_of_a_lower_table_and_the_other_way_round() -> None:
    for upper, lower in [("key", "key_command"), ("key_command", "key")]:
        content = {"base_url": "https://a", lower: "low", "profiles": {"p": {upper: "up"}}}
        settings = settings_of(content, profile="p")
        assert (plain(settings[upper]), settings[lower]) == ("up", None)
    settings = settings_of({"base_url": "https://a", "key_command": "low"}, environment={"ACYTOO_KEY": "k"})
    assert (plain(settings["key"]), settings["key_command"]) == ("k", None)


def test_a_server_of_ones_own_is_the_address_and_nothing_of_the_file_is_sent_there() -> None:
    content = {"base_url": "https://a", **KEPT, "proxy": "http://u:p@proxy:1", "model": "m"}
    settings = settings_of(content, environment={"ACYTOO_BASE_URL": "https://b"}, local="http://127.0.0.1:1")
    assert (settings["base_url"], settings.found["base_url"].source) == ("http://127.0.0.1:1", "--local")
    assert (settings["key"], settings["headers"], settings["proxy"], settings["model"]) == (None, (), None, "m")
    assert settings.withheld == ()
    assert plain(settings_of({}, flags={"proxy": "http://p:1"}, local="http://l")["proxy"]) == "http://p:1"


ADDRESSES = st.sampled_from(
    ["https://a", "HTTPS://A/", "https://a/b", "https://a:1", "http://a", "https://b", "https://a.b"]
)
OF_TABLE = st.fixed_dictionaries(
    {},
    optional={
        "base_url": ADDRESSES,
        "key": st.just("key"),
        "password": st.just("password"),
        "headers": st.just({"x-h": "header"}),
    },
)


def marked(table: dict[str, Any], mark: str) -> dict[str, Any]:
    """The same with secrets by which the table is known."""
    bound: dict[str, Any] = {name: f"{mark}-{name}" for name in ("key", "password") if name in table}
    return {**table, **bound, **({"headers": {f"x-{mark}": f"{mark}-headers"}} if "headers" in table else {})}


@given(
    top=OF_TABLE,
    work=OF_TABLE,
    by_command=st.booleans(),
    flag=st.none() | ADDRESSES,
    variable=st.none() | ADDRESSES,
    key=st.booleans(),
    profile=st.booleans(),
    local=st.booleans(),
)
def test_a_secret_of_the_file_goes_nowhere_but_to_its_own_address(
    top: dict[str, Any],
    work: dict[str, Any],
    by_command: bool,
    flag: str | None,
    variable: str | None,
    key: bool,
    profile: bool,
    local: bool,
) -> None:
    top, work = marked(top, "top"), marked(work, "work")
    if by_command and "key" in top:
        top["key_command"] = top.pop("key")
    settings = settings_of(
        {**top, "profiles": {"work": work}},
        flags={} if flag is None else {"base_url": flag},
        environment={"ACYTOO_BASE_URL": variable or "", "ACYTOO_KEY": "environment-key" if key else ""},
        profile="work" if profile else None,
        local="http://127.0.0.1:1" if local else None,
    )

    sent = [plain(settings[name]) for name in ("key", "key_command", "password") if settings[name] is not None]
    sent += [value.reveal() for _, value in settings["headers"]]
    addresses = {"top": top.get("base_url"), "work": work.get("base_url", top.get("base_url"))}
    for secret in sent:
        owner = secret.partition("-")[0]
        if owner != "environment":
            assert addresses[owner] is not None
            assert check_base_url("", addresses[owner]) == settings["base_url"]
    if key:
        assert plain(settings["key"]) == "environment-key"
    # Nor is one held back in silence, but for a server of one's own.
    asked = [top, work] if profile else [top]
    for noun, names in [("the password", ["password"]), ("the key", ["key", "key_command"])]:
        is_kept = any(name in table for table in asked for name in names)
        is_sent = any(settings[name] is not None for name in names)
        told = [sentence for sentence in settings.withheld if sentence.startswith(noun)]
        assert not local or not told
        assert not is_kept or is_sent or local or told


# What a change of the file may not do


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"base_url": "https://a", "key": "k"}, {"base_url": "https://b", "key": "k"}, "acytoo config unset key"),
        ({"base_url": "https://a", "key": "k"}, {"key": "k"}, "belongs to https://a"),
        (
            {"base_url": "https://a", "profiles": {"p": {"key": "k"}}},
            {"base_url": "https://b", "profiles": {"p": {"key": "k"}}},
            "acytoo config --profile p unset key",
        ),
        (
            {"base_url": "https://a", "profiles": {"p": {"base_url": "https://b", "headers": {"x": "h"}}}},
            {"base_url": "https://a", "profiles": {"p": {"headers": {"x": "h"}}}},
            "headers in profile p",
        ),
        ({}, {"key": "k"}, "acytoo config set base_url URL"),
        ({}, {"profiles": {"p": {"password": "k"}}}, "acytoo config --profile p set base_url URL"),
    ],
)
def test_no_change_has_a_secret_stand_beside_another_address(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        check_move(tables_of(**before), tables_of(**after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"base_url": "https://a", "key": "k"}, {"base_url": "https://A/", "key": "k"}),
        ({"base_url": "https://a", "key": "k"}, {"base_url": "https://b"}),
        ({"key": "k"}, {"base_url": "https://a", "key": "k"}),
        (
            {"base_url": "https://a", "profiles": {"p": {"base_url": "https://b", "key": "k"}}},
            {"base_url": "https://c", "profiles": {"p": {"base_url": "https://b", "key": "k"}}},
        ),
    ],
)
def test_any_other_change_is_none_of_its_business(before: dict[str, Any], after: dict[str, Any]) -> None:
    check_move(tables_of(**before), tables_of(**after))


# Secrets do not show


def test_settings_show_no_secret() -> None:
    settings = settings_of(
        {"base_url": "https://a", **KEPT, "proxy": "http://u:proxypass@p:1"}, environment={"ACYTOO_KEY": "k3"}
    )
    shown = (
        f"{settings!r} {vars(settings)} {settings.found} {settings['headers']} {tables_of(base_url='http://a', **KEPT)}"
    )
    assert not [secret for secret in ("k1", "p1", "h1", "k3", "proxypass") if secret in shown]


# What a proxy would read

SECRETS = {"key": "k", "password": "p", "headers": {"x-a": "h"}}


@pytest.mark.parametrize(
    ("flags", "named_by"), [({}, "the environment"), ({"proxy": "http://p:1"}, "--proxy")], ids=["variable", "flag"]
)
def test_secrets_of_the_file_are_not_sent_in_clear_through_a_proxy_that_others_name(
    flags: dict[str, object], named_by: str
) -> None:
    settings = settings_of({"base_url": "http://a", **SECRETS}, flags=flags, has_proxy=True)
    assert [settings[name] for name in SECRETS] == [None, None, ()]
    end = f"not sent: http://a is plain http, and the proxy that {named_by} names would read"
    assert settings.withheld == (
        f"the key in {FILE} is {end} it",
        f"the password in {FILE} is {end} it",
        f"the headers in {FILE} are {end} them",
    )


@pytest.mark.parametrize(
    ("url", "proxy", "has_proxy"),
    [("https://a", None, True), ("http://a", "http://p:1", True), ("http://a", None, False)],
    ids=["https", "the file's own", "no proxy"],
)
def test_secrets_of_the_file_are_sent_where_no_proxy_of_others_reads_them(
    url: str, proxy: str | None, has_proxy: bool
) -> None:
    own = {} if proxy is None else {"proxy": proxy}
    settings = settings_of({"base_url": url, **own, **SECRETS}, has_proxy=has_proxy)
    assert settings.withheld == ()
    assert (plain(settings["key"]), plain(settings["password"])) == ("k", "p")


def test_a_key_that_is_named_beside_a_proxy_is_sent() -> None:
    content = {"base_url": "http://a", "key": "of-file"}
    settings = settings_of(content, environment={"ACYTOO_KEY": "of-variable"}, has_proxy=True)
    assert (plain(settings["key"]), settings.withheld) == ("of-variable", ())
