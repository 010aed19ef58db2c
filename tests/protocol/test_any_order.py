"""The life of a `ReplyReader`: in whatever order a reply goes on, breaks and ends, its text is the bytes that came."""

from __future__ import annotations

import codecs
import functools
from collections.abc import Callable

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
from reply_readers import NOTICE, broken, check_failed
from test_any_bytes import FRAGMENTS, headers_of, statuses

from acytoo_sdk.errors import AcytooError, APITimeoutError, DecodeError, StreamInterruptedError
from acytoo_sdk.protocol import ReplyReader, ReplyState

bounds = st.none() | st.integers(0, 400)
PLAIN_HEAD = (200, [("Content-Type", "text/plain")])
heads = st.integers(0, 3).flatmap(lambda number: st.just(PLAIN_HEAD) if number else st.tuples(statuses, headers_of))
data_of = st.sampled_from([b"Hi", b"Hi", b"\n\n" + NOTICE.encode(), b"\n\nYou can", *FRAGMENTS])


def stands(*states: ReplyState) -> Callable[[ReaderLife], bool]:
    """Whether the reader is in one of these states."""
    return lambda life: life.reader.state in states


class ReaderLife(RuleBasedStateMachine):
    """One reader, from its making to its end."""

    @initialize(bound=bounds, strip=st.booleans())
    def make(self, bound: int | None, strip: bool) -> None:
        self.reader = ReplyReader(max_reply_bytes=bound, strip_notices=strip)
        self.bound = bound
        self.came = b""
        self.text = ""
        self.error: AcytooError | None = None

    @precondition(stands(ReplyState.HEAD))
    @rule(head=heads)
    def head_comes(self, head: tuple[int, list[tuple[str, str]]]) -> None:
        self.take(lambda: self.reader.receive_head(*head, now=0.0))
        assert self.reader.head is not None
        assert self.reader.head.status == head[0]

    @precondition(stands(ReplyState.BODY))
    @rule(pieces=st.lists(data_of, min_size=1, max_size=4))
    def bytes_come(self, pieces: list[bytes]) -> None:
        for data in pieces:
            if self.reader.state is ReplyState.BODY:
                self.came += data
                self.take(functools.partial(self.reader.receive_data, data))
        assert self.reader.state in (ReplyState.BODY, ReplyState.FAILED)

    @precondition(stands(ReplyState.BODY))
    @rule()
    def body_ends(self) -> None:
        self.take(self.reader.receive_eof)
        assert self.reader.state in (ReplyState.DONE, ReplyState.FAILED)

    @precondition(stands(ReplyState.BODY))
    @rule(error=st.sampled_from([broken, lambda: APITimeoutError("slow", phase="idle")]))
    def connection_breaks(self, error: Callable[[], AcytooError]) -> None:
        given, begun = error(), self.text
        self.take(lambda: self.reader.receive_break(given))
        assert self.reader.state is ReplyState.FAILED
        if begun and not isinstance(self.error, DecodeError):
            assert type(self.error) is (
                APITimeoutError if given.__class__ is APITimeoutError else StreamInterruptedError
            )

    @precondition(stands(ReplyState.DONE, ReplyState.FAILED))
    @rule()
    def it_is_over_for_good(self) -> None:
        if self.error is not None:
            check_failed(self.reader, self.error)

    def take(self, call: Callable[[], str | None]) -> None:
        """Has the reader take something, and takes its text and its error."""
        try:
            text = call()
        except AcytooError as error:
            self.error = error
        else:
            self.text += text or ""
            self.error = self.reader.error
            assert text or self.error is None, "an error without a text before it is raised"

    @invariant()
    def it_tells_the_truth(self) -> None:
        reader = self.reader
        assert reader.error is self.error
        assert (reader.state is ReplyState.FAILED) is (self.error is not None)
        kept = self.came[: self.bound]
        try:
            valid, _ = codecs.utf_8_decode(kept, "strict", False)
        except UnicodeDecodeError as invalid:
            valid = kept[: invalid.start].decode()
        valid = valid.removeprefix("\ufeff")
        assert valid.startswith(self.text)
        if reader.state is ReplyState.DONE:
            assert self.text
            assert self.came == kept
        if reader.state in (ReplyState.HEAD, ReplyState.BODY):
            assert reader.notice is None
        elif self.text or reader.notice:
            assert valid[len(self.text) :].strip() == (reader.notice or ""), "nothing that came is lost"


def test_a_reader_tells_the_truth_in_whatever_order_a_reply_goes_on() -> None:
    run_state_machine_as_test(
        ReaderLife, settings=settings(max_examples=5 * settings().max_examples, stateful_step_count=12)
    )
