"""What a signal handler raises comes out as itself, at once; what it ends, it ends without waiting for anybody."""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import responses
import trustme
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from fault_server import FaultServer, held, told, wait_for
from lifetimes import no_collector

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    Client,
    InvalidRequestError,
    RetryPolicy,
    ServerError,
    Stream,
    StreamCancelledError,
    StreamInterruptedError,
    Timeout,
)
from acytoo_sdk._network.connections import Connection
from acytoo_sdk._network.head import StrictHTTPResponse
from acytoo_sdk._network.sockets import SocketScope
from acytoo_sdk._network.transport import Transport
from acytoo_sdk._streams.base import call_of
from acytoo_sdk.testing import FakeServer, Fault

AT_ONCE = 1.0
PATIENT = RetryPolicy(attempts=5, wait_initial=3600, wait_max=3600)


class JobTimeout(Exception):
    """What RQ and Celery raise in a job that takes too long."""


class ConnectionTimeout(TimeoutError):
    """One of somebody's own, below Python's."""


# A signal handler's exception may be of any kind, also of one that means something to the network stack, or to us.
KINDS = [JobTimeout, TimeoutError, ConnectionTimeout, ConnectionResetError, OSError, ValueError, RuntimeError]


@contextlib.contextmanager
def refusing_to_connect() -> Iterator[tuple[str, Callable[[], object]]]:
    """A listener whose queue is full: no connection comes about."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as fillers:
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: True


@contextlib.contextmanager
def silent_before_the_head() -> Iterator[tuple[str, Callable[[], object]]]:
    with FakeServer(faults=[Fault.no_head()] * 9) as server:
        yield server.url, lambda: server.requests
        assert len(server.requests) == 1
        server.wait_until(lambda: not server.open_connections)


@contextlib.contextmanager
def silent_in_the_body() -> Iterator[tuple[str, Callable[[], object]]]:
    with FakeServer(faults=[Fault.stall(after=0)] * 9) as server:
        yield server.url, lambda: server.requests
        assert len(server.requests) == 1
        server.wait_until(lambda: not server.open_connections)


@contextlib.contextmanager
def waiting_to_try_again() -> Iterator[tuple[str, Callable[[], object]]]:
    with FakeServer(faults=[Fault.status(503)] * 9) as server:
        yield server.url, lambda: server.requests
        assert len(server.requests) == 1


WHERE = [refusing_to_connect, silent_before_the_head, silent_in_the_body, waiting_to_try_again]


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], object], ready: Callable[[], object]) -> Iterator[None]:
    """Has a handler called in this thread, once it is ready and waits."""

    def send() -> None:
        assert wait_for(lambda: bool(ready()))
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", WHERE)
def test_an_exception_of_a_signal_handler_comes_out_as_itself_at_once(
    where: Callable[[], contextlib.AbstractContextManager[tuple[str, Callable[[], object]]]], kind: type[Exception]
) -> None:
    own, when = kind("the job took too long"), [0.0]

    def give_up(signum: int, frame: FrameType | None) -> None:
        when[0] = time.monotonic()
        raise own

    with where() as (url, ready), Client(url, retry=PATIENT, timeout=Timeout(connect=30)) as client:
        stream = client.stream("Hi")
        with handled(give_up, lambda: stream.stats.attempts and ready()), pytest.raises(kind) as caught:
            next(stream)
        assert time.monotonic() - when[0] < AT_ONCE
        assert caught.value is own
        assert stream.stats.attempts == 1
        assert list(stream) == []


# What a handler may raise of our own kinds: what a call that it makes ends in, or one that it makes up.


def refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    Client(url, retry=1).complete("Hi")


def failing(fault: Fault) -> Callable[[], None]:
    def call() -> None:
        with FakeServer(["Hel", "lo"], faults=[fault]) as server, Client(server.url, retry=1) as client:
            client.complete("Hi", timeout=Timeout(idle=0.1))

    return call


def misused() -> None:
    Client("http://127.0.0.1:1").complete([])


def made_up() -> None:
    raise APITimeoutError("the job took too long", phase="first_byte", partial_text="Hel")


# By the error: what raises it, and the text that it keeps.
OF_ANOTHER_CALL: dict[type[AcytooError], tuple[Callable[[], None], str]] = {
    APIConnectionError: (refused, ""),
    ServerError: (failing(Fault.status(503)), ""),
    StreamInterruptedError: (failing(Fault.cut(after=1)), "Hel"),
    APITimeoutError: (failing(Fault.stall(after=1)), "Hel"),
    InvalidRequestError: (misused, ""),
}


Told = tuple[AcytooError, str, "str | None"]


def told_of(error: AcytooError) -> Told:
    return error, error.partial_text, error.request_id


def letting_out(fail: Callable[[], None], told: list[Told]) -> Callable[[int, FrameType | None], object]:
    """A handler that lets an error of ours out, and notes what it told."""

    def handler(signum: int, frame: FrameType | None) -> None:
        try:
            fail()
        except AcytooError as error:
            told.append(told_of(error))
            raise

    return handler


@pytest.mark.parametrize("kind", OF_ANOTHER_CALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("where", WHERE)
def test_an_error_of_a_handler_s_own_call_is_not_that_of_the_call_it_interrupts(
    where: Callable[[], contextlib.AbstractContextManager[tuple[str, Callable[[], object]]]], kind: type[AcytooError]
) -> None:
    (fail, text), told = OF_ANOTHER_CALL[kind], list[Told]()
    with where() as (url, ready), Client(url, retry=PATIENT, timeout=Timeout(connect=30)) as client:
        stream = client.stream("Hi")
        with (
            handled(letting_out(fail, told), lambda: stream.stats.attempts and ready()),
            pytest.raises(AcytooError) as caught,
        ):
            next(stream)
        assert type(caught.value) is kind
        assert [told_of(caught.value)] == told
        assert caught.value.partial_text == text
        assert stream.stats.attempts == 1
        assert list(stream) == []


@pytest.mark.parametrize("fail", [made_up, refused, failing(Fault.cut(after=1))], ids=["made up", "refused", "cut"])
def test_an_error_of_a_handler_s_own_call_is_not_a_break_of_the_text_it_interrupts(fail: Callable[[], None]) -> None:
    told: list[Told] = []
    with FakeServer("Hello you", faults=[Fault.stall(after=2)]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        with handled(letting_out(fail, told), lambda: len(stream.text) > 2), pytest.raises(AcytooError) as caught:
            stream.read()
        assert [told_of(caught.value)] == told
        assert caught.value.partial_text == ("" if fail is refused else "Hel")
        assert list(stream) == []
        server.wait_until(lambda: not server.open_connections)


def test_an_error_of_ours_that_is_thrown_into_a_stream_is_not_its_own() -> None:
    with FakeServer(["Hello ", "you"]) as server, Client(server.url) as client:
        stream = client.stream("Hi")
        next(stream)
        own = StreamInterruptedError("of another stream", partial_text="Hel")
        with pytest.raises(StreamInterruptedError) as caught:
            stream.throw(own)
        assert caught.value is own
        assert own.partial_text == "Hel"
        assert list(stream) == []


def test_a_call_goes_on_whole_after_a_handler_s_own_call() -> None:
    """While it waits for the head; the handler's call is over before that comes."""
    asked, may_answer = threading.Event(), threading.Event()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello"
    replies: list[str] = []
    with (
        FaultServer([[told(asked), held(may_answer), answer]]) as server,
        FakeServer("another") as other,
        Client(server.url, retry=1) as client,
        Client(other.url) as handlers,
    ):

        def call(signum: int, frame: FrameType | None) -> None:
            replies.append(handlers.complete("Hi"))
            may_answer.set()

        stream = client.stream("Hi")
        with handled(call, asked.is_set):
            assert stream.read() == "Hello"
        assert replies == ["another"]
        assert stream.whole is True, "its framing is known"


