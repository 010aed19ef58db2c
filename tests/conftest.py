"""What every test starts from, and what it must leave behind: a bare environment, and nothing."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator

import pytest

_STEERING = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "REQUEST_METHOD",
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine steers a client, its proxy or its trust."""
    for name in list(os.environ):
        if name.startswith("ACYTOO_") or name.upper().endswith("_PROXY") or name in _STEERING:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, or a socket, pipe or poll, behind."""
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    deadline = time.monotonic() + 2.0
    while left := {*threading.enumerate()} - threads or open_descriptors() - descriptors:
        if time.monotonic() > deadline:
            pytest.fail(f"the test left behind: {left}")
        gc.collect()  # an exception that pytest keeps may hold the frames of the test
        time.sleep(0.01)


def open_descriptors() -> set[str]:
    """The sockets, pipes and polls of this process, by what the kernel calls them; files are not looked at."""
    links = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            links.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            pass  # that of the listing itself
    return {link for link in links if not link.startswith("/")}
