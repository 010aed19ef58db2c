"""A local server in a process of its own, which gevent has not patched: `server.py FAULT [CERTIFICATE]`."""

from __future__ import annotations

import ssl
import sys

from acytoo_sdk.testing import FakeServer, Fault

FAULTS = {"none": Fault(), "no-head": Fault.no_head(), "stall": Fault.stall(after=1), "drip": Fault.drip(0.05)}


def main(fault: str, certificate: str | None = None) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    with FakeServer(["При", "вет, ", "мир"], pause=0.05, faults=[FAULTS[fault]] * 1000, tls=tls) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
