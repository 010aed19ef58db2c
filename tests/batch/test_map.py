"""`Client.map`: what becomes of many prompts, on real sockets."""

from __future__ import annotations

import asyncio
import gc
import itertools
import operator
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest
from batch_servers import BatchServer, limited

from acytoo_sdk import (
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    BadRequestError,
    Client,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
    Timeout,
    UnexpectedReplyError,
)
from acytoo_sdk.batch import Map, Result
from acytoo_sdk.testing import FakeServer, Fault, Gate

QUICK = RetryPolicy(attempts=3, wait_initial=0.01, wait_max=0.02)
MANY = 200
NEVER = Timeout(connect=None, first_byte=None, idle=None)


def numbers(count: int) -> list[str]:
    return [f"prompt {number}" for number in range(count)]


# What comes out


@pytest.mark.parametrize("ordered", [True, False])
def test_each_item_gets_its_own_reply(ordered: bool) -> None:
    prompts = numbers(50)
    with BatchServer() as server, Client(server.url) as client:
        results = [*client.map(prompts, ordered=ordered)]
    assert ordered == (results == sorted(results, key=lambda result: result.index)) or not ordered
    assert sorted((result.index, result.item, result.text) for result in results) == sorted(
        (index, prompt, prompt.upper()) for index, prompt in enumerate(prompts)
    )
    assert {(result.error, result.whole, result.attempts, result.resumed) for result in results} == {
        (None, True, 1, False)
    }
    assert len({result.request_id for result in results}) == 50


def test_an_item_may_be_anything_that_a_function_makes_messages_of() -> None:
    rows = [{"name": "Ann"}, {"name": "Bob"}]
    with BatchServer() as server, Client(server.url) as client:
        results = [*client.map(rows, prompt=lambda row: [{"role": "user", "content": f"Hi, {row['name']}"}])]
    assert [(result.item, result.unwrap()) for result in results] == [(rows[0], "HI, ANN"), (rows[1], "HI, BOB")]


def test_a_call_s_options_are_those_of_the_batch() -> None:
    with FakeServer() as server, Client(server.url) as client:
        next(client.map(["Hi"], model="tiny", temperature=1.5))
    assert server.requests[0].json is not None
    assert (server.requests[0].json["model"], server.requests[0].json["temperature"]) == ("tiny", 1.5)


def test_a_result_tells_of_a_notice() -> None:
    with FakeServer("Hello", faults=[Fault.notice()]) as server, Client(server.url) as client:
        (result,) = client.map(["Hi"])
    assert result.text == "Hello"
    assert result.notice is not None
    assert result.notice.startswith("You can try")


def test_a_result_without_a_reply_raises_its_error() -> None:
    with FakeServer(faults=[Fault.status(400)]) as server, Client(server.url) as client:
        (result,) = client.map(["Hi"])
    assert result.text is None
    with pytest.raises(BadRequestError):
        result.unwrap()
    assert pickle.loads(pickle.dumps(result)).error.status_code == 400


def test_progress_bars_know_the_length_where_the_input_has_one() -> None:
    client = Client("http://127.0.0.1:1")
    assert len(client.map(numbers(7))) == 7
    assert operator.length_hint(client.map(numbers(7))) == 7
    endless = client.map(iter(numbers(7)))
    with pytest.raises(TypeError, match="no length"):
        len(endless)
    assert operator.length_hint(endless, 3) == 3
    assert endless
    assert client.map([])
    assert [*client.map([])] == []


# Bounds


def test_nothing_is_read_and_nothing_sent_before_the_first_result_is_asked_for() -> None:
    prompts = iter(numbers(3))
    with BatchServer() as server, Client(server.url) as client:
        client.map(prompts)
        assert not server.requests
    assert [*prompts] == numbers(3)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("concurrency", "window", "bound"), [(3, None, 6), (4, 2, 2), (2, 9, 9)])
def test_prompts_taken_and_not_handed_out_are_never_more_than_the_window(
    ordered: bool, concurrency: int, window: int | None, bound: int
) -> None:
    taken, handed_out, most = itertools.count(1), 0, 0

    def prompts() -> Iterator[str]:
        nonlocal most
        for prompt in numbers(60):
            most = max(most, next(taken) - handed_out)
            yield prompt

    with BatchServer() as server, Client(server.url) as client:
        for _ in client.map(prompts(), concurrency=concurrency, window=window, ordered=ordered):
            handed_out += 1
    assert handed_out == 60
    assert most == bound
    assert server.most <= min(bound, concurrency)


