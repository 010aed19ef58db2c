"""Events: what listeners are told of a call, where, and what they cannot break."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from loops import on_both, until

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    AsyncClient,
    Client,
    InvalidRequestError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk._streams.call import Call
from acytoo_sdk._streams.listeners import Listeners
from acytoo_sdk.events import AttemptFailed, CallEnded, CallStarted, Event, FirstPiece, subscribe
from acytoo_sdk.testing import FakeServer, Fault, Gate

AT_ONCE = RetryPolicy(wait_initial=0)
WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


class Heard(list[Event]):
    """A listener that keeps what it hears."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self]

    @property
    def end(self) -> CallEnded:
        """The end of the last call."""
        assert isinstance(self[-1], CallEnded)
        return self[-1]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hel", "lo!"]) as server:
        yield server


def ask(flavour: str, url: str, use: Callable[[Any], Any] | None = None, **options: Any) -> Any:
    """Reads a reply with either client; `use` is what is done with a stream instead, and may be a coroutine."""
    if flavour == "blocking":
        with Client(url, **options) as client:
            return client.complete("Hi") if use is None else use(client.stream("Hi"))

    async def main() -> Any:
        async with AsyncClient(url, **options) as client:
            return await (client.complete("Hi") if use is None else use(client.stream("Hi")))

    return anyio.run(main, backend=flavour)


def of(flavour: str, blocking: Callable[[Any], object], awaiting: Callable[[Any], Awaitable[object]]) -> Any:
    return blocking if flavour == "blocking" else awaiting


# What is told


def test_a_whole_reply_is_started_has_a_first_piece_and_ends(flavour: str, server: FakeServer, heard: Heard) -> None:
    assert ask(flavour, server.url, on_event=heard, model="tiny", temperature=1) == "Hello!"
    started, first, ended = heard
    assert isinstance(started, CallStarted)
    assert isinstance(first, FirstPiece)
    assert isinstance(ended, CallEnded)
    assert started.call is first.call is ended.call
    assert (started.call.base_url, started.call.model, started.call.temperature) == (server.url, "tiny", 1)
    assert (ended.outcome, ended.error, ended.whole) == ("completed", None, True)
    assert ended.head is not None
    assert ended.head.request_id == "req-1"
    assert (ended.stats.attempts, ended.stats.pieces, ended.stats.characters) == (1, 2, 6)
    assert first.after == ended.stats.first_piece_after
    assert 0 < first.after <= ended.stats.elapsed


def test_an_attempt_that_is_made_again_is_told_with_its_error_and_the_wait(flavour: str, heard: Heard) -> None:
    with FakeServer("Hello!", faults=[Fault.status(503), Fault.status(429, retry_after="0")]) as server:
        assert ask(flavour, server.url, on_event=heard, retry=AT_ONCE) == "Hello!"
    assert heard.kinds == ["CallStarted", "AttemptFailed", "AttemptFailed", "FirstPiece", "CallEnded"]
    _, first, second, *_ = heard
    assert isinstance(first, AttemptFailed)
    assert isinstance(second, AttemptFailed)
    assert first.error.__traceback__ is None
    assert (first.attempt, type(first.error), first.wait) == (1, ServerError, 0)
    assert (second.attempt, type(second.error), second.wait) == (2, RateLimitError, 0)
    assert first.call is second.call is heard.end.call
    assert heard.end.stats.attempts == 3


def test_an_error_is_told_once_with_the_text_that_had_arrived(flavour: str, heard: Heard) -> None:
    with (
        FakeServer(["Hel", "lo!"], faults=[Fault.cut(after=1)]) as server,
        pytest.raises(StreamInterruptedError) as caught,
    ):
        ask(flavour, server.url, on_event=heard)
    assert heard.kinds == ["CallStarted", "FirstPiece", "CallEnded"]
    assert heard.end.outcome == "failed"
    assert heard.end.error is caught.value
    assert heard.end.error.partial_text == "Hel"
    assert heard.end.whole is False


