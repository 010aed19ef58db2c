"""How a call stands: every event in every state, whoever sends it and whenever."""

from __future__ import annotations

import gc
import itertools
import logging
import math
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from fake_exchanges import FakeExchange, call_on
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import (
    APIConnectionError,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    RedirectError,
    RetryPolicy,
    ServerError,
    StreamCancelledError,
)
from acytoo_sdk._network.pool import Pool
from acytoo_sdk._options import Options
from acytoo_sdk._secrets import Secret
from acytoo_sdk._streams.call import Call
from acytoo_sdk._streams.lifecycle import CallEvent, CallState, Lifecycle
from acytoo_sdk.testing import FakeServer, Fault

READY, RUNNING, COMPLETED = CallState.READY, CallState.RUNNING, CallState.COMPLETED
CANCELLED, FAILED, CLOSED = CallState.CANCELLED, CallState.FAILED, CallState.CLOSED
START, READ, COMPLETE = CallEvent.START, CallEvent.READ, CallEvent.COMPLETE
FAIL, CANCEL, CLOSE = CallEvent.FAIL, CallEvent.CANCEL, CallEvent.CLOSE

# How each state is reached, and what each event makes of it; an event that is not named changes nothing.
REACHED: dict[CallState, list[CallEvent]] = {
    READY: [],
    RUNNING: [START],
    COMPLETED: [START, COMPLETE],
    CANCELLED: [START, CANCEL],
    FAILED: [START, FAIL],
    CLOSED: [START, CLOSE],
}
NEXT: dict[CallState, dict[CallEvent, CallState]] = {
    READY: {START: RUNNING, FAIL: FAILED, CANCEL: CANCELLED, CLOSE: CLOSED},
    RUNNING: {COMPLETE: COMPLETED, FAIL: FAILED, CANCEL: CANCELLED, CLOSE: CLOSED},
    CANCELLED: {START: FAILED, READ: FAILED, COMPLETE: FAILED, FAIL: FAILED},
    COMPLETED: {},
    FAILED: {},
    CLOSED: {},
}


def at(*events: CallEvent) -> Lifecycle:
    """A lifecycle after these events."""
    lifecycle = Lifecycle()
    for event in events:
        lifecycle.apply(event)
    return lifecycle


def applied(lifecycle: Lifecycle, event: CallEvent) -> str:
    """What an event did: "changed", "nothing" or "told"."""
    try:
        return "changed" if lifecycle.apply(event) else "nothing"
    except StreamCancelledError:
        return "told"


def test_every_event_in_every_state_does_what_the_table_says() -> None:
    for state, event in itertools.product(CallState, CallEvent):
        lifecycle = at(*REACHED[state])
        assert lifecycle.state is state
        after = NEXT[state].get(event)

        did = applied(lifecycle, event)

        assert did == ("nothing" if after is None else "told" if state is CANCELLED else "changed"), (state, event)
        assert lifecycle.state is (after or state), (state, event)


@given(st.lists(st.sampled_from(CallEvent), max_size=12))
def test_any_events_lead_where_the_table_leads_and_a_cancellation_is_told_at_most_once(events: list[CallEvent]) -> None:
    lifecycle, state, told = Lifecycle(), READY, 0
    for event in events:
        did = applied(lifecycle, event)
        before, state = state, NEXT[state].get(event, state)
        told += did == "told"
        assert lifecycle.state is state
        assert (did == "nothing") == (before is state)

    assert told == (CANCELLED in NEXT and told)
    assert told <= 1


def test_events_that_change_nothing_are_not_kept() -> None:
    lifecycle = at(START, CANCEL)
    kept = len(lifecycle._log)
    for _ in range(1000):
        lifecycle.apply(CANCEL)

    assert len(lifecycle._log) == kept


