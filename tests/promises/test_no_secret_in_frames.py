"""Whoever renders the locals of a traceback finds no secret in our frames, nor in those of the stack below us.

The frames of these tests are those of a caller, whose locals are the caller's; so here secrets are globals.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, TracebackType
from typing import Any

import pytest
from fault_server import Connection, FaultServer, fin, raw, stall
from local_proxy import answering, read_head
from raised_frames import frames

from acytoo_sdk import AcytooError, AsyncClient, Client, Conversation, Timeout
from acytoo_sdk._network import failures
from acytoo_sdk._network.sockets import LimitedSocket
from acytoo_sdk._secrets import Secret, clears_frames
from acytoo_sdk.provider import provider
from acytoo_sdk.testing import FakeServer, Fault

KEY, PASSWORD, TOKEN, PROXY_PASSWORD = "key-4f", "pass-word-7c", "token-5e", "proxy-pass-3f"
SECRETS = [KEY, PASSWORD, TOKEN, PROXY_PASSWORD, b64encode(f"user:{PROXY_PASSWORD}".encode()).decode()]
PROXY = f"http://user:{PROXY_PASSWORD}@127.0.0.1:9"
URL = "http://127.0.0.1:9"
MINE: dict[str, Any] = {
    "key": KEY,
    "password": PASSWORD,
    "headers": {"Authorization": f"Bearer {TOKEN}"},
    "proxy": PROXY,
    "timeout": Timeout(connect=5, first_byte=5, idle=5),
    "retry": 1,
}
DIRECT = {**MINE, "proxy": None}
HI: list[dict[str, str]] = [{"role": "user", "content": "Hi"}]


def looks(value: object) -> Iterator[str]:
    """What renderers show of a local: its text, and what stands directly in it."""
    yield repr(value)
    with contextlib.suppress(TypeError):
        yield repr(vars(value))
    if isinstance(value, bytes | bytearray | memoryview):
        yield bytes(value).decode("latin-1")


def check(error: BaseException) -> None:
    """Nothing that renders this error with locals shows a secret."""
    for one, frame in frames(error, but=__file__):
        for name, value in dict(frame.f_locals).items():
            for look in looks(value):
                shown = [secret for secret in SECRETS if secret in look]
                assert not shown, (type(one), frame.f_code.co_filename, frame.f_code.co_name, name)
    rendered = "".join(traceback.TracebackException(type(error), error, ours(error), capture_locals=True).format())
    assert not [secret for secret in SECRETS if secret in rendered]


def ours(error: BaseException) -> TracebackType | None:
    """A traceback from the first frame that is not the caller's."""
    below = error.__traceback__
    while below is not None and below.tb_frame.f_code.co_filename == __file__:
        below = below.tb_next
    return below


def failure_of(call: Callable[[], object]) -> BaseException:
    with pytest.raises((AcytooError, TypeError, KeyboardInterrupt)) as caught:
        call()
    check(caught.value)
    return caught.value


# What is refused

