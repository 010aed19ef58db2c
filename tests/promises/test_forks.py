"""A forked child leaves the streams of its parent alone, whatever it does with them."""

from __future__ import annotations

import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
import trustme
from loops import on_both

from acytoo_sdk import AsyncClient, Client, InvalidRequestError, Stream
from acytoo_sdk.testing import FakeServer, Gate

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def cancel(stream: Stream) -> None:
    stream.cancel()


def close(stream: Stream) -> None:
    stream.close()


def leave_by_an_exit(stream: Stream) -> None:
    with pytest.raises(SystemExit), stream:
        sys.exit()


def throw(stream: Stream) -> None:
    with pytest.raises(KeyError):
        stream.throw(KeyError("x"))


def read(stream: Stream) -> None:
    with pytest.raises(InvalidRequestError, match="forked"):
        stream.read()


def drop(stream: Stream) -> None:
    """The frames of the parent hold it; this is what dropping it does."""
    stream._pieces.close()


def in_a_child(act: Callable[[], object]) -> None:
    """Does something in a forked child, which must succeed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(10)
            act()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("over", ["tcp", "tls"])
@pytest.mark.parametrize("act", [cancel, close, leave_by_an_exit, throw, read, drop])
def test_a_child_leaves_a_running_stream_to_its_parent(
    act: Callable[[Stream], None], over: str, authority: trustme.CA, tmp_path: Path
) -> None:
    tls, verify = None, True
    if over == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        verify = str(tmp_path / "ca.pem")  # type: ignore[assignment]
    gate = Gate()
    with FakeServer(["Hel", "lo ", "you"], gate=gate, tls=tls) as server, Client(server.url, verify=verify) as client:
        stream = client.stream("Hi")
        gate.release()
        assert next(stream) == "Hel"
        in_a_child(lambda: act(stream))
        gate.open()
        assert stream.read() == "Hello you"
        assert stream.whole


@on_both
async def test_a_child_leaves_a_running_async_stream_to_its_parent() -> None:
    gate = Gate()
    with FakeServer(["Hel", "lo ", "you"], gate=gate) as server:
        async with AsyncClient(server.url) as client:
            stream = client.stream("Hi")
            gate.release()
            assert await anext(stream) == "Hel"
            for act in (_leave, _read, _cancel):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        signal.alarm(10)
                        await act(stream)
                        code = 0
                    finally:
                        os._exit(code)
                status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
                assert os.waitstatus_to_exitcode(status[1]) == 0
            gate.open()
            assert await stream.read() == "Hello you"


async def _leave(stream: object) -> None:
    with pytest.raises(SystemExit):
        async with stream:  # type: ignore[attr-defined]
            sys.exit()


async def _read(stream: object) -> None:
    with pytest.raises(InvalidRequestError, match="forked"):
        await stream.read()  # type: ignore[attr-defined]


async def _cancel(stream: object) -> None:
    stream.cancel()  # type: ignore[attr-defined]
    await stream.aclose()  # type: ignore[attr-defined]


def test_a_conversation_goes_on_in_a_child_whatever_a_thread_of_the_parent_was_doing() -> None:
    with FakeServer("Hello") as server, Client(server.url) as client:
        conversation, taken, done = client.conversation(), threading.Event(), threading.Event()

        def hold() -> None:
            with conversation._lock:
                taken.set()
                done.wait(20)

        other = threading.Thread(target=hold)
        other.start()
        taken.wait(5)
        try:
            in_a_child(lambda: conversation.ask("Hi"))
        finally:
            done.set()
            other.join()
        assert conversation.messages == []
