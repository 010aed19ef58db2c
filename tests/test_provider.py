"""The provider class has the face that g4f's users know, and none of the old one's faults."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import os
import textwrap
from typing import Any

import anyio
import pytest

from acytoo_sdk import AcytooError, APITimeoutError, InvalidRequestError, RateLimitError
from acytoo_sdk.provider import Acytoo, AsyncGeneratorProvider, AsyncResult, CreateResult, Messages, provider
from acytoo_sdk.testing import FakeServer, Fault, Gate

HI: Messages = [{"role": "user", "content": "Hi"}]
DOCUMENTED = """
    async def run_acytoo():
        acytoo_provider = Acytoo()
        messages: Messages = [{"role": "user", "content": "Привет, как дела?"}]
        async for block in acytoo_provider.create_async_generator(model="gpt-3.5-turbo", messages=messages):
            print(block)

    asyncio.run(run_acytoo())
"""


@pytest.fixture
def collector_off() -> collections.abc.Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def body(server: FakeServer) -> dict[str, Any]:
    request = server.requests[-1].json
    assert request is not None
    return request


async def joined(blocks: AsyncResult) -> str:
    return "".join([block async for block in blocks])


def replies(ours: type[Acytoo], model: Any = "", messages: Any = HI, **kwargs: Any) -> list[str]:
    """One reply through each of the three methods."""
    return [
        "".join(ours.create_completion(model, messages, **kwargs)),
        asyncio.run(ours.create_async(model, messages, **kwargs)),
        asyncio.run(joined(ours.create_async_generator(model, messages, **kwargs))),
    ]


# The example


def test_the_example_of_the_documentation_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Хорошо, спасибо! 👋"
    with FakeServer([bytes((byte,)) for byte in text.encode()], pause=0) as server:
        monkeypatch.setenv("ACYTOO_BASE_URL", server.url)
        exec(textwrap.dedent(DOCUMENTED), {"Acytoo": Acytoo, "Messages": Messages, "asyncio": asyncio})

        assert capsys.readouterr().out.replace("\n", "") == text
        assert body(server) == {
            "key": "",
            "model": "gpt-3.5-turbo",
            "messages": [{"role": "user", "content": "Привет, как дела?"}],
            "temperature": 0.5,
            "password": "",
        }


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_blocks_come_as_they_arrive_and_leaving_the_loop_closes_the_connection(
    backend: str, collector_off: None
) -> None:
    with FakeServer(["Hel", "lo"], gate=(gate := Gate())) as server:
        gate.release()

        async def main() -> None:
            async for block in provider(server.url).create_async_generator("", HI):
                assert block == "Hel"
                break

        anyio.run(main, backend=backend)
        server.wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("stream", [True, False])
def test_the_blocking_generator_needs_no_event_loop_and_minds_none(stream: bool) -> None:
    with FakeServer(["Hel", "lo"]) as server:
        ours = provider(server.url)

        async def main() -> str:
            return "".join(ours.create_completion("m", HI, stream))

        assert "".join(ours.create_completion("m", HI, stream=stream)) == "Hello"
        assert asyncio.run(main()) == "Hello"


def test_no_connection_waits_for_another_call(collector_off: None) -> None:
    with FakeServer("Hello") as server:
        assert replies(provider(server.url)) == ["Hello"] * 3
        server.wait_until(lambda: server.open_connections == 0)


# The face


@pytest.mark.parametrize("face", [Acytoo, Acytoo()])
def test_the_attributes_are_there_on_the_class_and_on_an_instance(face: Any) -> None:
    assert face.url == "https://chat.acytoo.com"
    assert face.working is False
    assert face.needs_auth is False
    assert face.supports_message_history is face.supports_gpt_35_turbo is face.supports_stream is True
    assert type(face.live) is int
    assert type(face.use_stream_timeout) is bool
    assert face.default_model == "gpt-3.5-turbo"
    assert face.models == face.get_models() == face.get_models(api_key="x") == ["gpt-3.5-turbo"]
    assert face.get_dict() == {"name": "Acytoo", "url": "https://chat.acytoo.com", "label": "Acytoo"}
    assert face.get_parent() == "Acytoo"


def test_the_class_is_called_what_it_was() -> None:
    assert Acytoo.__name__ == provider("http://127.0.0.1:9").__name__ == "Acytoo"
    assert issubclass(Acytoo, AsyncGeneratorProvider)
    assert issubclass(provider("http://127.0.0.1:9"), Acytoo)
    assert (AsyncResult, CreateResult) == (
        collections.abc.AsyncGenerator[str, None],
        collections.abc.Generator[str, None, None],
    )


@pytest.mark.parametrize(
    ("url", "working"),
    [
        ("", False),
        ("https://chat.acytoo.com", False),
        ("https://CHAT.acytoo.com:443/", False),
        ("http://127.0.0.1:8000", True),
        ("https://chat.acytoo.com.example.org", True),
        ("http://[", True),
    ],
)
def test_working_tells_whether_the_server_is_the_users(
    monkeypatch: pytest.MonkeyPatch, url: str, working: bool
) -> None:
    monkeypatch.setenv("ACYTOO_BASE_URL", url)
    assert Acytoo.working is Acytoo().working is working
    assert Acytoo.url == (url or "https://chat.acytoo.com")
    if url:
        monkeypatch.delenv("ACYTOO_BASE_URL")
        monkeypatch.setattr(Acytoo, "url", url)
        assert Acytoo.working is working
    monkeypatch.undo()
    assert Acytoo.working is False


def test_the_url_is_what_was_set_last(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Acytoo):
        url = "http://127.0.0.1:1"

    with FakeServer("environment") as environment, FakeServer("class") as own, FakeServer("call") as call:
        monkeypatch.setenv("ACYTOO_BASE_URL", environment.url)
        assert set(replies(Acytoo)) == {"environment"}
        assert set(replies(provider(own.url))) == {"class"}
        assert set(replies(provider(own.url), base_url=call.url)) == {"call"}
        assert set(replies(provider(own.url), base_url=None)) == {"class"}
        Mine.url = own.url
        assert Mine.working
        assert set(replies(Mine)) == {"class"}


@pytest.mark.parametrize("of_call", [{}, {"key": "call"}, {"password": "call"}])
def test_what_a_class_was_given_goes_to_its_own_server_alone(
    monkeypatch: pytest.MonkeyPatch, of_call: dict[str, str]
) -> None:
    monkeypatch.setenv("ACYTOO_KEY", "class")
    with FakeServer("own") as own, FakeServer("other") as other:
        ours = provider(own.url, key="class", password="class", headers={"x-mine": "class"})

        assert set(replies(ours, base_url=other.url, **of_call)) == {"other"}
        assert {name: body(other)[name] for name in ("key", "password")} == {"key": "", "password": "", **of_call}
        assert all(b"class" not in request.body for request in other.requests)
        assert all("x-mine" not in request.headers for request in other.requests)

        assert set(replies(ours, base_url=f"{own.url}/".replace("http", "HTTP"))) == {"own"}
        assert body(own)["key"] == body(own)["password"] == own.requests[-1].headers["x-mine"] == "class"

        ours.url = other.url
        assert set(replies(ours)) == {"other"}
        monkeypatch.setenv("ACYTOO_BASE_URL", own.url)
        of_environment = provider(None, key="class")  # type: ignore[arg-type]
        assert set(replies(of_environment)) == {"own"}
        assert set(replies(of_environment, base_url=other.url)) == {"other"}
        assert all(b"class" not in request.body for request in other.requests)


@pytest.mark.parametrize("name", ["key", "password"])
def test_the_default_host_gets_no_secret_unasked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret: dict[str, Any] = {name: "tell-nobody"}

    class Mine(Acytoo):
        pass

    for ours in (Acytoo, Mine):
        with pytest.raises(InvalidRequestError, match="pass base_url="):
            ours.create_completion("", HI, **secret)
        with pytest.raises(InvalidRequestError, match="pass base_url="):
            ours.create_async_generator("", HI, **secret)
        ours.create_completion("", HI)
        ours.create_completion("", HI, base_url=Acytoo.url, **secret)
    provider(Acytoo.url, **secret).create_completion("", HI)
    Mine.url = Acytoo.url
    Mine.create_completion("", HI, **secret)
    monkeypatch.setenv("ACYTOO_KEY", "tell-nobody")
    with pytest.raises(InvalidRequestError, match="ACYTOO_KEY"):
        Acytoo.create_completion("", HI)


def test_calls_are_counted_on_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Acytoo, "live", 7)
    first, second = provider("http://127.0.0.1:9"), provider("http://127.0.0.1:9")
    first.live += 3
    second.live -= 1

    assert (first.live, second.live, Acytoo.live) == (3, -1, 7)


def test_a_list_of_models_is_the_callers() -> None:
    class Several(AsyncGeneratorProvider):
        models = ["one", "two"]  # noqa: RUF012

    for each in (Several, Acytoo):
        before = [*each.get_models()]
        each.get_models().clear()
        assert each.get_models() == each.models == before


# The arguments


@pytest.mark.parametrize("model", [None, ""])
def test_no_model_is_the_default_one(monkeypatch: pytest.MonkeyPatch, model: str | None) -> None:
    with FakeServer("Hello") as server:
        ours = provider(server.url)
        replies(ours, model)
        assert {request.json["model"] for request in server.requests if request.json} == {"gpt-3.5-turbo"}
        monkeypatch.setenv("ACYTOO_MODEL", "from the environment")
        replies(ours, model)
        assert body(server)["model"] == ours.default_model == "from the environment"
        own = provider(server.url, model="own")
        replies(own, model)
        assert body(server)["model"] == own.default_model == own.get_models()[0] == "own"
        replies(own, "of the call")
        assert body(server)["model"] == "of the call"


def test_what_a_call_says_beats_what_the_class_says() -> None:
    with FakeServer("Hello") as server:
        ours = provider(server.url, temperature=0.1, key="class", password="class", headers={"x-mine": "1"})
        replies(ours, temperature=None, key=None, password=None, timeout=None, proxy=None)
        assert [body(server)[name] for name in ("temperature", "key", "password")] == [0.1, "class", "class"]
        replies(ours, temperature=0, key="call", password="")
        assert [body(server)[name] for name in ("temperature", "key", "password")] == [0, "call", ""]
        assert server.requests[-1].headers["x-mine"] == "1"


def test_the_arguments_that_g4f_passes_are_ignored() -> None:
    with FakeServer("Hello") as server:
        assert (
            replies(
                provider(server.url),
                provider=Acytoo,
                stop=["x"],
                max_tokens=1,
                api_key={"other": "secret"},
                conversation=object(),
                tools=[],
                ignore_stream=True,
                headers={"x-foreign": "1"},
                verify="nowhere",
                path="nowhere",
            )
            == ["Hello"] * 3
        )
        assert "secret" not in server.requests[-1].body.decode()
        assert "x-foreign" not in server.requests[-1].headers


@pytest.mark.parametrize("given", ["call", "class"])
def test_a_proxy_is_used(given: str) -> None:
    with FakeServer("Hello") as server:
        options: dict[str, Any] = {"proxy": server.url}
        ours = provider("http://chat.invalid", **(options if given == "class" else {}))
        assert set(replies(ours, **(options if given == "call" else {"proxy": ""}))) == {"Hello"}
        assert {request.path for request in server.requests} == {"http://chat.invalid/api/completions"}


def test_a_proxy_may_be_the_third_argument() -> None:
    with FakeServer("Hello") as server:
        blocks = provider("http://chat.invalid").create_async_generator("m", HI, server.url)
        assert asyncio.run(joined(blocks)) == "Hello"


def test_a_timeout_is_kept() -> None:
    with FakeServer("Hello", faults=[Fault.stall(after=0)] * 2) as server:
        with pytest.raises(APITimeoutError):
            "".join(provider(server.url).create_completion("", HI, timeout=0.2))
        with pytest.raises(APITimeoutError):
            asyncio.run(provider(server.url, timeout=0.2).create_async("", HI))


def test_the_messages_are_those_of_the_moment_of_the_call() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi", "createdAt": "now"}]
    expected = [dict(messages[0])]
    with FakeServer("Hello") as server:
        blocking = provider(server.url).create_completion("", messages)
        waiting = provider(server.url).create_async_generator("", messages)
        messages[0]["content"] = "changed"
        messages.clear()

        assert "".join(blocking) == asyncio.run(joined(waiting)) == "Hello"
        assert [request.json["messages"] for request in server.requests if request.json] == [expected] * 2


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([], "messages is an empty list"),
        ([{"role": "", "content": "Hi"}], r"messages\[0\].role"),
        ([{"content": "Hi"}], r"messages\[0\].role is missing"),
        ([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], r"messages\[0\].content must be a str"),
    ],
)
def test_bad_messages_are_told_at_the_call(messages: Any, place: str) -> None:
    ours = provider("http://127.0.0.1:9")
    with pytest.raises(InvalidRequestError, match=place):
        ours.create_async_generator("m", messages)
    with pytest.raises(InvalidRequestError, match=place):
        ours.create_completion("m", messages, True)
    with pytest.raises(InvalidRequestError, match=place):
        asyncio.run(ours.create_async("m", messages))


@pytest.mark.parametrize("options", [{"base_url": "nowhere"}, {"temperature": 7}, {"proxy": "http://"}])
def test_bad_options_are_told_when_the_class_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(options))):
        provider(**{"base_url": "http://127.0.0.1:9", **options})


def test_errors_are_those_of_the_clients() -> None:
    with FakeServer(faults=[Fault.status(429, retry_after=999)] * 3) as server:
        ours = provider(server.url)
        with pytest.raises(RateLimitError) as caught:
            "".join(ours.create_completion("", HI))
        assert caught.value.retry_after == 999
        with pytest.raises(RateLimitError):
            asyncio.run(ours.create_async("", HI))


def test_secrets_show_nowhere() -> None:
    ours = provider("http://127.0.0.1:9", key="s3cret", password="pa55word", proxy="http://user:pr0xy@127.0.0.1:9")
    seen = [repr(ours), repr(vars(ours)), str(ours.get_dict())]
    try:
        "".join(ours.create_completion("", HI, timeout=1))
    except AcytooError as error:
        seen += [str(error), repr(error), repr(vars(error))]

    assert len(seen) == 6
    assert not [secret for secret in ("s3cret", "pa55word", "pr0xy") for text in seen if secret in text]


# Providers of one's own


def test_a_provider_of_ones_own_needs_one_method() -> None:
    class Echo(AsyncGeneratorProvider):
        @classmethod
        async def create_async_generator(  # type: ignore[override]
            cls, model: str, messages: Messages, **kwargs: object
        ) -> AsyncResult:
            for word in messages[-1]["content"].split():
                yield word

    assert asyncio.run(Echo.create_async("m", [{"role": "user", "content": "a b"}])) == "ab"
    assert Echo.get_dict() == {"name": "Echo", "url": "", "label": None}
    assert Echo.get_models() == []
    # Where there is no blocking method, g4f makes one of the other.
    assert not hasattr(Echo, "create_completion")
    with pytest.raises(NotImplementedError, match="AsyncGeneratorProvider has no create_async_generator"):
        AsyncGeneratorProvider.create_async_generator("m", HI)


def test_nothing_of_g4f_is_imported() -> None:
    import sys

    assert not [name for name in sys.modules if name.partition(".")[0] == "g4f"]
    assert "ACYTOO_BASE_URL" not in os.environ
