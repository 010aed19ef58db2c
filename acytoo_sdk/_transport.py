"""The transport: sends a request and reads its reply, through requests' adapter and urllib3's pools.

No other file imports them. They connect, speak TLS, go through proxies and keep connections; requests' own
`iter_content` hands the body out. No session is needed: it would only add cookies, redirects, `~/.netrc` and a look at
the environment for each call, none of which is wanted here.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from ._checks import check_proxy
from ._exchange import Exchange, Limited, LimitedSocket, LimitedTLSSocket, Reply, current, opening
from ._failures import translate
from ._options import Timeout
from ._secrets import Mask, proxy_secrets
from ._wire.framing import CloseDelimitedReader, FramingError, FramingReader, framing_of
from .errors import AcytooError, InvalidRequestError
from .protocol import Request

# More than a system keeps of what arrives, where a receive brings 8 KiB; a flood must end.
_MOST_LATE_RECEIVES = 1024


class Transport:
    """Connections to servers, kept for the next call; safe to share between threads.

    Args:
        verify: True: trust the environment's CA bundle, else certifi's; False: anybody; or the path of a bundle or a
            folder.
        proxy: the address of a proxy for everything; "" to ask the environment.
        connections: how many idle ones are kept.
    """

    def __init__(self, *, verify: bool | str, proxy: str, connections: int) -> None:
        self._proxy = proxy
        self._environment: dict[str, str] = {}  # the environment's proxy for each URL asked for, "" for none
        self.adapter = _Adapter(verify, connections)

    def proxy_for(self, url: str) -> str:
        """The proxy that requests to a URL go through, "" for none.

        Raises:
            InvalidRequestError: the environment names something that is no address, or SOCKS, which needs an extra.
        """
        if url not in self._environment:
            proxy = self._proxy or _environment_proxy(url)
            if proxy.lower().startswith("socks"):
                _check_socks()
            self._environment[url] = proxy
        return self._environment[url]

    def secrets_for(self, url: str) -> tuple[str, ...]:
        """What must not be shown of the proxy that requests to a URL go through."""
        return proxy_secrets(self.proxy_for(url))

    def close(self) -> None:
        """Closes every idle connection at once; those in use are closed by whoever reads from them."""
        self.adapter.close()


class Sending:
    """One request and its reply.

    Args:
        transport: where connections come from.
        request: what to send.
        timeout: the limits of this attempt.
        deadline: the limit on everything, on the monotonic clock; None for none.
        mask: applied to what exceptions of the stack say.

    Attributes:
        whole: whether the body is complete: True, or None where its framing cannot tell; False before its end.
    """

    def __init__(
        self, transport: Transport, request: Request, *, timeout: Timeout, deadline: float | None, mask: Mask
    ) -> None:
        self.whole: bool | None = False
        self._transport = transport
        self._request = request
        self._mask = mask
        self._exchange = Exchange(timeout, deadline)
        self._response: requests.Response | None = None
        self._failure: AcytooError | None = None

    def abort(self) -> None:
        """Ends it from any thread: who reads wakes at once, in an error, and nothing read from now on is used."""
        self._exchange.abort()

    def open(self) -> tuple[int, list[tuple[str, str]]]:
        """Sends the request; returns the status and the headers of the reply.

        Raises:
            AcytooError: what became of it instead.
        """
        request = requests.PreparedRequest()
        request.method, request.url, request.body = self._request.method, self._request.url, self._request.body
        request.headers = CaseInsensitiveDict({**self._request.headers, "content-length": str(len(self._request.body))})
        proxy = self._transport.proxy_for(self._request.url)
        if self._request.url.startswith("https"):
            self._transport.adapter.tls()  # here, where the error of a bundle that is none stays what it is
        try:
            with opening(self._exchange):
                self._exchange.check()
                response = self._transport.adapter.send(request, stream=True, proxies={"all": proxy} if proxy else None)
        except Exception as error:
            self._failure = self._translated(error)
            if self._exchange.reply is None:
                raise self._failure  # noqa: B904 - it has its cause, or is the error itself
            # urllib3 refuses some heads by itself; the protocol's judgement of the same head comes first, and says
            # more.
            return self._exchange.reply.status, self._exchange.reply.header_list()
        self._response = response
        raw = cast(urllib3.HTTPResponse, response.raw)
        if self._exchange.reply is None:  # a test's mock, which has no connection
            return raw.status, list(raw.headers.items())
        head = self._exchange.reply.status, self._exchange.reply.header_list()
        raw.stream = lambda amt, decode_content: self._read(raw, *head)  # type: ignore[method-assign, misc, assignment]
        return head

    def body(self) -> Iterator[bytes]:
        """The bytes of the body, as they arrive.

        Raises:
            AcytooError: the rest did not come.
        """
        if self._response is None:
            raise cast(AcytooError, self._failure)
        try:
            yield from self._response.iter_content(None)
        except Exception as error:
            raise self._translated(error) from error
        if self._exchange.reply is None and self.whole is False:
            self.whole = None

    def close(self) -> None:
        """Closes the connection, for the thread that reads; after a reply's end it has been kept for the next call."""
        self._exchange.close()
        response, self._response = self._response, None
        if response is not None:
            response.raw.close()
            response.raw.release_conn()

    def _read(self, raw: urllib3.HTTPResponse, status: int, headers: list[tuple[str, str]]) -> Iterator[bytes]:
        """The body as its framing says, below `iter_content`; whatever one receive brought is one item."""
        exchange = self._exchange
        framing = _framing(status, headers)
        receive = cast(Reply, exchange.reply).receive
        data = b""
        while not framing.done:
            data = receive()
            if exchange.late:
                data = _with_rest(data, receive, exchange)
            if not data:
                framing.receive_eof()
                break
            if body := framing.receive_data(data):
                exchange.body_received()
                yield body
            if framing.error is not None:
                raise framing.error
            if exchange.late and not framing.done:
                raise TimeoutError("no time is left")
        self.whole = framing.whole
        if data and framing.whole and not framing.surplus:  # behind an empty body, nobody looked for a surplus
            cast(Reply, exchange.reply).close()
            exchange.release()
            raw.release_conn()

    def _translated(self, error: Exception) -> AcytooError:
        url = self._request.url
        timed_out = isinstance(error, requests.Timeout)
        return translate(
            error, self._exchange, url=url, proxy=self._transport.proxy_for(url), mask=self._mask, timed_out=timed_out
        )


