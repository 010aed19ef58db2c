"""Options: a bad argument ends in a sentence that names it, before anything is sent; a good one reaches the wire."""

from __future__ import annotations

import collections
import json
import pickle
import socket
import types
from collections.abc import Callable
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import AsyncClient, Client, InvalidRequestError, RetryPolicy, Timeout
from acytoo_sdk._checks import check_messages, check_proxy
from acytoo_sdk.testing import FakeServer

BASE = "http://chat.example"
USER: dict[str, Any] = {"role": "user", "content": "Hi"}
NAN, INF = float("nan"), float("inf")


class Oddity:
    """Of no type that any argument takes."""


def refused(call: Callable[[], object], *words: str) -> None:
    """The call is refused, in a sentence with all of these words."""
    with pytest.raises(InvalidRequestError) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


def client_with(name: str, value: Any) -> Client:
    arguments: dict[str, Any] = {"base_url": BASE, name: value}
    return Client(**arguments)


NOT_TEXT: list[tuple[Any, str]] = [(1, "int"), (b"x", "bytes"), (True, "bool"), (["x"], "list"), (Oddity(), "Oddity")]


@pytest.mark.parametrize("name", ["base_url", "key", "password", "model", "path", "proxy"])
@pytest.mark.parametrize(("value", "kind"), NOT_TEXT)
def test_what_is_no_text_is_refused_with_its_type(name: str, value: Any, kind: str) -> None:
    refused(lambda: client_with(name, value), name, kind)


@pytest.mark.parametrize("name", ["key", "password", "model", "path", "base_url", "proxy"])
def test_lone_surrogates_are_refused(name: str) -> None:
    refused(lambda: client_with(name, "/http://\ud800"), name, "surrogate")


@pytest.mark.parametrize("name", ["model", "path", "base_url", "proxy"])
def test_empty_texts_are_refused(name: str) -> None:
    refused(lambda: client_with(name, ""), name, "empty")


BAD_URLS = [
    "chat.example",
    "//chat.example",
    "http:/chat.example",
    "http:chat.example",
    "http://",
    "http:///path",
    "http://:80",
    "ftp://chat.example",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://user:tell-nobody@chat.example",
    "http://tell-nobody@chat.example/path",
    "ftp://user:tell-nobody@chat.example",
    "user:tell-nobody@chat.example",
    "http://user:tell-nobody",
    "http://chat.example?tell=nobody",
    "http://chat.example/path?key=tell-nobody",
    "http://chat.example#tell-nobody",
    "http://evil#@chat.example",
    "http://127.0.0.1\\@evil.example",
    " http://chat.example",
    "http://chat.example ",
    "http://chat example",
    "http://chat.example/a b",
    "http://chat.example/\r\nx: y",
    "http://chat.example\n",
    "http://chat.example/\0",
    "http://chat.example/\x7f",
    "http://chat.example:0",
    "http://chat.example:65536",
    "http://chat.example:99999999",
    "http://chat.example:-1",
    "http://chat.example:http",
    "http://chat.example:8０",
    "http://chat.example:80:80",
    "http://[::1",
    "http://::1",
    "http://[::1]x",
    "http://[::1]:x",
    "http://[::g]",
    "http://[127.0.0.1]",
    "http://[]",
    "http://a..b",
    "http://.",
    "http://" + "a" * 64,
    "http://ho%20st",
    "http://<host>",
    "http://host,other",
    "http://℀.example",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_malformed_base_url_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^base_url .*\bstr\b") as caught:
        Client(url)
    assert "tell-nobody" not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_malformed_variable_is_named_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACYTOO_BASE_URL", "chat.example")
    refused(Client, "ACYTOO_BASE_URL must")


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("http://chat.example", "/api/completions", "http://chat.example/api/completions"),
        ("http://chat.example/", "/api/completions", "http://chat.example/api/completions"),
        ("http://chat.example//", "/a", "http://chat.example/a"),
        ("http://chat.example/v1/", "/a", "http://chat.example/v1/a"),
        ("HTTPS://Chat.Example:8443/V1", "/a", "https://chat.example:8443/V1/a"),
        ("http://chat.example:", "/a", "http://chat.example/a"),
        ("http://[::1]:8000", "/a", "http://[::1]:8000/a"),
        ("http://[2001:DB8:0::1]", "/a", "http://[2001:db8::1]/a"),
        ("http://127.0.0.1:65535", "/a", "http://127.0.0.1:65535/a"),
        ("http://пример.рф", "/a", "http://xn--e1afmkfd.xn--p1ai/a"),
        ("http://Bücher.example", "/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://my_host", "/a?b=c&d", "http://my_host/a?b=c&d"),
        ("http://chat.example/a@b", "/%20", "http://chat.example/a@b/%20"),
        ("http://chat.example.", "/a", "http://chat.example./a"),
    ],
)
def test_a_base_url_and_a_path_make_an_address(base_url: str, path: str, url: str) -> None:
    options = Client(base_url, path=path)._options
    assert options.request("Hi", options.for_call(model=None, temperature=None, timeout=..., retry=None)).url == url


