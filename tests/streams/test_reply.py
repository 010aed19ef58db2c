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
    EmptyReplyError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk._streams.reply import Reply, ReplyFacts, without_frames
from acytoo_sdk.protocol import ReplyReader
from acytoo_sdk.testing import NOTICE


def reply_on(exchange: FakeExchange, facts: ReplyFacts | None = None, **options: Any) -> Reply:
    return Reply(exchange.as_exchange, ReplyReader(**options), ReplyFacts() if facts is None else facts)


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

    assert reply.open() == "Hel"
    assert rest_of(reply) == ["lo", "!", ""]
    assert reply.more() is None, "the end lasts"


def test_what_makes_no_text_yet_is_an_empty_one() -> None:
    reply = reply_on(FakeExchange(b"a", b"\xd0", b"\x9f", b"", b"!"))

    assert reply.open() == "a"
    assert rest_of(reply) == ["", "П", "", "!", ""]


def test_opening_waits_for_the_first_text() -> None:
    asked: list[str] = []
    reply = reply_on(FakeExchange(b"", b"\xef\xbb\xbf", b"\xd0", b"\x9f", b"more", on=asked.append))

    assert reply.open() == "П"
    assert asked == ["open", *["receive"] * 4]


def test_text_that_was_held_back_comes_at_the_end() -> None:
    reply = reply_on(FakeExchange(b"Hi", b"\n\nYou can"))

    assert reply.open() == "Hi"
    assert rest_of(reply) == ["", "\n\nYou can"]


def test_a_reply_of_which_all_text_was_held_back_is_opened_by_its_end() -> None:
    reply = reply_on(FakeExchange(b"\n\nYou can"))

    assert reply.open() == "\n\nYou can"
    assert reply.more() is None


def test_the_body_is_read_by_the_framing_of_the_head() -> None:
    seen: list[object] = []
    exchange = FakeExchange(b"Hello", headers=(*PLAIN, ("Content-Length", "5")), on=lambda name: seen.append(framing()))
    reader = ReplyReader()

    def framing() -> object:
        return exchange.framing

    Reply(exchange.as_exchange, reader, ReplyFacts()).open()

    assert seen == [None, reader.framing], "nothing is received before it is known"


def test_nothing_is_received_after_the_end() -> None:
    asked: list[str] = []
    reply = reply_on(FakeExchange(b"Hi", on=asked.append))
    reply.open()
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

    assert reply.open() == "Hi"
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

    assert reply.open() == "Hi"
    assert type(error_of(reply)) is kind


def test_an_end_inside_a_character_is_a_break() -> None:
    reply = reply_on(FakeExchange(b"Hi", b"\xd0"))

    assert [reply.open(), reply.more()] == ["Hi", ""]
    assert type(error_of(reply)) is StreamInterruptedError


def test_after_an_error_nothing_is_received() -> None:
    asked: list[str] = []
    reply = reply_on(FakeExchange(b"Hi", b"\xff", b"more", on=asked.append))
    reply.open()
    error_of(reply)

    assert asked == ["open", "receive", "receive"]


def test_a_break_tells_what_the_network_did() -> None:
    cause = ConnectionResetError("reset")
    broken = APIConnectionError("the server hung up")
    broken.__cause__ = cause
    reply = reply_on(FakeExchange(b"Hi", broken))
    reply.open()

    error = error_of(reply)

    assert "the server hung up" in str(error)
    assert error.__cause__ is cause


def test_an_error_that_arrives_leaves_its_frames_behind() -> None:
    limit = APITimeoutError("slow", phase="idle")
    reply = reply_on(FakeExchange(b"Hi", b"\n\nYou", limit))
    reply.open()
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
    reply.open()
    reply.more()
    exchange.abort()

    assert error_of(reply) is aborted
    assert reader.error is None


def test_a_connection_that_an_abort_broke_is_no_interruption() -> None:
    broken = APIConnectionError("closed")
    exchange = FakeExchange(b"Hi", broken)
    reply = reply_on(exchange)
    reply.open()
    exchange.abort()

    assert error_of(reply) is broken


