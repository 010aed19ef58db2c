"""Proxies and trust: which one is used, what it is told, and that nobody else's settings decide."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_server import Connection, FaultServer, raw, stall
from local_proxy import answering, http_proxy, leave, socks5_proxy

from acytoo_sdk import (
    APIConnectionError,
    APITimeoutError,
    Client,
    InvalidRequestError,
    RetryPolicy,
    ServerError,
    StreamCancelledError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault

NAME = "chat.example"
PLAIN, TLS = f"http://{NAME}", f"https://{NAME}"
AT_ONCE = RetryPolicy(wait_initial=0)


@pytest.fixture(autouse=True)
def only_proxies_know_names(monkeypatch: pytest.MonkeyPatch) -> None:
    getaddrinfo = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return getaddrinfo(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


class Trust:
    """An authority, its bundle, and a server's context for the name that only proxies know, and for loopback."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.bundle = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.bundle)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME, "127.0.0.1").configure_cert(self.context)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("stranger"))


@contextlib.contextmanager
def proxied(
    tls: ssl.SSLContext | None = None, *, faults: list[Fault | None] | None = None, credentials: str = ""
) -> Iterator[tuple[FakeServer, FaultServer, list[bytes]]]:
    """A server, a proxy before it, and the heads that the proxy saw."""
    seen: list[bytes] = []
    with (
        FakeServer(["Hel", "lo"], tls=tls, faults=faults or []) as server,
        FaultServer([http_proxy(server.url, seen, credentials=credentials)]) as proxy,
    ):
        yield server, proxy, seen


# The argument


def test_a_plain_request_is_forwarded_by_the_proxy() -> None:
    with proxied() as (server, proxy, seen), Client(PLAIN, proxy=proxy.url) as client:
        assert client.complete("Hi") == client.complete("Hi") == "Hello"
        assert seen[0].startswith(b"POST http://chat.example/api/completions HTTP/1.1\r\n")
        assert b"\r\nhost: chat.example\r\n" in seen[0].lower()
        assert (len(server.requests), proxy.connections) == (2, 1)


def test_a_tls_request_goes_through_a_tunnel(trust: Trust) -> None:
    with proxied(trust.context) as (server, proxy, seen), Client(TLS, proxy=proxy.url, verify=trust.bundle) as client:
        assert client.complete("Hi") == client.complete("Hi") == "Hello"
        assert seen[0].startswith(b"CONNECT chat.example:443 HTTP/1.")
        assert (len(server.requests), proxy.connections, len(seen)) == (2, 1, 1)


@pytest.mark.parametrize("base_url", [PLAIN, TLS])
def test_credentials_go_to_the_proxy_alone(base_url: str, trust: Trust) -> None:
    tls = trust.context if base_url == TLS else None
    with proxied(tls, credentials="us er:p@ss:word") as (server, proxy, seen):
        address = proxy.url.replace("http://", "http://us%20er:p%40ss:word@")
        with Client(base_url, proxy=address, verify=trust.bundle) as client:
            assert client.complete("Hi") == "Hello"
        assert b"proxy-authorization: basic " + b64encode(b"us er:p@ss:word").lower() in seen[0].lower()
        if tls:
            assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("base_url", [PLAIN, TLS])
def test_a_proxy_that_asks_for_credentials_says_so_once(base_url: str) -> None:
    with proxied(credentials="user:password") as (server, proxy, seen), Client(base_url, proxy=proxy.url) as client:
        with pytest.raises(APIConnectionError, match="407") as caught:
            client.complete("Hi")
        assert not caught.value.retryable
        assert "USER:PASSWORD" in (caught.value.hint or "")
        assert (len(seen), len(server.requests)) == (1, 0)


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (502, 3), (503, 3)])
def test_a_refused_tunnel_is_told_and_retried_where_that_may_help(status: int, attempts: int) -> None:
    seen: list[bytes] = []
    refusal = b"HTTP/1.1 %d Refused\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope" % status
    with (
        FaultServer([answering(refusal, seen)]) as proxy,
        Client(TLS, proxy=proxy.url, retry=AT_ONCE) as client,
    ):
        with pytest.raises(APIConnectionError, match=rf"proxy 127\.0\.0\.1:{proxy.port} .*{status}"):
            client.complete("Hi")
        assert len(seen) == attempts