@responses.activate
def test_an_ipv6_address_reaches_the_wire() -> None:
    responses.post("http://[::1]:8000/api/completions", "Hello")
    assert Client("http://[::1]:8000/").complete("Hi") == "Hello"


@pytest.mark.parametrize("path", ["api", "http://evil.example", "/a b", "/a\n", "/a\0", "/a#b", "\\a", "/\\a", "?a"])
def test_a_malformed_path_is_refused(path: str) -> None:
    refused(lambda: Client(BASE, path=path), "path", "str")


BAD_NUMBERS: list[Any] = [
    (NAN, "float nan"),
    (INF, "float inf"),
    (-INF, "float -inf"),
    (-1, "int -1"),
    (-0.5, "float -0.5"),
    (10**400, "int"),
    pytest.param(-(10**5000), "int", id="huge"),
    (True, "bool"),
    (False, "bool"),
    ("5", "str"),
    (b"5", "bytes"),
    ([5], "list"),
    (1j, "complex"),
    (Oddity(), "Oddity"),
]


@pytest.mark.parametrize("name", ["connect", "first_byte", "idle", "total"])
@pytest.mark.parametrize(("value", "said"), [*BAD_NUMBERS, (0, "int 0"), (0.0, "float 0.0")])
def test_a_limit_is_a_positive_number(name: str, value: Any, said: str) -> None:
    refused(lambda: Timeout(**{name: value}), f"timeout.{name}", said)


@pytest.mark.parametrize(("value", "said"), [*BAD_NUMBERS, (0, "int 0")])
def test_a_timeout_is_a_positive_number_wherever_it_is_given(value: Any, said: str) -> None:
    refused(lambda: Client(BASE, timeout=value), "timeout", said)
    refused(lambda: Client(BASE).stream("Hi", timeout=value), "timeout", said)
    refused(lambda: Client(BASE).complete("Hi", timeout=value), "timeout", said)
    refused(lambda: Client(BASE).with_options(timeout=value), "timeout", said)


@pytest.mark.parametrize("name", ["wait_initial", "wait_max", "jitter", "retry_after_max"])
@pytest.mark.parametrize(("value", "said"), [*BAD_NUMBERS, (None, "None")])
def test_waits_are_numbers(name: str, value: Any, said: str) -> None:
    refused(lambda: RetryPolicy(**{name: value}), f"retry.{name}", said)


def test_jitter_is_a_fraction() -> None:
    refused(lambda: RetryPolicy(jitter=1.5), "retry.jitter", "0 to 1", "1.5")


BAD_COUNTS: list[Any] = [
    (NAN, "float nan"),
    (-(10**400), "int"),
    (0, "int 0"),
    (-1, "int -1"),
    (2.5, "float 2.5"),
    (True, "bool"),
    ("3", "str"),
]


