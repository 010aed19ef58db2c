"""Calls where gevent has patched Python: streams, limits, cancelling and many at once, in the plain and over TLS.

Run by `python -m gevent.monkey check.py`, which patches before anything is imported.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import trustme

from acytoo_sdk import APITimeoutError, Client, StreamCancelledError, Timeout

PIECES = ["При", "вет, ", "мир"]
REPLY = "".join(PIECES)
LIMIT = 0.5
E = TypeVar("E", bound=Exception)


@contextlib.contextmanager
def server(fault: str, *certificate: str) -> Iterator[str]:
    """The address of a server in another process."""
    command = [sys.executable, str(Path(__file__).with_name("server.py")), fault, *certificate]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def ended_by(kind: type[E], call: Callable[[], object], *, least: float, most: float) -> E:
    """The error that ends a call, after so many seconds."""
    began = time.monotonic()
    try:
        call()
    except kind as error:
        took = time.monotonic() - began
        if not least <= took < most:
            raise AssertionError(f"it took {took} s") from error
        return error
    raise AssertionError(f"nothing raised {kind.__name__}")


def check_streams(client: Client) -> None:
    assert [*client.stream("Hi")] == PIECES
    assert client.complete("Hi") == REPLY  # on the connection that was kept


def check_many_at_once(client: Client) -> None:
    import gevent

    began = time.monotonic()
    jobs = [gevent.spawn(client.complete, "Hi") for _ in range(50)]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert [job.value for job in jobs] == [REPLY] * 50
    assert time.monotonic() - began < 50 * 0.1, "one waited for the other"


def check_limit(client: Client, phase: str, text: str) -> None:
    """A call is ended by its limit, at its moment, while other greenlets run on."""
    import gevent

    others = gevent.spawn(tick)
    limits = {"first_byte": None, "idle": None, phase: LIMIT}
    stream = client.with_options(timeout=Timeout(**limits), retry=1).stream("Hi")
    error = ended_by(APITimeoutError, stream.read, least=LIMIT * 0.9, most=LIMIT * 3)
    assert error.phase == phase, error.phase
    assert error.partial_text == stream.text
    assert stream.text.startswith(text), stream.text
    assert others.value == "ran on", "another greenlet had to wait"


def tick() -> str:
    import gevent

    for _ in range(10):
        gevent.sleep(LIMIT / 20)
    return "ran on"


def check_cancelling(client: Client) -> None:
    import gevent

    stream = client.with_options(timeout=None, retry=1).stream("Hi")
    assert next(stream) == PIECES[0]
    gevent.spawn_later(0.2, stream.cancel)
    error = ended_by(StreamCancelledError, lambda: next(stream), least=0.1, most=5)
    assert error.partial_text == PIECES[0]


def check_connect_limit(scheme: str) -> None:
    """A listener whose queue is full, or that does not shake hands, keeps nobody longer than the limit."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3 if scheme == "http" else 0):  # more than its queue holds
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(url, timeout=Timeout(connect=LIMIT), retry=1)
        error = ended_by(APITimeoutError, lambda: client.complete("Hi"), least=LIMIT * 0.9, most=LIMIT * 3)
        assert error.phase == "connect", error.phase


def check_all(*certificate: str, verify: bool | str = True) -> None:
    import gevent

    scheme = "https" if certificate else "http"
    with server("none", *certificate) as url, Client(url, verify=verify) as client:
        check_streams(client)
        check_many_at_once(client)
    with server("no-head", *certificate) as url, Client(url, verify=verify) as client:
        check_limit(client, "first_byte", "")
        check_limit(client, "total", "")
    with server("stall", *certificate) as url, Client(url, verify=verify) as client:
        check_limit(client, "idle", PIECES[0])
        check_cancelling(client)
    with server("drip", *certificate) as url, Client(url, verify=verify) as client:
        check_limit(client, "total", REPLY[:1])
    check_connect_limit(scheme)
    print(f"{scheme}: streams, many at once, limits and cancelling work with gevent {gevent.__version__}")


def main() -> None:
    import gevent.monkey

    assert gevent.monkey.is_module_patched("socket")
    for name in list(os.environ):
        if name.startswith("ACYTOO_") or name.upper().endswith("_PROXY"):
            del os.environ[name]
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        certificate, trusted = str(Path(folder, "server.pem")), str(Path(folder, "ca.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        authority.cert_pem.write_to_path(trusted)
        check_all()
        check_all(certificate, verify=trusted)
        # As servers call it: in a greenlet, which Python takes for a thread that is not the main one.
        gevent.spawn(check_all).get()
        gevent.spawn(check_all, certificate, verify=trusted).get()


if __name__ == "__main__":
    main()
