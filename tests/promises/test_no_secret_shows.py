"""Keys, passwords, secret headers and proxies' credentials: nothing that can be looked at holds them."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import logging
import pickle
import socket
import ssl
import types
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from fault_server import FaultServer, Script, fin, raw, rst, stall
from local_proxy import answering, http_proxy

from acytoo_sdk import AcytooError, Client, InvalidRequestError, RetryPolicy, Stream, Timeout
from acytoo_sdk.testing import FakeServer

KEY = 'key-4f/"ё& 9'
PASSWORD = "pass-word-7c"
TOKEN = "token-5e-bearer"
API_KEY = "api-key-1d"
COOKIE = "cookie-8b"
PROXY_USER, PROXY_PASSWORD = "proxy-user-2a", "proxy-pass-3f@"
OURS = [KEY, PASSWORD, TOKEN, API_KEY, COOKIE]
SECRETS = [*OURS, PROXY_USER, PROXY_PASSWORD]
BASIC = b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode()
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Api-Key": API_KEY, "Cookie": f"session={COOKIE}; theme=dark"}

# What a server may quote, in a head and in a body; and a proxy.
IN_HEAD = " ".join([quote(KEY), *OURS[1:]]).encode()
IN_BODY = " ".join([quote(KEY), *OURS]).encode()
IN_JSON = json.dumps({"error": {"message": " ".join(OURS)}}).encode()
BY_PROXY = " ".join([quote(KEY), *SECRETS[1:], quote(PROXY_PASSWORD), BASIC]).encode()


def looks(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


FORBIDDEN = {look for secret in [*SECRETS, BASIC] for look in looks(secret)}


def shown(text: str) -> set[str]:
    """The secrets in a text, however they are written."""
    return {secret for secret in FORBIDDEN if secret in text}


_ATOMS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)


def walk(root: object) -> Iterator[object]:
    """All that can be reached from an error by `args`, `vars`, causes, containers and slots; not the frames."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _ATOMS):
            continue
        seen[id(one)] = one
        yield one
        if isinstance(one, BaseException):
            waiting += [one.args, one.__cause__, one.__context__, getattr(one, "__notes__", None)]
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        with contextlib.suppress(TypeError):
            waiting.append(vars(one))
        waiting += [getattr(one, name, None) for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]


def check(error: BaseException) -> None:
    """Nothing about this error shows a secret: it, what it is chained to, its pickles and copies."""
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        for part in walk(one):
            text = part.decode("utf-8", "replace") if isinstance(part, bytes | bytearray) else f"{part!s} {part!r}"
            assert not shown(text), (type(part), text)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert not shown(pickle.dumps(error, protocol).decode("utf-8", "replace"))


@pytest.fixture(autouse=True)
def everything_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Every logger at DEBUG and http.client's own debug lines on; at the end, none of it may show a secret."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    caplog.set_level(logging.DEBUG)
    for name in ("acytoo_sdk", "urllib3", "requests", "tenacity"):
        caplog.set_level(logging.DEBUG, name)
    yield
    said = capfd.readouterr()
    assert not shown(said.out + said.err)
    assert not shown(caplog.text)
    for record in caplog.records:
        assert not shown(repr(vars(record)))


def client_of(url: str, **more: Any) -> Client:
    arguments: dict[str, Any] = {
        "key": KEY,
        "password": PASSWORD,
        "headers": HEADERS,
        "retry": RetryPolicy(attempts=2, wait_initial=0),
        "timeout": Timeout(connect=0.5, first_byte=0.5, idle=0.5, total=5),
    }
    return Client(url, **{**arguments, **more})


def failure_of(client: Client) -> AcytooError:
    """The error of a call, checked, and what is left of its stream."""
    with client:
        stream = client.stream("Hi")
        with pytest.raises(AcytooError) as caught:
            stream.read()
        check(caught.value)
        look_at(client, stream)
        return caught.value


def look_at(client: Client, stream: Stream) -> None:
    for one in (client, stream, client._options, stream.head, stream.stats):
        assert not shown(f"{one!s} {one!r}")
    if stream.head is not None:
        assert not shown(repr(vars(stream.head)))


def head(status: bytes, *lines: bytes) -> bytes:
    return b"HTTP/1.1 " + b"\r\n".join([status, *lines, b"Connection: close"]) + b"\r\n\r\n"