@pytest.mark.parametrize("where", [Transport.send, SocketScope.abort, Connection.connect, StrictHTTPResponse.begin])
def test_a_call_goes_on_whole_wherever_another_is_made_inside_of_it(where: object) -> None:
    """As a finaliser does, which runs in any thread; by the same client, so on the same connections."""
    with FakeServer("Hello", pause=0) as server, Client(server.url, retry=1) as client:
        client.complete("Hi")  # imports what a call needs

        def attempt(step: int) -> int:
            replies: list[str] = []
            if step % 2:
                for transport in client._pool._shared.transports:
                    transport.close()  # so that it connects
            stream = client.stream("Hi")
            steps = run_interrupted(
                stream.read, {step: lambda: replies.append(client.complete("Hi"))}, file=file_of(where)
            )
            assert (stream.text, stream.whole) == ("Hello", True)
            assert replies == ["Hello"] * (step < steps)
            return steps

        assert interrupt_at_each_step(attempt, stride=3) > 30


def cut_off() -> None:
    raise KeyboardInterrupt


def late() -> None:
    raise TimeoutError


@pytest.mark.parametrize("fail", [cut_off, late, refused, made_up], ids=lambda fail: fail.__name__)
@pytest.mark.parametrize(
    "faults",
    [
        [Fault.no_head()],
        [Fault.status(503), Fault.no_head()],
        [Fault.drop(), Fault.stall(after=0)],
        [Fault.stall(after=1)],
        [Fault.status(503), Fault.stall(after=1)],
    ],
    ids=["head", "head after a retry", "body after a retry", "text", "text after a retry"],
)
def test_what_a_handler_raised_holds_no_stream_once_it_is_dropped(
    faults: list[Fault | None], fail: Callable[[], None]
) -> None:
    with FakeServer(["Hel", "lo"], faults=faults) as server, Client(server.url, retry=RetryPolicy(2, 0)) as client:
        stream = client.stream("Hi")
        with no_collector():
            with handled(lambda signum, frame: fail(), lambda: len(server.requests) == len(faults)):
                try:
                    stream.read()
                except (KeyboardInterrupt, TimeoutError, AcytooError):
                    pass
            weak: list[weakref.ref[Any]] = [weakref.ref(stream), weakref.ref(call_of(stream))]
            del stream
            assert [each() for each in weak] == [None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_over_tls_it_comes_out_as_itself_too(kind: type[Exception], tmp_path: Path) -> None:
    """There, it goes through functions of Python's own sockets."""
    authority, tls, own = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), kind("the job took too long")
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise own

    with (
        FakeServer(faults=[Fault.no_head()], tls=tls) as server,
        Client(server.url, verify=str(tmp_path / "ca.pem"), retry=PATIENT) as client,
        handled(give_up, lambda: server.requests),
        pytest.raises(kind) as caught,
    ):
        client.complete("Hi")
    assert caught.value is own