def test_the_last_attempt_s_error_is_the_end_s_and_no_attempt_that_is_made_again(flavour: str, heard: Heard) -> None:
    with pytest.raises(APIConnectionError):
        ask(flavour, "http://127.0.0.1:9", on_event=heard, retry=RetryPolicy(2, wait_initial=0))
    assert heard.kinds == ["CallStarted", "AttemptFailed", "CallEnded"]
    assert heard.end.head is None
    assert heard.end.stats.attempts == 2


@pytest.mark.parametrize("how", ["break", "close", "with", "drop", "throw"])
def test_a_stream_that_its_owner_leaves_was_closed(how: str, flavour: str, heard: Heard) -> None:
    def leave(stream: Any) -> None:
        if how == "break":
            for _ in stream:
                break
            return
        next(stream)
        if how == "close":
            stream.close()
        elif how == "with":
            with stream:
                pass
        elif how == "throw":
            with contextlib.suppress(ZeroDivisionError):
                stream.throw(ZeroDivisionError())

    async def leave_async(stream: Any) -> None:
        if how == "break":
            async for _ in stream:
                break
            return
        await anext(stream)
        if how == "close":
            await stream.aclose()
        elif how == "with":
            async with stream:
                pass
        elif how == "throw":
            with contextlib.suppress(ZeroDivisionError):
                await stream.athrow(ZeroDivisionError())

    with FakeServer(["Hel", "lo!"], gate=(gate := Gate())) as server:
        gate.release()
        ask(flavour, server.url, of(flavour, leave, leave_async), on_event=heard)
        gate.open()
    assert heard.kinds == ["CallStarted", "FirstPiece", "CallEnded"]
    assert (heard.end.outcome, heard.end.error, heard.end.stats.pieces) == ("closed", None, 1)


@pytest.mark.parametrize("by", ["stream", "client"])
def test_a_stream_that_somebody_else_ended_was_cancelled(by: str, heard: Heard) -> None:
    with FakeServer(["Hel", "lo!"], gate=(gate := Gate())) as server, Client(server.url, on_event=heard) as client:
        gate.release()
        stream = client.stream("Hi")
        next(stream)
        (stream.cancel if by == "stream" else client.close)()
        assert heard.kinds == ["CallStarted", "FirstPiece", "CallEnded"]
        assert (heard.end.outcome, heard.end.error) == ("cancelled", None)
        with pytest.raises(StreamCancelledError):
            next(stream)
        stream.close()
        gate.open()
    assert len(heard) == 3


@on_both
async def test_a_reply_that_arrived_and_was_not_taken_is_not_whole(server: FakeServer, heard: Heard) -> None:
    async with AsyncClient(server.url, on_event=heard) as client:
        stream = client.stream("Hi")
        await anext(stream)
        await until(lambda: stream._reader.ended)
        await stream.aclose()
    assert (heard.end.outcome, heard.end.whole) == ("closed", False)


@on_both
async def test_a_task_that_is_cancelled_closes_its_stream(heard: Heard) -> None:
    with FakeServer("Hello!", gate=Gate()) as server:
        async with AsyncClient(server.url, on_event=heard) as client:
            with anyio.move_on_after(0.1):
                await client.complete("Hi")
            assert heard.kinds == ["CallStarted", "CallEnded"]
            assert heard.end.outcome == "closed"


def test_a_stream_that_nobody_read_is_no_call(server: FakeServer, heard: Heard) -> None:
    client = Client(server.url, on_event=heard)
    client.stream("Hi").close()
    client.stream("Hi").cancel()
    del client
    closed = Client(server.url, on_event=heard)
    stream = closed.stream("Hi")
    closed.close()
    with pytest.raises(AcytooError):
        next(stream)
    assert not heard


