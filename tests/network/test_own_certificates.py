"""Mutual TLS: `cert=`, and a context of the caller's own as `verify=`, which keeps limits and is left as it was."""

from __future__ import annotations

import contextlib
import pickle
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from fault_server import FaultServer, raw, stall
from local_proxy import http_proxy

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    AsyncStream,
    Client,
    InvalidRequestError,
    Stream,
    StreamCancelledError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault

BASE = "https://chat.example"
PIECES = ["Hel", "lo ", "you"]
CLIENTS: list[Callable[..., Any]] = [Client, AsyncClient]


class Trust:
    """An authority, a server that asks for certificates of it, and a client's, in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.bundle, self.both = str(folder / "ca.pem"), str(folder / "both.pem")
        self.certificate, self.key, self.other_key = (str(folder / f"{name}.pem") for name in ("cert", "key", "other"))
        self.authority.cert_pem.write_to_path(self.bundle)
        mine = self.authority.issue_cert("me@chat.example")
        mine.private_key_and_cert_chain_pem.write_to_path(self.both)
        mine.private_key_pem.write_to_path(self.key)
        for number, blob in enumerate(mine.cert_chain_pems):
            blob.write_to_path(self.certificate, append=number > 0)
        self.authority.issue_cert("you@chat.example").private_key_pem.write_to_path(self.other_key)
        self.server = self.of_server()

    def of_server(self, *, mutual: bool = True) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def own(self, kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
        """A context as a caller makes one."""
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        context.load_cert_chain(self.both)
        context.set_alpn_protocols(["http/1.1", "acme"])
        return context


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("trust"))


def read(
    flavour: str, url: str, begun: Callable[[Stream | AsyncStream], object] = lambda stream: None, **options: Any
) -> tuple[Stream | AsyncStream, AcytooError | None]:
    """A reply, read to its end; what happens before may happen in another thread."""

    def read_blocking() -> tuple[Stream | AsyncStream, AcytooError | None]:
        with Client(url, retry=1, **options) as client:
            stream = client.stream("Hi")
            begun(stream)
            try:
                stream.read()
            except AcytooError as error:
                return stream, error
            return stream, None

    async def read_async() -> tuple[Stream | AsyncStream, AcytooError | None]:
        async with AsyncClient(url, retry=1, **options) as client:
            stream = client.stream("Hi")
            begun(stream)
            try:
                await stream.read()
            except AcytooError as error:
                return stream, error
            return stream, None

    return read_blocking() if flavour == "blocking" else anyio.run(read_async, backend=flavour)


def refused(call: Callable[[], object], *words: str) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
    return caught.value


def seen_by(context: ssl.SSLContext) -> list[tuple[bool, str | None]]:
    """Of each connection that a server makes with this context: whether a certificate was shown, and the protocol."""
    seen: list[tuple[bool, str | None]] = []

    class Seeing(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            seen.append((self.getpeercert() is not None, self.selected_alpn_protocol()))

    context.sslsocket_class = Seeing
    return seen


@contextlib.contextmanager
def proxied(server: FakeServer, tls: ssl.SSLContext | None) -> Iterator[FaultServer]:
    """A proxy in front of a server, in the plain or over TLS."""
    with FaultServer([http_proxy(server.url, [], tls=tls is not None)], tls=tls) as proxy:
        yield proxy


# cert=


@pytest.mark.parametrize("pair", [False, True], ids=["one file", "two files"])
@pytest.mark.parametrize("paths", [str, Path])
def test_a_certificate_is_shown_to_a_server_that_asks(
    flavour: str, trust: Trust, pair: bool, paths: Callable[[str], Any]
) -> None:
    cert: Any = (paths(trust.certificate), paths(trust.key)) if pair else paths(trust.both)
    with FakeServer(PIECES, pause=0, tls=trust.server) as server:
        for verify in (paths(trust.bundle), False):
            stream, error = read(flavour, server.url, verify=verify, cert=cert)
            assert (stream.text, error) == ("Hello you", None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_one_the_error_says_what_may_be_missing(flavour: str, trust: Trust, version: ssl.TLSVersion) -> None:
    context = trust.of_server()
    context.minimum_version = context.maximum_version = version
    with FakeServer(PIECES, tls=context) as server:
        _, error = read(flavour, server.url, verify=trust.bundle)
    assert isinstance(error, APIConnectionError)
    # With TLS 1.3 a server refuses after its handshake, and may have ended the connection before that was read.
    assert "cert=" in (error.hint or "") or (
        version == ssl.TLSVersion.TLSv1_3 and re.search("broke|closed", str(error))
    )


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain proxy", "TLS proxy"])
def test_it_is_shown_through_proxies_and_not_to_them(flavour: str, trust: Trust, over_tls: bool) -> None:
    of_proxy, of_server = trust.of_server(), trust.of_server()
    of_proxy.verify_mode = ssl.CERT_OPTIONAL
    by_proxy, by_server = seen_by(of_proxy), seen_by(of_server)
    with FakeServer(PIECES, pause=0, tls=of_server) as server, proxied(server, of_proxy if over_tls else None) as proxy:
        stream, error = read(flavour, server.url, proxy=proxy.url, verify=trust.bundle, cert=trust.both)
        assert (stream.text, error) == ("Hello you", None)
    assert [shown for shown, _ in by_proxy] == [False] * over_tls
    assert [shown for shown, _ in by_server] == [True]


@pytest.mark.parametrize("make", CLIENTS)
def test_cert_is_checked_in_the_constructor_and_opened_later(
    make: Callable[..., Any], trust: Trust, tmp_path: Path
) -> None:
    wrong: list[tuple[Any, tuple[str, ...]]] = [
        (1, ("cert", "int")),
        (b"x", ("cert", "bytes")),
        (True, ("cert", "bool")),
        ("/no/such/file", ("cert names no file", "'/no/such/file'")),
        (str(tmp_path), ("cert names no file",)),
        ((), ("cert", "tuple of 0")),
        ((trust.certificate,), ("cert", "tuple of 1")),
        ([trust.certificate, trust.key, trust.key], ("cert", "list of 3")),
        ((trust.certificate, None), ("cert[1]", "None")),
        ((trust.certificate, "/no/such/key"), ("cert[1] names no file",)),
    ]
    for cert, words in wrong:
        refused(lambda: make(BASE, cert=cert), *words)  # noqa: B023 - called at once
    refused(lambda: make(BASE).with_options(cert=trust.both), "cert belongs to the connection pool")
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("tell-nobody")
    assert make(BASE, cert=str(no_pem)).options.cert == str(no_pem)
    assert make(BASE, cert=[Path(trust.certificate), trust.key]).options.cert == (trust.certificate, trust.key)
    assert make(BASE, cert=None).options.cert is None
    assert pickle.loads(pickle.dumps(make(BASE, cert=trust.both))).options.cert == trust.both


def test_files_that_are_no_certificate_and_key_are_an_error_that_names_cert(
    flavour: str, trust: Trust, tmp_path: Path
) -> None:
    no_pem, encrypted, gone = tmp_path / "no.pem", tmp_path / "encrypted.pem", tmp_path / "gone.pem"
    no_pem.write_text("tell-nobody")
    key = serialization.load_pem_private_key(Path(trust.key).read_bytes(), None)
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )
    wrong: list[tuple[Any, str]] = [
        (str(no_pem), "cert cannot be used, no certificate and key in PEM"),
        (trust.certificate, "cert cannot be used, no certificate and key in PEM"),
        ((trust.certificate, trust.other_key), "cert cannot be used, the key is not that of the certificate"),
        ((trust.certificate, str(encrypted)), "cert has a key that is encrypted"),
        (str(gone), "cert cannot be used, No such file"),
    ]
    with FakeServer(PIECES, tls=trust.server) as server:
        for cert, said in wrong:
            gone.touch()
            _, error = read(flavour, server.url, lambda stream: gone.unlink(), verify=trust.bundle, cert=cert)
            assert isinstance(error, InvalidRequestError), error
            assert said in str(error)
            assert "nobody" not in repr(vars(error)) + str(error)
            assert pickle.loads(pickle.dumps(error)).args == error.args
        assert server.requests == []


def test_a_certificate_is_asked_of_secure_addresses_alone(trust: Trust, tmp_path: Path) -> None:
    no_pem = tmp_path / "no.pem"
    no_pem.touch()
    with FakeServer(PIECES, pause=0) as server:
        assert Client(server.url, cert=str(no_pem)).complete("Hi") == "Hello you"


# A context of the caller's own


def state(context: ssl.SSLContext) -> dict[str, Any]:
    """Whatever can be seen of a context."""
    names = (name for name in dir(context) if not name.startswith("__"))
    seen = {name: getattr(context, name) for name in names}
    seen = {name: value for name, value in seen.items() if not callable(value) or isinstance(value, type)}
    return {
        **seen,
        "store": context.cert_store_stats(),
        "trusted": context.get_ca_certs(),
        "ciphers": context.get_ciphers(),
        "attributes": dict(vars(context)),
    }


@pytest.mark.parametrize("proxy", ["", "plain", "TLS"])
@pytest.mark.parametrize("verified", [True, False])
def test_a_context_is_used_as_it_is_and_left_as_it_was(flavour: str, trust: Trust, proxy: str, verified: bool) -> None:
    own = trust.own()
    if not verified:
        own.check_hostname = False
        own.verify_mode = ssl.CERT_NONE
    before = state(own)
    of_server = trust.of_server()
    of_server.set_alpn_protocols(["acme"])
    seen = seen_by(of_server)
    with FakeServer(PIECES, pause=0, tls=of_server) as server, contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"verify": own}
        if proxy:
            of_proxy = trust.of_server() if proxy == "TLS" else None
            options["proxy"] = stack.enter_context(proxied(server, of_proxy)).url
        stream, error = read(flavour, server.url, **options)
        assert (stream.text, error) == ("Hello you", None)
    assert state(own) == before
    assert own.sslsocket_class is ssl.SSLSocket
    assert seen == [(True, "acme")]


def test_the_host_is_checked_as_the_context_says(flavour: str, trust: Trust) -> None:
    elsewhere = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.authority.issue_cert("other.example").configure_cert(elsewhere)
    own = trust.own()
    with FakeServer(PIECES, pause=0, tls=elsewhere) as server:
        _, error = read(flavour, server.url, verify=own)
        assert isinstance(error, APIConnectionError)
        assert "is not to be trusted" in str(error)
        own.check_hostname = False
        stream, error = read(flavour, server.url, verify=own)
        assert (stream.text, error) == ("Hello you", None)


def test_what_the_context_does_not_trust_is_refused(flavour: str, trust: Trust) -> None:
    with FakeServer(PIECES, tls=trust.of_server(mutual=False)) as server:
        _, error = read(flavour, server.url, verify=ssl.create_default_context())
        assert isinstance(error, APIConnectionError)
        assert "is not to be trusted" in str(error)
        assert server.requests == []


@pytest.mark.parametrize(("limit", "after"), [("first_byte", 0), ("idle", 1), ("total", 1)])
def test_limits_end_a_hung_read_over_it(flavour: str, trust: Trust, limit: str, after: int) -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=after)], tls=trust.server) as server:
        began = time.monotonic()
        stream, error = read(flavour, server.url, verify=trust.own(), timeout=Timeout(**{limit: 0.4}))
        assert 0.4 <= time.monotonic() - began < 4
        assert isinstance(error, APITimeoutError)
        assert (error.phase, stream.text) == (limit, "Hel" * after)
        server.wait_until(lambda: not server.open_connections)


def test_a_silent_handshake_ends_with_the_limit_on_connecting(flavour: str, trust: Trust) -> None:
    with FaultServer([[raw, stall]]) as server:
        url = server.url.replace("http:", "https:")
        _, error = read(flavour, url, verify=trust.own(), timeout=Timeout(connect=0.4))
        assert isinstance(error, APITimeoutError)
        assert error.phase == "connect"


def test_a_hung_read_over_it_is_cancelled_from_another_thread(flavour: str, trust: Trust) -> None:
    with FakeServer(PIECES, faults=[Fault.stall(after=1)], tls=trust.server) as server:
        threads: list[threading.Thread] = []

        def cancel_later(stream: Stream | AsyncStream) -> None:
            def cancel() -> None:
                server.wait_until(lambda: server.requests)
                while stream.text != "Hel":
                    time.sleep(0.001)
                stream.cancel()

            threads.append(threading.Thread(target=cancel))
            threads[0].start()

        stream, error = read(flavour, server.url, begun=cancel_later, verify=trust.own(), timeout=Timeout(idle=30))
        threads[0].join()
        assert isinstance(error, StreamCancelledError)
        assert error.partial_text == stream.text == "Hel"
        server.wait_until(lambda: not server.open_connections)


def test_async_streams_over_it_need_no_thread_each(trust: Trust) -> None:
    async def main(url: str) -> int:
        async with AsyncClient(url, verify=trust.own()) as client:
            streams = [client.stream("Hi") for _ in range(12)]
            for stream in streams:
                await anext(stream)
            threads = threading.active_count()
            for stream in streams:
                await stream.aclose()
        return threads

    before = threading.active_count()
    with FakeServer(PIECES, faults=[Fault.stall(after=1)] * 12, tls=trust.server) as server:
        during = anyio.run(main, server.url) - 1 - 12  # the server's own
    assert during - before <= 3


@pytest.mark.parametrize(("told", "cut", "whole"), [(True, False, True), (False, False, None), (False, True, None)])
@pytest.mark.parametrize("over_tls", [False, True], ids=["direct", "TLS proxy"])
def test_a_context_that_takes_a_cut_for_the_end_proves_nothing_by_it(
    flavour: str, trust: Trust, told: bool, cut: bool, whole: bool | None, over_tls: bool
) -> None:
    own = trust.own()
    own.options = own.options & ~ssl.OP_IGNORE_UNEXPECTED_EOF | (0 if told else ssl.OP_IGNORE_UNEXPECTED_EOF)
    faults = [Fault.cut(after=1)] if cut else []
    with (
        FakeServer(PIECES, framing="close", pause=0, faults=faults, tls=trust.server) as server,
        proxied(server, trust.server if over_tls else None) as proxy,
    ):
        stream, error = read(flavour, server.url, verify=own, proxy=proxy.url if over_tls else None)
        assert (stream.text, stream.whole, error) == ("Hel" if cut else "Hello you", whole, None)


WRAPPED_BY_ITSELF: list[ssl.SSLContext] = []


class Checking(ssl.SSLContext):
    """One that looks at certificates itself, where it wraps, as truststore's does."""

    def wrap_socket(self, *arguments: Any, **more: Any) -> ssl.SSLSocket:
        raise AssertionError("this would be a socket without limits")

    def wrap_bio(self, *arguments: Any, **more: Any) -> ssl.SSLObject:
        WRAPPED_BY_ITSELF.append(self)
        return super().wrap_bio(*arguments, **more)