def test_an_error_of_the_proxy_about_a_plain_request_is_its_status() -> None:
    seen: list[bytes] = []
    refusal = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope"
    with FaultServer([answering(refusal, seen)]) as proxy, Client(PLAIN, proxy=proxy.url, retry=1) as client:
        with pytest.raises(ServerError, match="nope"):
            client.complete("Hi")
        assert len(seen) == 1


@pytest.mark.parametrize(("base_url", "phase"), [(PLAIN, "first_byte"), (TLS, "connect")])
def test_a_stalling_proxy_meets_the_limits(base_url: str, phase: str) -> None:
    limits = Timeout(connect=0.3, first_byte=0.3)
    with (
        FaultServer([[raw, stall]]) as proxy,
        Client(base_url, proxy=proxy.url, timeout=limits, retry=AT_ONCE) as client,
    ):
        began = time.monotonic()
        with pytest.raises(APITimeoutError) as caught:
            client.complete("Hi")
        assert 0.9 <= time.monotonic() - began < 3
        assert caught.value.phase == phase
        assert proxy.connections == 3


@pytest.mark.parametrize("base_url", [PLAIN, TLS])
def test_total_bounds_a_stalling_proxy(base_url: str) -> None:
    with FaultServer([[raw, stall]]) as proxy, Client(base_url, proxy=proxy.url, timeout=0.3) as client:
        began = time.monotonic()
        with pytest.raises(APITimeoutError) as caught:
            client.complete("Hi")
        assert 0.3 <= time.monotonic() - began < 2
        assert (caught.value.phase, proxy.connections) == ("total", 1)


@pytest.mark.parametrize("base_url", [PLAIN, TLS])
def test_cancel_wakes_who_waits_for_a_stalling_proxy(base_url: str) -> None:
    with FaultServer([[raw, stall]]) as proxy, Client(base_url, proxy=proxy.url) as client:
        stream = client.stream("Hi")
        caught: list[BaseException] = []
        reader = threading.Thread(target=lambda: caught.append(_error_of(stream)))
        reader.start()
        assert proxy.wait_until(lambda: proxy.connections == 1)
        time.sleep(0.05)
        stream.cancel()
        reader.join(2)
        assert [type(error) for error in caught] == [StreamCancelledError]
        assert proxy.wait_until(lambda: proxy.open_connections == 0)


def _error_of(stream: Any) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        stream.read()
    return caught.value


def test_limits_and_cancel_hold_inside_a_tunnel(trust: Trust) -> None:
    faults = [Fault.stall(after=1), Fault.stall(after=1), Fault.cut(after=1), None]
    with proxied(trust.context, faults=faults) as (server, proxy, _):
        client = Client(TLS, proxy=proxy.url, verify=trust.bundle, timeout=Timeout(idle=0.3))
        stream = client.stream("Hi")
        with pytest.raises(APITimeoutError) as caught:
            stream.read()
        assert (caught.value.phase, stream.text) == ("idle", "Hel")

        stream = client.stream("Hi", timeout=None)
        assert next(stream) == "Hel"
        reader = threading.Thread(target=lambda: _error_of(stream))
        reader.start()
        stream.cancel()
        reader.join(2)
        assert not reader.is_alive()
        assert stream.text == "Hel"

        assert isinstance(_error_of(cut := client.stream("Hi")), Exception)
        assert cut.text == "Hel"
        assert client.complete("Hi") == "Hello"
        client.close()
        server.wait_until(lambda: server.open_connections == 0)
        assert proxy.wait_until(lambda: proxy.open_connections == 0)


