"""requests' adapter as it is used here: no session, one policy for certificates, proxies by URL, idle connections."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from acytoo_sdk import InvalidRequestError, Timeout
from acytoo_sdk._network.limits import Limits
from acytoo_sdk._network.sockets import SocketScope
from acytoo_sdk._network.transport import Transport
from acytoo_sdk._wire.framing import ContentLengthReader
from acytoo_sdk.protocol import build_request
from acytoo_sdk.testing import FakeServer, Fault

Send = Callable[..., Any]


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's certificate, and the path of the authority that signed it."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    return context, str(bundle)


@pytest.fixture
def send() -> Iterator[Send]:
    """Sends one request by a transport of its own, and reads the head of the reply alone."""
    made: list[tuple[Transport, SocketScope]] = []

    def send(url: str, *, verify: bool | str = True, proxy: str = "") -> Any:
        transport, scope = Transport(verify=verify, proxy=proxy, connections=1), SocketScope(Limits(Timeout(), None))
        made.append((transport, scope))
        response: Any = transport.send(build_request("Hi", base_url=url), scope)
        assert response.raw.receive_head()
        return response

    yield send
    for transport, scope in made:
        scope.close()
        transport.close()


def test_a_redirect_is_not_followed_and_no_cookie_comes_back(send: Send) -> None:
    with FakeServer("Hello", headers={"set-cookie": "a=b"}) as server:
        with FakeServer(faults=[Fault.redirect(server.url)]) as other:
            assert send(other.url).raw.status == 307
        assert server.connections == 0
        transport = Transport(verify=True, proxy="", connections=1)
        for _ in range(2):
            scope = SocketScope(Limits(Timeout(), None))
            response: Any = transport.send(build_request("Hi", base_url=server.url), scope)
            assert response.raw.receive_head()
            scope.close()
        transport.close()
        assert all("cookie" not in request.headers for request in server.requests)


def test_netrc_is_not_read(send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password sesame\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with FakeServer("Hello") as server:
        send(server.url)
        assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environments_bundle_is_trusted(
    send: Send, authority: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    context, bundle = authority
    with FakeServer("Hello", tls=context) as server:
        with pytest.raises(requests.exceptions.SSLError):
            send(server.url)
        monkeypatch.setenv(variable, bundle)
        assert send(server.url).raw.status == 200


def test_an_argument_beats_the_environments_bundle(
    send: Send, authority: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, bundle = authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle")
    with FakeServer("Hello", tls=context) as server:
        assert send(server.url, verify=bundle).raw.status == 200
        assert send(server.url, verify=False).raw.status == 200


def test_a_bundle_that_is_none_is_an_error_that_names_who_named_it(
    send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "empty.pem"
    bundle.touch()
    with pytest.raises(InvalidRequestError, match="verify names no bundle"):
        send("https://127.0.0.1:9", verify=str(bundle))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(bundle))
    with pytest.raises(InvalidRequestError, match="CURL_CA_BUNDLE names no bundle"):
        send("https://127.0.0.1:9")


def test_the_policy_for_certificates_is_asked_of_secure_addresses_alone(send: Send) -> None:
    with FakeServer("Hello") as server:
        assert send(server.url, verify="/no/such/bundle").raw.status == 200


def test_the_proxy_of_an_address_is_the_clients_own_or_else_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:sesame@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    of_environment = Transport(verify=True, proxy="", connections=1).proxies
    own = Transport(verify=True, proxy="http://own.example:1", connections=1).proxies

    assert of_environment.address_for("http://chat.example/x") == "http://user:sesame@proxy.example:3128"
    assert "sesame" in of_environment.secrets_for("http://chat.example/x")
    assert of_environment.address_for("http://inside.example/x") == ""
    assert of_environment.address_for("http://127.0.0.1:8000/x") == ""
    assert own.address_for("http://127.0.0.1:8000/x") == "http://own.example:1"


def test_closing_ends_every_idle_connection() -> None:
    with FakeServer("Hello", framing="length") as server:
        transport, scope = Transport(verify=True, proxy="", connections=2), SocketScope(Limits(Timeout(), None))
        scope.framing = ContentLengthReader(5)
        response: Any = transport.send(build_request("Hi", base_url=server.url), scope)
        assert response.raw.receive_head()
        assert b"".join(response.iter_content(None)) == b"Hello"
        scope.close()
        assert server.open_connections == 1  # kept for the next one
        transport.close()
        server.wait_until(lambda: not server.open_connections)