def test_while_certificates_are_loaded_it_comes_out_as_itself_too(monkeypatch: pytest.MonkeyPatch) -> None:
    own, load = OSError("the job took too long"), ssl.SSLContext.load_verify_locations

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise own

    def interrupted(context: ssl.SSLContext, **where: Any) -> None:
        signal.raise_signal(signal.SIGUSR1)
        load(context, **where)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", interrupted)
    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with Client("https://127.0.0.1:9") as client, pytest.raises(OSError, match="too long") as caught:
            client.complete("Hi")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught.value is own


@pytest.mark.parametrize("kind", [TypeError, ValueError])
def test_an_exception_of_a_signal_handler_is_no_fault_of_an_argument(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, write = kind("the job took too long"), json.dumps

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise own

    def interrupted(value: object, **options: Any) -> str:
        signal.raise_signal(signal.SIGUSR1)
        return write(value, **options)

    monkeypatch.setattr(json, "dumps", interrupted)
    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with Client("http://127.0.0.1:9") as client, pytest.raises(kind) as caught:
            client.stream([{"role": "user", "content": "Hi"}])
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught.value is own


def test_what_the_caller_was_handling_is_left_as_it_was() -> None:
    """An error of ours that is raised meanwhile has it as a context, but it is not ours to change."""
    with FakeServer(faults=[Fault.drop()] * 9) as server, Client(server.url, retry=1) as client:
        own = ConnectionError("hunter2")
        own.request = "mine"  # type: ignore[attr-defined]
        try:
            raise own
        except ConnectionError:
            with pytest.raises(AcytooError):
                client.complete("Hi")
        assert (own.args, own.request) == (("hunter2",), "mine")  # type: ignore[attr-defined]
        assert own.__traceback__ is not None


def test_a_bug_in_a_patched_function_is_no_failure_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    bugs: list[Exception] = []

    def buggy(*arguments: object, **named: object) -> None:
        bugs.append(FileNotFoundError("hosts"))
        raise bugs[-1]

    monkeypatch.setattr(socket, "getaddrinfo", buggy)
    with Client("http://127.0.0.1:9", retry=PATIENT) as client, pytest.raises(FileNotFoundError) as caught:
        client.complete("Hi")
    assert [caught.value] == bugs


def test_a_failure_inside_a_patched_function_is_the_network_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """One may guard a socket's function, or keep what it returned, and have handled errors of its own meanwhile."""
    connect, resolve, known = socket.socket.connect, socket.getaddrinfo, dict[object, Any]()

    def guarded(sock: socket.socket, address: Any) -> None:
        connect(sock, address)

    def remembered(*arguments: Any, **named: Any) -> Any:
        try:
            return known[arguments]
        except KeyError:
            known[arguments] = resolve(*arguments, **named)
            return known[arguments]

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", remembered)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(APIConnectionError, match="refused"):
        Client(url, retry=1).complete("Hi")
    with pytest.raises(APIConnectionError, match="no host"):
        Client("http://nobody.invalid", retry=1).complete("Hi")


def test_a_failure_that_a_mock_plays_is_the_network_s() -> None:
    def reset(request: object) -> Any:
        raise ConnectionResetError(errno.ECONNRESET, "played")

    with responses.RequestsMock() as mock:
        mock.add_callback("POST", "http://chat.example/api/completions", reset)
        with pytest.raises(APIConnectionError, match="played"):
            Client("http://chat.example", retry=1).complete("Hi")


def test_too_deep_a_recursion_is_told_as_such() -> None:
    """With ever fewer frames left: it is no failure of the network, and nothing is sent twice."""

    def at_depth(depth: int, client: Client) -> str:
        return at_depth(depth - 1, client) if depth else client.complete("Hi")

    outcomes: list[str] = []
    with FakeServer("Hello", pause=0) as server, Client(server.url, retry=PATIENT) as client:
        client.complete("Hi")
        for frames in range(120, 10, -2):
            sent = len(server.requests)
            try:
                outcomes.append(at_depth(sys.getrecursionlimit() - len(inspect.stack(0)) - frames, client))
            except RecursionError:
                outcomes.append("too deep")
            assert len(server.requests) <= sent + 1
    assert set(outcomes) == {"Hello", "too deep"}


# What a handler, or a finaliser, ends


def run_script(script: str, *, seconds: float = 40.0) -> str:
    """What a script prints, in a process of its own, which must end."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_signal_handler_may_close_the_client_at_any_moment() -> None:
    """A thousand times a second, whatever the main thread is doing just then."""
    said = run_script("""
        import faulthandler, signal, sys, time
        from acytoo_sdk import AcytooError, Client, Timeout
        from acytoo_sdk.testing import FakeServer

        faulthandler.dump_traceback_later(30, exit=True)
        client = None
        closed = 0

        def close(signum, frame):
            global closed
            if client is not None:
                closed += 1
                client.close()

        with FakeServer("Hello", pause=0) as server:
            client = Client(server.url, timeout=Timeout(total=20))
            signal.signal(signal.SIGALRM, close)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                client = Client(server.url, timeout=Timeout(total=20))
                try:
                    for _ in range(5):
                        client.complete("Hi")
                except AcytooError:
                    pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            client.close()
        print(closed > 300)
        """)
    assert said == "True"


def test_a_signal_handler_may_make_a_call_of_its_own() -> None:
    """It runs while a reply's head is waited for, and the interrupted call goes on as if nothing had been."""
    called = threading.Event()

    def reply(request: dict[str, Any]) -> str:
        if request["messages"][-1]["content"] == "Wait":
            assert called.wait(10)
        return "Hello"

    with FakeServer(reply) as server, Client(server.url, retry=1) as client:

        def call(signum: int, frame: FrameType | None) -> None:
            assert client.complete("Hi") == "Hello"
            called.set()

        stream = client.stream("Wait")
        with handled(call, lambda: server.requests):
            assert stream.read() == "Hello"
        assert stream.whole


def test_over_tls_a_signal_handler_s_own_call_is_not_broken_by_the_end_of_the_one_it_interrupts(tmp_path: Path) -> None:
    """It runs where OpenSSL has said what became of the interrupted connection, and Python has not told it yet."""
    authority, tls, replies, over = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), [], threading.Event()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(bundle := str(tmp_path / "ca.pem"))

    def end(stream: Stream, requests: int) -> None:
        server.wait_until(lambda: len(server.requests) == requests)
        stream.cancel()
        os.kill(os.getpid(), signal.SIGUSR1)

    def spin() -> None:
        while not over.is_set():
            pass  # so that who comes back from OpenSSL waits for its turn

    with (
        FakeServer("Hello", faults=[None, *[Fault.no_head(), None] * 20], tls=tls) as server,
        Client(server.url, verify=bundle, retry=1) as interrupted,
        Client(server.url, verify=bundle, retry=1) as client,
    ):
        client.complete("Hi")  # a new connection would begin by forgetting the errors of others
        before = signal.signal(signal.SIGUSR1, lambda signum, frame: replies.append(client.complete("Hi")))
        spinner = threading.Thread(target=spin)
        spinner.start()
        try:
            for number in range(20):
                stream = interrupted.stream("Wait")
                ender = threading.Thread(target=end, args=(stream, 2 * number + 2))
                ender.start()
                with pytest.raises(StreamCancelledError):
                    stream.read()
                ender.join()
        finally:
            over.set()
            spinner.join()
            signal.signal(signal.SIGUSR1, before)
    assert replies == ["Hello"] * 20