def _framing(status: int, headers: list[tuple[str, str]]) -> FramingReader:
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name.lower()] = f"{joined[name.lower()]}, {value}" if name.lower() in joined else value
    try:
        return framing_of(status, joined)
    except FramingError:
        return CloseDelimitedReader()  # of an error status: its body is only quoted


def _with_rest(data: bytes, receive: Callable[[], bytes], exchange: Exchange) -> bytes:
    """All that had arrived when a limit ran out: since then a receive does not wait, and the first in vain ends it."""
    parts = [data]
    try:
        while parts[-1] and len(parts) < _MOST_LATE_RECEIVES:
            parts.append(receive())
    except OSError:
        exchange.check()
    return b"".join(parts)


class _Adapter(HTTPAdapter):
    """requests' adapter on our connections, with one policy for certificates."""

    def __init__(self, verify: bool | str, connections: int) -> None:
        self._verify = verify
        self._context: ssl.SSLContext | None = None
        super().__init__(pool_maxsize=connections)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        if proxy not in self.proxy_manager:
            if proxy.lower().startswith("https"):
                proxy_kwargs["proxy_ssl_context"] = self.tls()
            manager = super().proxy_manager_for(proxy, **proxy_kwargs)
            manager.pool_classes_by_scheme = _socks_pools() if proxy.lower().startswith("socks") else _POOLS
        return self.proxy_manager[proxy]

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        parts = urlsplit(cast(str, request.url))
        host = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        return host, {"ssl_context": self.tls()} if parts.scheme == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context knows. What requests sets here would outlive the call, on a pool that others share."""

    def build_response(self, req: requests.PreparedRequest, resp: urllib3.BaseHTTPResponse) -> requests.Response:
        exchange = current()
        if exchange is None or exchange.reply is None:  # a test's mock, whose author may look at the rest
            return super().build_response(req, resp)
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

    def tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = _tls_context(self._verify)
        return self._context


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    context.sslsocket_class = LimitedTLSSocket
    if verify:
        name, bundle = ("verify", verify) if isinstance(verify, str) else _environment_bundle()
        try:
            context.load_verify_locations(**{"capath" if os.path.isdir(bundle) else "cafile": bundle})
        except OSError as error:
            raise InvalidRequestError(f"{name} names no bundle of certificates: {bundle!r}") from error
    return context


def _environment_bundle() -> tuple[str, str]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if bundle := os.environ.get(name):
            return name, bundle
    return "certifi", DEFAULT_CA_BUNDLE_PATH


def _environment_proxy(url: str) -> str:
    host = urlsplit(url).hostname or ""
    if _is_loopback(host):
        return ""
    proxy = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    return check_proxy(f"the environment's proxy for {urlsplit(url).scheme}", proxy) if proxy else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_socks() -> None:
    try:
        import socks  # noqa: F401
    except ImportError as error:
        raise InvalidRequestError("SOCKS proxies need PySocks: pip install 'acytoo-sdk[socks]'") from error


# Connections: urllib3's, each of which tells the exchange of its thread how far it is, and leaves the connecting to it.


class _Connection(HTTPConnection):
    response_class = Reply
    debuglevel = 0  # http.client's debug lines would print the body, which holds the secrets

    def _new_conn(self) -> socket.socket:
        return _exchange().connect(self._dns_host, self.port, list(self.socket_options or ()))

    def connect(self) -> None:
        super().connect()
        _exchange().connected()

    def request(self, *args: Any, **kwargs: Any) -> None:
        exchange = _exchange()
        if exchange.phase == "connect" and self.sock is not None:  # kept; on a new one, TLS tickets come unasked
            if self.is_connected or self._tunnel_host is not None:
                exchange.adopt(getattr(self.sock, "socket", self.sock))  # TLS inside TLS has the real one inside
                exchange.connected()
            else:
                self.close()  # it ended while idle, or something came unasked; `super()` connects anew
        try:
            super().request(*args, **kwargs)
        except BaseException as error:
            exchange.drop_unsent()
            if self.sock is None and isinstance(error, ConnectionResetError):
                raise OSError("reset while connecting") from error  # urllib3 takes a bare one for a reply come early
            raise
        finally:
            if exchange.phase == "first_byte":
                exchange.request_sent()


class _TLSConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # `verify=False` says it in so many words; urllib3's warning about it would repeat it for each connection.
        self.is_verified = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


def _socks_pools() -> dict[str, type[HTTPConnectionPool]]:
    """The same on connections through a SOCKS proxy, which PySocks makes on a socket within our limits."""
    import socks
    from urllib3.contrib.socks import SOCKSConnection

    class SocksSocket(Limited, socks.socksocket):
        pass

    class SocksConnection(_Connection, SOCKSConnection):
        def _new_conn(self) -> socket.socket:  # type: ignore[override]
            exchange, proxy = _exchange(), self._socks_options
            sock = SocksSocket()
            try:
                exchange.adopt(sock)
                sock.set_proxy(
                    proxy["socks_version"],
                    proxy["proxy_host"],
                    int(proxy["proxy_port"] or 1080),
                    proxy["rdns"],
                    proxy["username"],
                    proxy["password"],
                )
                sock.settimeout(exchange.time_left())
                sock.connect((self.host, self.port))
            except BaseException:
                sock.close()
                raise
            plain = LimitedSocket(fileno=sock.detach())
            exchange.adopt(plain)
            return plain

    class SocksTLSConnection(SocksConnection, _TLSConnection):
        pass

    class SocksPool(HTTPConnectionPool):
        ConnectionCls = SocksConnection

    class SocksTLSPool(HTTPSConnectionPool):
        ConnectionCls = SocksTLSConnection

    return {"http": SocksPool, "https": SocksTLSPool}


def _exchange() -> Exchange:
    exchange = current()
    assert exchange is not None, "connections are opened by a Sending"
    return exchange
