"""Connections that are not made, are lost before a request is read, or fail in the TLS handshake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fault_server import Step, drip, fin, raw, rst, stall

from acytoo_sdk import APIConnectionError

from .case import OK, TLS, Case, after, ended_by_total, lost, refused, timed_out


def connecting() -> Iterator[Case]:
    yield lost_unread("accept, then close", raw, fin, requests=0)
    yield lost_unread("accept, then reset", raw, rst, requests=0)
    yield lost_unread("closed as the request arrives", fin)
    yield lost_unread("reset as the request arrives", rst)
    yield Case("dropped once, then answered", ((fin,), (OK,)), text="fine", requests=2, connections=2)
    yield Case("reset twice, then answered", ((rst,), (rst,), (OK,)), text="fine", requests=3, connections=3)
    yield untrusted("TLS: unknown authority", OK, certificate="unknown", says="not to be trusted", hint="verify=")
    yield untrusted("TLS: wrong host", OK, certificate="wrong host", says="not to be trusted")
    yield untrusted("TLS: expired", OK, certificate="expired", says="expired")
    alert = b"\x15\x03\x01\x00\x02\x02\x28"
    yield untrusted("TLS: alert", raw, alert, fin, says="TLS with")
    yield untrusted("TLS: garbage", raw, b"\x00\xff garbage \r\n\r\n" * 9, fin, says="TLS with")
    yield untrusted("TLS: plain HTTP instead", raw, OK, fin, says="TLS with", hint="https")
    yield stalled_handshake("TLS: silent handshake", raw, stall)
    yield stalled_handshake("TLS: handshake stalls half-way", raw, b"\x16\x03\x03\x00\x7a\x02\x00", stall)
    hello = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xff" + bytes(999)
    yield stalled_handshake("TLS: dripping handshake", raw, drip(hello))
    yield ended_by_total(
        "TLS: silent handshake, limit on everything",
        raw,
        stall,
        seconds=0.2,
        over=TLS,
        requests=0,
        connections=1,
        request_id=None,
    )


def lost_unread(name: str, *script: Step, **more: Any) -> Case:
    """The connection is lost before a reply begins, three times."""
    return lost(name, *script, connections=3, request_id=None, **more)


def untrusted(name: str, *script: Step, **more: Any) -> Case:
    """TLS fails for a reason that a further attempt would not change."""
    return refused(
        name, *script, over=TLS, error=APIConnectionError, requests=0, connections=1, request_id=None, **more
    )


def stalled_handshake(name: str, *script: Step) -> Case:
    """The TLS handshake outlasts the limit on connecting, three times."""
    return timed_out(
        name,
        *script,
        phase="connect",
        timeout=after(connect=0.1),
        hint="Timeout(connect",
        over=TLS,
        requests=0,
        connections=3,
        request_id=None,
    )
