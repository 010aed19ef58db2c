"""`acytoo serve` in front of LLMock: what breaks there, breaks here. `check_llmock.py LLMOCK`, the program's path."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from acytoo_sdk import AsyncClient, Client

from .asking import WAYS, expect
from .llmock import TEXT, LLMock, fail, reply, stall, stream_fault
from .programs import relay

_TWO_WORDS = "Хорошо, спасибо! "
_STATUSES = (400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504, 529)
# What is scripted, how a reply ends, its text, and some words of the error.
CASES: list[tuple[list[dict[str, Any]], str, str | None, str]] = [
    ([reply()], "whole", TEXT, ""),
    ([reply(finish_reason="length")], "whole", TEXT, ""),
    ([reply(finish_reason="content_filter")], "broken", TEXT, ""),
    ([reply("")], "502", None, "finish reason stop"),
    ([reply(None, tool_calls=[{"name": "weather", "arguments": {}}])], "502", None, "a tool"),
    ([reply(), stream_fault("disconnect", 3)], "broken", None, ""),
    ([reply(), stream_fault("disconnect", 1)], "502", None, "broke"),
    ([reply(), stream_fault("disconnect", 0)], "502", None, "broke"),
    ([reply(), stream_fault("truncate", 3)], "broken", _TWO_WORDS, ""),
    ([reply(), stream_fault("truncate", 1)], "502", None, "before any text"),
    ([reply(), stream_fault("truncate", 0)], "502", None, "before any text"),
    ([reply(), stream_fault("malformed", 3)], "broken", _TWO_WORDS, ""),
    ([reply(), stream_fault("malformed", 1)], "502", None, "not JSON"),
    ([reply(), stall(3)], "broken", _TWO_WORDS, ""),
    ([reply(), stall(1)], "504", None, "nothing for 2 seconds"),
    ([{"type": "slow_first_token", "seconds": 60}], "504", None, "nothing for 3 seconds"),
    ([{"type": "delay", "seconds": 15}], "504", None, "nothing for 3 seconds"),
    *[([fail(status, message=f"It is {status}.")], str(status), None, f"It is {status}.") for status in _STATUSES],
]


def check_cases(server: LLMock, url: str) -> int:
    for behaviours, ending, text, message in CASES:
        for way, ask in WAYS.items():
            server.script(*behaviours)
            said = ask(url, "Привет!", "gpt-4o")
            expect(said, f"{way}: {behaviours}", ending, text=text, message=message)
            assert TEXT.startswith(said.text), said
            if ending == "504":
                continue  # LLMock goes on with some of these
            [request] = server.requests(1)
            messages = [{"role": "user", "content": "Привет!"}]
            asked = {"model": "gpt-4o", "messages": messages, "stream": True, "temperature": 0}
            assert request["body"] == asked, request
    return len(CASES) * len(WAYS)


def check_all_at_once(server: LLMock, url: str) -> int:
    """Each of them, each way, at the same time: no reply learns of another's end."""
    behaviours = [
        {**behaviour, "times": None, "match": {"model": f"case-{index}", "stream": True}}
        for index, (scripted, *_) in enumerate(CASES)
        for behaviour in scripted
    ]
    questions = [(way, index) for index in range(len(CASES)) for way in WAYS]
    server.script(*behaviours)

    def ask(question: tuple[str, int]) -> None:
        way, index = question
        scripted, ending, text, message = CASES[index]
        said = WAYS[way](url, "Привет!", f"case-{index}")
        message = "" if ending == "504" else message  # the limits are others
        expect(said, f"{way}: {scripted}, with all others", ending, text=text, message=message)

    with ThreadPoolExecutor(len(questions)) as executor:
        for _ in executor.map(ask, questions):
            pass
    return len(questions)


def check_limits(server: LLMock, url: str) -> None:
    for way, ask in WAYS.items():
        server.script(fail(429, retry_after=7))
        said = ask(url, "Hi", "gpt-4o")
        assert (said.ending, said.retry_after) == ("429", 7.0), (way, said)
        server.script()
        expect(ask(url, "Hi " * 2000, "gpt-4o"), way, "400", message="maximum context length is 1000 tokens")
    server.script(fail(429, retry_after=1), reply())
    with Client(url) as client:
        assert client.complete("Hi") == TEXT
    assert len(server.requests(2)) == 2
    assert server.findings() == []


def check_ends_of_the_server(server: LLMock, url: str) -> None:
    for way, ask in WAYS.items():
        server.script(reply(), stall(3))
        expect(ask(url, "Hi", "gpt-4o", after_first=server.kill), f"{way}: killed", "broken")
        expect(ask(url, "Hi", "gpt-4o"), f"{way}: not there", "502", message="no connection")
        server.start()
        server.script(reply(), stall(3))
        expect(ask(url, "Hi", "gpt-4o", after_first=server.freeze), f"{way}: frozen", "broken")
        expect(ask(url, "Hi", "gpt-4o"), f"{way}: still frozen", "504", message="nothing for 3 seconds")
        server.kill()
        server.start()
        server.script(reply())
        expect(ask(url, "Hi", "gpt-4o"), f"{way}: there again", "whole", text=TEXT)


def check_clients_that_leave(server: LLMock, url: str) -> None:
    """The server's request ends long before the server would go on."""
    import asyncio

    async def leave() -> None:
        async with AsyncClient(url) as client:
            await client.stream("Hi").__anext__()

    def leave_blocking() -> None:
        with Client(url) as client:
            next(client.stream("Hi"))

    for way in (leave_blocking, lambda: asyncio.run(leave())):
        server.script(reply(), stall(3))
        way()
        [request] = server.requests(1)
        assert not request["completed"], request
        assert request["duration"] < 30, request


def main(program: str) -> None:
    limits = ("--first-byte-timeout", "3", "--idle-timeout", "2")
    with LLMock(program, "--context-window", "1000") as server:
        with relay("--upstream", f"{server.url}/v1", *limits) as url:
            count = check_cases(server, url)
            check_limits(server, url)
            check_ends_of_the_server(server, url)
        with relay("--upstream", f"{server.url}/v1", "--first-byte-timeout", "12", "--idle-timeout", "10") as url:
            count += check_all_at_once(server, url)
        with relay("--upstream", f"{server.url}/v1") as url:
            check_clients_that_leave(server, url)
    print(
        f"LLMock: {count} replies in {len(CASES)} forms, through {', '.join(WAYS)}; its limits, its ends, and clients'"
    )


if __name__ == "__main__":
    main(sys.argv[1])