def test_as_many_run_at_once_as_may() -> None:
    gate = Gate()
    with FakeServer("Hi", gate=gate) as server, Client(server.url) as client:
        batch = client.map(numbers(20), concurrency=5)
        thread = threading.Thread(target=lambda: [*batch])
        thread.start()
        while gate.waiting < 5:
            gate.wait_until_waiting()
        gate.open()
        thread.join()
    assert len(server.requests) == 20


def test_an_endless_input_is_read_as_it_is_needed_in_the_thread_that_takes_results() -> None:
    threads = set()

    def prompts() -> Iterator[str]:
        while True:
            threads.add(threading.current_thread())
            yield "Hi"

    with BatchServer() as server, Client(server.url) as client, client.map(prompts()) as batch:
        assert [result.unwrap() for result in itertools.islice(batch, 100)] == ["HI"] * 100
    assert threads == {threading.current_thread()}


def test_a_result_that_is_there_is_handed_out_after_one_prompt_more_at_most() -> None:
    """Where the input is slow, a pipe for instance, no result waits until the window is full."""
    read = 0

    def prompts() -> Iterator[str]:
        nonlocal read
        for number in range(40):
            read += 1
            if number:
                server.wait_until(partial(lambda number: len(server.requests) == number, number))
                time.sleep(0.02)  # for the reply to come
            yield f"prompt {number}"

    with BatchServer() as server, Client(server.url) as client, client.map(prompts(), concurrency=10) as batch:
        next(batch)
        assert read <= 5
        next(batch)
        assert read <= 7


# Errors


def test_an_error_stays_with_its_item_and_keeps_what_had_arrived() -> None:
    faults = {"b": [Fault.cut(after=1)], "c": [Fault.status(400)], "d": [Fault.html_page()]}
    with BatchServer(faults) as server, Client(server.url, retry=1) as client:
        results = [*client.map(["a", "bb", "c", "d", "e"])]
        broken = [*client.map(["b"])]
    assert [result.text for result in results] == ["A", "BB", None, None, "E"]
    assert [type(result.error) for result in results if result.error] == [BadRequestError, UnexpectedReplyError]
    assert [(result.whole, result.attempts) for result in results if result.error] == [(False, 1), (False, 1)]
    assert isinstance(broken[0].error, StreamInterruptedError)
    assert broken[0].error.partial_text == "B"


@pytest.mark.parametrize(
    ("faults", "attempts"),
    [
        ([Fault.cut(after=1)], 2),  # after its first text: nobody was handed that
        ([Fault.stall(after=1)], 2),
        ([Fault.drop(), Fault.status(503)], 3),
        ([Fault.empty(), Fault.reset()], 3),
    ],
)
def test_what_may_succeed_is_asked_again(faults: list[Fault], attempts: int) -> None:
    with BatchServer({"Hi": faults}) as server, Client(server.url, timeout=Timeout(idle=0.2), retry=QUICK) as client:
        (result,) = client.map(["Hi"])
    assert (result.text, result.attempts) == ("HI", attempts)


def test_every_attempt_sends_the_same_whatever_the_caller_changes_meanwhile() -> None:
    message = {"role": "user", "content": "Hi", "tags": ["a"]}

    def change(request: dict[str, Any]) -> Iterator[str]:
        message["content"] = "another"
        message["tags"].append("b")  # type: ignore[attr-defined]
        yield "H"
        if len(server.requests) < 3:
            raise ConnectionError
        yield "i"

    with FakeServer(change) as server, Client(server.url, retry=QUICK) as client:
        (result,) = client.map([message])
        server.errors.clear()
    assert (result.text, result.attempts) == ("Hi", 3)
    assert [request.json and request.json["messages"] for request in server.requests] == [
        [{"role": "user", "content": "Hi", "tags": ["a"]}]
    ] * 3


def test_an_item_that_waits_for_its_next_attempt_holds_up_nobody() -> None:
    retry = RetryPolicy(attempts=2, wait_initial=0.3, jitter=0)
    with BatchServer({"first": [Fault.drop()]}) as server, Client(server.url, retry=retry) as client:
        results = [*client.map(["first", *numbers(10)], concurrency=1, window=20)]
    assert server.prompts == ["first", *numbers(10), "first"]
    assert [result.item for result in results] == ["first", *numbers(10)]


def test_an_item_that_is_no_prompt_is_an_error_of_its_own() -> None:
    items: list[Any] = ["a", None, float("nan"), "", [{"role": "user"}], "b"]
    with BatchServer() as server, Client(server.url) as client:
        results = [*client.map(items)]
    assert [result.text for result in results] == ["A", None, None, None, None, "B"]
    assert [str(result.error) for result in results[1:-1]] == [
        "prompts[1] must be a str, a message or a sequence of messages, not None",
        "prompts[2] must be a str, a message or a sequence of messages, not float",
        "prompts[3] is an empty str",
        "prompts[4][0].content is missing",
    ]
    assert {(type(result.error), result.attempts) for result in results[1:-1]} == {(InvalidRequestError, 0)}