HTML = b"<html><head><title>" + IN_BODY.replace(b"&", b"&amp;") + b"</title></head><body>" + IN_BODY + b"</body></html>"
CHUNKED = b"Transfer-Encoding: chunked"
QUOTING: dict[str, Script] = {
    "the status line": [head(b"401 " + IN_HEAD), fin],
    "a status line that is none": [b"HTTP/1.1 OK " + IN_HEAD + b"\r\n\r\n", fin],
    "no status line at all": [IN_HEAD + b"\r\n\r\n", fin],
    "a header": [head(b"500 Oops", b"X-Echo: " + IN_HEAD), fin],
    "a header's name": [head(b"500 Oops", IN_HEAD.replace(b" ", b"-").replace(b"@", b"") + b": x"), fin],
    "a header that is none": [head(b"200 OK", IN_HEAD), fin],
    "the request id": [head(b"500 Oops", b"X-Request-Id: " + IN_HEAD), fin],
    "a challenge for credentials": [head(b"401 No", b"WWW-Authenticate: Bearer " + IN_HEAD), fin],
    "a cookie": [head(b"401 No", b"Set-Cookie: session=" + COOKIE.encode()), fin],
    "the body of an error": [head(b"400 No", b"Content-Type: text/plain"), IN_BODY, fin],
    "the body of an error, cut": [head(b"400 No", b"Content-Length: 99999"), b"." * 70 + IN_BODY, fin],
    "the body of an error, cut inside a secret": [
        head(b"400 No", b"Content-Length: 99999"),
        b"key " + KEY.encode()[:7],
        fin,
    ],
    "the body of an error, at its limit": [head(b"400 No"), b"." * (64 * 1024 - 6) + PASSWORD.encode() * 2, fin],
    "JSON": [head(b"403 No", b"Content-Type: application/json"), IN_JSON, fin],
    "JSON in a 200": [head(b"200 OK", b"Content-Type: application/json"), IN_JSON, fin],
    "a page's title": [head(b"502 No", b"Content-Type: text/html"), HTML, fin],
    "a page in a 200": [head(b"200 OK", b"Content-Type: text/html"), HTML, fin],
    "a redirect": [head(b"307 Go", b"Location: http://elsewhere.example/?k=" + IN_HEAD.replace(b" ", b"&")), fin],
    "a proxy's status": [head(b"407 No"), IN_BODY, fin],
    "the content type": [head(b"503 No", b"Content-Type: " + IN_HEAD), fin],
    "the coding": [head(b"200 OK", b"Content-Encoding: " + IN_HEAD), fin],
    "the framing": [head(b"200 OK", b"Transfer-Encoding: " + IN_HEAD), fin],
    "the length": [head(b"200 OK", b"Content-Length: " + IN_HEAD), fin],
    "the lengths of an error": [head(b"500 No", b"Content-Length: 5", b"Content-Length: " + IN_HEAD), fin],
    "the chunks": [head(b"200 OK", CHUNKED), IN_HEAD + b"\r\n", fin],
    "the end of a chunk": [head(b"200 OK", CHUNKED), b"2\r\nHi" + IN_HEAD + b"\r\n", fin],
    "a reset": [head(b"500 No", b"Content-Length: 99999"), IN_BODY, rst],
}
SILENT: dict[str, Script] = {
    "nothing": [stall],
    "an end": [fin],
    "a reset": [rst],
    "a head": [head(b"200 OK"), stall],
    "half a head": [head(b"200 OK")[:-2], stall],
    "a text": [head(b"200 OK"), b"Hello", stall],
    "a text, reset": [head(b"200 OK", b"Content-Length: 9"), b"Hello", rst],
    "a text that is none": [head(b"200 OK"), b"Hello \xff", fin],
    "a handshake": [raw, stall],
}


@pytest.mark.parametrize("where", QUOTING)
def test_a_server_may_quote_them_in(where: str) -> None:
    with FaultServer([QUOTING[where]]) as server:
        failure_of(client_of(server.url))


@pytest.mark.parametrize("what", SILENT)
def test_a_server_may_send_just(what: str) -> None:
    with FaultServer([SILENT[what]]) as server:
        failure_of(client_of(server.url))


def test_what_is_masked_still_tells_something() -> None:
    with FaultServer([QUOTING["JSON"]]) as server:
        error = failure_of(client_of(server.url, proxy=None))
    assert "***" in str(error)
    assert "***" in error.body  # type: ignore[attr-defined]


def test_credentials_in_a_basic_authorization_are_secrets_too() -> None:
    headers = {"Authorization": "Basic " + b64encode(f"someone:{PASSWORD}".encode()).decode()}
    with FaultServer([[head(b"401 No"), b"wrong: " + PASSWORD.encode(), fin]]) as server:
        failure_of(client_of(server.url, password="other", headers=headers))


ECHOED = {
    "x-signature": ("{}", [TOKEN]),
    "x-pass": ("{}", [TOKEN]),
    "x-team": ("t=1,v1={}", [TOKEN]),
    "x-auth": ('Token token="{}", nonce={}', [TOKEN, API_KEY]),
    "authorization": ('Digest username="{}", realm="here", nonce="{}", response={}', [TOKEN, API_KEY, COOKIE]),
    "Authorization": ("AWS4-HMAC-SHA256 Credential={}/2026/eu, Signature={}", [TOKEN, API_KEY]),
    "cookie": ("a={}; b={}", [TOKEN, API_KEY]),
}