BAD: list[dict[str, Any]] = [
    {"temperature": 5},
    {"model": ""},
    {"nonsense": 1},
    {"timeout": -1},
    {"key": KEY + "\ud800"},
    {"key": KEY.encode()},
    {"key": [KEY]},
    {"headers": {"x-pass": TOKEN + "\n"}},
    {"headers": {"x-pass": TOKEN.encode()}},
    {"headers": [TOKEN]},
    {"base_url": f"http://user:{PASSWORD}@host"},
    {"base_url": None},
    {"path": f"/?key={PASSWORD} "},
]
CLIENT, ASYNC_CLIENT = Client(URL, **MINE), AsyncClient(URL, **MINE)
CALLS: dict[str, Callable[[dict[str, Any]], object]] = {
    "Client": lambda bad: Client(**{"base_url": URL, **MINE, **bad}),
    "AsyncClient": lambda bad: AsyncClient(**{"base_url": URL, **MINE, **bad}),
    "provider": lambda bad: provider(**{"base_url": URL, **MINE, **bad}),
    "with_options": lambda bad: CLIENT.with_options(**bad),
    "AsyncClient.with_options": lambda bad: ASYNC_CLIENT.with_options(**{**bad, "password": PASSWORD}),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", range(len(BAD)))
def test_a_refused_option(call: str, number: int) -> None:
    if (call, BAD[number]) != ("provider", {"base_url": None}):  # which stands for the environment's
        failure_of(lambda: CALLS[call](BAD[number]))


@pytest.mark.parametrize("proxy", [f"http://u:{PROXY_PASSWORD}@host:x", f"gopher://u:{PROXY_PASSWORD}@host", b"x"])
def test_a_refused_proxy(proxy: Any) -> None:
    failure_of(lambda: Client(URL, **{**MINE, "proxy": proxy}))
    failure_of(lambda: CLIENT.with_options(proxy=proxy))  # type: ignore[call-arg]


def test_a_refused_limit_of_streams() -> None:
    failure_of(lambda: AsyncClient(URL, max_streams=0, **MINE))


@pytest.mark.parametrize("bad", [{"temperature": 5}, {"model": ""}, {"timeout": 0}, {"retry": 0}])
def test_a_refused_call(bad: dict[str, Any]) -> None:
    mine = provider(URL, **MINE)
    failure_of(lambda: CLIENT.stream("Hi", **bad))
    failure_of(lambda: CLIENT.complete("Hi", **bad))
    failure_of(lambda: ASYNC_CLIENT.stream("Hi", **bad))
    failure_of(lambda: CLIENT.conversation(**bad))
    failure_of(lambda: CLIENT.stream([{"role": "user", "content": [{}]}]))
    for make in (mine.create_completion, mine.create_async_generator):
        failure_of(lambda make=make: make("", HI, temperature=5, key=KEY, proxy=PROXY))  # type: ignore[misc]
        failure_of(lambda make=make: make("", HI, base_url=f"http://u:{PASSWORD}@x"))  # type: ignore[misc]
    failure_of(lambda: asyncio.run(mine.create_async("", HI, temperature=5, key=KEY, proxy=PROXY)))


@pytest.mark.parametrize("kind", [Client, AsyncClient, Conversation])
def test_what_was_not_made_has_a_repr(kind: Any) -> None:
    """It is a local of the frame in which its constructor failed."""
    assert kind.__name__ in repr(object.__new__(kind))


# What fails


@pytest.mark.parametrize("by", ["blocking", "async", "provider"])
@pytest.mark.parametrize(
    "fault", [Fault.status(401), Fault.no_head(), Fault.cut(after=1), Fault.stall(after=1), Fault.stall(after=0)]
)
def test_a_failed_call(fault: Fault, by: str) -> None:
    with FakeServer(["Hello", "you"], faults=[fault]) as server:
        limits = {"timeout": Timeout(first_byte=0.2, idle=0.2)}
        if by == "provider":
            mine = provider(server.url, **{**DIRECT, **limits})
            failure_of(lambda: asyncio.run(mine.create_async("", HI, key=KEY, password=PASSWORD)))
        elif by == "async":
            failure_of(lambda: asyncio.run(AsyncClient(server.url, **{**DIRECT, **limits}).complete("Hi")))
        else:
            failure_of(lambda: Client(server.url, **{**DIRECT, **limits}).complete("Hi"))


@pytest.mark.parametrize("url", ["http://chat.example", "https://chat.example"])
def test_a_proxy_that_refuses(url: str) -> None:
    with FaultServer([answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", [])]) as proxy:
        failure_of(lambda: Client(url, **{**MINE, "proxy": PROXY.replace("9", str(proxy.port))}).complete("Hi"))
    failure_of(lambda: Client(url, **MINE).complete("Hi"))


def test_a_cancelled_call() -> None:
    with FakeServer(["Hello", "you"]) as server:
        stream = Client(server.url, **DIRECT).stream("Hi")
        next(stream)
        stream.cancel()
        failure_of(lambda: next(stream))


# What is interrupted


def interrupt(connection: Connection | None = None) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def connect(sock: LimitedSocket, address: object) -> None:
    interrupt()


@pytest.mark.parametrize("through", ["nothing", "proxy", "tunnel"])
def test_an_interrupted_connection(monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    monkeypatch.setattr(LimitedSocket, "connect", connect)
    url = "https://127.0.0.1:9" if through == "tunnel" else URL
    error = failure_of(lambda: Client(url, **(DIRECT if through == "nothing" else MINE)).complete("Hi"))
    assert isinstance(error, KeyboardInterrupt)
    assert "connect" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("through", ["nothing", "proxy", "tunnel"])
def test_an_interrupted_wait_for_the_head(through: str) -> None:
    url = {"proxy": "http://chat.example", "tunnel": "https://chat.example"}.get(through)
    head = [raw, lambda connection: read_head(connection.socket) and None, interrupt, stall]
    with FaultServer([head if url else [interrupt, stall]]) as server:
        own = {**MINE, "proxy": PROXY.replace("9", str(server.port))} if url else DIRECT
        error = failure_of(lambda own=own: Client(url or server.url, **own).complete("Hi"))  # type: ignore[misc]
    assert isinstance(error, KeyboardInterrupt)
    assert "_opening" in [frame.name for frame in traceback.extract_tb(error.__traceback__)], "the lines stay"


@pytest.mark.parametrize("text", [b"", b"Hello"])
def test_an_interrupted_wait_in_the_body(text: bytes) -> None:
    with FaultServer([[b"HTTP/1.1 200 OK\r\n\r\n" + text, interrupt, stall]]) as server:
        assert isinstance(failure_of(lambda: Client(server.url, **DIRECT).complete("Hi")), KeyboardInterrupt)


def test_an_interrupted_translation_of_a_cut_body(monkeypatch: pytest.MonkeyPatch) -> None:
    def meaning(failure: object) -> None:
        interrupt()

    monkeypatch.setattr(failures, "_meaning", meaning)
    with FaultServer([answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHello", [])]) as server:
        own = {**MINE, "proxy": PROXY.replace("9", str(server.port))}
        error = failure_of(lambda: Client("http://chat.example", **own).complete("Hi"))
    assert "translate" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_an_interrupted_wait_between_attempts() -> None:
    def refuse(connection: Connection) -> None:
        connection.socket.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: 9\r\n\r\n")

    with FaultServer([[refuse, lambda connection: threading.Timer(0.2, interrupt).start(), fin]]) as server:
        error = failure_of(lambda: Client(server.url, **{**DIRECT, "retry": 2}).complete("Hi"))
    assert isinstance(error, KeyboardInterrupt)


class Interruption:
    """Raises `KeyboardInterrupt` before the n-th line of ours that is run."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.before: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if f"{os.sep}acytoo_sdk{os.sep}" not in frame.f_code.co_filename or "/testing/" in frame.f_code.co_filename:
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def call_once(url: str) -> None:
    Client(url, **DIRECT).with_options(password=PASSWORD).complete("Hi")


# Before their first statement is run, arguments are in sight: `with_options`' of one line, and the lines of the
# dictionary in the constructor's.
def in_first_statement(error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-2]  # the last one is the interruption's own
    return last.name in ("__init__", "with_options") and last.filename.endswith(("_client.py", "_base_client.py"))


# A socket that is interrupted before anybody has it is left to its finaliser, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_at_any_line() -> None:
    with ThreadPoolExecutor(1) as apart:  # whatever traces this thread, to measure what is run, goes on
        assert apart.submit(interrupted_at_each_line).result() > 700


def interrupted_at_each_line() -> int:
    """Makes a call with an interruption before each of its lines in turn; returns how many there are."""
    with FakeServer("Hello") as server:
        call_once(server.url)  # what is imported, is
        for number in itertools.count(1):
            sys.settrace(Interruption(number))
            try:
                call_once(server.url)
            except KeyboardInterrupt as error:
                sys.settrace(None)
                if not in_first_statement(error):
                    check(error)
            else:
                break
            finally:
                sys.settrace(None)
    return number


# What is cleared


def test_frames_are_cleared_from_the_function_down_and_no_further() -> None:
    def fail(inside: str) -> None:
        raise KeyError(inside)

    @clears_frames
    def inner(inside: str) -> None:
        try:
            fail(inside)
        except KeyError:
            raise ValueError from None

    def handle(outside: str) -> None:
        try:
            fail(outside)
        except KeyError:
            inner("inside")

    with pytest.raises(ValueError, match=r"^$") as caught:
        handle("outside")

    error = caught.value
    assert error.__context__ is not None
    assert error.__context__.__context__ is not None
    locals_of = [
        [dict(frame.f_locals) for frame, _ in traceback.walk_tb(one.__traceback__) if frame.f_code.co_name == name]
        for one, name in [
            (error, "inner"),
            (error, "handle"),
            (error.__context__, "fail"),
            (error.__context__.__context__, "fail"),
        ]
    ]
    assert [[one.get("inside", one.get("outside")) for one in each] for each in locals_of] == [
        [None],
        ["outside"],
        [None],
        ["outside"],
    ]


def test_the_test_sees_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(value: object, other: Secret[str]) -> None:
        raise AcytooError(other.reveal() and "no")

    for value in (KEY, {"a": KEY}, KEY.encode(), AcytooError(KEY)):
        with pytest.raises(AcytooError) as caught:
            show(value, Secret(KEY))
        monkeypatch.setitem(globals(), "__file__", "elsewhere")
        with pytest.raises(AssertionError):
            check(caught.value)