@pytest.mark.parametrize(("value", "said"), [*BAD_COUNTS, (None, "None")])
def test_attempts_are_a_count(value: Any, said: str) -> None:
    refused(lambda: RetryPolicy(attempts=value), "retry.attempts", said)


@pytest.mark.parametrize(("value", "said"), [(0, "0"), (-1, "-1"), (2.5, "float"), (True, "bool"), ("3", "str")])
def test_retry_is_a_policy_or_a_count(value: Any, said: str) -> None:
    refused(lambda: Client(BASE, retry=value), "retry", said)
    refused(lambda: Client(BASE).stream("Hi", retry=value), "retry", said)


@pytest.mark.parametrize(("value", "said"), BAD_COUNTS)
def test_max_reply_bytes_is_a_count(value: Any, said: str) -> None:
    refused(lambda: Client(BASE, max_reply_bytes=value), "max_reply_bytes", said)


@pytest.mark.parametrize(("value", "said"), [*BAD_NUMBERS, (2.1, "float 2.1"), (3, "int 3")])
def test_a_temperature_is_a_number_from_0_to_2(value: Any, said: str) -> None:
    refused(lambda: Client(BASE, temperature=value), "temperature", said)
    refused(lambda: Client(BASE).stream("Hi", temperature=value), "temperature", said)


@pytest.mark.parametrize("value", [0, 0.0, 1, 2, 2.0])
def test_the_bounds_of_the_temperature_are_fine(value: float) -> None:
    assert Client(BASE, temperature=value).stream("Hi", temperature=value)


def test_good_limits_and_policies_are_taken() -> None:
    everything = Timeout(connect=None, first_byte=1, idle=1e9, total=0.001)
    assert Client(BASE, timeout=everything)._options.timeout is everything
    assert Client(BASE, timeout=7)._options.timeout == Timeout(total=7)
    assert Client(BASE, timeout=None)._options.timeout == Timeout(None, None, None, None)
    assert Client(BASE, retry=7)._options.retry == RetryPolicy(attempts=7)
    assert Client(BASE, max_reply_bytes=None)._options.max_reply_bytes is None


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_flag_is_a_bool(value: Any) -> None:
    refused(lambda: Client(BASE, strip_notices=value), "strip_notices")


