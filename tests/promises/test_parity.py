"""One table through every client: what a caller sees depends neither on the client nor on the loop."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import anyio
import pytest
from cases import CASES
from cases.case import RETRY, Case
from fault_server import FaultServer
from loops import LOOPS

from acytoo_sdk import (
    AcytooError,
    AsyncClient,
    AsyncStream,
    Client,
    ClientClosedError,
    InvalidRequestError,
    RetryPolicy,
    Stream,
    Timeout,
)
from acytoo_sdk._options import Arguments
from acytoo_sdk.testing import NOTICE, FakeServer, Fault, Framing, Gate

SIDES = ("blocking", *LOOPS)
TWINS = {
    "close": "aclose",
    "send": "asend",
    "throw": "athrow",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__next__": "__anext__",
    "__iter__": "__aiter__",
}


@dataclass(frozen=True)
class Outcome:
    """What a caller saw of a stream, but for what differs by nature: times, cuts, and the server's port."""

    text: str
    kept: str
    error: type[AcytooError] | None
    message: str
    facts: tuple[tuple[str, object], ...]
    whole: bool | None
    notice: str | None
    status: int | None
    attempts: int
    requests: int


def outcome(stream: Stream | AsyncStream, text: str, error: AcytooError | None, requests: int, url: str) -> Outcome:
    def neutral(value: object) -> object:
        if isinstance(value, str):
            return value.replace(url.rpartition("/")[2], "SERVER")
        return round(value / 100) if isinstance(value, float) else value  # a date to wait for comes nearer

    assert error is None or error.partial_text == text
    assert stream.stats.characters == len(text)
    hidden = ("partial_text", "__notes__")
    facts = sorted(
        (name, neutral(value)) for name, value in vars(error or AcytooError("")).items() if name not in hidden
    )
    return Outcome(
        text=text,
        kept=stream.text,
        error=None if error is None else type(error),
        message=str(neutral(str(error))),
        facts=tuple((name, tuple(value.items()) if isinstance(value, dict) else value) for name, value in facts),
        whole=stream.whole,
        notice=stream.notice,
        status=stream.head.status if stream.head else None,
        attempts=stream.stats.attempts,
        requests=requests,
    )


def seen(side: str, url: str, count: Callable[[], int], pause: float = 0.0, **options: Any) -> Outcome:
    """One call, on one side, to its end."""

    async def asynchronous() -> Outcome:
        pieces, error = list[str](), None
        async with AsyncClient(url, **options) as client:
            stream = client.stream("Привет, как дела?")
            try:
                async for piece in stream:
                    pieces.append(piece)
                    if pause and len(pieces) == 1:
                        await anyio.sleep(pause)
            except AcytooError as raised:
                error = raised
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        return outcome(stream, "".join(pieces), error, count(), url)

    def blocking() -> Outcome:
        pieces, error = list[str](), None
        with Client(url, **options) as client:
            stream = client.stream("Привет, как дела?")
            try:
                for piece in stream:
                    pieces.append(piece)
                    if pause and len(pieces) == 1:
                        time.sleep(pause)
            except AcytooError as raised:
                error = raised
            with pytest.raises(StopIteration):
                next(stream)
        return outcome(stream, "".join(pieces), error, count(), url)

    return blocking() if side == "blocking" else anyio.run(asynchronous, backend=side)


def on_every_side(run: Callable[[str], Outcome]) -> list[Outcome]:
    """The outcomes, all sides at once: most of a fault's time is waiting."""
    with ThreadPoolExecutor(len(SIDES)) as sides:
        return list(sides.map(run, SIDES))


# What drips, or does not read, differs far below the seam between the sides, and takes its time.
SLOW = ("dripping", "a request nobody reads", "a long body")
FAULTS = [case for case in CASES if "tcp" in case.over and not any(word in case.name for word in SLOW)]


@pytest.mark.parametrize("case", FAULTS, ids=[case.name.replace("/", "|") for case in FAULTS])
def test_every_fault_is_the_same_on_every_side(case: Case) -> None:
    def run(side: str) -> Outcome:
        with FaultServer(case.scripts) as server:
            options = {"timeout": case.timeout, "retry": RETRY, **case.client}
            return seen(side, server.url, lambda: len(server.requests), case.pause, **options)

    outcomes = on_every_side(run)
    for each in outcomes:
        assert each.error is case.error, each
        assert each.kept == each.text
    if case.some:  # how much came is a matter of time
        assert all(each.text and case.text.startswith(each.text) for each in outcomes)
        outcomes = [replace(each, text="", kept="") for each in outcomes]
    if case.requests is None:
        outcomes = [replace(each, requests=0, attempts=0) for each in outcomes]
    if not case.requests:  # nor is where a break surfaces that comes before the request was read
        outcomes = [replace(each, message="") for each in outcomes]
    assert outcomes == outcomes[:1] * 3