@pytest.mark.parametrize("name", ECHOED)
def test_any_header_s_value_and_each_part_of_credentials_are_secrets(name: str) -> None:
    form, parts = ECHOED[name]
    said = "; then ".join([form.format(*parts), *parts]).encode()
    with FaultServer([[head(b"400 No", b"X-Echo: " + said), said, fin]]) as server:
        error = failure_of(client_of(server.url, headers={name: form.format(*parts)}))
    assert "then ***" in error.body  # type: ignore[attr-defined]


def test_a_harmless_header_and_a_secret_of_a_letter_or_three_leave_the_words_alone() -> None:
    with FaultServer([[head(b"400 No", b"X-Echo: e", b"X-Request-Id: Abc"), b"the bench erred: abc", fin]]) as server:
        client = Client(server.url, key="e", password="abc", headers={"User-Agent": "bench"})
        error = failure_of(client)
    assert str(error).endswith("the bench erred: abc")
    assert error.headers["x-echo"] == error.request_id == "***"  # type: ignore[attr-defined]


def test_a_one_letter_user_of_a_proxy_leaves_the_words_alone() -> None:
    with FaultServer([answering(head(b"403 No") + f"never {PROXY_PASSWORD}".encode(), [])]) as proxy:
        address = proxy.url.replace("://", f"://e:{quote(PROXY_PASSWORD)}@")
        error = failure_of(client_of(PLAIN, proxy=address))
    assert error.body == "never ***"  # type: ignore[attr-defined]


def test_a_refused_connection_shows_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    failure_of(client_of(url))


def test_an_unknown_host_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failure_of(client_of("https://chat.example"))


# Proxies

PLAIN, TLS = "http://chat.example", "https://chat.example"
PROXIES: dict[str, tuple[str, Callable[[list[bytes]], Script]]] = {
    "refuses": (PLAIN, lambda seen: answering(head(b"403 " + BY_PROXY) + BY_PROXY, seen)),
    "asks for credentials": (PLAIN, lambda seen: answering(head(b"407 " + BY_PROXY) + BY_PROXY, seen)),
    "refuses a tunnel": (TLS, lambda seen: answering(head(b"403 " + BY_PROXY) + BY_PROXY, seen)),
    "asks for credentials of a tunnel": (TLS, lambda seen: answering(head(b"407 " + BY_PROXY) + BY_PROXY, seen)),
    "answers a tunnel with garbage": (TLS, lambda seen: answering(BY_PROXY + b"\r\n\r\n", seen)),
    "answers a tunnel with headers": (TLS, lambda seen: answering(head(b"502 No", b"X: " + BY_PROXY), seen)),
    "answers TLS with garbage": (TLS, lambda seen: answering(head(b"200 OK") + BY_PROXY, seen)),
    "stalls": (PLAIN, lambda seen: [raw, stall]),
    "stalls a tunnel": (TLS, lambda seen: [raw, stall]),
    "leaves": (TLS, lambda seen: answering(b"", seen)),
    "resets": (PLAIN, lambda seen: [raw, rst]),
    "does not know us": (TLS, lambda seen: http_proxy("http://127.0.0.1:1", seen, credentials="other:one")),
}


def with_credentials(url: str) -> str:
    return url.replace("://", f"://{PROXY_USER}:{quote(PROXY_PASSWORD)}@")