def test_each_attempt_of_a_batch_is_a_call(flavour: str, heard: Heard) -> None:
    with FakeServer(lambda request: request["messages"][0]["content"], faults=[Fault.status(503)]) as server:
        options: dict[str, Any] = {"on_event": heard, "retry": AT_ONCE}
        if flavour == "blocking":
            with Client(server.url, **options) as client:
                assert [result.unwrap() for result in client.map(["one", "two"], concurrency=1)] == ["one", "two"]
        else:

            async def main() -> None:
                async with AsyncClient(server.url, **options) as client:
                    results = [result async for result in client.map(["one", "two"], concurrency=1)]
                    assert [result.unwrap() for result in results] == ["one", "two"]

            anyio.run(main, backend=flavour)

    ends = [event for event in heard if isinstance(event, CallEnded)]
    assert sorted(event.outcome for event in ends) == ["completed", "completed", "failed"]
    assert len({event.call for event in heard}) == 3


@pytest.mark.parametrize("payload", ["ai-sdk", "prompt"])
def test_what_the_payload_has_no_place_for_is_not_told(payload: Any, server: FakeServer, heard: Heard) -> None:
    with Client(server.url, payload=payload, model="tiny", on_event=heard) as client:
        client.complete("Hi")
    assert (heard.end.call.model, heard.end.call.temperature) == (None, None)


def test_no_event_shows_what_was_said_or_a_secret(heard: Heard) -> None:
    with FakeServer("reply-said", faults=[Fault.status(503, body="key-said")]) as server:
        headers = {"authorization": "Bearer header-said"}
        with Client(server.url, key="key-said", password="password-said", headers=headers, retry=AT_ONCE) as client:
            client.with_options(on_event=heard).complete("message-said")
    assert len(heard) == 4
    assert "said" not in repr(heard)


# Who is told


def test_a_subscriber_hears_all_clients_until_it_is_enough(flavour: str, server: FakeServer, heard: Heard) -> None:
    early = Client(server.url)
    unsubscribe = subscribe(heard)
    early.complete("Hi")
    early.close()
    ask(flavour, server.url)
    assert heard.kinds == ["CallStarted", "FirstPiece", "CallEnded"] * 2
    unsubscribe()
    unsubscribe()
    ask(flavour, server.url)
    assert len(heard) == 6


def test_a_function_that_is_subscribed_twice_is_told_twice_and_leaves_once(server: FakeServer, heard: Heard) -> None:
    first, second = subscribe(heard), subscribe(heard)
    with Client(server.url) as client:
        client.complete("Hi")
        assert len(heard) == 6
        first()
        first()
        client.complete("Hi")
        assert len(heard) == 9
        second()


def test_a_subscriber_hears_before_the_client_s_own_listener(server: FakeServer) -> None:
    heard: list[str] = []
    unsubscribe = subscribe(lambda event: heard.append("subscriber"))
    with Client(server.url, on_event=lambda event: heard.append("own")) as client:
        client.complete("Hi")
    unsubscribe()
    assert heard == ["subscriber", "own"] * 3


def test_an_option_of_one_client_is_told_of_no_other(server: FakeServer, heard: Heard) -> None:
    with Client(server.url) as client:
        client.with_options(on_event=heard).complete("Hi")
        assert len(heard) == 3
        client.complete("Hi")
        client.with_options(on_event=heard).with_options(on_event=None).complete("Hi")
    assert len(heard) == 3


async def _awaited(event: Event) -> None: ...


class _Awaited:
    async def __call__(self, event: Event) -> None: ...


@pytest.mark.parametrize("listener", ["print", 1, _awaited, _Awaited(), functools.partial(_awaited)])
def test_what_cannot_be_called_or_would_not_be_awaited_is_refused(listener: Any) -> None:
    with pytest.raises(InvalidRequestError, match="on_event must be a"):
        Client("http://127.0.0.1:9", on_event=listener)
    with pytest.raises(InvalidRequestError, match="on_event must be a"):
        AsyncClient("http://127.0.0.1:9", on_event=listener)
    with pytest.raises(InvalidRequestError, match="listener must be a"):
        subscribe(listener)


