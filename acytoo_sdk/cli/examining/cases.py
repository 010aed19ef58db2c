"""Cases: a failure that the doctor met, and what is known of where it happened. Data, for the table of `diagnoses`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..._network.provenance import chain
from ..._secrets import Mask, without_credentials
from ...errors import AcytooError, APIStatusError
from ..statuses import hint_of

_USUAL_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080  # Source: PySocks, for each version of SOCKS.


@dataclass(frozen=True)
class Case:
    """A failure, and what is known of where it happened; the sentences of the table name these.

    Attributes:
        error: of our tree, or of the stack's.
        step: in which it surfaced.
        base_url: of the server.
        path: the endpoint's.
        proxy: host and port of the proxy in force; "" for none.
        headers: of the reply; none where there was none.
        names: which the server's certificate has.
        model: that was asked for.
        speaks_tls: whether the port was found to speak TLS though it was asked in the plain.
    """

    error: BaseException
    step: str
    base_url: str = "http://127.0.0.1:8000"
    path: str = "/api/completions"
    proxy: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    model: str = ""
    speaks_tls: bool = False

    @property
    def peer(self) -> str:
        """Host and port of the server."""
        return peer_of(self.base_url)

    @property
    def host(self) -> str:
        """The server's host."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def other_scheme(self) -> str:
        """The address with http for https, and the reverse."""
        scheme, _, rest = self.base_url.partition("://")
        return f"{'http' if scheme == 'https' else 'https'}://{rest}"

    @property
    def serve(self) -> str:
        """The command that starts a server at this very address."""
        host, port = peer_of(self.base_url).rsplit(":", 1)
        options = [
            "" if host in ("127.0.0.1", "localhost") else f" --host {host.strip('[]')}",
            "" if port == "8000" else f" --port {port}",
            " --tls-cert FILE" if self.base_url.startswith("https") else "",
        ]
        return f"acytoo serve{''.join(options)}"

    @property
    def base_without_path(self) -> str:
        """The address without the endpoint at its end."""
        return self.base_url.removesuffix(self.path.rstrip("/"))

    @property
    def upstream(self) -> str:
        """What `acytoo serve --upstream` takes for this address, if it tells."""
        address = self.base_url + self.path
        version = re.match(r"(.*?/v1)(?:/|$)", address)
        return version[1] if version else "URL"

    @property
    def certified(self) -> str:
        """An address that the server's certificate is for."""
        name = next(name for name in self.names if "*" not in name)
        name = f"[{name}]" if ":" in name else name
        port = urlsplit(self.base_url).port
        return f"https://{name}{f':{port}' if port else ''}"

    @property
    def location(self) -> str:
        """Where a redirect leads, as a base_url if it is one."""
        address = without_credentials(self.header("location")).partition("?")[0]
        return Mask().quote(address.removesuffix(self.path) if "://" in address else address)

    @property
    def wait(self) -> str:
        """How long the server asks to wait."""
        seconds: float = getattr(self.error, "retry_after", None) or 0
        return f"{seconds:g} s"

    @property
    def hint(self) -> str:
        """What the error itself advises, in the words of the command line; "" for nothing."""
        return (hint_of(self.error) if isinstance(self.error, AcytooError) else None) or ""

    def header(self, name: str) -> str:
        """The value of a header of the reply; "" for none."""
        headers = dict(self.headers) | (self.error.headers if isinstance(self.error, APIStatusError) else {})
        return headers.get(name, "")

    def cause(self, *kinds: type[BaseException]) -> Any:
        """The first of these kinds in the failure's chain; None for none."""
        return next((each for each in chain(self.error) if isinstance(each, kinds)), None)


def peer_of(url: str) -> str:
    """Host and port of a server or a proxy, the port also where it is the usual one."""
    host, port = host_and_port(url)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(url: str) -> tuple[str, int]:
    """Where a connection to a server or a proxy goes."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _USUAL_PORTS.get(parts.scheme, _SOCKS_PORT)
