"""The life of a stream: whatever its reader, other threads and the server do, in any order, it is one reply."""

from __future__ import annotations

import codecs
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest
from fake_exchanges import FakeExchange, FakePool, call_on
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk._streams.stream import Stream
from acytoo_sdk.testing import NOTICE

FRAGMENTS = ["Привет".encode(), b"Hi", b"", b"\xd0", b"\x9f", b"\xf0\x9f\x98", b"\x80", b"x\xff"]
ATTEMPTS = 2
BREAK, LIMIT = APIConnectionError("the server hung up"), APITimeoutError("nothing came", phase="idle")
# How a reply ends, by its last bytes and what comes after them.
ENDS: dict[str, list[bytes | APIConnectionError | None]] = {
    "end": [None],
    "break": [BREAK],
    "limit": [LIMIT],
    "end after a notice": [b"!" + NOTICE.encode(), None],
    "end inside a notice": [b"!\n\nYou can", None],
    "break inside a notice": [b"!\n\nYou can", BREAK],
    "limit inside a notice": [b"!\n\nYou can", LIMIT],
}


def apart(task: Callable[[], object]) -> None:
    """Does it in another thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def cannot_be_read(stream: Stream) -> None:
    for read in (stream.__next__, stream.read):
        with pytest.raises(InvalidRequestError, match="another thread"):
            read()


def interrupt(stream: Stream) -> None:
    raise KeyboardInterrupt


def leave_with(stream: Stream, error: BaseException | None = None) -> None:
    with stream as same:
        assert same is stream
        if error is not None:
            raise error


# What may happen while a reader waits for bytes.
MEANWHILE: dict[str, Callable[[Stream], object]] = {
    "nothing": lambda stream: None,
    "another reader": lambda stream: apart(lambda: cannot_be_read(stream)),
    "cancel": lambda stream: stream.cancel(),
    "cancel apart": lambda stream: apart(stream.cancel),
    "close": lambda stream: stream.close(),  # as a signal handler may
    "close apart": lambda stream: apart(stream.close),
    "interrupt": interrupt,
}
# How a stream is left before its end, and with which exception.
WAYS_OUT: dict[str, tuple[Callable[[Stream], object], type[BaseException] | None]] = {
    "cancel": (lambda stream: stream.cancel(), None),
    "cancel apart": (lambda stream: apart(stream.cancel), None),
    "close": (lambda stream: stream.close(), None),
    "close apart": (lambda stream: apart(stream.close), None),
    "leave with": (leave_with, None),
    "leave with an error": (lambda stream: leave_with(stream, KeyError("mine")), KeyError),
    "throw": (lambda stream: stream.throw(KeyError("mine")), KeyError),
    "throw the end": (lambda stream: stream.throw(GeneratorExit()), GeneratorExit),
    "throw one of ours": (lambda stream: stream.throw(ClientClosedError("mine")), ClientClosedError),
}


class LiveExchange(FakeExchange):
    """A reply that goes on: what arrives comes from the test, which is told what its reader got."""

    def __init__(self, life: StreamLife, *, whole: bool | None) -> None:
        super().__init__(whole=whole)
        self.life = life
        self.known_whole = whole

    def send(self) -> None:
        self.life.opened.append(self)
        super().send()

    def receive(self) -> bytes | None:
        assert not self.closes
        item = self.life.arrival()
        if self.aborted:
            raise APIConnectionError("aborted")
        self.life.model.receive(item)
        if isinstance(item, APIConnectionError):
            raise item
        if item is None:
            self.whole = self.known_whole
        return item


class Model:
    """What a stream has to tell.

    Attributes:
        text: handed out.
        due: what its reader is to be told next, of what came: texts, errors, or None for the end.
        cancelled: whether a cancellation is still to be told.
        over: whether nothing more will be handed out.
        complete: whether it ended well.
        held: what came and may be a notice.
    """

    def __init__(self) -> None:
        self.text = ""
        self.pieces = 0
        self.due: deque[str | type[AcytooError] | None] = deque()
        self.cancelled = self.over = self.complete = False
        self.held = ""
        self._attempts = 1
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def receive(self, item: bytes | APIConnectionError | None) -> None:
        """Takes what the reader got of the exchange."""
        assert not self.due, "who has something to tell does not ask for more"
        if isinstance(item, bytes):
            self._receive_bytes(item)
        elif not self.text and self._attempts < ATTEMPTS:
            self._attempts += 1
            self._decoder.reset()
        else:
            if self.held and self.held != NOTICE:
                self.due.append(self.held)
            self.due.append(self._outcome(item))

    def _receive_bytes(self, data: bytes) -> None:
        data, blank, held = data.partition(b"\n")
        before, _ = self._decoder.getstate()
        try:
            text = self._decoder.decode(data)
            self.held = (blank + held).decode()
        except UnicodeDecodeError as invalid:
            text = (before + data)[: invalid.start].decode()
            self.due.append(DecodeError)
        if text:
            self.due.appendleft(text)

    def _outcome(self, item: APIConnectionError | None) -> type[AcytooError] | None:
        if isinstance(item, APITimeoutError):
            return APITimeoutError
        if item is None and not self._decoder.getstate()[0]:
            return None if self.text else EmptyReplyError
        return StreamInterruptedError if self.text else APIConnectionError


class StreamLife(RuleBasedStateMachine):
    """One stream, its reader, other threads, and a server."""

    @initialize(whole=st.sampled_from([True, None]))
    def make(self, whole: bool | None) -> None:
        self.patch = pytest.MonkeyPatch()
        self.pool = FakePool()
        self.opened: list[LiveExchange] = []
        self.coming: deque[bytes | APIConnectionError | None] = deque()
        self.model = Model()
        self.whole = whole
        self.happens = self.happened = "nothing"  # while its reader waits
        attempts = [LiveExchange(self, whole=whole) for _ in range(ATTEMPTS)]
        self.stream = Stream(call_on(self.patch, *attempts, pool=self.pool), cast(Any, None))

    def teardown(self) -> None:
        if hasattr(self, "stream"):
            self.stream.close()
            self.patch.undo()

    # The server

    @rule(data=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=2))
    def bytes_arrive(self, data: list[bytes]) -> None:
        self.coming.extend(data)

    @rule(how=st.sampled_from(sorted(ENDS)))
    def the_reply_ends(self, how: str) -> None:
        self.coming.extend(ENDS[how])

    def arrival(self) -> bytes | APIConnectionError | None:
        """What comes next; where nothing has come yet, something happens to the reader that waits for it."""
        if not self.coming:
            self.coming.append(b"Hi")
            apart(self.it_tells_the_truth)
            self.happened, self.happens = self.happens, "nothing"
            self.model.over = self.happened not in ("nothing", "another reader")
            self.model.cancelled = self.model.over and self.happened != "interrupt"
            MEANWHILE[self.happened](self.stream)
        return self.coming.popleft()

    # The reader

    @rule(times=st.integers(1, 2))
    def read_some(self, times: int) -> None:
        for _ in range(times):
            self.read_one()

    @rule(happens=st.sampled_from(sorted(MEANWHILE)))
    def read_while_something_happens(self, happens: str) -> None:
        self.happens = happens
        self.read_one()
        self.happens = "nothing"

    @rule()
    def read_all(self) -> None:
        self.coming.extend([b"Hi", None])  # an end before it may only have ended the first attempt
        while self.read_one():
            pass

    def read_one(self) -> bool:
        """Asks for one piece; returns whether there was one."""
        model, was_over = self.model, self.model.over
        try:
            told: str | BaseException = next(self.stream)
        except (StopIteration, KeyboardInterrupt, AcytooError) as error:
            told = error
        model.over = model.over or not isinstance(told, str)
        if isinstance(told, AcytooError):
            assert told.partial_text == self.stream.text == model.text
        if isinstance(told, StreamCancelledError):
            assert model.cancelled, "a cancellation is told once"
            model.cancelled = False
        elif was_over:
            assert isinstance(told, StopIteration), "after the end there is nothing"
            assert not model.cancelled
        elif isinstance(told, KeyboardInterrupt):
            assert self.happened == "interrupt"
        elif isinstance(told, ClientClosedError):
            assert self.pool.closed
            assert not model.text
        elif isinstance(told, str):
            assert told
            assert told == model.due.popleft()
            model.text += told
            model.pieces += 1
        else:
            assert (type(told) if isinstance(told, AcytooError) else None) is model.due.popleft()
            model.complete = isinstance(told, StopIteration)
        assert not (model.over and model.due)
        return not model.over

    @rule(how=st.sampled_from(sorted(WAYS_OUT)))
    def leave(self, how: str) -> None:
        self.model.cancelled = self.model.cancelled or ("cancel" in how and not self.model.over)
        self.model.over = True
        self.model.due.clear()
        leave, error = WAYS_OUT[how]
        with contextlib.nullcontext() if error is None else pytest.raises(error):
            leave(self.stream)

    @precondition(lambda self: self.model.over)
    @rule()
    def read_what_is_over(self) -> None:
        if not self.model.cancelled:
            assert self.stream.read() == self.model.text
            assert list(self.stream) == []

    @rule()
    def close_the_client(self) -> None:
        self.pool.closed = True

    @invariant()
    def it_tells_the_truth(self) -> None:
        if not hasattr(self, "stream"):
            return
        stream, model, stats = self.stream, self.model, self.stream.stats
        assert stream.text == model.text
        assert (stats.pieces, stats.characters) == (model.pieces, len(model.text))
        assert (stats.first_piece_after is None) is (not model.text)
        assert stats.attempts == len(self.opened)
        assert (stream.head is None) is (not self.opened)
        assert stream.whole is (self.whole if model.complete else False)
        assert stream.notice == (NOTICE.strip() if model.complete and model.held == NOTICE else None)
        state = "running" if stream.started else "not started"
        if model.over:
            state = "whole" if stream.whole else "ended"
            assert stream.stats == stats, "the clock stands"
        assert repr(stream) == f"<Stream {state}, {len(model.text)} characters>"

    @invariant()
    def a_connection_is_closed_once_it_serves_no_more(self) -> None:
        if hasattr(self, "stream"):
            assert [each.closes for each in self.opened[:-1]] == [1] * (len(self.opened) - 1)
            assert [each.closes for each in self.opened[-1:]] == [int(self.model.over)] * bool(self.opened)


def test_a_stream_is_one_reply_whatever_happens_to_it() -> None:
    run_state_machine_as_test(
        StreamLife, settings=settings(max_examples=5 * settings().max_examples, stateful_step_count=25)
    )


def test_an_exception_thrown_into_a_stream_that_was_not_begun_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(call_on(monkeypatch), cast(Any, None))
    with pytest.raises(KeyError):
        stream.throw(KeyError("mine"))

    stream.cancel()

    assert repr(stream) == "<Stream ended, 0 characters>"
    assert list(stream) == []


def test_a_stream_that_is_left_before_it_told_its_end_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(call_on(monkeypatch, FakeExchange(b"Hi\n\nYou can")), cast(Any, None))
    assert [next(stream), next(stream)] == ["Hi", "\n\nYou can"]

    stream.close()

    assert stream.whole is False
    assert repr(stream) == "<Stream ended, 11 characters>"
