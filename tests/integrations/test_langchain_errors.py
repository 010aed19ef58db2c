"""What `ChatAcytoo` refuses, how its calls fail, and what LangChain's callbacks are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig
from langchain_models import KEY, chat
from loops import on
from raised_frames import frames

from acytoo_sdk import (
    APIConnectionError,
    AuthenticationError,
    EmptyReplyError,
    InvalidRequestError,
    StreamInterruptedError,
)
from acytoo_sdk.testing import FakeServer, Fault


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(pause=0) as server:
        yield server


# Callbacks


class Told(BaseCallbackHandler):
    """What a handler is told."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.errors: list[BaseException] = []
        self.ended: list[Any] = []
        self.started: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.started.append(kwargs)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ended.append(response)


class ToldAsync(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


def test_callbacks_are_told_of_each_piece_and_of_the_end(server: FakeServer) -> None:
    told = Told()
    config: RunnableConfig = {"callbacks": [told]}
    assert told.tokens == [chunk.content for chunk in chat(server).stream("Hi", config)]
    told.tokens.clear()
    chat(server).invoke("Hi", config)
    assert told.tokens == []
    chat(server, streaming=True).invoke("Hi", config)
    assert "".join(told.tokens) == "You said: Hi (model gpt-3.5-turbo, 1 message)"
    assert [each.generations[0][0].text for each in told.ended] == ["".join(told.tokens)] * 3
    assert len(told.started) == 3


class Manager:
    """A run manager, as far as a model needs one."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def on_llm_new_token(self, token: str, *, chunk: ChatGenerationChunk) -> None:
        self.told.append((token, chunk))


class AsyncManager(Manager):
    async def on_llm_new_token(self, token: str, *, chunk: ChatGenerationChunk) -> None:  # type: ignore[override]
        super().on_llm_new_token(token, chunk=chunk)


def test_a_run_manager_is_told_of_each_piece_before_it_is_handed_out(server: FakeServer) -> None:
    model, messages = chat(server), [HumanMessage("Hi")]
    manager: Any = Manager()
    for chunk in model._stream([*messages], run_manager=manager):
        assert chunk.message.response_metadata or manager.told[-1] == (chunk.text, chunk)

    async def read() -> None:
        manager: Any = AsyncManager()
        async for chunk in model._astream([*messages], run_manager=manager):
            assert chunk.message.response_metadata or manager.told[-1] == (chunk.text, chunk)

    asyncio.run(read())


@on("asyncio")
async def test_events_tell_of_each_piece(server: FakeServer) -> None:
    told = ToldAsync()
    events = [
        event["data"]["chunk"].content
        async for event in chat(server, callbacks=[told]).astream_events("Hi", version="v2")
        if event["event"] == "on_chat_model_stream"
    ]
    assert events == told.tokens
    assert "".join(events) == "You said: Hi (model gpt-3.5-turbo, 1 message)"


def test_callbacks_are_told_of_an_error_with_what_had_arrived() -> None:
    with FakeServer(["При", "вет"], pause=0, faults=[Fault.cut(1)] * 3) as server:
        told = Told()
        model = chat(server, callbacks=[told])
        with pytest.raises(StreamInterruptedError):
            model.invoke("Hi")
        with pytest.raises(StreamInterruptedError):
            [*model.stream("Hi")]
        with pytest.raises(StreamInterruptedError):
            asyncio.run(model.ainvoke("Hi"))
        assert [type(error) for error in told.errors] == [StreamInterruptedError] * 3
        assert [error.partial_text for error in told.errors if isinstance(error, StreamInterruptedError)] == ["При"] * 3


# Errors, and what LangChain does with them


def test_errors_are_those_of_the_package(server: FakeServer) -> None:
    server.status = 401
    with pytest.raises(AuthenticationError) as raised:
        chat(server, api_key=KEY).invoke("Hi")
    assert raised.value.status_code == 401


def test_with_retry_and_with_fallbacks_know_them() -> None:
    with FakeServer("whole", pause=0, faults=[Fault.drop(), Fault.empty(), None, Fault.status(401)]) as server:
        model = chat(server, max_retries=0)
        retried = model.with_retry(
            retry_if_exception_type=(APIConnectionError, EmptyReplyError), wait_exponential_jitter=False
        )
        assert retried.invoke("Hi").content == "whole"
        assert len(server.requests) == 3
        backed = model.with_fallbacks([model], exceptions_to_handle=(AuthenticationError,))
        assert asyncio.run(backed.ainvoke("Hi")).content == "whole"
        assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            HumanMessage([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "data:"}}]),
            r"messages\[1\].content\[1\] is a block of type 'image_url': the endpoint takes text alone",
        ),
        (HumanMessage([{"type": "text"}]), r"messages\[1\].content\[0\] is a block of type 'text'"),
        (ToolMessage("4", tool_call_id="1"), r"messages\[1\] is a ToolMessage: the endpoint takes system, human and"),
        (FunctionMessage(content="4", name="add"), r"messages\[1\] is a FunctionMessage"),
        (
            AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]),
            r"messages\[1\] calls a tool: the endpoint knows no tools",
        ),
        (AIMessage("", additional_kwargs={"function_call": {"name": "add"}}), r"messages\[1\] calls a tool"),
        (
            ChatMessage(content="4", role="tool"),
            r"messages\[1\] is a ChatMessage of role 'tool': the endpoint knows no tools",
        ),
        (ChatMessage(content="4", role="function"), r"messages\[1\] is a ChatMessage of role 'function'"),
        (
            HumanMessage([{"type": "thinking", "thinking": "Hm"}]),
            r"messages\[1\].content\[0\] is a block of type 'thinking'",
        ),
        (ChatMessage(content="Hi", role="pirate"), r"messages\[1\].role must be one of"),
    ],
)
def test_what_the_endpoint_has_no_place_for_is_refused(server: FakeServer, message: BaseMessage, sentence: str) -> None:
    model = chat(server)
    for ask in (model.invoke, lambda messages: [*model.stream(messages)]):
        with pytest.raises(InvalidRequestError, match=sentence):
            ask([HumanMessage("Hi"), message])
    assert server.requests == []


def test_tools_and_unknown_arguments_of_a_call_are_refused(server: FakeServer) -> None:
    model = chat(server)
    with pytest.raises(NotImplementedError, match="ChatAcytoo cannot bind tools: the endpoint streams bare text"):
        model.bind_tools([])
    sentence = "ChatAcytoo has no structured output: .* ask for JSON in the prompt, and put a parser after the model"
    with pytest.raises(NotImplementedError, match=sentence):
        model.with_structured_output({"title": "Joke", "description": "A joke", "type": "object", "properties": {}})
    with pytest.raises(InvalidRequestError, match="takes no tools= in a call: the endpoint has no place for it"):
        model.invoke("Hi", tools=[])
    with pytest.raises(InvalidRequestError, match="max_retries must be an int, not str"):
        model.invoke("Hi", max_retries="3")
    with pytest.raises(InvalidRequestError, match=r"stop\[0\] is an empty str"):
        model.invoke("Hi", stop=[""])
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("api_key", "it is an option of ChatAcytoo"),
        ("key", "it is an option of ChatAcytoo"),
        ("headers", "it is an option of ChatAcytoo"),
        ("max_tokens", "the endpoint has no place for it"),
        ("passwrd", "the endpoint has no place for it"),
    ],
)
def test_an_argument_that_a_call_does_not_take_is_refused_before_a_callback_is_told(
    name: str, reason: str, server: FakeServer
) -> None:
    told = Told()
    given: dict[str, Any] = {name: KEY}
    model = chat(server, callbacks=[told])

    async def streamed() -> None:
        await anext(model.astream("Hi", **given))

    asks: tuple[Callable[[], object], ...] = (
        lambda: model.invoke("Hi", **given),
        lambda: [*model.bind(**given).stream("Hi")],
        lambda: asyncio.run(model.ainvoke("Hi", **given)),
        lambda: asyncio.run(streamed()),
        lambda: model.batch(["Hi"], **given),
    )
    for ask in asks:
        with pytest.raises(InvalidRequestError, match=f"takes no {name}= in a call: {reason}; a call takes") as raised:
            ask()
        ours = [each for _, each in frames(raised.value, but=__file__) if "acytoo_sdk" in each.f_code.co_filename]
        assert ours
        assert not [frame for frame in ours if KEY in repr(frame.f_locals)]
    assert told.started + told.errors == []
    assert server.requests == []