def test_what_a_format_has_no_place_for_is_an_error_of_its_own() -> None:
    two = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    with FakeServer("Hi") as server, Client(server.url, payload="prompt") as client:
        results = [*client.map(["a", two])]
    assert results[0].text == "Hi"
    assert isinstance(results[1].error, InvalidRequestError)
    assert results[1].attempts == 0


@pytest.mark.parametrize("ordered", [True, False])
def test_what_the_input_raises_comes_after_the_results_before_it(ordered: bool) -> None:
    def prompts() -> Iterator[str]:
        yield from numbers(20)
        raise LookupError("the table ends here")

    handed_out: list[str] = []
    with BatchServer() as server, Client(server.url) as client:
        batch = client.map(prompts(), ordered=ordered)
        with pytest.raises(LookupError, match="the table ends here"):
            handed_out.extend(result.unwrap() for result in batch)
    assert sorted(handed_out) == sorted(prompt.upper() for prompt in numbers(20))


def test_what_the_prompt_s_function_raises_comes_after_the_results_before_it() -> None:
    handed_out: list[str] = []
    with BatchServer() as server, Client(server.url) as client:
        batch = client.map([3, 2, 1, 0, 1], prompt=lambda number: str(6 // number))
        with pytest.raises(ZeroDivisionError):
            handed_out.extend(result.unwrap() for result in batch)
        assert [*batch] == []
    assert handed_out == ["2", "3", "6"]


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_function_that_raises_what_ends_loops_does_not_end_them_unseen(kind: type[Exception]) -> None:
    def prompt(item: str) -> str:
        raise kind

    async def read(url: str) -> None:
        async with AsyncClient(url) as client:
            [result async for result in client.map(["Hi"], prompt=prompt)]

    with pytest.raises(RuntimeError, match=f"raised {kind.__name__}"):
        next(Client("http://127.0.0.1:1").map(["Hi"], prompt=prompt))
    with pytest.raises(RuntimeError, match=f"raised {kind.__name__}"):
        asyncio.run(read("http://127.0.0.1:1"))


def test_what_a_function_of_the_client_s_raises_comes_out_as_itself() -> None:
    def payload(told: dict[str, Any]) -> dict[str, Any]:
        if told["messages"][0]["content"] == "prompt 5":
            raise LookupError("a bug")
        return told

    handed_out: list[str] = []
    with BatchServer() as server, Client(server.url, payload=payload) as client:
        batch = client.map(numbers(100))
        with pytest.raises(LookupError, match="a bug"):
            handed_out.extend(result.unwrap() for result in batch)
    assert {*map(str.upper, numbers(5))} <= {*handed_out}
    assert len(handed_out) < 50


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"prompts": "Hi"}, r"prompts must be an iterable of prompts, not str: for one prompt, pass \[prompt\]"),
        ({"prompts": b"Hi"}, "prompts must be an iterable of prompts, not bytes"),
        ({"prompts": {"role": "user", "content": "Hi"}}, "prompts must be an iterable of prompts, not dict: for one"),
        ({"prompts": 3}, "prompts must be an iterable of prompts, not int"),
        ({"prompt": "Hi {}"}, "prompt must be a function of an item, not str"),
        ({"concurrency": 0}, "concurrency must be 1 or more, not int 0"),
        ({"concurrency": 2.5}, "concurrency must be an int, not float 2.5"),
        ({"ordered": None}, "ordered must be True or False, not None"),
        ({"window": 0}, "window must be 1 or more, not int 0"),
        ({"requests_per_minute": 0}, "requests_per_minute must be more than 0, not int 0"),
        ({"requests_per_minute": float("inf")}, "requests_per_minute must be finite, not float inf"),
        ({"journal": 3}, "journal must be the path of a file, not int"),
        ({"executor": 4}, "executor must be a concurrent.futures.Executor, not int"),
        ({"model": ""}, "model is an empty str"),
        ({"temperature": 3}, "temperature must be 0 to 2, not int 3"),
        ({"timeout": -1}, "timeout must be more than 0, not int -1"),
        ({"retry": "x"}, "retry must be a RetryPolicy or an int"),
    ],
)
def test_an_argument_that_is_not_usable_is_refused_at_once(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named):
        Client("http://127.0.0.1:1").map(**{"prompts": ["Hi"], **arguments})