@pytest.mark.parametrize(("value", "said"), [(1, "int"), (None, "None"), (b"x", "bytes"), ("/no/such/file", "no file")])
def test_verify_is_a_bool_or_a_path(value: Any, said: str) -> None:
    refused(lambda: Client(BASE, verify=value), "verify", said)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (["x"], ("list",)),
        ("x: y", ("str",)),
        ({1: "x"}, ("int",)),
        ({"x": 1}, ("'x'", "int")),
        ({"x": None}, ("'x'", "None")),
        ({"x": b"tell-nobody"}, ("'x'", "bytes")),
        ({"x": "tell-nobody\r\ny: z"}, ("'x'", "line break")),
        ({"x": "tell-nobody\n"}, ("'x'", "line break")),
        ({"x": "tell-nobody\0"}, ("'x'", "control")),
        ({"x": "tell-nobody\x7f"}, ("'x'", "control")),
        ({"x": "tell-nobody\x0b"}, ("'x'", "control")),
        ({"x": "tell-nobody é €"}, ("'x'", "index 14")),
        ({"x": "tell-nobody \ud800"}, ("'x'", "surrogate")),
        ({"": "x"}, ("name",)),
        ({"x y": "z"}, ("'x y'",)),
        ({"x:": "z"}, ("'x:'",)),
        ({"x\r\n": "z"}, ("x",)),
        ({"é": "z"}, ("é",)),
        ({"Host": "evil.example"}, ("Host",)),
        ({"content-LENGTH": "1"}, ("content-LENGTH",)),
        ({"Transfer-Encoding": "chunked"}, ("Transfer-Encoding",)),
    ],
)
def test_malformed_headers_are_refused_and_their_values_not_quoted(headers: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Client(BASE, headers=headers)
    for word in ("headers", *words):
        assert word in str(caught.value)
    assert "tell-nobody" not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_good_headers_reach_the_wire() -> None:
    headers = {"X-Team": "blue\tgreen é", "ACCEPT": "text/plain", "X-Empty": ""}
    with FakeServer() as server, Client(server.url, headers=types.MappingProxyType(headers)) as client:
        client.complete("Hi")
        sent = server.requests[0].headers
    assert (sent["x-team"], sent["accept"], sent["x-empty"]) == ("blue\tgreen é", "text/plain", "")


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (None, ("messages", "None")),
        (5, ("messages", "int")),
        (b"Hi", ("messages", "bytes")),
        (bytearray(b"Hi"), ("messages", "bytearray")),
        ({"Hi"}, ("messages", "set")),
        (iter([USER]), ("messages", "list_iterator")),
        (Oddity(), ("messages", "Oddity")),
        ("", ("messages", "empty", "str")),
        ([], ("messages", "empty", "list")),
        ((), ("messages", "empty", "tuple")),
        ("\ud800", ("messages", "surrogate")),
        ({}, ("messages[0].role", "missing")),
        ([None], ("messages[0]", "None")),
        (["Hi"], ("messages[0]", "str")),
        ([5], ("messages[0]", "int")),
        ([list(USER.items())], ("messages[0]", "list")),
        ([USER, "Hi"], ("messages[1]", "str")),
        ([{"content": "Hi"}], ("messages[0].role", "missing")),
        ([{"role": "user"}], ("messages[0].content", "missing")),
        ([{"role": "robot", "content": "Hi"}], ("messages[0].role", "robot", "assistant")),
        ([{"role": "User", "content": "Hi"}], ("messages[0].role", "User")),
        ([{"role": None, "content": "Hi"}], ("messages[0].role", "None")),
        ([{"role": ["user"], "content": "Hi"}], ("messages[0].role", "list")),
        ([USER, {"role": "user", "content": None}], ("messages[1].content", "None")),
        ([{"role": "user", "content": b"Hi"}], ("messages[0].content", "bytes")),
        ([{"role": "user", "content": 5}], ("messages[0].content", "int")),
        ([{"role": "user", "content": ["Hi"]}], ("messages[0].content", "list")),
        ([{"role": "user", "content": "Hi \udc00"}], ("messages[0].content", "surrogate", "index 3")),
        ([{"role": "user", "content": "Hi", 5: "x"}], ("messages[0]", "int")),
        ([{**USER, "x": {1, 2}}], ("messages[0]", "set")),
        ([{**USER, "x": NAN}], ("messages[0]", "JSON")),
        ([{**USER, "x": "\ud800"}], ("messages[0]", "JSON")),
        ([{**USER, "x": b"bytes"}], ("messages[0]", "bytes")),
    ],
)
def test_messages_that_are_none_are_refused_at_their_place(messages: Any, words: tuple[str, ...]) -> None:
    refused(lambda: Client(BASE).stream(messages), *words)
    refused(lambda: Client(BASE).complete(messages), *words)


def test_messages_that_hold_themselves_are_refused() -> None:
    message: dict[str, Any] = dict(USER)
    message["x"] = message
    refused(lambda: Client(BASE).stream(message), "messages[0].x")
    messages: list[Any] = [USER]
    messages.append(messages)
    refused(lambda: Client(BASE).stream(messages), "messages[1]", "list")
    messages[1] = {**USER, "x": (messages,)}
    refused(lambda: Client(BASE).stream(messages), "messages[1].x")