def test_a_context_with_a_way_of_its_own_to_wrap_speaks_tls_above_our_sockets(flavour: str, trust: Trust) -> None:
    own = trust.own(Checking)
    before = state(own)
    with FakeServer(PIECES, pause=0, faults=[None, Fault.stall(after=1)], tls=trust.server) as server:
        stream, error = read(flavour, server.url, verify=own)
        assert (stream.text, stream.whole, error) == ("Hello you", True, None)
        stream, error = read(flavour, server.url, verify=own, timeout=Timeout(idle=0.4))
        assert isinstance(error, APITimeoutError)
        assert (error.phase, stream.text) == ("idle", "Hel")
    assert WRAPPED_BY_ITSELF[-2:] == [own, own]
    assert state(own) == before


@pytest.mark.parametrize("make", CLIENTS)
def test_a_context_is_checked_and_does_not_pickle(make: Callable[..., Any], trust: Trust) -> None:
    own = trust.own()
    refused(lambda: make(BASE, verify=own, cert=trust.both), "cert=", "verify=", "load_cert_chain")
    refused(lambda: make(BASE, verify=trust.server), "verify", "for servers")
    refused(lambda: make(BASE).with_options(verify=own), "verify belongs to the connection pool")
    client = make(BASE, verify=own)
    assert client.options.verify is own
    assert client.with_options(model="other").options.verify is own
    with pytest.raises(TypeError, match="verify= is an SSLContext"):
        pickle.dumps(client)
