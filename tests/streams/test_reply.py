"""A reply, read off an exchange that is a list: its text, its end or its error, and what is noted of it."""

from __future__ import annotations

import contextlib
import time
from email.utils import formatdate
from typing import Any

import pytest
from fake_exchanges import PLAIN, FakeExchange

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    DecodeError,
    ReplyTooLargeError,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk._streams.reply import Reply, ReplyFacts, without_frames
from acytoo_sdk.protocol import ReplyReader
from acytoo_sdk.testing import NOTICE


def reply_on(exchange: FakeExchange, facts: ReplyFacts | None = None, **options: Any) -> Reply:
    return Reply(exchange.as_exchange, ReplyReader(**options), ReplyFacts() if facts is None else facts)


def opened(reply: Reply) -> str:
    """Its first text."""
    reply.send()
    while not (text := reply.more()):
        assert text is not None, "without a text there is an error"
    return text


def rest_of(reply: Reply) -> list[str]:
    """All that `more` returns, up to its None."""
    texts: list[str] = []
    while (text := reply.more()) is not None:
        texts.append(text)
    return texts


def error_of(reply: Reply) -> AcytooError:
    """What reading on raises, now and whenever it is tried again."""
    errors: list[AcytooError] = []
    for _ in range(3):
        with pytest.raises(AcytooError) as caught:
            reply.more()
        errors.append(caught.value)
    assert errors[0] is errors[1] is errors[2]
    return errors[0]


# Text


def test_text_comes_as_the_bytes_do_and_none_says_that_it_is_over() -> None:
    exchange = FakeExchange(b"Hel", b"lo", b"!")
    reply = reply_on(exchange)

    assert opened(reply) == "Hel"
    assert rest_of(reply) == ["lo", "!", ""]
    assert reply.more() is None, "the end lasts"


def test_what_makes_no_text_yet_is_an_empty_one() -> None:
    reply = reply_on(FakeExchange(b"a", b"\xd0", b"\x9f", b"", b"!"))

    assert opened(reply) == "a"
    assert rest_of(reply) == ["", "П", "", "!", ""]


def test_text_that_was_held_back_comes_at_the_end() -> None:
    reply = reply_on(FakeExchange(b"Hi", b"\n\nYou can"))

    assert opened(reply) == "Hi"
    assert rest_of(reply) == ["", "\n\nYou can"]


def test_a_reply_of_which_all_text_was_held_back_is_opened_by_its_end() -> None:
    reply = reply_on(FakeExchange(b"\n\nYou can"))

    assert opened(reply) == "\n\nYou can"
    assert reply.more() is None


def test_the_body_is_read_by_the_framing_of_the_head() -> None:
    seen: list[object] = []
    exchange = FakeExchange(b"Hello", headers=(*PLAIN, ("Content-Length", "5")), on=lambda name: seen.append(framing()))
    reader = ReplyReader()

    def framing() -> object:
        return exchange.framing

    opened(Reply(exchange.as_exchange, reader, ReplyFacts()))

    assert seen == [None, None, reader.framing], "nothing is received before it is known"


def test_nothing_is_received_after_the_end() -> None:
    asked: list[str] = []
    reply = reply_on(FakeExchange(b"Hi", on=asked.append))
    opened(reply)
    rest_of(reply)
    asked.clear()

    assert [reply.more(), reply.more()] == [None, None]
    assert asked == []


# Errors