def nested(levels: int) -> Any:
    """A message of so many levels, itself included, of all three kinds."""
    value: Any = "deep"
    for level in range(levels - 1):
        value = ([value], {"x": value}, (value,))[level % 3]
    return {**USER, "x": value}


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_messages_nest_a_hundred_levels_and_no_more(make: type[Client] | type[AsyncClient]) -> None:
    client = make(BASE)
    assert client.stream([nested(100)])
    assert json.loads(json.dumps(client.conversation(messages=[nested(100)]).messages)) == [
        json.loads(json.dumps(nested(100)))
    ]

    for levels in (101, 500, 100_000):
        messages: Any = [USER, nested(levels)]
        refused(lambda: client.stream(messages), "messages[1].x", "100 levels")  # noqa: B023 - called at once
        refused(lambda: client.conversation(messages=messages), "messages[1].x", "100 levels")  # noqa: B023


def test_a_message_that_nests_the_same_list_in_many_places_is_looked_at_once() -> None:
    message: Any = {**USER, "x": []}
    for _ in range(100_000):
        message["x"] = [message["x"], message["x"]]

    refused(lambda: Client(BASE).stream(message), "messages[0].x", "100 levels")


@pytest.mark.parametrize(
    "messages",
    [
        "Hi",
        USER,
        [USER],
        (USER,),
        collections.deque([USER]),
        [types.MappingProxyType(USER)],
        [{**USER, "createdAt": {"a": [1, None, 1.5]}}],
        [{"role": role, "content": ""} for role in ("system", "developer", "user", "assistant", "function", "tool")],
        "\0 NUL, \x1b and \u202e are the user's own",
    ],
)
def test_good_messages_are_taken(messages: Any) -> None:
    assert Client(BASE).stream(messages)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.characters(categories=["Cs"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ALMOST_MESSAGES = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(["user", "system", "robot"]) | JSON, "content": JSON, "x": JSON}
)


@given(JSON | st.lists(JSON | ALMOST_MESSAGES, max_size=3))
def test_messages_are_json_or_refused(messages: Any) -> None:
    try:
        checked = check_messages(messages)
    except InvalidRequestError:
        return
    assert json.loads(json.dumps(checked, allow_nan=False).encode())


@given(st.text() | st.text(alphabet="htps:/@[]%.0159?#\\ a").map("http://".__add__))
def test_any_base_url_is_taken_or_refused(url: str) -> None:
    try:
        client = Client(url)
    except InvalidRequestError:
        return
    assert client._options.base_url.startswith(("http://", "https://"))
    assert Client(client._options.base_url)._options.base_url == client._options.base_url


@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "http://:8080",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://host:8080/path",
        "http://host:8080?tell-nobody",
        "http://[::1",
        "http://[::g]:1",
        "http://[::1]x:1",
        "ftp://host:21",
        "://host",
        "http:// host",
        "http://host\r\n",
        "http://tell-nobody@host",
        "http://tell-nobody:@host",
        "http://:tell-nobody@host",
        "http://user:tell#nobody@host:1",
        "http://user:1234#tell-nobody@host:1",
        "http://user:tell-nobody/x@host:1",
        "http://user:tell-nobody@extra@host:1",
        "socks6://user:tell-nobody@host:1",
    ],
)
def test_a_malformed_proxy_is_refused_and_not_quoted(proxy: str) -> None:
    with pytest.raises(InvalidRequestError, match="proxy") as caught:
        Client(BASE, proxy=proxy)
    assert "nobody" not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("proxy", "address"),
    [
        ("host:8080", "http://host:8080"),
        ("HTTP://Host", "http://host"),
        ("https://user:pa%40ss:word@host:1/", "https://user:pa%40ss:word@host:1"),
        ("socks5h://[::1]:1080", "socks5h://[::1]:1080"),
        ("user:password@host:1", "http://user:password@host:1"),
    ],
)
def test_a_proxy_s_address_is_made_whole(proxy: str, address: str) -> None:
    assert check_proxy("proxy", proxy) == address


