"""`ChatAcytoo` as a chat model: what is asked, what comes back and when; LangChain's own tests are in a job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_models import KEY, PASSWORD, asked, chat
from loops import on, until

from acytoo_sdk import (
    APITimeoutError,
    RetryPolicy,
    ServerError,
    StreamInterruptedError,
)
from acytoo_sdk.integrations.langchain import ChatAcytoo
from acytoo_sdk.testing import FakeServer, Fault, Gate

on_asyncio = on("asyncio")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(pause=0) as server:
        yield server


def added(chunks: list[AIMessageChunk]) -> BaseMessageChunk:
    whole: BaseMessageChunk = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


# What is asked and answered


def test_messages_become_those_of_the_wire(server: FakeServer) -> None:
    messages: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage("Привет", name="anna"),
        AIMessage([{"type": "text", "text": "Прив"}, "ет!"]),
        AIMessageChunk(content="И вам."),
        ChatMessage(content="Как дела?", role="user"),
    ]
    chat(server, api_key=KEY, password=PASSWORD, model="tiny", temperature=1).invoke(messages)

    assert asked(server) == {
        "key": KEY,
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Привет", "name": "anna"},
            {"role": "assistant", "content": "Привет!"},
            {"role": "assistant", "content": "И вам."},
            {"role": "user", "content": "Как дела?"},
        ],
        "temperature": 1.0,
        "password": PASSWORD,
    }


def test_what_another_model_has_thought_is_not_sent(server: FakeServer) -> None:
    thoughts: list[str | dict[str, Any]] = [
        {"type": "reasoning", "reasoning": "Hm"},
        {"type": "thinking", "thinking": "Hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning_content", "reasoning_content": {"text": "Hm"}},
    ]
    chat(server).invoke(
        [
            HumanMessage("Look"),
            AIMessage([*thoughts, {"type": "text", "text": "I see"}]),
            AIMessage(thoughts),
            HumanMessage("Hi"),
        ]
    )
    assert [each["content"] for each in asked(server)["messages"]] == ["Look", "I see", "Hi"]


def test_a_reply_says_which_model_and_request_it_is_of_and_whether_it_is_whole(server: FakeServer) -> None:
    model = chat(server, model="tiny")
    message = model.invoke("Hi")
    assert message.content == "You said: Hi (model tiny, 1 message)"
    assert message.response_metadata == {"model_name": "tiny", "whole": True, "request_id": "req-1"}
    assert message.usage_metadata is None

    server.framing = "close"
    assert model.invoke("Hi").response_metadata["whole"] is None


def test_chunks_add_up_to_the_message_and_the_last_one_says_so(server: FakeServer) -> None:
    *chunks, last = chat(server).stream("Hi")
    assert "".join(str(chunk.content) for chunk in chunks) == "You said: Hi (model gpt-3.5-turbo, 1 message)"
    assert [chunk.response_metadata for chunk in chunks] == [{}] * len(chunks)
    assert [chunk.chunk_position for chunk in (*chunks, last)] == [None] * len(chunks) + ["last"]
    assert added([*chunks, last]).response_metadata == {
        "model_name": "gpt-3.5-turbo",
        "whole": True,
        "request_id": "req-1",
    }


def test_pieces_are_handed_out_as_they_arrive() -> None:
    gate = Gate()
    with FakeServer(["При", "вет"], gate=gate) as server:
        chunks = chat(server).stream("Hi")
        gate.release()
        assert next(chunks).content == "При"
        gate.open()
        assert [chunk.content for chunk in chunks] == ["вет", ""]


@on_asyncio
async def test_pieces_are_handed_out_as_they_arrive_to_async_code() -> None:
    gate = Gate()
    with FakeServer(["При", "вет"], gate=gate) as server:
        chunks = chat(server).astream("Hi")
        gate.release()
        assert (await anext(chunks)).content == "При"
        gate.open()
        assert [chunk.content async for chunk in chunks] == ["вет", ""]


@on_asyncio
async def test_async_calls_say_the_same(server: FakeServer) -> None:
    model = chat(server, model="tiny")
    message = await model.ainvoke("Hi")
    assert message.content == "You said: Hi (model tiny, 1 message)"
    assert message.response_metadata == {"model_name": "tiny", "whole": True, "request_id": "req-1"}

    chunks = added([chunk async for chunk in model.astream("Hi")])
    assert chunks.content == message.content
    assert chunks.response_metadata == {"model_name": "tiny", "whole": True, "request_id": "req-2"}


def test_a_call_may_bring_options_of_its_own() -> None:
    with FakeServer(pause=0, faults=[Fault.status(503)] * 3) as server:
        model = chat(server, model="tiny", retry=RetryPolicy(wait_initial=1000, wait_max=1000))
        with pytest.raises(ServerError):
            model.invoke("Hi", max_retries=0)
        assert len(server.requests) == 1
        with pytest.raises(ServerError):  # at once, where the next attempt would be too late
            model.bind(retry=2).invoke("Hi", retry=RetryPolicy(wait_initial=0), max_retries=1, timeout=30)
        assert len(server.requests) == 3

        message = model.invoke("Hi", model="other", temperature=0)
        assert (asked(server)["model"], asked(server)["temperature"]) == ("other", 0)
        assert message.response_metadata["model_name"] == "other"
        assert model.invoke("Hi", model=None).response_metadata["model_name"] == "tiny"


def test_a_call_may_bring_limits_of_its_own() -> None:
    with FakeServer(faults=[Fault.no_head()]) as server, pytest.raises(APITimeoutError) as raised:
        chat(server, max_retries=0).invoke("Hi", timeout=0.1)
    assert raised.value.phase == "total"


def test_max_retries_is_how_often_an_attempt_is_made_again() -> None:
    with FakeServer(faults=[Fault.status(503)] * 9) as server:
        for max_retries in (2, 0, None):
            with pytest.raises(ServerError):
                chat(server, retry=RetryPolicy(2, wait_initial=0), max_retries=max_retries).invoke("Hi")
        assert len(server.requests) == 3 + 1 + 2


def test_max_tokens_is_not_sent_and_a_warning_says_so(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = chat(server, max_tokens=5)
    assert [record.getMessage() for record in caplog.records] == [
        "ChatAcytoo does not send max_tokens: the endpoint has no place for it"
    ]
    model.invoke("Hi")
    assert [*asked(server)] == ["key", "model", "messages", "temperature", "password"]
    assert "ls_max_tokens" not in model._get_ls_params()


# Stop words


@pytest.mark.parametrize(
    "stopped",
    [
        lambda server: chat(server, stop=["END"]),
        lambda server: chat(server, stop="END"),
        lambda server: chat(server, stop=["said"]).bind(stop=["END"]),
        lambda server: chat(server).bind(stop=["ENDLESS", "END"]),
    ],
)
def test_a_reply_ends_before_a_stop_word(stopped: Callable[[FakeServer], Any]) -> None:
    with FakeServer(["He said: E", "mpty. EN", "D. And"], pause=0) as server:
        model = stopped(server)
        assert model.invoke("Hi").content == "He said: Empty. "
        assert added([*model.stream("Hi")]).content == "He said: Empty. "
        assert asyncio.run(model.ainvoke("Hi")).content == "He said: Empty. "


def test_at_a_stop_word_the_connection_is_closed_before_the_text_is_handed_out() -> None:
    with FakeServer(lambda request: (f"{number} " for number in count()), pause=0.001) as server:
        chunks = chat(server).stream("Hi", stop=["7"])
        text = ""
        while "6 " not in text:
            text += str(next(chunks).content)
        assert next(chunks).response_metadata == {"model_name": "gpt-3.5-turbo", "whole": False, "request_id": "req-1"}
        server.wait_until(lambda: not server.open_connections)
        assert text == "0 1 2 3 4 5 6 "


@on_asyncio
async def test_at_a_stop_word_async_code_closes_the_connection_too() -> None:
    with FakeServer(lambda request: (f"{number} " for number in count()), pause=0.001) as server:
        message = await chat(server).ainvoke("Hi", stop=["7"])
        await until(lambda: not server.open_connections)
        assert message.content == "0 1 2 3 4 5 6 "
        assert message.response_metadata["whole"] is False


def test_what_was_held_back_comes_before_the_error_that_ends_the_reply() -> None:
    with FakeServer(["Half of E", "N"], pause=0, faults=[Fault.cut(2)] * 2) as server:
        pieces: list[object] = []

        async def read() -> None:
            async for chunk in chat(server).astream("Hi", stop=["END"]):
                pieces.extend([chunk.content])

        with pytest.raises(StreamInterruptedError) as raised:
            pieces.extend(chunk.content for chunk in chat(server).stream("Hi", stop=["END"]))
        assert "".join(map(str, pieces)) == raised.value.partial_text == "Half of EN"
        pieces.clear()
        with pytest.raises(StreamInterruptedError):
            asyncio.run(read())
        assert "".join(map(str, pieces)) == "Half of EN"


# Connections


def test_leaving_the_loop_closes_the_connection() -> None:
    with FakeServer(lambda request: (f"{number} " for number in count()), pause=0.001) as server:
        model = chat(server)
        for _ in model.stream("Hi"):
            break
        server.wait_until(lambda: not server.open_connections)


@on_asyncio
async def test_leaving_an_async_loop_and_cancelling_close_the_connection() -> None:
    with FakeServer(lambda request: (f"{number} " for number in count()), pause=0.001) as server:
        model = chat(server)
        async for _ in model.astream("Hi"):
            break
        await until(lambda: not server.open_connections)

        task = asyncio.create_task(model.ainvoke("Hi"))
        await until(lambda: server.open_connections)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not server.open_connections)


def test_calls_and_copies_share_connections_that_close_when_the_last_is_dropped(server: FakeServer) -> None:
    model = chat(server)
    model.invoke("Hi")
    [*model.stream("Hi")]
    copied = model.model_copy(update={"model": "other", "api_key": KEY})
    copied.invoke("Hi")
    assert (len(server.requests), server.connections) == (3, 1)

    del model
    copied.invoke("Hi")
    assert server.connections == server.open_connections == 1
    del copied
    server.wait_until(lambda: not server.open_connections)


def test_async_calls_share_connections_across_loops(server: FakeServer) -> None:
    model = chat(server)
    for _ in range(2):
        asyncio.run(model.ainvoke("Hi"))
    assert server.connections == 1


def test_a_model_may_be_shared_between_threads(server: FakeServer) -> None:
    model = chat(server)
    with ThreadPoolExecutor(8) as threads:
        messages = [*threads.map(model.invoke, map(str, range(40)))]
    expected = [f"You said: {number} (model gpt-3.5-turbo, 1 message)" for number in range(40)]
    assert [message.content for message in messages] == expected
    assert server.connections <= 8


# Many, and in other ways


def test_batches_and_chains_work(server: FakeServer) -> None:
    model = chat(server, model="tiny")
    expected = [f"You said: {word} (model tiny, 1 message)" for word in ("one", "two", "three")]
    assert [each.content for each in model.batch(["one", "two", "three"])] == expected
    assert [each.content for each in asyncio.run(model.abatch(["one", "two", "three"]))] == expected
    chain = model.bind(stop=["("]).with_config(tags=["t"]) | (lambda message: message.content.upper())
    assert chain.invoke("Hi") == "YOU SAID: HI "
    assert model.invoke("Hi", stream=False).content == "You said: Hi (model tiny, 1 message)"


def test_tracers_are_told_the_provider_the_model_and_the_temperature() -> None:
    model = ChatAcytoo(base_url="http://127.0.0.1:1", model="tiny", temperature=0, stop=["END"])
    assert model._get_ls_params() == {
        "ls_provider": "acytoo",
        "ls_model_type": "chat",
        "ls_model_name": "tiny",
        "ls_temperature": 0.0,
        "ls_stop": ["END"],
    }
    params = model._get_ls_params(stop=["x"], model="other", temperature=1)
    assert (params["ls_model_name"], params["ls_temperature"], params["ls_stop"]) == ("other", 1, ["x"])
    assert model._llm_type == "acytoo"
    assert model.asdict() == {
        "_type": "acytoo",
        "model_name": "tiny",
        "temperature": 0.0,
        "base_url": "http://127.0.0.1:1",
    }