class Between:
    """Sends an event between two steps of the interpreter, the n-th, as a signal handler or a finaliser would."""

    def __init__(self, lifecycle: Lifecycle, event: CallEvent, step: int) -> None:
        self.lifecycle, self.event, self.left = lifecycle, event, step
        self.did: str | None = None

    def __enter__(self) -> Between:
        self.before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.before)

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace = self._stepped  # before the next line, or Python 3.13 takes no notice of it in this frame
        frame.f_trace_opcodes = True
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode" and self.did is None:
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                self.did = applied(self.lifecycle, self.event)
        return self._stepped


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="steps of another interpreter cannot be counted")
def test_an_event_between_any_two_steps_of_another_is_before_it_or_after_it() -> None:
    """No lock is waited for: the other one would hold it for ever."""
    with ThreadPoolExecutor(1) as apart:  # whatever traces this thread, to measure what is run, goes on
        for first, second in itertools.product((COMPLETE, FAIL, CANCEL, CLOSE), repeat=2):
            assert apart.submit(interrupted_at_each_step, first, second).result() > 10


def interrupted_at_each_step(first: CallEvent, second: CallEvent) -> int:
    """Has the second event happen at each step of the first in turn; returns how many there are."""
    one, other = at(START), at(START)
    first_then_second = applied(one, first), applied(one, second), one.state
    did_second, did_first = applied(other, second), applied(other, first)
    orders = {first_then_second, (did_first, did_second, other.state)}
    for step in itertools.count():
        lifecycle = at(START)
        with Between(lifecycle, second, step) as between:
            did = applied(lifecycle, first)
        if between.did is None:
            break  # it was over before
        assert (did, between.did, lifecycle.state) in orders, (first, second, step)
    return step


def test_of_many_threads_that_end_a_call_one_does_and_all_agree() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            lifecycle, start = at(START), threading.Barrier(4)
            did: list[tuple[CallEvent, str, CallState]] = []

            def end(event: CallEvent, lifecycle: Lifecycle = lifecycle, start: threading.Barrier = start) -> None:
                start.wait()
                outcome = applied(lifecycle, event)
                did.append((event, outcome, lifecycle.state))  # noqa: B023 - joined below

            threads = [threading.Thread(target=end, args=(event,)) for event in (COMPLETE, CLOSE, CANCEL, FAIL)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            changed = [event for event, outcome, _ in did if outcome == "changed"]
            told = [event for event, outcome, _ in did if outcome == "told"]
            assert len(changed) == 1
            assert not told or changed == [CANCEL]
            assert lifecycle.state is (FAILED if told else NEXT[RUNNING][changed[0]])
    finally:
        sys.setswitchinterval(interval)


# The call


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(Options(), size=1)
    yield pool
    pool.close()


def a_call(pool: Pool, url: str, **options: Any) -> Call:
    client = Options.of(Secret({"base_url": url, **options}))
    of_call = client.for_call(model=None, temperature=None, timeout=..., retry=None)
    return Call(client.request("Hi", of_call), of_call, client, pool)


def test_a_call_goes_from_ready_to_completed_and_cannot_be_cancelled_then(pool: Pool) -> None:
    with FakeServer(["Hel", "lo"]) as server:
        call = a_call(pool, server.url)
        assert (call.state, call.started, call.over) == (READY, False, False)
        call.start()
        assert (call.state, call.started, call.over) == (RUNNING, True, False)
        for text in call.texts():
            call.deliver(text)
        call.complete()
        assert (call.state, call.text, call.facts.whole, call.over) == (COMPLETED, "Hello", True, True)
        assert not call.cancel()
        call.close()
        assert call.state is COMPLETED


def test_after_a_cancellation_nothing_is_delivered_and_it_is_told_once_with_the_text(pool: Pool) -> None:
    with FakeServer(["Hel", "lo"]) as server:
        call = a_call(pool, server.url)
        call.start()
        texts = call.texts()
        call.deliver(next(texts))
        assert call.cancel()
        with pytest.raises(StreamCancelledError) as cancelled:
            call.deliver("lo")
        assert (cancelled.value.partial_text, call.text) == ("Hel", "Hel")
        call.raise_if_cancelled()
        texts.close()  # type: ignore[attr-defined]


def test_an_error_gives_way_to_the_cancellation_that_caused_it(pool: Pool) -> None:
    call = a_call(pool, "http://127.0.0.1:9")
    call.start()
    call.deliver("Hel")
    call.cancel()
    final = call.finalize(APIConnectionError("broken"))
    assert isinstance(final, StreamCancelledError)
    assert (str(final), final.partial_text) == ("The stream was cancelled", "Hel")
    again = APIConnectionError("broken")
    assert call.finalize(again) is again


def test_a_cancellation_ends_the_wait_between_two_attempts(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    class Cancel(logging.Handler):
        """The line in the log is written before the wait."""

        def emit(self, record: logging.LogRecord) -> None:
            call.cancel()

    logger, cancel = logging.getLogger("acytoo_sdk"), Cancel()
    with FakeServer(faults=[Fault.drop()]) as server, caplog.at_level("INFO", "acytoo_sdk"):
        call = a_call(pool, server.url, retry=RetryPolicy(wait_initial=600, wait_max=600, jitter=0))
        call.start()
        logger.addHandler(cancel)
        try:
            with pytest.raises(StreamCancelledError) as ended:
                next(iter(call.texts()))
        finally:
            logger.removeHandler(cancel)
        assert isinstance(call.finalize(ended.value), StreamCancelledError)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda call: call.unblock(),
        lambda call: call.before_close(lambda: None),
        lambda call: call.due(0.0),
        lambda call: call.expire(),
    ],
    ids=["unblock", "before_close", "due", "expire"],
)
def test_whoever_reads_may_be_asking_while_another_cancels(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[Call], object]
) -> None:
    def attempt(step: int) -> int:
        call = call_on(monkeypatch, FakeExchange(b"a"))
        call.start()
        steps = call.steps()
        next(steps)
        executed = run_interrupted(lambda: ask(call), {step: call.cancel}, file=file_of(Call.cancel))
        steps.close()
        return executed

    assert interrupt_at_each_step(attempt) > 5


