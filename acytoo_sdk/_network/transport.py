"""The transport: requests' adapter on our connections, and which certificates it trusts. The only file that imports it.

No session is needed: it would only add cookies, redirects, `~/.netrc` and a look at the environment for each call, none
of which is wanted here.
"""

from __future__ import annotations

import os
import ssl
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from .._secrets import Secret
from .._wire.framing import FramingError
from ..errors import AcytooError, InvalidRequestError
from ..protocol import Request
from .connections import (
    BorrowedContext,
    Connection,
    HTTPError,
    RawReply,
    TLSConnection,
    new_tls_context,
    pool_classes,
)
from .provenance import is_foreign
from .proxies import Proxies
from .sockets import SocketScope, use_scope
from .socks import socks_pool_classes

TIMEOUTS = requests.Timeout
"""What requests calls a timeout, whatever its root."""

STACK_ERRORS = (OSError, HTTPException, HTTPError, FramingError, AcytooError)
"""What requests and those below it raise where the network, or the other end, is at fault."""

Verify = bool | str | ssl.SSLContext
Cert = str | tuple[str, str] | None
Context = ssl.SSLContext | BorrowedContext

_POOL_CLASSES = pool_classes(Connection, TLSConnection)


class Transport:
    """Connections to servers, kept for the next call; safe to share between threads.

    Args:
        verify: True: trust the environment's CA bundle, else certifi's; False: anybody; or the path of a bundle or a
            folder; or a context to be used as it is.
        cert: the path of a certificate with its key, or the paths of both, shown to servers; None for none.
        proxy: the address of a proxy for everything; "" to ask the environment.
        connections: how many idle ones are kept.

    Attributes:
        proxies: which proxy a URL goes through.
    """

    def __init__(self, *, verify: Verify, cert: Cert = None, proxy: str, connections: int) -> None:
        self.proxies = proxies_of(Secret(proxy))
        self._adapter = _Adapter(verify, cert, connections)

    def send(self, request: Request, scope: SocketScope) -> requests.Response:
        """Sends a request on a connection of this scope; returns its reply, whose head is awaited.

        Raises:
            InvalidRequestError: the bundle of certificates, the client's own, or the environment's proxy is not usable.
            Exception: whatever the stack raises.
        """
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
        prepared.headers = CaseInsensitiveDict({**request.headers, "content-length": str(len(request.body))})
        proxy = self.proxies.address_for(request.url)
        if request.url.startswith("https"):
            self._adapter.tls()  # here, since requests takes the error of a bad bundle for an invalid URL
        with use_scope(scope):
            scope.check()
            return self._adapter.send(prepared, stream=True, proxies={"all": proxy} if proxy else None)

    def close(self) -> None:
        """Closes every idle connection at once; those in use are closed by whoever reads from them."""
        self._adapter.close()


class _Adapter(HTTPAdapter):
    """requests' adapter on our connections, with one policy for certificates."""

    def __init__(self, verify: Verify, cert: Cert, connections: int) -> None:
        self._verify = verify
        self._cert = cert
        self._context: Context | None = None
        super().__init__(pool_maxsize=connections)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        if proxy not in self.proxy_manager:
            if proxy.lower().startswith("https"):
                proxy_kwargs["proxy_ssl_context"] = self.tls() if self._cert is None else tls_context(self._verify)
            manager = super().proxy_manager_for(proxy, **proxy_kwargs)
            is_socks = proxy.lower().startswith("socks")
            manager.pool_classes_by_scheme = socks_pool_classes() if is_socks else _POOL_CLASSES
        return self.proxy_manager[proxy]

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        parts = urlsplit(cast(str, request.url))
        host = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        return host, {"ssl_context": self.tls()} if parts.scheme == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context knows. What requests sets here would outlive the call, on a pool that others share."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        if not isinstance(resp, RawReply):
            return super().build_response(req, resp)  # a test's mock, whose author may look at the rest
        response = requests.Response()
        response.raw = resp
        return response

    def close(self) -> None:
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - urllib3's container cannot be iterated over
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def tls(self) -> Context:
        """The context of connections to servers."""
        if self._context is None:
            self._context = tls_context(self._verify, self._cert)
        return self._context


def tls_context(verify: Verify, cert: Cert = None) -> Context:
    """What a client with these options speaks TLS by; see `Transport` for them.

    Raises:
        InvalidRequestError: the bundle of certificates, or the client's own, is not usable.
    """
    return _new_context(verify, cert) if isinstance(verify, bool | str) else BorrowedContext(verify)


def _new_context(verify: bool | str, cert: Cert = None) -> ssl.SSLContext:
    context = new_tls_context(verified=bool(verify))
    if verify:
        name, bundle = ("verify", verify) if isinstance(verify, str) else _environment_bundle()
        try:
            context.load_verify_locations(**{"capath" if os.path.isdir(bundle) else "cafile": bundle})
        except OSError as error:
            if is_foreign(error):
                raise
            raise InvalidRequestError(f"{name} names no bundle of certificates: {bundle!r}") from error
    if cert is not None:
        _load_cert(context, cert)
    return context


def _load_cert(context: ssl.SSLContext, cert: str | tuple[str, str]) -> None:
    """Has the context show a certificate to servers that ask for one."""
    certificate, key = (cert, None) if isinstance(cert, str) else cert

    def no_password() -> str:  # or OpenSSL would ask for it on the terminal
        raise InvalidRequestError(
            f"cert has a key that is encrypted: {key or certificate!r}",
            hint="an ssl.SSLContext as verify= may load_cert_chain() with its password",
        )

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except OSError as error:
        if is_foreign(error):
            raise
        why = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "no certificate and key in PEM"
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            why = "the key is not that of the certificate"
        raise InvalidRequestError(f"cert cannot be used, {why}: {cert!r}") from error


def _environment_bundle() -> tuple[str, str]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if bundle := os.environ.get(name):
            return name, bundle
    return "certifi", DEFAULT_CA_BUNDLE_PATH


def _environment_proxy(url: str) -> str | None:
    return select_proxy(url, get_environ_proxies(url, no_proxy=None))


def environment_proxies() -> Proxies:
    """The environment's proxies, with the rules of this package: none for loopback, for one."""
    return proxies_of(Secret(""))


def proxies_of(proxy: Secret[str]) -> Proxies:
    """The proxies of a client with this option; "" for the environment's."""
    return Proxies(proxy.reveal(), _environment_proxy)


def trusting_context() -> ssl.SSLContext:
    """Which certificates are trusted where nothing else is said."""
    return _new_context(True)