@given(st.text() | st.text(alphabet="htps:/@[]%.015?#\\ a").map("http://".__add__))
def test_any_proxy_is_taken_or_refused(proxy: str) -> None:
    try:
        assert check_proxy("proxy", check_proxy("proxy", proxy))
    except InvalidRequestError:
        pass


@pytest.fixture
def nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*arguments: object, **more: object) -> None:
        raise AssertionError("a socket before the arguments were checked")

    monkeypatch.setattr(socket, "getaddrinfo", no_socket)
    monkeypatch.setattr(socket.socket, "connect", no_socket)


@pytest.mark.usefixtures("nothing_sent")
def test_arguments_are_checked_before_any_connection() -> None:
    client = Client(BASE)
    refused(lambda: client.complete([]), "messages")
    refused(lambda: client.complete("Hi", model=""), "model")
    refused(lambda: client.complete("Hi", temperature=NAN), "temperature")
    refused(lambda: client.complete("Hi", timeout=0), "timeout")
    refused(lambda: client.complete("Hi", retry=0), "retry")


def test_options_show_no_secret() -> None:
    client = Client(BASE, key="tell-nobody", password="tell-nobody", headers={"cookie": "tell=nobody"})
    assert "nobody" not in repr(client._options) + str(client._options) + repr(client) + str(client)


# The default host


OWN_SECRETS: list[dict[str, Any]] = [
    {"key": "tell-nobody"},
    {"password": "tell-nobody"},
    {"headers": {"x-any": "tell-nobody"}},
    {"headers": {"user-agent": "mine"}},
]
DEFAULT = "https://chat.acytoo.com"


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize("secret", OWN_SECRETS)
def test_without_a_base_url_a_secret_is_refused(secret: dict[str, Any]) -> None:
    (name,) = secret
    nowhere = Client(BASE, **secret)
    for call in (
        lambda: Client(**secret),
        lambda: AsyncClient(**secret),
        lambda: Client(None, **secret),
        lambda: Client().with_options(**secret),
        lambda: Client(DEFAULT).with_options(base_url=None, **secret),
        lambda: nowhere.with_options(base_url=None),
        lambda: nowhere.with_options(base_url=None, model="other"),
    ):
        refused(call, f"{name}= ", "pass base_url=, or set ACYTOO_BASE_URL")


@pytest.mark.parametrize(("variable", "name"), [("ACYTOO_KEY", "key"), ("ACYTOO_PASSWORD", "password")])
def test_a_secret_of_the_environment_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    monkeypatch.setenv(variable, "tell-nobody")
    refused(Client, variable, name)
    refused(lambda: Client(BASE).with_options(base_url=None), variable)
    none: dict[str, Any] = {name: ""}
    assert Client(**none).options.base_url == DEFAULT


@pytest.mark.parametrize("secret", OWN_SECRETS)
def test_a_base_url_that_somebody_gave_is_sent_secrets(monkeypatch: pytest.MonkeyPatch, secret: dict[str, Any]) -> None:
    asked_for = Client(DEFAULT, **secret)
    assert asked_for.with_options(model="other").options.base_url == DEFAULT
    assert Client(DEFAULT).with_options(**secret).options.base_url == DEFAULT
    assert Client().with_options(base_url=BASE, **secret).options.base_url == BASE
    assert pickle.loads(pickle.dumps(asked_for)).with_options(**secret).options.base_url == DEFAULT
    with pytest.raises(InvalidRequestError):
        asked_for.with_options(base_url=None)
    monkeypatch.setenv("ACYTOO_BASE_URL", BASE)
    assert Client(**secret).options.base_url == BASE
    assert asked_for.with_options(base_url=None).options.base_url == BASE


def test_without_secrets_no_base_url_is_needed() -> None:
    assert Client().with_options(model="other", key="", headers={}).options.base_url == DEFAULT
