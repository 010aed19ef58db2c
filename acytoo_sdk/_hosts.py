"""Hosts: what a name or an address tells without being looked up. No I/O."""

from __future__ import annotations

import ipaddress
import re

_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._~-]+))(?::[0-9]*)?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether a host, by its name or its address, is this machine itself."""
    host = host.lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def host_of(authority: str) -> str:
    """The host, in lower case, of a `Host` header or of what stands between `//` and the path of an origin.

    The port and the brackets of an IPv6 address are dropped. A text that is anything but a host and perhaps a port
    gives "".

    Source: RFC 9110, sections 7.2 and 4.2.4; RFC 6454, section 7.
    """
    found = _AUTHORITY.fullmatch(authority)
    return (found["ipv6"] or found["name"]).lower() if found else ""