@pytest.mark.parametrize("by", ["argument", "environment"])
@pytest.mark.parametrize("what", PROXIES)
def test_a_proxy_that(what: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, script = PROXIES[what]
    seen: list[bytes] = []
    with FaultServer([script(seen)]) as proxy:
        address = with_credentials(proxy.url)
        if by == "environment":
            monkeypatch.setenv("ALL_PROXY", address)
        failure_of(client_of(url, proxy=address if by == "argument" else None))
    assert not seen or BASIC.encode() in seen[0]


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "socks4"])
@pytest.mark.parametrize("url", [PLAIN, TLS])
def test_a_proxy_that_is_not_there(scheme: str, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure_of(client_of(url, proxy=with_credentials(f"{scheme}://127.0.0.1:{port}")))


# TLS


@pytest.mark.parametrize("fault", ["unknown authority", "wrong host", "no TLS", "alert"])
def test_tls_errors_show_none(fault: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example" if fault == "wrong host" else "127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    (trustme.CA() if fault == "unknown authority" else authority).cert_pem.write_to_path(str(bundle))
    if fault == "alert":
        context.verify_mode = ssl.CERT_REQUIRED
    with FaultServer(
        [[IN_BODY, fin]] if fault == "no TLS" else [[fin]], tls=None if fault == "no TLS" else context
    ) as server:
        failure_of(client_of(server.url.replace("http://", "https://"), verify=str(bundle)))


# Arguments


@dataclass
class Bad:
    """An argument that is refused, with a secret in it; it shows it to whoever asks."""

    secret: str = KEY


BAD_ARGUMENTS: list[dict[str, Any]] = [
    {"key": KEY + "\ud800"},
    {"key": KEY.encode()},
    {"key": [KEY]},
    {"key": Bad()},
    {"password": PASSWORD + "\udfff"},
    {"password": PASSWORD.encode()},
    {"headers": {"Authorization": f"Bearer {TOKEN}\r\n"}},
    {"headers": {"Authorization": f"Bearer {TOKEN} €"}},
    {"headers": {"Authorization": f"Bearer {TOKEN} \ud800"}},
    {"headers": {"Authorization": TOKEN.encode()}},
    {"headers": [("Authorization", TOKEN)]},
    {"headers": f"Authorization: {TOKEN}"},
    {"proxy": f"http://{PROXY_USER}:{PROXY_PASSWORD}"},
    {"proxy": f"http://{PROXY_USER}:{quote(PROXY_PASSWORD)}@host:port"},
    {"proxy": f"http://{PROXY_USER}:{quote(PROXY_PASSWORD)}@[::1"},
    {"proxy": f"gopher://{PROXY_USER}:{quote(PROXY_PASSWORD)}@host:1"},
    {"proxy": f"http://{PROXY_USER}:{quote(PROXY_PASSWORD)}@host:1/path"},
    {"proxy": f"http://{PROXY_USER}:{quote(PROXY_PASSWORD)}\ud800@host:1"},
    {"proxy": PROXY_PASSWORD.encode()},
    {"base_url": f"http://{PROXY_USER}:{PASSWORD}@host"},
    {"base_url": f"http://host:{PASSWORD}"},
    {"base_url": f"http://{PASSWORD}:x@host\ud800"},
    {"base_url": f"{PROXY_USER}:{PASSWORD}@host"},
    {"base_url": f"http://host?key={PASSWORD}"},
    {"base_url": f"http://host:99999#{PASSWORD}"},
    {"path": f"/a b?key={PASSWORD}"},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS)
def test_a_bad_argument_is_not_quoted(arguments: dict[str, Any]) -> None:
    calls: list[Callable[[], Client]] = [
        lambda: client_of("http://host").with_options(**arguments),
        lambda: Client(**arguments),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError) as caught:
            call()
        check(caught.value)


def test_a_bad_variable_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACYTOO_BASE_URL", f"http://{PROXY_USER}:{PASSWORD}@host")
    with pytest.raises(InvalidRequestError) as caught:
        Client()
    check(caught.value)


# Everything else


def test_cancellation_and_the_closed_client_show_none() -> None:
    with FakeServer(["Hel", "lo"]) as server:
        client = client_of(server.url)
        stream = client.stream("Hi")
        next(stream)
        stream.cancel()
        with pytest.raises(AcytooError) as cancelled:
            next(stream)
        client.close()
        with pytest.raises(AcytooError) as closed:
            client.stream("Hi")
        check(cancelled.value)
        check(closed.value)


def test_a_reply_s_own_text_is_the_user_s() -> None:
    with FakeServer(KEY) as server, client_of(server.url) as client:
        stream = client.stream("Hi")
        assert stream.read() == KEY
        assert not shown(repr(stream))


def test_good_calls_show_none_and_send_all() -> None:
    with FakeServer("Hello") as server, client_of(server.url) as client:
        stream = client.stream("Hi")
        stream.read()
        look_at(client, stream)
        look_at(client.with_options(model="x"), client.stream("Hi"))
        sent = server.requests[0]
    assert sent.json is not None
    assert (sent.json["key"], sent.json["password"]) == (KEY, PASSWORD)
    assert (sent.headers["authorization"], sent.headers["cookie"]) == (HEADERS["Authorization"], HEADERS["Cookie"])


def test_the_walk_finds_what_is_hidden() -> None:
    """The test's own eyes: a secret in a cause's attribute, a slot, a note."""
    hidden: list[tuple[str, Any]] = [
        ("request", types.SimpleNamespace(body=f"x{PASSWORD}".encode())),
        ("__notes__", [PASSWORD]),
        ("__cause__", ValueError([{"x": PASSWORD}])),
        ("__context__", ValueError(5, {PASSWORD: 5})),
    ]
    for name, value in hidden:
        error = AcytooError("fine")
        check(error)
        setattr(error, name, value)
        with pytest.raises(AssertionError):
            check(error)
