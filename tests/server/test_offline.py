"""Without an upstream: what is answered, and faults that look to any client like `FakeServer`'s own."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time

import pytest
from raw_client import RawClient, Reply, post
from served import Served

from acytoo_sdk import AcytooError, Client, Timeout
from acytoo_sdk.server.offline import FAULT_NAMES, make_fault
from acytoo_sdk.testing import FakeServer

WORDS = ["Привет, ", "как ", "дела?"]
REPLY = "".join(WORDS)


def test_what_was_said_is_said_back_word_by_word() -> None:
    with Served() as served:
        said = {"model": "m", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": REPLY}]}
        reply = served.ask(post(said))
        assert reply.text == f"You said: {REPLY} (model m, 2 messages)"
        assert [part.decode() for part in reply.chunks[2:5]] == ["Привет, ", "как ", "дела? "]
        assert served.ask(post({"messages": [{"role": "system", "content": "x"}]})).text.startswith("You said: nothing")


def test_reply_may_be_given() -> None:
    with Served(reply=f"  {REPLY}\n\n") as served:
        assert served.ask().text == f"  {REPLY}\n\n"


def test_empty_reply_is_no_reply() -> None:
    with Served(reply="") as served:
        reply = served.ask()
        assert (reply.status, reply.error["message"]) == (502, "the reply is empty")


def test_pause_is_between_the_words() -> None:
    with Served(reply="a b c", pause=0.1) as served:
        began = time.monotonic()
        assert served.ask().text == "a b c"
        assert time.monotonic() - began >= 0.2


def test_client_that_leaves_between_words_is_noticed() -> None:
    with Served(reply="a b", pause=60.0) as served:
        with RawClient(served.port) as client:
            client.send(post())
            assert client.read_chunk(client.read_head(Reply())) == b"a "
        assert served.log.wait()[0].endswith("client left")


# Faults.

VALUES = {
    "status": "429",
    "redirect": "http://127.0.0.1:9/x",
    "slow-head": "0.1",
    "drip": "0.001",
    "cut": "1",
    "stall": "2",
    "reset": "1",
    "html-page": "Wait",
    "json-error": "oh no",
}
FAULTS = [*FAULT_NAMES, *(f"{name}={value}" for name, value in VALUES.items())]
FAULTS = [fault for fault in FAULTS if fault not in ("slow-head", "drip")]  # which take their time


def outcome(url: str) -> tuple[object, ...]:
    """What a client sees."""
    with Client(url, retry=1, timeout=Timeout(first_byte=0.4, idle=0.4)) as client:
        stream = client.stream("Hi")
        failure: tuple[object, ...] = ()
        try:
            stream.read()
        except AcytooError as error:
            failure = (type(error), getattr(error, "status_code", None), getattr(error, "phase", None), error.hint)
            failure += (re.sub("127.0.0.1:[0-9]+|after [0-9.]+ s", "", str(error)),)
        head = stream.head and (stream.head.status, stream.head.headers.get("content-type"), stream.head.request_id)
        return stream.text, stream.notice, stream.whole, failure, head


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_what_fake_server_does(fault: str) -> None:
    """A reply is given word by word there too, so that a fault may come after the first."""
    with FakeServer(WORDS, pause=0, faults=[make_fault(fault)]) as fake:
        expected = outcome(fake.url)
    with Served(reply=REPLY, fault=fault) as served:
        assert outcome(served.url) == expected


def test_fault_comes_again_and_again_and_can_be_told_by_pages() -> None:
    with Served(fault="status=503", allow_origins=("https://a.example",)) as served:
        for _ in range(2):
            reply = served.ask(post(origin="https://a.example"))
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (503, "https://a.example")
        assert served.log.wait(2)[1].endswith("rehearsed: status=503")


def test_fault_that_never_ends_ends_with_its_client_and_with_the_server() -> None:
    with Served(fault="stall") as served:
        with RawClient(served.port) as client:
            client.send(post())
            client.read_chunk(client.read_head(Reply()))
        served.log.wait()
        with RawClient(served.port) as client:
            client.send(post())
            reply = client.read_head(Reply())
            client.read_chunk(reply)
            served.close(at_once=True)
            with pytest.raises((EOFError, ConnectionResetError)):
                client.read_chunk(reply)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("fault", "code"),
    [("", 0), ("cut", 18), ("drop", 52), ("reset", 56), ("stall", 28), ("no-head", 28), ("status", 22), ("empty", 0)],
)
def test_curl_tells_of_faults(fault: str, code: int) -> None:
    command = ["curl", "--silent", "--fail", "--max-time", "0.5", "--no-buffer", "--data", '{"prompt": "Hi"}']
    with Served(reply=REPLY, fault=fault) as served:
        done = subprocess.run([*command, f"{served.url}/api"], capture_output=True, check=False, timeout=20)
    assert done.returncode == code
    if not fault:
        assert done.stdout.decode() == REPLY


def test_streams_of_many_clients_rehearse_at_once() -> None:
    ends: list[str] = []
    with Served(fault="cut", reply=REPLY) as served:
        threads = [threading.Thread(target=lambda: ends.append(served.ask().end)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10.0)
    assert ends == ["cut"] * 20