@pytest.mark.parametrize(
    ("body", "texts", "kind"),
    [
        ([b"Hi", b"you\xff"], ["you"], DecodeError),
        ([b"Hi", b"1234567890"], ["12345678"], ReplyTooLargeError),
        ([b"Hi", b"\n\nYou", APIConnectionError("reset")], ["", "\n\nYou"], StreamInterruptedError),
        ([b"Hi", b"\n\nYou", APITimeoutError("slow", phase="idle")], ["", "\n\nYou"], APITimeoutError),
        ([b"Hi", b"\n\n\xd0"], ["", "\n\n"], StreamInterruptedError),
    ],
    ids=["no-utf8", "too-large", "break", "limit", "inside-a-character"],
)
def test_text_before_a_fault_comes_first_and_then_the_error_every_time(
    body: list[bytes | BaseException], texts: list[str], kind: type[AcytooError]
) -> None:
    exchange = FakeExchange(*body)
    reply = reply_on(exchange, max_reply_bytes=10)

    assert opened(reply) == "Hi"
    assert [reply.more() for _ in texts] == texts
    assert type(error_of(reply)) is kind


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (b"\xff", DecodeError),
        (APIConnectionError("reset"), StreamInterruptedError),
        (APITimeoutError("slow", phase="idle"), APITimeoutError),
    ],
    ids=["no-utf8", "break", "limit"],
)
def test_a_fault_that_no_text_precedes_is_raised_at_once(fault: bytes | BaseException, kind: type[AcytooError]) -> None:
    reply = reply_on(FakeExchange(b"Hi", fault))

    assert opened(reply) == "Hi"
    assert type(error_of(reply)) is kind


def test_an_end_inside_a_character_is_a_break() -> None:
    reply = reply_on(FakeExchange(b"Hi", b"\xd0"))

    assert [opened(reply), reply.more()] == ["Hi", ""]
    assert type(error_of(reply)) is StreamInterruptedError


def test_after_an_error_nothing_is_received() -> None:
    asked: list[str] = []
    reply = reply_on(FakeExchange(b"Hi", b"\xff", b"more", on=asked.append))
    opened(reply)
    error_of(reply)

    assert asked == ["send", "receive_head", "receive", "receive"]


def test_a_break_tells_what_the_network_did() -> None:
    cause = ConnectionResetError("reset")
    broken = APIConnectionError("the server hung up")
    broken.__cause__ = cause
    reply = reply_on(FakeExchange(b"Hi", broken))
    opened(reply)

    error = error_of(reply)

    assert "the server hung up" in str(error)
    assert error.__cause__ is cause


def test_an_error_that_arrives_leaves_its_frames_behind() -> None:
    limit = APITimeoutError("slow", phase="idle")
    reply = reply_on(FakeExchange(b"Hi", b"\n\nYou", limit))
    opened(reply)
    reply.more()

    assert reply.more() == "\n\nYou"
    assert limit.__traceback__ is None, "it is kept, and its frames would hold the reply"


def test_without_frames_is_the_same_error() -> None:
    error = APIConnectionError("no")
    try:
        raise error
    except APIConnectionError:
        assert error.__traceback__ is not None

    assert without_frames(error) is error
    assert error.__traceback__ is None


def test_an_abort_is_not_judged_as_a_break() -> None:
    """Not as one of the reply; and the text that was held back is nobody's any more."""
    aborted = StreamCancelledError("aborted")
    exchange = FakeExchange(b"Hi", b"\n\nYou", aborted)
    reader = ReplyReader()
    reply = Reply(exchange.as_exchange, reader, ReplyFacts())
    opened(reply)
    reply.more()
    exchange.abort()

    assert error_of(reply) is aborted
    assert reader.error is None


def test_a_connection_that_an_abort_broke_is_no_interruption() -> None:
    broken = APIConnectionError("closed")
    exchange = FakeExchange(b"Hi", broken)
    reply = reply_on(exchange)
    opened(reply)
    exchange.abort()

    assert error_of(reply) is broken


def test_an_error_that_is_none_of_the_package_comes_through_as_it_is() -> None:
    reply = reply_on(FakeExchange(b"Hi", b"\n\nYou", KeyboardInterrupt()))
    opened(reply)
    reply.more()

    with pytest.raises(KeyboardInterrupt):
        reply.more()


# The head, and the end


@pytest.mark.parametrize("late", [1, 3])
def test_a_head_that_has_not_arrived_is_an_empty_text(late: int) -> None:
    asked: list[str] = []
    reply = reply_on(FakeExchange(b"Hi", late=late, on=asked.append))
    reply.send()

    assert [reply.more() for _ in range(late)] == [""] * late
    assert "receive" not in asked
    assert reply.waits
    assert reply.more() == "Hi"
    assert asked == ["send", *["receive_head"] * (late + 1), "receive"]