# Servers with limits


def test_hundreds_of_prompts_of_which_a_fifth_fails_in_every_way_get_each_its_own_outcome() -> None:
    forever: dict[type[Exception], Fault] = {
        BadRequestError: Fault.status(400),
        ServerError: Fault.status(500),
        UnexpectedReplyError: Fault.json_error(),
        StreamInterruptedError: Fault.cut(after=1),
        APIConnectionError: Fault.reset(),
        APITimeoutError: Fault.stall(after=1),
        EmptyReplyError: Fault.empty(),
        DecodeError: Fault.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe"),
    }
    once = [Fault.status(429, retry_after=0), Fault.status(503), Fault.drop(), Fault.cut(after=1), Fault.no_head()]
    choice = random.Random(13)
    faults: dict[str, list[Fault | None]] = {}
    expected: dict[str, type[Exception] | None] = dict.fromkeys(numbers(MANY))
    for number, prompt in enumerate(choice.sample(numbers(MANY), MANY // 5)):
        if number % 5 < 2:
            kind = [*forever][number // 5 % len(forever)]
            faults[prompt], expected[prompt] = [forever[kind]] * 3, kind
        else:
            faults[prompt] = [once[number % len(once)]]
    timeout = Timeout(first_byte=0.4, idle=0.4)
    with BatchServer(faults) as server, Client(server.url, timeout=timeout, retry=QUICK) as client:
        results = [*client.map(numbers(MANY), concurrency=16)]
    assert [result.item for result in results] == numbers(MANY)
    assert {result.item: result.error and type(result.error) for result in results} == expected
    assert all(result.text == result.item.upper() for result in results if not result.error)
    assert server.most <= 16
    assert sum(result.attempts for result in results) == len(server.requests)


@pytest.mark.parametrize(("retry_after", "prompts"), [(1, 20), (None, 50)])
def test_a_server_that_allows_ten_requests_answers_all_that_come_at_once(retry_after: int | None, prompts: int) -> None:
    fault = Fault.status(429, retry_after=retry_after)
    retry = RetryPolicy(wait_initial=0.1)
    with FakeServer("Hi", faults=limited(10, 0.2, fault)) as server, Client(server.url, retry=retry) as client:
        results = [*client.map(numbers(prompts), concurrency=prompts)]
    assert {result.text for result in results} == {"Hi"}
    assert len(server.requests) > prompts


def test_a_server_that_has_had_enough_for_good_fails_all_soon() -> None:
    always = itertools.repeat(Fault.status(429, retry_after=0))
    with FakeServer(faults=always) as server, Client(server.url) as client:
        results = [*client.map(numbers(200))]
    assert {type(result.error) for result in results} == {RateLimitError}
    assert len(server.requests) < 300


def test_requests_keep_a_steady_rate_retries_included() -> None:
    times = []

    def reply(request: dict[str, Any]) -> str:
        times.append(time.monotonic())
        return "Hi"

    faults = [None, Fault.drop(), None, Fault.status(503)]
    with FakeServer(reply, faults=faults) as server, Client(server.url, retry=QUICK) as client:
        results = [*client.map(numbers(8), requests_per_minute=1200)]
    assert {result.text for result in results} == {"Hi"}
    assert len(server.requests) == 10
    assert times[-1] - times[0] > 0.9 * (len(server.requests) - 1) * 0.05
    for first, fourth in zip(times, times[3:], strict=False):
        assert fourth - first > 0.05, "no burst"


# The end


def left(batch: Map[str]) -> None:
    for _ in batch:
        break


def raised(batch: Map[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        print([result.index / 0 for result in batch])


def closed(batch: Map[str]) -> None:
    next(batch)
    batch.close()
    assert [*batch] == []


def with_left(batch: Map[str]) -> None:
    with batch:
        next(batch)


@pytest.mark.parametrize("leave", [left, raised, closed, with_left])
def test_leaving_a_batch_closes_what_runs_at_once(leave: Any) -> None:
    faults = {prompt: [Fault.stall(after=1)] for prompt in numbers(20)[1:]}
    with BatchServer(faults) as server, Client(server.url, timeout=NEVER) as client:
        before = {*threading.enumerate()}
        leave(client.map(numbers(20), concurrency=6, ordered=False))
        server.wait_until(lambda: server.open_connections <= 1)  # the one that is kept for the next call
        for thread in {*threading.enumerate()} - before:
            if thread.name.startswith("acytoo"):
                thread.join(5)
                assert not thread.is_alive()
        assert client.complete("Hi") == "HI", "the client goes on"


def test_dropping_a_batch_waits_for_no_garbage_collector() -> None:
    faults = {prompt: [Fault.no_head()] for prompt in numbers(20)[1:]}
    with BatchServer(faults) as server, Client(server.url, timeout=NEVER) as client:
        gc.disable()
        try:
            batch = client.map(numbers(20), concurrency=4)
            next(batch)
            server.wait_until(lambda: len(server.requests) == 5)
            del batch
            server.wait_until(lambda: server.open_connections <= 1)
        finally:
            gc.enable()


def test_closing_from_another_thread_tells_the_one_that_waits() -> None:
    with FakeServer(faults=itertools.repeat(Fault.no_head())) as server, Client(server.url, timeout=NEVER) as client:
        batch = client.map(numbers(5), concurrency=2)

        def close() -> None:
            server.wait_until(lambda: len(server.requests) == 2)
            batch.close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises(StreamCancelledError, match="The batch was closed"):
            next(batch)
        closer.join()
        server.wait_until(lambda: not server.open_connections)


def test_closing_while_the_input_is_waited_for_closes_connections_at_once() -> None:
    given = threading.Event()

    def prompts() -> Iterator[str]:
        yield "Hi"
        given.wait(10)

    with FakeServer(faults=[Fault.no_head()]) as server, Client(server.url, timeout=NEVER) as client:
        batch = client.map(prompts(), concurrency=2)
        errors: list[str] = []

        def read() -> None:
            try:
                next(batch)
            except StreamCancelledError as error:
                errors.append(str(error))

        thread = threading.Thread(target=read)
        thread.start()
        server.wait_until(lambda: len(server.requests) == 1)
        batch.close()
        server.wait_until(lambda: not server.open_connections)
        given.set()
        thread.join()
    assert errors == ["The batch was closed"]


def test_one_thread_takes_results_at_a_time() -> None:
    gate = Gate()
    with FakeServer("Hi", gate=gate) as server, Client(server.url) as client:
        batch = client.map(["Hi"])
        results: list[Result[str]] = []
        thread = threading.Thread(target=lambda: results.extend(batch))
        thread.start()
        gate.wait_until_waiting()
        with pytest.raises(InvalidRequestError, match="Another thread takes the results"):
            next(batch)
        gate.open()
        thread.join()
    assert [result.text for result in results] == ["Hi"]


def test_a_client_that_is_closed_ends_its_batch_in_one_error() -> None:
    handed_out: list[Result[str]] = []
    with BatchServer() as server, Client(server.url) as client:
        batch = client.map(numbers(1000))
        handed_out.extend(itertools.islice(batch, 5))
        client.close()
        with pytest.raises((ClientClosedError, StreamCancelledError)):
            handed_out.extend(batch)
        with pytest.raises(ClientClosedError):
            client.map(["Hi"])
    assert not any(result.error for result in handed_out)


def test_ctrl_c_ends_what_runs_and_comes_out_as_itself() -> None:
    with FakeServer(faults=itertools.repeat(Fault.no_head())) as server, Client(server.url, timeout=NEVER) as client:
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            server.wait_until(lambda: len(server.requests) == 4)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            next(client.map(numbers(9), concurrency=4))
        thread.join()
        server.wait_until(lambda: not server.open_connections)


def test_a_signal_handler_may_close_a_batch_that_it_interrupts() -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        batch.close()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        faults = itertools.repeat(Fault.no_head())
        with FakeServer(faults=faults) as server, Client(server.url, timeout=NEVER) as client:
            batch = client.map(numbers(9), concurrency=2)

            def interrupt() -> None:
                server.wait_until(lambda: len(server.requests) == 2)
                os.kill(os.getpid(), signal.SIGUSR1)

            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(StreamCancelledError):
                next(batch)
            thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_silent_server_does_not_hold_the_interpreter_at_its_exit() -> None:
    program = (
        "import sys; from acytoo_sdk import Client\n"
        "batch = Client(sys.argv[1], timeout=None).map(['a', 'b', 'c'], ordered=False)\n"
        "print(next(batch).text); raise KeyboardInterrupt"
    )
    faults = {"b": [Fault.no_head()], "c": [Fault.stall(after=1)]}
    with BatchServer(faults) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.url], capture_output=True, text=True, timeout=20, check=False
        )
    assert done.stdout == "A\n"
    assert done.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_reads_no_batch_of_its_parent_and_ends_none() -> None:
    with BatchServer() as server, Client(server.url) as client:
        batch = client.map(numbers(30), concurrency=2)
        next(batch)
        child = os.fork()
        if not child:
            try:
                next(batch)
            except InvalidRequestError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert [result.index for result in batch] == [*range(1, 30)]
