"""Conversations keep what they promise of the history, whatever becomes of a reply: blocking, on asyncio, on trio."""

from __future__ import annotations

import contextlib
import gc
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from talks import HI, RULES, Talk, awaited, echo, sent, spoken, turn

from acytoo_sdk import (
    AcytooError,
    APIStatusError,
    AsyncConversation,
    Client,
    ClientClosedError,
    Conversation,
    InvalidRequestError,
    Message,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk.testing import FakeServer, Fault, Gate

# The history


@spoken
async def test_every_turn_is_sent_with_the_next_question(flavour: str) -> None:
    with FakeServer(echo) as server:
        talk = Talk(flavour, server.url, system="Be brief.")
        assert await talk.ask("one") == "re: one"
        assert await talk.send("two").read() == "re: two"
        await talk.ask("three")

        assert sent(server) == [RULES, *turn("one", "re: one"), *turn("two", "re: two"), turn("three", "")[0]]
        assert talk.messages == [
            RULES,
            *turn("one", "re: one"),
            *turn("two", "re: two"),
            *turn("three", "re: three"),
        ]


@spoken
async def test_a_turn_enters_the_history_when_its_reply_was_read_to_its_end(flavour: str) -> None:
    with FakeServer(["Hel", "lo!"], pause=0) as server:
        talk = Talk(flavour, server.url)
        reply = talk.send("Hi")
        assert talk.messages == []
        seen = ""
        while seen != "Hello!":
            seen += await reply.piece()
            assert talk.messages == []

        assert await reply.read() == "Hello!"

        assert talk.messages == HI
        await reply.close()
        assert talk.messages == HI


def test_a_turn_enters_once_whatever_interrupts_it() -> None:
    """Ctrl-C, at any moment of looking at the history, or a signal handler that looks as well."""

    class Interrupted(BaseException):
        pass

    def interrupt() -> None:
        raise Interrupted

    with FakeServer("Hello!", pause=0) as server, Client(server.url) as client:
        tried: list[int] = []

        def attempt(step: int) -> int:
            tried.append(step)
            conversation, seen = client.conversation(), list[list[Message]]()
            conversation.ask("Hi")
            meanwhile = interrupt if step % 2 else lambda: conversation.messages

            def look_again_if_interrupted() -> None:
                try:
                    conversation.messages  # noqa: B018
                except Interrupted:
                    pass
                seen.append(conversation.messages)

            with contextlib.suppress(Interrupted):
                steps = run_interrupted(
                    look_again_if_interrupted, {step // 2: meanwhile}, file=file_of(Conversation.send)
                )
                assert seen == [turn("Hi", "Hello!")]
                return steps * 2
            return 0  # the second look was interrupted

        assert interrupt_at_each_step(attempt) == 0
        assert len(tried) > 40


@spoken
async def test_a_reply_that_was_dropped_once_it_was_read_still_counts(flavour: str) -> None:
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url)
        await talk.send("Hi").read()
        gc.collect()

        assert talk.messages == HI


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.cut(after=1), StreamInterruptedError),
        (Fault.status(401), APIStatusError),
        (Fault.drop(), AcytooError),
    ],
)
@spoken
async def test_a_broken_reply_leaves_the_history_as_before(
    flavour: str, fault: Fault, error: type[AcytooError]
) -> None:
    with FakeServer(["Hel", "lo!"], faults=[None, fault]) as server:
        talk = Talk(flavour, server.url)
        await talk.ask("Hi")
        with pytest.raises(error):
            await talk.ask("broken")

        assert talk.messages == HI
        await talk.ask("next")
        assert sent(server) == [*HI, {"role": "user", "content": "next"}]


@spoken
async def test_a_cancelled_reply_leaves_the_history_as_before(flavour: str) -> None:
    with FakeServer(["Hel", "lo!"], gate=(gate := Gate())) as server:
        talk = Talk(flavour, server.url)
        gate.release()
        reply = talk.send("Hi")
        await reply.piece()
        reply.stream.cancel()
        with pytest.raises(StreamCancelledError):
            await reply.read()

        assert talk.messages == []
        gate.open()
        await talk.ask("Hi")
        assert talk.messages == HI


@pytest.mark.parametrize("leave", ["close", "drop", "cancel", "close unread", "drop unread", "cancel unread"])
@spoken
async def test_an_abandoned_reply_leaves_the_history_and_blocks_nothing(flavour: str, leave: str) -> None:
    with FakeServer(["Hel", "lo!"], gate=(gate := Gate())) as server:
        talk = Talk(flavour, server.url)
        gate.release()
        reply = talk.send("abandoned")
        if "unread" not in leave:
            await reply.piece()
        if "close" in leave:
            await reply.close()
        elif "cancel" in leave:
            reply.stream.cancel()
        else:
            del reply
        gate.open()

        assert talk.messages == []
        assert await talk.ask("Hi") == "Hello!"
        assert talk.messages == HI