@dataclass(frozen=True)
class Row:
    """What our own server answers, and to which options."""

    name: str
    reply: Any = ("Приве", "т, ", "как дела?")
    framing: Framing = "chunked"
    faults: tuple[Fault | None, ...] = ()
    options: Mapping[str, Any] | None = None
    text: str = "Привет, как дела?"
    notice: str | None = None
    whole: bool | None = True
    error: str = ""
    attempts: int = 1


NO_WAIT = RetryPolicy(wait_initial=0)
TWICE = RetryPolicy(attempts=2, wait_initial=0)
FRAMINGS: tuple[Framing, ...] = ("chunked", "one-chunk", "length", "close")


def rows() -> Iterator[Row]:
    for framing in FRAMINGS:
        whole = None if framing == "close" else True
        yield Row(f"{framing}", framing=framing, whole=whole)
        yield Row(f"{framing}, notice", framing=framing, faults=(Fault.notice(),), notice=NOTICE.strip(), whole=whole)
        yield Row(f"{framing}, split", framing=framing, faults=(Fault.split_characters(),), whole=whole)
        if framing != "close":
            cut = (Fault.cut(after=1),)
            yield Row(f"{framing}, cut", framing=framing, faults=cut, text="Приве", whole=False, error="Interrupted")
    yield Row("notice kept", reply="Hi" + NOTICE, options={"strip_notices": False}, text="Hi" + NOTICE)
    advertised: dict[str, Any] = {"reply": ("Hi", NOTICE), "notice": NOTICE.strip(), "text": "Hi"}
    yield Row("cut after a notice", faults=(Fault.cut(),), whole=False, error="Interrupted", **advertised)
    yield Row("503, 503, a reply", faults=(Fault.status(503),) * 2, options={"retry": NO_WAIT}, attempts=3)
    tired = (Fault.status(503),) * 9
    yield Row(
        "503 for ever", faults=tired, options={"retry": TWICE}, text="", whole=False, error="ServerError", attempts=2
    )
    yield Row("no retries", faults=tired, options={"retry": 1}, text="", whole=False, error="ServerError")
    yield Row("dropped, a reply", faults=(Fault.drop(),), options={"retry": NO_WAIT}, attempts=2)
    yield Row("too large", options={"max_reply_bytes": 9}, text="Прив", whole=False, error="TooLarge")
    asked = (Fault.status(429, retry_after=99),)
    yield Row("asked to wait too long", faults=asked, text="", whole=False, error="RateLimitError")
    silent = {"timeout": Timeout(first_byte=0.1), "retry": 1}
    yield Row("first_byte", faults=(Fault.no_head(),), options=silent, text="", whole=False, error="Timeout")
    hung = {"timeout": Timeout(idle=0.1)}
    yield Row("idle", faults=(Fault.stall(),), options=hung, text="Приве", whole=False, error="Timeout")
    total = {"timeout": 0.3}
    yield Row("total", faults=(Fault.stall(),), options=total, text="Приве", whole=False, error="Timeout")
    yield Row("total before the head", faults=(Fault.no_head(),), options=total, text="", whole=False, error="Timeout")
    slow = {"timeout": 0.3, "retry": RetryPolicy(wait_initial=30, wait_max=30)}
    yield Row("the wait outlives total", faults=tired, options=slow, text="", whole=False, error="ServerError")


ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_reply_is_the_same_on_every_side(row: Row) -> None:
    def run(side: str) -> Outcome:
        with FakeServer(row.reply, framing=row.framing, faults=row.faults) as server:
            return seen(side, server.url, lambda: len(server.requests), **(row.options or {}))

    outcomes = on_every_side(run)
    assert outcomes == outcomes[:1] * 3
    assert (outcomes[0].text, outcomes[0].notice, outcomes[0].whole) == (row.text, row.notice, row.whole)
    assert (outcomes[0].attempts, outcomes[0].requests) == (row.attempts, row.attempts)
    assert row.error in (outcomes[0].error or str).__name__


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("side", SIDES)
def test_a_piece_sent_alone_comes_alone(side: str, framing: Framing) -> None:
    sent, gate = ["Приве", "т", " ", "🦊"], Gate()

    def blocking() -> list[str]:
        pieces = []
        with Client(server.url) as client, client.stream("Hi") as stream:
            gate.release()
            for piece in stream:
                pieces.append(piece)
                gate.release()
        return pieces

    async def asynchronous() -> list[str]:
        pieces = []
        async with AsyncClient(server.url) as client, client.stream("Hi") as stream:
            gate.release()
            async for piece in stream:
                pieces.append(piece)
                gate.release()
        return pieces

    with FakeServer(sent, framing=framing, gate=gate, pause=0) as server:
        assert (blocking() if side == "blocking" else anyio.run(asynchronous, backend=side)) == sent


# Arguments


