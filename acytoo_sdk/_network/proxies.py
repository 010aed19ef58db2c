"""Proxies: which one a URL goes through, by the client's own setting or the environment's.

The environment itself is read elsewhere: requests does so, which `transport` alone imports.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from .._checks import check_proxy
from .._hosts import is_loopback
from .._secrets import proxy_secrets
from .socks import check_installed


class Proxies:
    """Knows the proxy of each URL, and what of its address must not be shown.

    Args:
        address: of a proxy for everything; "" to ask the environment.
        environment: what the environment says of a URL, None for nothing.
    """

    def __init__(self, address: str, environment: Callable[[str], str | None]) -> None:
        self._address = address
        self._environment = environment
        self._known: dict[str, str] = {}  # by URL; "" for none

    def address_for(self, url: str) -> str:
        """The proxy that requests to a URL go through, "" for none.

        Raises:
            InvalidRequestError: the environment names something that is no address, or SOCKS, which needs an extra.
        """
        if url not in self._known:
            address = self._address or self._environment_address(url)
            if address.lower().startswith("socks"):
                check_installed()
            self._known[url] = address
        return self._known[url]

    def secrets_for(self, url: str) -> tuple[str, ...]:
        """What must not be shown of the proxy that requests to a URL go through."""
        return proxy_secrets(self.address_for(url))

    def _environment_address(self, url: str) -> str:
        if is_loopback(urlsplit(url).hostname or ""):
            return ""
        address = self._environment(url)
        return check_proxy(f"the environment's proxy for {urlsplit(url).scheme}", address) if address else ""
