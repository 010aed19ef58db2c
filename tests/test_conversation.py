"""Conversations keep what they promise of the history, whatever becomes of a reply: blocking, on asyncio, on trio."""

from __future__ import annotations

import functools
import gc
import inspect
import json
import os
import pathlib
import random
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk import (
    AcytooError,
    APIStatusError,
    AsyncClient,
    AsyncConversation,
    Client,
    ClientClosedError,
    Conversation,
    InvalidRequestError,
    Message,
    StreamCancelledError,
    StreamInterruptedError,
)
from acytoo_sdk._history import read_turns, shortened, write_turns
from acytoo_sdk.testing import FakeServer, Fault, Gate

HI: list[Message] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
RULES: Message = {"role": "system", "content": "Be brief."}


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def flavour(request: pytest.FixtureRequest) -> str:
    return cast(str, request.param)


def spoken(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test of one flavour on its loop. (anyio's own plugin leaves a thread of trio's behind.)"""

    @functools.wraps(test)
    def run(flavour: str, **fixtures: Any) -> None:
        anyio.run(functools.partial(test, flavour, **fixtures), backend="trio" if flavour == "trio" else "asyncio")

    return run


class Talk:
    """A conversation of either kind, spoken to in one way."""

    def __init__(self, flavour: str, url: str, **arguments: Any) -> None:
        self.client: Any = (Client if flavour == "blocking" else AsyncClient)(url, retry=1)
        self.conversation: Any = self.client.conversation(**arguments)

    async def ask(self, text: str) -> str:
        return cast(str, await awaited(self.conversation.ask(text)))

    def send(self, text: str) -> Reply:
        return Reply(self.conversation.send(text))

    def retry(self) -> Reply:
        return Reply(self.conversation.retry())

    @property
    def messages(self) -> list[Message]:
        return cast("list[Message]", self.conversation.messages)


class Reply:
    """A stream of either kind, read in one way."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def piece(self) -> str:
        return cast(str, await self.stream.__anext__() if hasattr(self.stream, "__anext__") else next(self.stream))

    async def read(self) -> str:
        return cast(str, await awaited(self.stream.read()))

    async def close(self) -> None:
        if hasattr(self.stream, "aclose"):
            await self.stream.aclose()
        else:
            self.stream.close()


async def awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def turn(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def sent(server: FakeServer, index: int = -1) -> Any:
    request = server.requests[index].json
    assert request is not None
    return request["messages"]


def echo(request: dict[str, Any]) -> str:
    return f"re: {request['messages'][-1]['content']}"


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


# The limit


@spoken
async def test_what_does_not_fit_is_not_sent_and_stays_in_the_history(flavour: str) -> None:
    with FakeServer("12345") as server:
        talk = Talk(flavour, server.url, system="123", limit_characters=3 + 10 + 5)
        for question in ("aaaaa", "bbbbb", "ccccc"):
            await talk.ask(question)

        first = {"role": "system", "content": "123"}
        assert sent(server) == [first, *turn("bbbbb", "12345"), {"role": "user", "content": "ccccc"}]
        assert len(talk.messages) == 7


ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
TEXTS = st.text(max_size=20)
HISTORIES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": TEXTS})).map(
    lambda turns: cast("list[Message]", turns)
)


def characters(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def turns_of(messages: Sequence[Message]) -> list[list[int]]:
    """Which messages belong to one turn, written down anew: by their index, without those that instruct."""
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            continue
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns


@given(history=HISTORIES, limit=st.integers(1, 120))
def test_a_limit_drops_whole_turns_from_the_oldest_on_and_no_more_than_needed(
    history: list[Message], limit: int
) -> None:
    messages: list[Message] = [*history, {"role": "user", "content": "the question"}]

    kept = shortened(messages, limit)

    *turns, question = turns_of(messages)
    fitting = [
        {index for one in turns[first:] for index in one} | set(question) for first in range(len(turns) + 1)
    ]  # what each number of dropped turns leaves
    instructions = {index for index, message in enumerate(messages) if message["role"] in ("system", "developer")}
    candidates = [[messages[index] for index in sorted(rest | instructions)] for rest in fitting]
    assert kept == next((each for each in candidates if characters(each) <= limit), candidates[-1])


@given(history=HISTORIES)
def test_without_a_limit_everything_is_sent(history: list[Message]) -> None:
    assert shortened(history, None) == history


# Files


@spoken
async def test_what_was_saved_is_loaded(flavour: str, tmp_path: pathlib.Path) -> None:
    with FakeServer("Хорошо!") as server:
        talk = Talk(flavour, server.url, system="Be brief.", model="m")
        await talk.ask("Привет, как дела?")
        talk.conversation.save(tmp_path / "talk.json")
        other = Talk(flavour, server.url)
        assert other.conversation.load(str(tmp_path / "talk.json")) is other.conversation

        assert other.messages == talk.messages == [RULES, *turn("Привет, как дела?", "Хорошо!")]
        assert other.conversation.model == "m"
        await other.ask("more")
        request = server.requests[-1].json
        assert request is not None
        assert request["model"] == "m"
        written = json.loads((tmp_path / "talk.json").read_text("utf-8"))
        assert written == {"version": 1, "model": "m", "messages": talk.messages}
        assert "Привет" in (tmp_path / "talk.json").read_text("utf-8")


@spoken
async def test_an_unfinished_turn_is_not_saved(flavour: str, tmp_path: pathlib.Path) -> None:
    talk = Talk(flavour, "http://127.0.0.1:9", messages=HI)
    reply = talk.send("more")
    talk.conversation.save(tmp_path / "talk.json")
    with pytest.raises(InvalidRequestError, match="on its way"):
        talk.conversation.load(tmp_path / "talk.json")
    await reply.close()

    assert talk.conversation.load(tmp_path / "talk.json").messages == HI


def test_a_model_of_ones_own_beats_that_of_the_file(tmp_path: pathlib.Path) -> None:
    client = Client("http://127.0.0.1:9")
    client.conversation(model="saved").save(tmp_path / "talk.json")

    assert client.conversation(model="own").load(tmp_path / "talk.json").model == "own"
    assert client.conversation().load(tmp_path / "talk.json").model == "saved"


def test_no_secret_is_saved(tmp_path: pathlib.Path) -> None:
    client = Client("http://127.0.0.1:9", key="s3cret", password="pa55", headers={"authorization": "t0ken"})
    client.conversation(messages=HI).save(tmp_path / "talk.json")

    text = (tmp_path / "talk.json").read_text("utf-8")
    assert not [secret for secret in ("s3cret", "pa55", "t0ken") if secret in text]


@given(messages=HISTORIES, model=st.text(min_size=1))
def test_files_keep_every_text(tmp_path_factory: pytest.TempPathFactory, messages: list[Message], model: str) -> None:
    path = tmp_path_factory.getbasetemp() / "kept.json"
    write_turns(path, model=model, messages=messages)

    assert read_turns(path) == (model, messages)


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "os.chmod", "interrupted"])
def test_a_crash_in_the_middle_of_saving_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    client = Client("http://127.0.0.1:9")
    path = tmp_path / "talk.json"
    client.conversation(messages=HI).save(path)
    before = path.read_bytes()
    error = KeyboardInterrupt if step == "interrupted" else OSError

    def crash(*arguments: object) -> None:
        assert path.read_bytes() == before
        raise error("no space left")

    monkeypatch.setattr("os.fsync" if step == "interrupted" else step, crash)
    with pytest.raises(error):
        client.conversation(system="Other.").save(path)

    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["talk.json"]


