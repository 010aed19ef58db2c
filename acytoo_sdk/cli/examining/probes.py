"""Probes: look a name up, connect, speak TLS, each within a limit. No question is sent, and nothing is judged here."""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from ..._network.transport import Context

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for.
_NO_CHECK_TIME = 0x200000


class ProbeError(Exception):
    """A step failed; `str(error)` says what was seen, its cause why."""


@dataclass(frozen=True)
class Address:
    """One address of a host, as the system names it.

    Attributes:
        family: AF_INET or AF_INET6.
        place: what a socket connects to.
    """

    family: int
    place: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.place[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True)
class Certificate:
    """What a certificate says.

    Attributes:
        subject: whose it is.
        issuer: who made it.
        names: the hosts that it is for.
        begins: when it begins to hold, in seconds since the epoch.
        ends: when it ends.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: float
    ends: float


def is_address(host: str) -> bool:
    """Whether a host is an address, which nobody has to be asked for."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def resolve(host: str, port: int, *, limit: float) -> list[Address]:
    """The addresses of a host, in the system's order.

    The system's call cannot be interrupted: it runs in a thread of its own, which nobody waits for after the limit.

    Raises:
        ProbeError: there are none, or not in time.
    """
    outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            outcome.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            outcome.put(error)

    threading.Thread(target=look_up, name="acytoo doctor: name", daemon=True).start()
    try:
        found = outcome.get(timeout=limit)
    except queue.Empty:
        raise ProbeError(f"{host} was not found within {limit:g} s") from TimeoutError()
    if isinstance(found, UnicodeError):
        raise ProbeError(f"{host} can be no host's name") from found
    if isinstance(found, OSError):
        raise ProbeError(f"{host} has no address: {found.strerror or found}") from found
    addresses = [Address(family, place) for family, _, _, _, place in found]
    return list(dict.fromkeys(addresses))


@dataclass(frozen=True)
class Attempt:
    """One attempt to connect.

    Attributes:
        address: to which.
        seconds: how long it took.
        error: why it failed; None if it did not.
    """

    address: Address
    seconds: float
    error: OSError | None

    def __str__(self) -> str:
        if self.error is None:
            return f"{self.address} in {duration(self.seconds)}"
        if isinstance(self.error, TimeoutError):
            return f"{self.address} no answer in {duration(self.seconds)}"
        return f"{self.address} {self.error.strerror or self.error}"


def connect(addresses: list[Address], *, limit: float) -> list[Attempt]:
    """Connects to each address in turn until one answers, and leaves at once.

    Raises:
        ProbeError: none does.
    """
    attempts: list[Attempt] = []
    for address in addresses:
        began = time.monotonic()
        try:
            _open(address, limit).close()
        except OSError as error:
            attempts.append(Attempt(address, time.monotonic() - began, error))
        else:
            return [*attempts, Attempt(address, time.monotonic() - began, None)]
    raise ProbeError("; ".join(map(str, attempts))) from attempts[-1].error


def handshake(address: Address, host: str, context: Context, *, limit: float) -> tuple[str, Certificate | None]:
    """Speaks TLS with a server as a client does; nothing is sent over it.

    Returns:
        The version of TLS, and the certificate; None where it was not to be checked.

    Raises:
        ProbeError: there is none, or it is not to be trusted.
    """
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _speaking(address, host, context, limit) as sock:
            certificate = cast("dict[str, Any]", sock.getpeercert() or {})
            return sock.version() or "TLS", certificate_of(certificate) if certificate else None
    except ssl.SSLCertVerificationError as error:
        raise ProbeError(f"the certificate is not to be trusted: {error.verify_message}") from error
    except TimeoutError as error:
        raise ProbeError(f"no answer in {limit:g} s") from error
    except ssl.SSLError as error:
        raise ProbeError(f"TLS failed: {(error.reason or 'the server broke off').replace('_', ' ').lower()}") from error
    except OSError as error:
        raise ProbeError(f"the server broke off: {error.strerror or error}") from error


def shown_certificate(address: Address, host: str, *, limit: float) -> Certificate | None:
    """The certificate that a server shows, whatever it is worth; None if it cannot be had.

    Python reads none that it did not verify. So it is fetched first, and then verified by nothing but itself.
    """
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    by_itself = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    by_itself.check_hostname = False
    by_itself.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    try:
        with _speaking(address, host, unverified, limit) as sock:
            by_itself.load_verify_locations(cadata=sock.getpeercert(True) or b"")
        with _speaking(address, host, by_itself, limit) as sock:
            return certificate_of(cast("dict[str, Any]", sock.getpeercert()))
    except (OSError, ValueError):
        return None


def speaks_tls(address: Address, host: str, *, limit: float) -> bool:
    """Whether a server speaks TLS, with whatever certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _speaking(address, host, context, limit):
            return True
    except OSError:
        return False


def certificate_of(fields: dict[str, Any]) -> Certificate:
    """What `SSLSocket.getpeercert` says, in short."""
    return Certificate(
        subject=_person(fields.get("subject", ())),
        issuer=_person(fields.get("issuer", ())),
        names=tuple(value for kind, value in fields.get("subjectAltName", ()) if kind in ("DNS", "IP Address")),
        begins=ssl.cert_time_to_seconds(fields["notBefore"]),
        ends=ssl.cert_time_to_seconds(fields["notAfter"]),
    )


def duration(seconds: float) -> str:
    """A time as a person reads it."""
    if seconds < 0.1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def _person(name: Any) -> str:
    """Of a distinguished name, what tells most."""
    parts = {key: value for group in name for key, value in group}
    named = [parts[key] for key in ("commonName", "organizationName", "organizationalUnitName") if key in parts]
    return ", ".join(named[:2]) or "nobody"


def _open(address: Address, limit: float) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(limit)
        sock.connect(address.place)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def _speaking(address: Address, host: str, context: Context, limit: float) -> Iterator[ssl.SSLSocket]:
    """A TLS connection of its own."""
    with _open(address, limit) as sock, context.wrap_socket(sock, server_hostname=host) as speaking:
        yield speaking