def test_an_error_that_is_none_of_the_package_comes_through_as_it_is() -> None:
    reply = reply_on(FakeExchange(b"Hi", b"\n\nYou", KeyboardInterrupt()))
    reply.open()
    reply.more()

    with pytest.raises(KeyboardInterrupt):
        reply.more()


# Opening


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
def test_a_reply_without_a_text_cannot_be_opened_and_is_closed_once(exchange: Any, kind: type[BaseException]) -> None:
    fake: FakeExchange = exchange()

    with pytest.raises(kind) as caught:
        reply_on(fake).open()

    assert type(caught.value) is kind
    assert fake.closes == 1


def test_a_reply_that_opened_stays_open() -> None:
    exchange = FakeExchange(b"Hi")
    reply_on(exchange).open()

    assert exchange.closes == 0


def test_close_closes_the_exchange_once() -> None:
    exchange = FakeExchange(b"Hi")
    reply = reply_on(exchange)
    reply.open()
    reply.close()

    assert exchange.closes == 1


def test_a_retry_after_that_is_a_date_counts_from_the_arrival() -> None:
    date = formatdate(time.time() + 3600, usegmt=True)
    with pytest.raises(APIStatusError) as caught:
        reply_on(FakeExchange(b"", status=503, headers=(("Retry-After", date),))).open()

    assert caught.value.retry_after is not None
    assert 1800 < caught.value.retry_after <= 3600


# Facts


def test_before_anything_arrived_nothing_is_known() -> None:
    assert ReplyFacts() == ReplyFacts(head=None, notice=None, whole=False)


@pytest.mark.parametrize("status", [200, 302, 503])
def test_the_head_is_noted_whether_or_not_the_reply_opens(status: int) -> None:
    facts = ReplyFacts()
    with contextlib.suppress(APIStatusError):
        reply_on(FakeExchange(b"Hi", status=status, headers=(*PLAIN, ("X-Request-Id", "r-1"))), facts).open()

    assert facts.head is not None
    assert (facts.head.status, facts.head.request_id) == (status, "r-1")


def test_the_head_is_known_before_the_body_comes() -> None:
    facts, known = ReplyFacts(), list[bool]()
    reply_on(FakeExchange(b"Hi", on=lambda name: known.append(facts.head is not None)), facts).open()

    assert known == [False, True]


def test_a_reply_that_had_no_head_has_none() -> None:
    facts = ReplyFacts()
    with pytest.raises(APIConnectionError):
        reply_on(FakeExchange(status=APIConnectionError("refused")), facts).open()

    assert facts.head is None


@pytest.mark.parametrize("whole", [True, None])
def test_whole_is_what_the_framing_says_at_the_end_and_not_before(whole: bool | None) -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", b"!", whole=whole), facts)
    reply.open()
    reply.more()
    before = facts.whole
    rest_of(reply)

    assert (before, facts.whole) == (False, whole)


@pytest.mark.parametrize("body", [[b"\n\n\xd0"], [b"\n\n\xff"], [b"\n\n", APIConnectionError("reset")]])
def test_a_reply_that_ends_in_an_error_is_not_whole(body: list[bytes | BaseException]) -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", *body), facts)
    reply.open()
    with pytest.raises(AcytooError):
        rest_of(reply)

    assert facts.whole is False


def test_the_notice_is_noted_when_the_reply_is_closed() -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", NOTICE.encode()), facts)
    assert [reply.open(), *rest_of(reply)] == ["Hi", "", ""]
    reply.close()

    assert facts.notice == NOTICE.strip()


def test_a_notice_that_was_cut_is_none() -> None:
    facts = ReplyFacts()
    reply = reply_on(FakeExchange(b"Hi", NOTICE.encode()[:40]), facts)
    text = reply.open() + "".join(rest_of(reply))
    reply.close()

    assert (text, facts.notice) == ("Hi" + NOTICE[:40], None)