def test_the_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def fsync_noted(file: int) -> None:
        steps.append(f"{os.fstat(file).st_size > 0}")
        fsync(file)

    def replace_noted(old: str, new: str) -> None:
        steps.append("replaced")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", fsync_noted)
    monkeypatch.setattr(os, "replace", replace_noted)
    Client("http://127.0.0.1:9").conversation(messages=HI).save(tmp_path / "talk.json")

    assert steps == ["True", "replaced"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX's")
def test_a_file_is_private_and_keeps_the_mode_and_the_link_it_has(tmp_path: pathlib.Path) -> None:
    conversation = Client("http://127.0.0.1:9").conversation(messages=HI)
    path, link = tmp_path / "talk.json", tmp_path / "link.json"
    conversation.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    link.symlink_to(path)
    conversation.save(link)

    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def files() -> Iterator[tuple[bytes, str]]:
    yield b"", "not JSON"
    yield b'{"version": 1,', "not JSON.*line 1 column 15"
    yield b"[" * 100_000, "not JSON"
    yield b"\xff{}", "not UTF-8 at byte 0"
    yield b"[]", "must hold a JSON object, not list"
    yield b"null", "must hold a JSON object, not null"
    yield b"{}", "version is missing"
    yield b'{"version": 2, "messages": []}', "version must be 1, not 2"
    yield b'{"version": true, "messages": []}', "version must be 1, not true"
    yield b'{"version": 1}', "messages is missing"
    yield b'{"version": 1, "messages": null}', "messages must be a list, not null"
    yield b'{"version": 1, "messages": "Hi"}', "messages must be a list, not str"
    yield b'{"version": 1, "messages": {"role": "user", "content": "Hi"}}', "messages must be a list, not dict"
    yield b'{"version": 1, "messages": ["Hi"]}', r"messages\[0\] must be a message"
    yield b'{"version": 1, "messages": [{"role": "user"}]}', r"messages\[0\].content is missing"
    yield b'{"version": 1, "messages": [{"role": "user", "content": null}]}', r"messages\[0\].content must be a str"
    three = b'{"role": "user", "content": ""},' * 3
    yield b'{"version": 1, "messages": [' + three + b'{"role": "x", "content": ""}]}', r"messages\[3\].role must be"
    yield b'{"version": 1, "messages": [{"role": "user", "content": "\\ud800"}]}', r"messages\[0\].content.*surrogate"
    yield b'{"version": 1, "messages": [{"role": "user", "content": "", "x": NaN}]}', r"messages\[0\] cannot be"
    yield b'{"version": 1, "model": 7, "messages": []}', "model must be a str, not int"
    yield b'{"version": 1, "model": "", "messages": []}', "model is an empty str"


@pytest.mark.parametrize(("content", "place"), [*files()])
def test_a_bad_file_is_told_with_its_place_and_changes_nothing(
    tmp_path: pathlib.Path, content: bytes, place: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    conversation = Client("http://127.0.0.1:9").conversation(messages=HI, system="Be brief.")

    with pytest.raises(InvalidRequestError, match=place) as caught:
        conversation.load(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert conversation.messages == [RULES, *HI]
    assert conversation.model == "gpt-3.5-turbo"


def test_an_empty_conversation_and_a_file_of_another_editor_are_loaded(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "talk.json"
    conversation = Client("http://127.0.0.1:9").conversation()
    conversation.save(path)
    assert conversation.load(path).messages == []
    path.write_bytes(
        b'\xef\xbb\xbf{"messages": [{"role": "user", "content": "Hi", "id": 7}], "version": 1, "by": "me"}'
    )

    assert conversation.load(path).messages == [{"role": "user", "content": "Hi", "id": 7}]
    assert conversation.model == "gpt-3.5-turbo"


@pytest.mark.parametrize("path", ["missing/talk.json", ""])
def test_what_the_file_system_refuses_is_its_own_error(tmp_path: pathlib.Path, path: str) -> None:
    conversation = Client("http://127.0.0.1:9").conversation()
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        conversation.load(tmp_path / path)
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        conversation.save(tmp_path / path)

    assert os.listdir(tmp_path) == []