BAD_OPTIONS: list[dict[str, Any]] = [
    {"base_url": "ftp://x"},
    {"base_url": "http://u:p@x"},
    {"key": 1},
    {"password": b""},
    {"model": ""},
    {"temperature": float("nan")},
    {"temperature": 2.1},
    {"path": "x"},
    {"headers": {"a": "b\r\nc"}},
    {"timeout": 0},
    {"timeout": "1"},
    {"retry": 0},
    {"retry": True},
    {"proxy": "ftp://x"},
    {"verify": "/no/such/file"},
    {"max_reply_bytes": -1},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_a_bad_option_is_refused_alike(options: dict[str, Any]) -> None:
    options = {"base_url": "http://127.0.0.1:9", **options}
    with pytest.raises(InvalidRequestError) as one:
        Client(**options)
    with pytest.raises(InvalidRequestError) as other:
        AsyncClient(**options)
    assert (str(one.value), vars(one.value)) == (str(other.value), vars(other.value))


@pytest.mark.parametrize("name", ["verfiy", "stream", "options"])
def test_an_option_that_there_is_not_is_refused_alike(name: str) -> None:
    made: tuple[Any, ...] = (Client, AsyncClient)
    for client in made:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            client("http://127.0.0.1:9", **{name: True})


BAD_CALLS: list[tuple[Any, dict[str, Any]]] = [
    ("", {}),
    ([], {}),
    (7, {}),
    ([{"role": "user"}], {}),
    ([{"role": "robot", "content": ""}], {}),
    ([{"role": "user", "content": b"Hi"}], {}),
    ("Hi", {"model": 1}),
    ("Hi", {"temperature": -1}),
    ("Hi", {"timeout": -1}),
    ("Hi", {"retry": 1.5}),
]


@pytest.mark.parametrize(("messages", "options"), BAD_CALLS, ids=str)
def test_a_bad_argument_is_refused_alike_before_anything_is_awaited(messages: Any, options: dict[str, Any]) -> None:
    with FakeServer() as server:
        said = set()
        for client in (Client(server.url), AsyncClient(server.url)):
            with pytest.raises(InvalidRequestError) as refused:
                client.stream(messages, **options)
            said.add(str(refused.value))
        assert len(said) == 1
        assert not server.connections


def test_a_closed_client_is_told_alike() -> None:
    one, other = Client("http://127.0.0.1:9"), AsyncClient("http://127.0.0.1:9")
    early, late = one.stream("Hi"), other.stream("Hi")
    one.close()

    async def main() -> None:
        await other.aclose()
        with pytest.raises(ClientClosedError):
            other.stream("Hi")
        with pytest.raises(ClientClosedError):
            await anext(late)
        with pytest.raises(StopAsyncIteration):
            await anext(late)

    anyio.run(main)
    with pytest.raises(ClientClosedError):
        one.stream("Hi")
    with pytest.raises(ClientClosedError):
        next(early)
    with pytest.raises(StopIteration):
        next(early)


# Signatures


BLOCKING_ONLY = {"executor"}  # an async batch has its client's threads


def public(of: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(of)
        if name in TWINS or name in TWINS.values() or name in ("__init__", "__repr__") or not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("one", "other", "more"),
    [
        (Client, AsyncClient, {"warm_up"}),
        (Stream, AsyncStream, set[str]()),
    ],
)
def test_the_twins_have_the_same_names_and_parameters(one: type, other: type, more: set[str]) -> None:
    mine, its = public(one), public(other)
    assert {TWINS.get(name, name) for name in mine} | more == set(its)
    for name, member in mine.items():
        twin = its[TWINS.get(name, name)]
        assert isinstance(member, property) == isinstance(twin, property), name
        if inspect.isfunction(member) and name != "__init__":
            parameters = [each for each in inspect.signature(member).parameters if each not in BLOCKING_ONLY]
            assert parameters == list(inspect.signature(twin).parameters), name


def test_the_constructors_take_the_same_arguments() -> None:
    parameters = [name for name in inspect.signature(Client).parameters if name != "base_url"]
    assert list(inspect.signature(AsyncClient).parameters) == ["base_url", "max_streams", "arguments"]
    assert set(Arguments.__annotations__) == set(parameters)


def test_the_streams_are_generators_to_their_callers() -> None:
    assert issubclass(Stream, Iterator)
    assert issubclass(AsyncStream, AsyncIterator)
    assert inspect.iscoroutinefunction(AsyncStream.read)
    assert not inspect.iscoroutinefunction(AsyncStream.cancel)


@pytest.mark.parametrize("state", ["not started", "running", "ended", "whole"])
def test_the_streams_tell_their_state_alike(state: Literal["not started", "running", "ended", "whole"]) -> None:
    def blocking() -> str:
        with Client(server.url) as client, client.stream("Hi") as stream:
            if state != "not started":
                next(stream)
            if state == "whole":
                stream.read()
            if state == "ended":
                stream.close()
            return repr(stream)

    async def asynchronous() -> str:
        async with AsyncClient(server.url) as client, client.stream("Hi") as stream:
            if state != "not started":
                await anext(stream)
            if state == "whole":
                await stream.read()
            if state == "ended":
                await stream.aclose()
            return repr(stream)

    with FakeServer(["a", "b", "c"], pause=0.1) as server:
        told = blocking()
        assert state in told
        assert anyio.run(asynchronous) == told.replace("<Stream", "<AsyncStream")
