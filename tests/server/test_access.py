"""Who may ask: requests that a stranger's web page makes are refused, and a password is asked for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from acytoo_sdk._hosts import host_of, is_loopback
from acytoo_sdk._secrets import Secret
from acytoo_sdk.server.access import Access
from acytoo_sdk.server.failures import Failure
from acytoo_sdk.server.wire import Question, read_question

PAGE = "https://chat.example.com"
FOREIGN_HOST = (403, "foreign host")
FOREIGN_ORIGIN = (403, "foreign origin")


def access(*origins: str, host: str = "127.0.0.1", password: str = "") -> Access:
    return Access(host=host, password=Secret(password), origins=origins)


def refusal(access: Access, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """The status and the reason with which a request is refused; None where it is not."""
    try:
        access.check_source(headers)
    except Failure as failure:
        return failure.status, failure.how
    return None


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "0:0:0:0:0:0:0:1",
        "localhost",
        "LocalHost",
        "a.localhost",
        "A.B.LOCALHOST",
    ],
)
def test_this_machine_is_loopback_by_any_of_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "::",
        "128.0.0.1",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "notlocalhost",
        "127.1",
        "[::1]",
    ],
)
def test_any_other_host_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("example.com", "example.com"),
        ("Example.COM:8000", "example.com"),
        ("127.0.0.1:", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[FE80::1]:80", "fe80::1"),
        ("::1", ""),
        ("[::1", ""),
        ("[localhost]", ""),
        ("a:b", ""),
        ("a:1:2", ""),
        ("user@127.0.0.1", ""),
        ("evil.example:x@127.0.0.1", ""),
        ("127.0.0.1/evil", ""),
        ("127.0.0.1?evil", ""),
        ("127.0.0.1#evil", ""),
        ("127.0.0.1\\evil", ""),
        ("127.0.0.1, evil.example", ""),
        ("evil.example 127.0.0.1", ""),
        ("127.0.0.1\n", ""),
        ("127.0.0.1\t", ""),
        ("", ""),
        (":80", ""),
    ],
)
def test_a_host_is_read_strictly(authority: str, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "::1"])
def test_on_loopback_a_request_for_another_host_is_refused(host: str) -> None:
    """DNS rebinding: a page of evil.example whose name was made to mean this machine."""
    here = access(host=host)

    for own in ("127.0.0.1:8000", "127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000", "my.localhost:8000"):
        assert refusal(here, {"host": own}) is None
    for foreign in (
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.",
        "192.168.0.1",
        "0.0.0.0",
    ):
        assert refusal(here, {"host": foreign}) == FOREIGN_HOST
    for odd in ("", " ", "evil.example, 127.0.0.1", "a@127.0.0.1", "127.0.0.1/x", "[", "::1"):
        assert refusal(here, {"host": odd}) == FOREIGN_HOST
    assert refusal(here, {}) is None, "of HTTP/1.0, and of no browser"


def test_bound_wider_a_server_may_be_asked_for_under_any_name() -> None:
    for host in ("0.0.0.0", "::", "192.168.0.1", "chat.example.com"):
        assert refusal(access(host=host), {"host": "chat.example.com"}) is None


def test_a_page_that_may_ask_may_do_so_through_a_proxy_of_its_own_host() -> None:
    named = access(f"{PAGE}:8443", "http://[2001:db8::1]:80", "http://[broken")

    for host in ("chat.example.com", "CHAT.example.com:80", "[2001:DB8::1]"):
        assert refusal(named, {"host": host}) is None
    for host in ("example.com", "evil.example", "", "broken"):
        assert refusal(named, {"host": host}) == FOREIGN_HOST
    assert refusal(access("*"), {"host": "evil.example"}) == FOREIGN_HOST, "any page is not any name"


# Origins


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "", "file://", "http://127.0.0.1", "http://127.0.0.1:8001", "127.0.0.1:8000"),
        *(
            "http://localhost:8000",
            "http://[::1]:8000",
            "http://127.0.0.1:8000, https://evil.example",
            "ftp://127.0.0.1:8000",
        ),
        *(
            "http://127.0.0.1:8000.evil.example",
            "http://127.0.0.1:8000/",
            " http://127.0.0.1:8000",
            "chrome-extension://abc",
        ),
    ],
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    assert refusal(access(), {"host": "127.0.0.1:8000", "origin": origin}) == FOREIGN_ORIGIN
    assert refusal(access(host="0.0.0.0"), {"host": "127.0.0.1:8000", "origin": origin}) == FOREIGN_ORIGIN


def test_the_servers_own_origin_may_ask() -> None:
    for host, origin in (
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "HTTP://LocalHost:8000"),
        ("[::1]:8000", "https://[::1]:8000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost:443", "https://localhost"),
    ):
        assert refusal(access(), {"host": host, "origin": origin}) is None


def test_an_origin_that_calls_itself_the_servers_own_is_not_unless_it_is_on_this_machine() -> None:
    """A rebound name is the host and the origin alike, and a wider server has no list of its names."""
    rebound = {"host": "evil.example:8000", "origin": "http://evil.example:8000"}

    assert refusal(access(host="0.0.0.0"), rebound) == FOREIGN_ORIGIN
    assert refusal(access(host="0.0.0.0"), {"origin": "http://"}) == FOREIGN_ORIGIN
    assert refusal(access(), {"origin": "http://127.0.0.1:8000"}) == FOREIGN_ORIGIN, "there is no host to be its own"


def test_a_named_origin_may_ask_however_it_is_written() -> None:
    for named in (PAGE, "HTTPS://Chat.Example.Com", f"{PAGE}:443"):
        for origin in (PAGE, "https://CHAT.example.com"):
            assert refusal(access(named, "http://other.example"), {"host": "127.0.0.1", "origin": origin}) is None
    for origin in (
        "http://chat.example.com",
        f"{PAGE}:8443",
        f"{PAGE}.evil.example",
        "https://a.chat.example.com",
        "null",
    ):
        assert refusal(access(PAGE), {"host": "127.0.0.1", "origin": origin}) == FOREIGN_ORIGIN
    assert refusal(access("http://a.example:80"), {"origin": "http://a.example"}) is None
    assert refusal(access("http://a.example:443"), {"origin": "http://a.example"}) == FOREIGN_ORIGIN


def test_a_refusal_says_why() -> None:
    for headers, message in (
        ({"host": "evil.example"}, "this server is asked for under a foreign name (Host)"),
        ({"origin": PAGE}, "web pages of this origin may not ask here: allow it with --allow-origin"),
    ):
        with pytest.raises(Failure) as failure:
            access().check_source(headers)
        assert failure.value.message == message


def test_any_origin_may_ask_where_any_is_named() -> None:
    for origin in (PAGE, "null", ""):
        assert refusal(access("*"), {"host": "127.0.0.1", "origin": origin}) is None


# CORS


def test_an_allowed_page_may_read_the_answer_and_no_other() -> None:
    assert access().cors_headers({"origin": PAGE}) == {}, "off"
    assert access(PAGE).cors_headers({}) == {"vary": "Origin"}
    assert access(PAGE).cors_headers({"origin": "https://evil.example"}) == {"vary": "Origin"}
    for allowing in (access(PAGE), access("*")):
        assert allowing.cors_headers({"origin": PAGE}) == {
            "access-control-allow-origin": PAGE,
            "access-control-expose-headers": "retry-after, x-request-id",
            "vary": "Origin",
        }


def test_a_preflight_is_answered_for_an_allowed_page_alone() -> None:
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "X-Mine, user-agent",
    }

    assert access().preflight_headers(asked) == {}
    assert access(PAGE).preflight_headers(asked | {"origin": "https://evil.example"}) == {}
    assert access(PAGE).preflight_headers({}) == {}
    assert access(PAGE).preflight_headers({"origin": PAGE})["access-control-allow-headers"].startswith("accept, ")
    assert access(PAGE).preflight_headers(asked) == {
        "access-control-allow-methods": "GET, HEAD, POST, OPTIONS",
        "access-control-allow-headers": "X-Mine, user-agent",
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize("asked", ["", "x" * 1001, "a\r\nset-cookie: b", "a;b", "é"])
def test_headers_that_are_none_are_not_said_back(asked: str) -> None:
    answer = access(PAGE).preflight_headers({"origin": PAGE, "access-control-request-headers": asked})

    assert answer["access-control-allow-headers"] == (
        "accept, authorization, content-type, user-agent, x-request-id, x-requested-with"
    )


def test_a_page_of_the_internet_is_told_that_it_may_reach_a_private_network() -> None:
    asked = {"origin": PAGE, "access-control-request-private-network": "true"}

    assert access(PAGE).preflight_headers(asked)["access-control-allow-private-network"] == "true"
    for value in ("false", ""):
        asked["access-control-request-private-network"] = value
        assert "access-control-allow-private-network" not in access(PAGE).preflight_headers(asked)


# Passwords


def question(body: str = '{"prompt": "Hi"}', authorization: str = "") -> Question:
    return read_question(body.encode(), authorization=authorization)


@pytest.mark.parametrize(
    ("body", "authorization"),
    [
        ('{"prompt": "Hi", "password": "сезам\\n"}', ""),
        ('{"prompt": "Hi", "key": "сезам\\n"}', ""),
        ('{"prompt": "Hi", "pass": "сезам\\n"}', ""),
        ('{"prompt": "Hi", "password": "wrong", "key": "also", "pass": "сезам\\n"}', ""),
    ],
)
def test_the_password_is_taken_wherever_it_is_told(body: str, authorization: str) -> None:
    access(password="сезам\n").check_password(question(body, authorization))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_password_is_taken_as_a_bearers_token(scheme: str) -> None:
    access(password="sesame").check_password(question(authorization=f"{scheme} sesame"))


@pytest.mark.parametrize("told", ["", "sesam", "sesame ", "Sesame", "sesame\x00", "sesamesesame"])
def test_without_the_password_nobody_gets_in(told: str) -> None:
    body = '{"prompt": "Hi", "password": "%s", "key": "%s", "pass": "%s"}' % ((told.replace("\x00", "\\u0000"),) * 3)
    for asked in (question(body), question(authorization=f"Basic {told}"), question(authorization="sesame")):
        with pytest.raises(Failure) as failure:
            access(password="sesame").check_password(asked)

        assert (failure.value.status, failure.value.how) == (401, "no password")
        assert failure.value.message == (
            "this server asks for a password: send it as password, as key, or as Authorization: Bearer"
        )
        assert failure.value.headers == {"www-authenticate": "Bearer"}
        assert "sesame" not in failure.value.body.decode()


def test_a_server_without_a_password_asks_for_none() -> None:
    access().check_password(question())
    access().check_password(question(authorization="Bearer x"))


def test_the_password_is_compared_with_everything_that_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it takes tells nothing about which of them was right."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)

    access(password="a").check_password(
        question('{"prompt": "Hi", "password": "a", "key": "b", "pass": "c"}', "Bearer d")
    )

    assert compared == [b"a", b"b", b"c", b"d"]


def test_a_password_that_no_header_can_say_is_compared_all_the_same() -> None:
    access(password="\udcff").check_password(question(authorization="Bearer \udcff"))
    with pytest.raises(Failure):
        access(password="sesame").check_password(question(authorization="Bearer \udcff"))


def test_the_password_is_never_the_clients_key_for_the_upstream() -> None:
    assert access(password="sesame").key_for_upstream(question('{"prompt": "Hi", "key": "sesame"}')) == Secret("")
    assert access(password="sesame").key_for_upstream(question('{"prompt": "Hi", "key": "sk-1"}')) == Secret("sk-1")
    assert access().key_for_upstream(question('{"prompt": "Hi", "key": "sk-1"}')) == Secret("sk-1")
    assert access().key_for_upstream(question()) == Secret("")