def test_a_refused_proxy_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Client(PLAIN, proxy=f"http://user:password@127.0.0.1:{port}", retry=1) as client,
        pytest.raises(APIConnectionError, match=f"127.0.0.1:{port}: .*refused") as caught,
    ):
        client.complete("Hi")
    assert "password" not in str(caught.value)


# The environment


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environment_names_a_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied() as (_, proxy, seen):
        monkeypatch.setenv(variable, proxy.url)
        with Client(PLAIN) as client:
            assert client.complete("Hi") == "Hello"
        assert len(seen) == 1


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_environment_names_a_proxy_for_tls(variable: str, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied(trust.context) as (_, proxy, seen):
        monkeypatch.setenv(variable, proxy.url)
        with Client(TLS, verify=trust.bundle) as client:
            assert client.complete("Hi") == "Hello"
        assert len(seen) == 1


def test_the_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied() as (_, proxy, seen), FaultServer([[raw, stall]]) as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("NO_PROXY", "*")
        with Client(PLAIN, proxy=proxy.url) as client:
            assert client.complete("Hi") == "Hello"
        assert (len(seen), other.connections) == (1, 0)


@pytest.mark.parametrize("excepted", [NAME, f".{NAME}", "example", ".example", "*", f"other, {NAME}"])
def test_no_proxy_excepts_hosts(excepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer([[raw, stall]]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", excepted)
        base_url = PLAIN if excepted != f".{NAME}" else f"http://sub.{NAME}"
        with Client(base_url, retry=1, timeout=5) as client, pytest.raises(APIConnectionError, match="no host"):
            client.complete("Hi")
        assert proxy.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_never_goes_through_the_environment_s_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer([[raw, stall]]) as proxy, FakeServer("Hello") as server:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        with Client(server.url.replace("127.0.0.1", host)) as client:
            assert client.complete("Hi") == "Hello"
        assert proxy.connections == 0


def test_loopback_goes_through_the_argument_s() -> None:
    with proxied() as (server, proxy, seen), Client(server.url, proxy=proxy.url) as client:
        assert client.complete("Hi") == "Hello"
        assert len(seen) == 1


def test_a_malformed_variable_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:tell-nobody")
    with Client(PLAIN) as client, pytest.raises(InvalidRequestError, match="proxy") as caught:
        client.complete("Hi")
    assert "nobody" not in repr(caught.value)


def test_netrc_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\ndefault login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with FakeServer() as server:
        Client(server.url).complete("Hi")
        Client(server.url, headers={"Authorization": "Bearer mine"}).complete("Hi")
        assert "authorization" not in server.requests[0].headers
        assert server.requests[1].headers["authorization"] == "Bearer mine"


# SOCKS


def test_socks_resolves_at_the_proxy() -> None:
    seen: list[bytes] = []
    with FakeServer("Hello") as server, FaultServer([socks5_proxy(server.url, seen)]) as proxy:
        with Client(PLAIN, proxy=f"socks5h://127.0.0.1:{proxy.port}") as client:
            assert client.complete("Hi") == client.complete("Hi") == "Hello"
        assert NAME.encode() in seen[0]
        assert proxy.connections == 1


def test_socks_carries_tls(trust: Trust) -> None:
    seen: list[bytes] = []
    with FakeServer("Hello", tls=trust.context) as server, FaultServer([socks5_proxy(server.url, seen)]) as proxy:
        with Client(TLS, proxy=f"socks5h://127.0.0.1:{proxy.port}", verify=trust.bundle) as client:
            assert client.complete("Hi") == "Hello"
        assert NAME.encode() in seen[0]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "sent invalid data"),
        ([b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6)], "Host unreachable"),
        ([b"\x05\xff"], "authentication methods were rejected"),
        ([b""], "closed unexpectedly"),
    ],
)
def test_what_a_socks_proxy_answers_instead_is_told(answers: list[bytes], says: str) -> None:
    def step(connection: Connection) -> None:
        for answer in answers:
            connection.socket.recv(1024)
            connection.socket.sendall(answer)
        leave(connection)

    with (
        FaultServer([[raw, step]]) as proxy,
        Client(PLAIN, proxy=f"socks5h://user:password@127.0.0.1:{proxy.port}", retry=1) as client,
        pytest.raises(APIConnectionError, match=f"127.0.0.1:{proxy.port} made no connection to {NAME}: .*{says}"),
    ):
        client.complete("Hi")