def test_a_client_pickles_with_a_function_that_does() -> None:
    client = pickle.loads(pickle.dumps(Client("http://127.0.0.1:9", on_event=print)))
    assert client.options.on_event is print


def test_no_event_is_made_while_nobody_listens(
    flavour: str, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*args: object) -> None:
        raise AssertionError("it was made")

    for name in ("CallStarted", "FirstPiece", "CallEnded", "CallInfo", "Listeners"):
        monkeypatch.setattr(f"acytoo_sdk._streams.call.{name}", made)
    assert ask(flavour, server.url) == "Hello!"


# Where it is told


@pytest.fixture
def who() -> Iterator[list[tuple[str, str]]]:
    """The context that each event was told in; the listener sets it, too, which nobody is to see."""
    seen: list[tuple[str, str]] = []

    def listen(event: Event) -> None:
        seen.append((type(event).__name__, WHO.get()))
        WHO.set("the listener")

    unsubscribe = subscribe(listen)
    yield seen
    unsubscribe()


def test_a_listener_runs_in_a_copy_of_the_context_that_the_call_was_started_in(
    flavour: str, who: list[tuple[str, str]]
) -> None:
    def leave(stream: Any) -> None:
        WHO.set("the caller")
        next(stream)
        assert WHO.get() == "the caller"

    async def leave_async(stream: Any) -> None:
        WHO.set("the caller")
        await anext(stream)
        assert WHO.get() == "the caller"

    with FakeServer(["Hel", "lo!"], faults=[Fault.status(503)]) as server:
        ask(flavour, server.url, of(flavour, leave, leave_async), retry=AT_ONCE)
    kinds = ["CallStarted", "AttemptFailed", "FirstPiece", "CallEnded"]
    assert who == [(kind, "the caller") for kind in kinds]
    WHO.set("nobody")


def test_the_calls_of_a_batch_have_the_context_of_whoever_takes_its_results(
    flavour: str, server: FakeServer, who: list[tuple[str, str]]
) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            batch = client.map(["one", "two", "three"])
            WHO.set("the caller")
            assert len([result async for result in batch]) == 3

    if flavour == "blocking":
        with Client(server.url) as client:
            batch = client.map(["one", "two", "three"])
            token = WHO.set("the caller")
            assert len(list(batch)) == 3
            WHO.reset(token)
    else:
        anyio.run(main, backend=flavour)
    assert {seen for _, seen in who} == {"the caller"}


# What it cannot break


@pytest.mark.parametrize("kind", [CallStarted, AttemptFailed, FirstPiece, CallEnded])
def test_what_a_listener_raises_comes_out_as_itself(kind: type[Event], flavour: str) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, kind):
            raise LookupError("of the listener")

    with FakeServer("Hello!", faults=[Fault.status(503)]) as server:
        with pytest.raises(LookupError, match="of the listener"):
            ask(flavour, server.url, on_event=fail, retry=AT_ONCE)
        server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_what_would_end_a_loop_does_not(kind: type[Exception], flavour: str, server: FakeServer) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, FirstPiece):
            raise kind

    with pytest.raises(RuntimeError, match=f"a listener raised {kind.__name__}"):
        ask(flavour, server.url, on_event=fail)


@pytest.mark.parametrize("kind", [CallStarted, FirstPiece, CallEnded])
def test_an_error_of_this_package_that_a_listener_raises_is_no_result_of_a_batch(
    kind: type[Event], flavour: str, server: FakeServer
) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, kind):
            raise StreamInterruptedError("of the listener")

    async def main() -> None:
        async with AsyncClient(server.url, on_event=fail) as client:
            [result async for result in client.map(["one"])]

    def ask_all() -> None:
        with Client(server.url, on_event=fail) as client:
            list(client.map(["one"]))

    with pytest.raises(StreamInterruptedError, match="of the listener"):
        ask_all() if flavour == "blocking" else anyio.run(main, backend=flavour)
    assert len(server.requests) == (0 if kind is CallStarted else 1)