def test_what_is_to_be_done_before_a_socket_is_closed_reaches_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = FakeExchange(b"a")
    call = call_on(monkeypatch, exchange)
    call.start()
    steps = call.steps()
    next(steps)

    def forget() -> None: ...

    assert call.before_close(forget)
    assert exchange.act is forget
    steps.close()


def test_a_call_of_a_closed_client_does_not_start(pool: Pool) -> None:
    call = a_call(pool, "http://127.0.0.1:9")
    pool.close()
    with pytest.raises(ClientClosedError):
        call.start()
    assert call.state is READY


def test_a_failed_call_holds_nothing_that_waits_for_the_garbage_collector(pool: Pool) -> None:
    """Neither its attempts nor the errors they ended in."""
    with FakeServer(faults=[Fault.status(503)] * 2) as server:
        call = a_call(pool, server.url, retry=RetryPolicy(attempts=2, wait_initial=0))
        call.start()
        gc.collect()
        gc.disable()
        try:
            try:
                next(iter(call.texts()))
            except Exception as error:
                raised = weakref.ref(error)
                frames = error.__traceback__
                names = []
                while frames is not None:
                    names.append(frames.tb_frame.f_code.co_name)
                    frames = frames.tb_next
            assert not {"_opening", "_send", "_more"} & {*names}, "the frames of the attempt were kept"
            del call
            assert raised() is None
        finally:
            gc.enable()


# The opening of a reply


def opened(call: Call) -> str:
    """The first text."""
    call.start()
    return next(iter(call.texts()))


def test_a_reply_is_opened_by_its_first_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    exchange = FakeExchange(b"", b"\xef\xbb\xbf", b"\xd0", b"\x9f", b"more", on=asked.append)

    assert opened(call_on(monkeypatch, exchange)) == "П"
    assert asked == ["send", "receive_head", *["receive"] * 4, "close"], "and closed where nobody reads on"