def test_a_finaliser_never_stops_an_event_loop() -> None:
    """Running streams in cycles, which the collector ends wherever it happens to run: in a thread that is starting."""
    said = run_script("""
        import anyio, faulthandler, gc, sys
        from acytoo_sdk import AsyncClient
        from acytoo_sdk.testing import FakeServer

        faulthandler.dump_traceback_later(30, exit=True)
        gc.freeze()  # or the oldest generation would wait until it has grown by a quarter
        gc.set_threshold(7, 1, 1)
        sys.setswitchinterval(1e-5)

        class Holder:
            def __init__(self, stream):
                self.stream, self.bound = stream, self.read

            async def read(self):
                return await anext(self.stream)

        async def main():
            with FakeServer(["a", "b"] * 50, pause=0.5) as server:
                async with AsyncClient(server.url, max_streams=500) as client:
                    async def hold_and_drop():
                        for _ in range(60):
                            await Holder(client.stream("Hi")).read()

                    async with anyio.create_task_group() as tasks:
                        for _ in range(6):
                            tasks.start_soon(hold_and_drop)
            print("alive")

        anyio.run(main)
        """)
    assert said == "alive"


@pytest.mark.parametrize("module", ["tenacity", "requests", "urllib3.connection", "acytoo_sdk._network.sockets"])
def test_a_signal_handler_may_make_a_call_in_the_middle_of_the_imports_of_the_first_one(module: str) -> None:
    said = run_script(f"""
        import faulthandler, os, signal, sys
        from acytoo_sdk import Client, Timeout
        from acytoo_sdk.testing import FakeServer

        faulthandler.dump_traceback_later(30, exit=True)
        waited_for, replies = ["{module}"], []

        def watch(event, arguments):
            if event == "import" and arguments[0] in waited_for:
                waited_for.remove(arguments[0])
                os.kill(os.getpid(), signal.SIGUSR1)

        with FakeServer("Hello", pause=0) as server:
            client = Client(server.url, timeout=Timeout(total=20))
            signal.signal(signal.SIGUSR1, lambda signum, frame: replies.append(client.complete("Hi")))
            sys.addaudithook(watch)
            replies.append(client.complete("Hi"))
            client.close()
        print(waited_for, replies)
        """)
    assert said == "[] ['Hello', 'Hello']"


def test_a_first_call_that_a_finaliser_makes_at_the_interpreter_s_end_does_not_hold_it() -> None:
    """No other thread runs any more, and nothing is imported."""
    said = run_script(
        """
        import os
        from acytoo_sdk import Client

        class Farewell:
            stream, write = Client("http://127.0.0.1:1", retry=1).stream("bye"), staticmethod(os.write)

            def __del__(self):
                try:
                    self.stream.read()
                except ImportError:
                    self.write(1, b"the end")

        farewell = Farewell()
        """,
        seconds=15,
    )
    assert said == "the end"