def test_a_stalling_socks_proxy_meets_the_limits() -> None:
    with (
        FaultServer([[raw, stall]]) as proxy,
        Client(PLAIN, proxy=f"socks5h://127.0.0.1:{proxy.port}", timeout=Timeout(connect=0.3), retry=1) as client,
    ):
        began = time.monotonic()
        with pytest.raises(APITimeoutError) as caught:
            client.complete("Hi")
        assert time.monotonic() - began < 2
        assert caught.value.phase == "connect"


def test_cancel_wakes_who_waits_for_a_stalling_socks_proxy() -> None:
    with (
        FaultServer([[raw, stall]]) as proxy,
        Client(PLAIN, proxy=f"socks5h://127.0.0.1:{proxy.port}", timeout=Timeout(connect=3)) as client,
    ):
        stream = client.stream("Hi")
        reader = threading.Thread(target=lambda: _error_of(stream))
        reader.start()
        assert proxy.wait_until(lambda: proxy.connections == 1)
        time.sleep(0.05)
        began = time.monotonic()
        stream.cancel()
        reader.join()
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_socks_without_pysocks_names_the_extra(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)
    address = "socks5h://user:tell-nobody@127.0.0.1:1"
    if by == "environment":
        monkeypatch.setenv("ALL_PROXY", address)
    with (
        Client(PLAIN, proxy=address if by == "argument" else None) as client,
        pytest.raises(InvalidRequestError, match=r"acytoo-sdk\[socks\]") as caught,
    ):
        client.complete("Hi")
    assert "nobody" not in repr(caught.value)


# Trust


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_s_bundle_is_honoured_while_verify_is_true(
    variable: str, trust: Trust, stranger: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer("Hello", tls=trust.context) as server:
        refused(Client(server.url))
        monkeypatch.setenv(variable, trust.bundle)
        with Client(server.url) as client:
            assert client.complete("Hi") == "Hello"
        refused(Client(server.url, verify=stranger.bundle))
        monkeypatch.setenv(variable, stranger.bundle)
        refused(Client(server.url))
        with Client(server.url, verify=trust.bundle) as client:
            assert client.complete("Hi") == "Hello"
        monkeypatch.setenv(variable, "/no/such/file")
        with Client(server.url, verify=False) as client:
            assert client.complete("Hi") == "Hello"
        with Client(server.url) as client, pytest.raises(InvalidRequestError, match=variable):
            client.complete("Hi")


def test_no_client_loosens_another(trust: Trust, stranger: Trust) -> None:
    with FakeServer("Hello", tls=trust.context) as server:
        strict, own, lax = Client(server.url), Client(server.url, verify=trust.bundle), Client(server.url, verify=False)
        other = Client(server.url, verify=stranger.bundle)
        with strict, own, lax, other:
            for _ in range(2):
                assert lax.complete("Hi") == own.complete("Hi") == "Hello"
                for client in (strict, other, strict.with_options(model="x")):
                    with pytest.raises(APIConnectionError, match="certificate"):
                        client.complete("Hi")


def test_a_bundle_that_is_none_is_named(tmp_path: Path, trust: Trust) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    with FakeServer(tls=trust.context) as server, Client(server.url, verify=str(bundle)) as client:
        with pytest.raises(InvalidRequestError, match="verify") as caught:
            client.complete("Hi")
        assert caught.value.__cause__ is not caught.value


def refused(client: Client) -> None:
    with client, pytest.raises(APIConnectionError, match="certificate") as caught:
        client.complete("Hi")
    assert not caught.value.retryable