@pytest.mark.parametrize(
    ("exchange", "kind"),
    [
        (lambda: FakeExchange(), EmptyReplyError),
        (lambda: FakeExchange(b""), EmptyReplyError),
        (lambda: FakeExchange(b"\xd0"), APIConnectionError),
        (lambda: FakeExchange(b"\xff"), DecodeError),
        (lambda: FakeExchange(APIConnectionError("reset")), APIConnectionError),
        (lambda: FakeExchange(b"\xd0", APIConnectionError("reset")), APIConnectionError),
        (lambda: FakeExchange(status=APIConnectionError("refused")), APIConnectionError),
        (lambda: FakeExchange(status=KeyboardInterrupt()), KeyboardInterrupt),
        (lambda: FakeExchange(KeyboardInterrupt()), KeyboardInterrupt),
        (lambda: FakeExchange(status=302), RedirectError),
        (lambda: FakeExchange(b"busy", status=503), ServerError),
    ],
    ids=[
        "no-body",
        "no-byte",
        "half-a-character",
        "no-utf8",
        "break",
        "break-in-a-character",
        "refused",
        "ctrl-c",
        "ctrl-c-in-the-body",
        "redirect",
        "status",
    ],
)
def test_a_reply_without_a_text_cannot_be_opened_and_is_closed_once(
    monkeypatch: pytest.MonkeyPatch, exchange: Any, kind: type[BaseException]
) -> None:
    fake: FakeExchange = exchange()

    with pytest.raises(kind) as caught:
        opened(call_on(monkeypatch, fake))

    assert type(caught.value) is kind
    assert fake.closes == 1


def test_a_reply_that_opened_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = FakeExchange(b"Hi")
    call = call_on(monkeypatch, exchange)
    call.start()
    texts = iter(call.texts())

    assert next(texts) == "Hi"
    assert exchange.closes == 0
    assert list(texts) == []
    assert exchange.closes == 1


# The steps


def test_each_step_is_a_text_a_wait_for_the_server_or_one_before_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = FakeExchange(b"busy", status=503)
    exchange = FakeExchange(b"Hel", b"", b"lo", late=1)
    policy = RetryPolicy(attempts=2, wait_initial=4, jitter=0)
    call = call_on(monkeypatch, failing, exchange, retry=policy)
    call.start()

    assert list(call.steps()) == [None, None, 4.0, None, None, "Hel", None, None, "lo", None]
    assert (failing.closes, exchange.closes) == (1, 1)
    assert call.stats.attempts == 2


def test_a_connection_is_closed_before_the_wait_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = FakeExchange(status=APIConnectionError("refused"))
    call = call_on(monkeypatch, failing, FakeExchange(b"Hi"), retry=RetryPolicy(attempts=2, wait_initial=4))
    call.start()
    steps = call.steps()

    assert isinstance(next(steps), float)
    assert failing.closes == 1
    steps.close()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps_that_are_left_close_the_connection(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    exchange = FakeExchange(b"Hi", late=1)
    call = call_on(monkeypatch, exchange)
    call.start()
    left = call.steps()
    for _ in range(steps):
        next(left)
    assert exchange.closes == 0
    left.close()

    assert exchange.closes == 1


def test_where_there_is_something_to_tell_no_step_waits_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = FakeExchange(b"Hi", b"!")
    call = call_on(monkeypatch, exchange)
    call.start()
    exchange.waits = False

    assert list(call.steps()) == [None, "Hi", "!"], "but for the head"


def test_limits_are_those_of_the_attempt_and_there_are_none_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = FakeExchange(b"Hi")
    call = call_on(monkeypatch, exchange)
    call.start()
    call.expire()
    assert (call.due(1.0), call.unblock(), exchange.expired) == (math.inf, None, False)
    steps = call.steps()
    next(steps)

    assert call.due(1.0) == 3601.0
    call.expire()
    assert exchange.expired
    steps.close()