@spoken
async def test_dropping_the_stream_of_a_conversation_closes_its_connection_without_the_collector(flavour: str) -> None:
    gc.collect()
    gc.disable()
    try:
        with FakeServer(["Hel", "lo!"], gate=(gate := Gate())) as server:
            talk = Talk(flavour, server.url)
            gate.release()
            reply = talk.send("Hi")
            await reply.piece()
            del reply
            server.wait_until(lambda: server.open_connections == 0)
    finally:
        gc.enable()


@pytest.mark.parametrize("flavour", ["asyncio", "trio"], indirect=True)
@spoken
async def test_a_cancelled_task_leaves_the_history_as_before(flavour: str) -> None:
    with FakeServer(["Hel", "lo!"], gate=(gate := Gate())) as server:
        talk = Talk(flavour, server.url)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(talk.ask, "cancelled")
                while not gate.waiting:
                    await anyio.sleep(0.005)
                scope.cancel()
        gate.open()

        assert talk.messages == []
        await talk.ask("Hi")
        assert talk.messages == HI


@spoken
async def test_a_cancellation_at_the_end_either_tells_or_comes_too_late(flavour: str) -> None:
    with FakeServer(["Hel", "lo!"], pause=0) as server:
        talk = Talk(flavour, server.url)
        for _ in range(60):
            before = len(talk.messages)
            reply = talk.send("Hi")
            await reply.piece()
            canceller = threading.Timer(random.uniform(0, 0.001), reply.stream.cancel)
            canceller.start()
            try:
                await reply.read()
            except StreamCancelledError:
                assert len(talk.messages) == before
            else:
                assert len(talk.messages) == before + 2
            canceller.join()


# One reply at a time


@spoken
async def test_a_second_question_is_refused_while_a_reply_is_on_its_way(flavour: str) -> None:
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url, messages=HI, system="Be brief.")
        reply = talk.send("Hi")
        attempts: list[Callable[[], object]] = [
            lambda: talk.conversation.send("again"),
            talk.conversation.retry,
            talk.conversation.undo,
            lambda: setattr(talk.conversation, "system", None),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidRequestError, match="on its way") as caught:
                attempt()
            assert caught.value.hint

        await reply.read()
        assert talk.messages == [RULES, *HI, *HI]
        await talk.ask("and now")
        assert len(server.requests) == 2


