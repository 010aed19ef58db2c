"""What every test starts from, a bare environment, and what it must leave behind: nothing."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

from acytoo_sdk._network import provenance

# Jobs of their own, which need more than is installed for the tests.
collect_ignore_glob = ["with_*"]

# How long an example takes says more of the machine than of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("brief", parent=settings.get_profile("patient"), max_examples=20)
settings.load_profile("patient")

# What the helpers of a folder assert is shown as what its tests assert.
pytest.register_assert_rewrite("reply_readers", "bare_client")

_PREFIXES = ("ACYTOO_", "LANGCHAIN_", "LANGSMITH_")
_STEERING = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
    "REQUEST_METHOD",
    "NO_COLOR",
    "FORCE_COLOR",
)


@pytest.fixture(scope="session")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which nobody keeps settings; nothing is written there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, nobodys_home: Path) -> None:
    """No variable and no file of the machine steers a client, its proxy, its trust, or what the command line shows.

    Nor is anything told to LangSmith, which LangChain's variables may ask for.
    """
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name.upper().endswith("_PROXY") or name in _STEERING:
            monkeypatch.delenv(name)
    for place in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(place, str(nobodys_home))


@pytest.fixture(autouse=True)
def fakes_are_part_of_a_call(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the files of `tests/streams` put in the place of an exchange or an attempt may raise as these do.

    An exception of any other file would be a foreign one, which calls let out as it is; but for those that come through
    mutmut, which puts a function of its own around each that it mutates.
    """
    others = {"mutmut"}
    if request.path.parent.name == "streams":
        others |= {path.stem for path in request.path.parent.glob("*.py")}
    monkeypatch.setattr("acytoo_sdk._network.provenance._CALL", provenance._CALL | others)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_works() -> None:
    """Whoever starts the tests in the background may have SIGINT ignored, here and in every child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def flavour(request: pytest.FixtureRequest) -> str:
    """The kinds of clients: the async one on each loop."""
    return cast(str, request.param)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, or a socket, pipe or poll, behind."""
    threads, descriptors = running_threads(), open_descriptors()
    yield
    deadline = time.monotonic() + 2.0
    while left := running_threads() - threads or open_descriptors() - descriptors:
        if time.monotonic() > deadline:
            pytest.fail(f"the test left behind: {left}")
        gc.collect()  # an exception that pytest keeps may hold the frames of the test
        time.sleep(0.01)


@pytest.fixture
def nothing_stays_for_a_moment() -> Iterator[None]:
    """Fails a test after which a thread or a socket is not gone at once."""
    threads, sockets = set(threading.enumerate()), open_sockets()
    yield
    assert set(threading.enumerate()) <= threads
    assert open_sockets() <= sockets


def running_threads() -> set[threading.Thread]:
    """All threads but those that trio keeps, idle, for its next `to_thread`."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread")}


def open_descriptors() -> set[str]:
    """The sockets, pipes and polls of this process, by what the kernel calls them; files are not looked at."""
    links = set()
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):  # that of the listing itself
            links.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {link for link in links if not link.startswith("/")}


def open_sockets() -> set[str]:
    return {link for link in open_descriptors() if link.startswith("socket:")}
