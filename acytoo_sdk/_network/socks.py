"""SOCKS proxies: PySocks' connections on sockets that keep limits. The only file that imports it, on demand."""

from __future__ import annotations

import functools
import socket
from typing import Any

from ..errors import InvalidRequestError
from .connections import Connection, PoolClasses, TLSConnection, pool_classes, scope_in_use
from .sockets import LimitedSocket


def check_installed() -> None:
    """Raises where PySocks is missing.

    Raises:
        InvalidRequestError: it is.
    """
    try:
        import socks  # noqa: F401
    except ImportError as error:
        raise InvalidRequestError("SOCKS proxies need PySocks: pip install 'acytoo-sdk[socks]'") from error


@functools.cache
def socks_pool_classes() -> PoolClasses:
    """Pools of connections through a SOCKS proxy, which PySocks makes on a socket within our limits."""
    import socks

    class SocksSocket(LimitedSocket, socks.socksocket):
        pass

    class SocksConnection(Connection):
        def __init__(self, _socks_options: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            self._proxy = _socks_options  # urllib3's name for it
            super().__init__(*args, **kwargs)

        def _new_conn(self) -> socket.socket:
            scope, proxy = scope_in_use(), self._proxy
            sock = SocksSocket()
            try:
                scope.adopt(sock)
                sock.set_proxy(
                    proxy["socks_version"],
                    proxy["proxy_host"],
                    int(proxy["proxy_port"] or 1080),
                    proxy["rdns"],
                    proxy["username"],
                    proxy["password"],
                )
                sock.settimeout(scope.time_left())
                sock.connect((self.host, self.port))
            except BaseException:
                sock.close()
                raise
            plain = LimitedSocket(fileno=sock.detach())
            scope.adopt(plain)
            return plain

    class SocksTLSConnection(SocksConnection, TLSConnection):
        pass

    return pool_classes(SocksConnection, SocksTLSConnection)