@spoken
async def test_the_first_of_many_threads_asks_and_the_others_are_told(flavour: str) -> None:
    if flavour != "blocking":
        return
    with FakeServer(echo, gate=(gate := Gate())) as server:
        conversation = Client(server.url).conversation()
        refused: list[str] = []

        def ask(text: str) -> None:
            try:
                conversation.ask(text)
            except InvalidRequestError:
                refused.append(text)

        threads = [threading.Thread(target=ask, args=(f"{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(refused) < 7 and time.monotonic() < deadline:
            time.sleep(0.005)
        gate.open()
        for thread in threads:
            thread.join()

        assert len(refused) == 7
        assert [message["role"] for message in conversation.messages] == ["user", "assistant"]
        assert len(server.requests) == 1


# Retry and undo


@spoken
async def test_retry_takes_the_old_answer_out_when_the_new_one_is_finished(flavour: str) -> None:
    answers = iter(["old", "first", ["ne", "w"], ["ne", "w"]])
    with FakeServer(lambda request: next(answers), faults=[None, None, Fault.cut(after=1)]) as server:
        talk = Talk(flavour, server.url)
        await talk.ask("one")
        await talk.ask("two")
        with pytest.raises(StreamInterruptedError):
            await talk.retry().read()
        assert talk.messages == [*turn("one", "old"), *turn("two", "first")]

        reply = talk.retry()
        await reply.piece()
        assert talk.messages == [*turn("one", "old"), *turn("two", "first")]
        await reply.read()

        assert talk.messages == [*turn("one", "old"), *turn("two", "new")]
        assert sent(server, 2) == sent(server, 3) == [*turn("one", "old"), {"role": "user", "content": "two"}]


@spoken
async def test_retry_asks_again_what_was_not_answered(flavour: str) -> None:
    with FakeServer(echo, faults=[None, Fault.status(500)]) as server:
        talk = Talk(flavour, server.url)
        await talk.ask("one")
        with pytest.raises(APIStatusError):
            await talk.ask("two")
        await talk.retry().read()

        assert talk.messages == [*turn("one", "re: one"), *turn("two", "re: two")]


@spoken
async def test_undo_takes_the_last_turn_out(flavour: str) -> None:
    with FakeServer(echo, faults=[None, None, Fault.status(500)]) as server:
        talk = Talk(flavour, server.url, system="Be brief.")
        await talk.ask("one")
        await talk.ask("two")
        with pytest.raises(APIStatusError):
            await talk.ask("three")
        talk.conversation.undo()
        assert talk.messages == [RULES, *turn("one", "re: one")]

        await talk.retry().read()  # "one": what was undone, or failed before, is gone
        assert talk.messages == [RULES, *turn("one", "re: one")]
        talk.conversation.undo()
        assert talk.messages == [RULES]
        with pytest.raises(InvalidRequestError, match="nothing to undo"):
            talk.conversation.undo()
        with pytest.raises(InvalidRequestError, match="nothing to send again"):
            talk.conversation.retry()


@spoken
async def test_instructions_belong_to_no_turn(flavour: str) -> None:
    later: Message = {"role": "developer", "content": "Be kind."}
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url, messages=[RULES, *HI, later])
        await talk.retry().read()
        assert talk.messages == [RULES, later, *HI]
        talk.conversation.undo()

        assert talk.messages == [RULES, later]


@spoken
async def test_a_question_without_an_answer_may_be_where_a_conversation_begins(flavour: str) -> None:
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url, messages=[RULES, HI[0]])
        await talk.retry().read()

        assert talk.messages == [RULES, *HI]


# Messages, system and options


@spoken
async def test_nobody_else_can_change_the_history(flavour: str) -> None:
    given_messages: list[Any] = [{"role": "user", "content": "Hi", "tags": ["a"]}, HI[1]]
    expected = json.loads(json.dumps(given_messages))
    talk = Talk(flavour, "http://127.0.0.1:9", messages=given_messages)
    given_messages[0]["tags"].append("b")
    given_messages.clear()
    got: list[Any] = talk.messages
    got[0]["tags"].append("c")
    got.pop()

    assert talk.messages == expected


@spoken
async def test_the_system_message_goes_first_and_may_be_changed(flavour: str) -> None:
    talk = Talk(flavour, "http://127.0.0.1:9", system="New.", messages=[RULES, *HI])
    assert talk.messages == [{"role": "system", "content": "New."}, *HI]
    assert talk.conversation.system == "New."
    talk.conversation.system = None
    assert talk.messages == HI
    assert talk.conversation.system is None
    talk.conversation.system = "Be brief."
    assert talk.messages == [RULES, *HI]


@spoken
async def test_a_conversation_has_options_of_its_own(flavour: str) -> None:
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url, model="m", temperature=1.5)
        await talk.ask("Hi")

        request = server.requests[-1].json
        assert request is not None
        assert (request["model"], request["temperature"], talk.conversation.model) == ("m", 1.5, "m")
        assert repr(talk.conversation).endswith("of 2 messages, model 'm'>")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"system": ""}, "system is an empty str"),
        ({"system": 1}, "system must be a str, not int"),
        ({"messages": [{"role": "me", "content": ""}]}, r"messages\[0\].role"),
        ({"model": ""}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"timeout": -1}, "timeout"),
        ({"retry": 0}, "retry"),
        ({"limit_characters": 0}, "limit_characters must be 1 or more"),
        ({"limit_characters": "9"}, "limit_characters must be an int, not str"),
    ],
)
@spoken
async def test_bad_arguments_are_told_at_once(flavour: str, arguments: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidRequestError, match=place):
        Talk(flavour, "http://127.0.0.1:9", **arguments)


@pytest.mark.parametrize("text", ["", None, HI[0], b"Hi", "\ud800"])
@spoken
async def test_a_question_is_a_text(flavour: str, text: Any) -> None:
    talk = Talk(flavour, "http://127.0.0.1:9")
    with pytest.raises(InvalidRequestError, match=r"^text "):
        talk.conversation.send(text)


@spoken
async def test_a_closed_client_is_told_and_the_conversation_goes_on_elsewhere(flavour: str) -> None:
    with FakeServer("Hello!") as server:
        talk = Talk(flavour, server.url)
        await talk.ask("Hi")
        await awaited(talk.client.close() if flavour == "blocking" else talk.client.aclose())
        with pytest.raises(ClientClosedError):
            await talk.ask("more")

        other = Talk(flavour, server.url, messages=talk.messages)
        await other.ask("more")
        assert len(other.messages) == 4


@spoken
async def test_the_clients_make_conversations_of_their_kind(flavour: str) -> None:
    talk = Talk(flavour, "http://127.0.0.1:9")
    assert type(talk.conversation) is (Conversation if flavour == "blocking" else AsyncConversation)