def test_a_reply_waits_for_its_head_and_for_its_body_but_not_for_what_there_is_to_tell() -> None:
    exchange = FakeExchange(b"Hi", b"\xff")
    reply = reply_on(exchange)
    reply.send()
    waits = [reply.waits]
    assert reply.more() == "Hi"
    waits.append(reply.waits)
    exchange.waits = False  # its end, or a limit that ran out, is to be told
    waits.append(reply.waits)
    exchange.waits = True
    error_of(reply)
    waits.append(reply.waits)

    assert waits == [True, True, False, False]


def test_a_reply_that_has_ended_waits_for_nothing() -> None:
    reply = reply_on(FakeExchange(b"Hi"))
    opened(reply)
    rest_of(reply)

    assert not reply.waits


def test_close_closes_the_exchange_once() -> None:
    exchange = FakeExchange(b"Hi")
    reply = reply_on(exchange)
    opened(reply)
    reply.close()

    assert exchange.closes == 1


def test_a_retry_after_that_is_a_date_counts_from_the_arrival() -> None:
    date = formatdate(time.time() + 3600, usegmt=True)
    with pytest.raises(APIStatusError) as caught:
        opened(reply_on(FakeExchange(b"", status=503, headers=(("Retry-After", date),))))

    assert caught.value.retry_after is not None
    assert 1800 < caught.value.retry_after <= 3600


# Facts


def test_before_anything_arrived_nothing_is_known() -> None:
    assert ReplyFacts() == ReplyFacts(head=None, notice=None, whole=False)


@pytest.mark.parametrize("status", [200, 302, 503])
def test_the_head_is_noted_whether_or_not_the_reply_opens(status: int) -> None:
    facts = ReplyFacts()
    with contextlib.suppress(APIStatusError):
        opened(reply_on(FakeExchange(b"Hi", status=status, headers=(*PLAIN, ("X-Request-Id", "r-1"))), facts))

    assert facts.head is not None
    assert (facts.head.status, facts.head.request_id) == (status, "r-1")


def test_the_head_is_known_before_the_body_comes() -> None:
    facts, known = ReplyFacts(), list[bool]()
    opened(reply_on(FakeExchange(b"Hi", on=lambda name: known.append(facts.head is not None)), facts))

    assert known == [False, False, True]


def test_a_reply_that_had_no_head_has_none() -> None:
    facts = ReplyFacts()
    with pytest.raises(APIConnectionError):
        opened(reply_on(FakeExchange(status=APIConnectionError("refused")), facts))

    assert facts.head is None


@pytest.mark.parametrize("whole", [True, None])
def test_whole_is_what_the_framing_says_at_the_end_and_not_before(whole: bool | None) -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", b"!", whole=whole), facts)
    opened(reply)
    reply.more()
    before = facts.whole
    rest_of(reply)

    assert (before, facts.whole) == (False, whole)


@pytest.mark.parametrize("body", [[b"\n\n\xd0"], [b"\n\n\xff"], [b"\n\n", APIConnectionError("reset")]])
def test_a_reply_that_ends_in_an_error_is_not_whole(body: list[bytes | BaseException]) -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", *body), facts)
    opened(reply)
    with pytest.raises(AcytooError):
        rest_of(reply)

    assert facts.whole is False


def test_the_notice_is_noted_when_the_reply_is_closed() -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", NOTICE.encode()), facts)
    assert [opened(reply), *rest_of(reply)] == ["Hi", "", ""]
    reply.close()

    assert facts.notice == NOTICE.strip()


def test_a_notice_that_was_cut_is_none() -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", NOTICE.encode()[:40]), facts)
    text = opened(reply) + "".join(rest_of(reply))
    reply.close()

    assert (text, facts.notice) == ("Hi" + NOTICE[:40], None)