@on_both
async def test_a_stream_that_never_began_for_a_listener_is_closed_at_once(server: FakeServer) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, CallStarted):
            raise LookupError

    async with AsyncClient(server.url, on_event=fail) as client:
        stream = client.stream("Hi")
        with pytest.raises(LookupError):
            await anext(stream)
        assert stream._reader.ended


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_listener_raises_of_a_dropped_stream_python_reports(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_value))

    def fail(event: Event) -> None:
        if isinstance(event, CallEnded):
            raise LookupError("of the listener")

    with Client(server.url, on_event=fail) as client:
        stream = client.stream("Hi")
        next(stream)
        del stream
    deadline = time.monotonic() + 5
    while not reported and time.monotonic() < deadline:
        time.sleep(0.001)
    assert isinstance(reported[0], LookupError)


class Locked(Heard):
    """A listener with a lock, as those of most who count."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self.lock:
            self.append(event)

    def wait_for_end(self) -> None:
        deadline = time.monotonic() + 5
        while "CallEnded" not in self.kinds and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.kinds[-1] == "CallEnded"


@pytest.mark.timeout(20)
def test_a_stream_that_is_dropped_waits_for_no_lock_of_a_listener(server: FakeServer) -> None:
    """The garbage collector may drop it while this thread has the lock."""
    heard = Locked()
    with Client(server.url, on_event=heard) as client:
        stream = client.stream("Hi")
        next(stream)
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        with heard.lock:
            del stream, cycle
            began = time.monotonic()
            gc.collect()
            assert time.monotonic() - began < 1
        heard.wait_for_end()
        assert heard.end.outcome == "closed"


@pytest.mark.timeout(20)
def test_a_dropped_stream_has_been_told_of_when_its_owner_goes_on(
    server: FakeServer, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acytoo_sdk._streams.listeners._PATIENCE", 60)

    def take_a_moment(event: Event) -> None:
        time.sleep(0.02)
        heard(event)

    with Client(server.url, on_event=take_a_moment) as client:
        for _ in client.stream("Hi"):
            break
        assert heard.kinds == ["CallStarted", "FirstPiece", "CallEnded"]


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the signals are those of POSIX")
@pytest.mark.parametrize("act", ["cancel", "close"])
def test_a_signal_handler_that_ends_a_stream_waits_for_no_lock_of_a_listener(act: str, server: FakeServer) -> None:
    heard = Locked()
    with Client(server.url, on_event=heard) as client:
        stream = client.stream("Hi")
        next(stream)
        before = signal.signal(signal.SIGUSR1, lambda *_: getattr(stream, act)())
        try:
            with heard.lock:
                os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        heard.wait_for_end()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the signals are those of POSIX")
def test_what_a_signal_handler_raises_while_a_listener_is_waited_for_comes_out(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acytoo_sdk._streams.listeners._PATIENCE", 10)
    goes_on = threading.Event()

    def interrupt(*_: object) -> None:
        raise RuntimeError("of the handler")

    def listen(event: Event) -> None:
        if isinstance(event, CallEnded):
            os.kill(os.getpid(), signal.SIGUSR1)
            goes_on.wait(10)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Client(server.url, on_event=listen) as client:
            stream = client.stream("Hi")
            next(stream)
            with pytest.raises(RuntimeError, match="of the handler"):
                stream.cancel()
            goes_on.set()
    finally:
        goes_on.set()
        signal.signal(signal.SIGUSR1, before)


def test_a_call_that_another_thread_cancels_at_its_start_is_told_in_order(server: FakeServer) -> None:
    """Between any two bytecodes of what starts it and tells of it, in both files."""
    for code in (Call.start, Listeners.tell):

        def attempt(step: int, file: str = file_of(code)) -> int:
            heard = Heard()
            with Client(server.url, on_event=heard) as client:
                stream = client.stream("Hi")

                def cancel() -> None:
                    thread = threading.Thread(target=stream.cancel)
                    thread.start()
                    thread.join()

                def start() -> None:
                    with contextlib.suppress(StreamCancelledError):
                        stream._call.start()
                    stream.cancel()

                steps = run_interrupted(start, {step: cancel}, file=file)
            assert heard.kinds in ([], ["CallStarted", "CallEnded"]), step
            return steps

        assert interrupt_at_each_step(attempt) > 20


def test_what_happens_while_a_listener_is_told_is_told_afterwards(flavour: str, server: FakeServer) -> None:
    heard = Heard()

    def run(cancel: Callable[[], None]) -> Callable[[Event], None]:
        def listen(event: Event) -> None:
            if isinstance(event, FirstPiece):
                cancel()
            heard(event)

        return listen

    streams: list[Any] = []
    unsubscribe = subscribe(run(lambda: streams[0].cancel()))

    def read(stream: Any) -> None:
        streams.append(stream)
        stream.read()

    async def read_async(stream: Any) -> None:
        streams.append(stream)
        await stream.read()

    with pytest.raises(StreamCancelledError):
        ask(flavour, server.url, of(flavour, read, read_async))
    unsubscribe()
    assert heard.kinds == ["CallStarted", "FirstPiece", "CallEnded"]
    assert heard.end.outcome == "cancelled"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a socket that nobody closed
def test_an_interrupt_at_the_end_of_a_call_does_not_hide_it(server: FakeServer) -> None:
    """Ctrl-C between the end of a reply and its telling, at any bytecode of the call."""
    hidden = []

    def attempt(step: int) -> int:
        heard = Heard()
        with Client(server.url, on_event=heard) as client:
            stream = client.stream("Hi")
            next(stream)

            def interrupt() -> None:
                raise KeyboardInterrupt

            steps = 0
            try:
                steps = run_interrupted(stream.read, {step: interrupt}, file=file_of(Call.start))
            except KeyboardInterrupt:
                steps = step + 1
            stream.close()
        if heard.kinds != ["CallStarted", "FirstPiece", "CallEnded"]:
            hidden.append((step, heard.kinds))
        elif (heard.end.outcome == "completed") != bool(stream.whole):
            hidden.append((step, [heard.end.outcome]))
        return steps

    assert interrupt_at_each_step(attempt, stride=7) > 50
    assert not hidden


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_does_not_tell_of_its_parent_s_call(server: FakeServer, heard: Heard) -> None:
    with Client(server.url, on_event=heard) as client:
        stream = client.stream("Hi")
        next(stream)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(10)
                with contextlib.suppress(AcytooError):
                    next(stream)
                stream.close()
                del stream
                gc.collect()
                code = 0 if heard.kinds == ["CallStarted", "FirstPiece"] else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert stream.read() == "Hello!"
    assert heard.end.outcome == "completed"


def test_a_dropped_stream_is_gone_at_once_though_somebody_listens(flavour: str, server: FakeServer) -> None:
    """A listener makes no reference cycle of it."""
    seen: list[weakref.ref[Any]] = []

    def drop(stream: Any) -> None:
        next(stream)
        seen.append(weakref.ref(stream))

    async def drop_async(stream: Any) -> None:
        await anext(stream)
        seen.append(weakref.ref(stream))

    gc.disable()
    try:
        ask(flavour, server.url, of(flavour, drop, drop_async), on_event=Heard())
        assert seen[0]() is None
    finally:
        gc.enable()


def test_an_async_listener_of_many_tasks_hears_each_call_once(server: FakeServer, heard: Heard) -> None:
    async def main() -> None:
        async with AsyncClient(server.url, on_event=heard) as client:
            await asyncio.gather(*(client.complete("Hi") for _ in range(20)))

    asyncio.run(main())
    assert sorted(heard.kinds) == ["CallEnded"] * 20 + ["CallStarted"] * 20 + ["FirstPiece"] * 20
    assert len({event.call for event in heard}) == 20
