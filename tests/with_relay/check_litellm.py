"""`acytoo serve` in front of litellm's proxy, and that in front of LLMock. `check_litellm.py LITELLM LLMOCK`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .asking import WAYS, expect
from .llmock import TEXT, LLMock, fail, reply, stall, stream_fault
from .programs import Program, free_port, relay

_KEY = "sk-of-this-check-alone-5f1d2c3b4a"
_NO_KEY = "of-nobody-0123456789"
# The model, what is scripted behind it, how a reply ends, its text, and some words of the error.
CASES: list[tuple[str, list[dict[str, Any]], str, str | None, str]] = [
    ("whole", [], "whole", TEXT, ""),
    ("stream-error", [], "529", None, "mock error raised mid-stream"),  # which litellm raises before it
    ("rate-limit", [], "429", None, "mock rate limit error"),
    ("too-long", [], "400", None, "context window exceeded"),
    ("internal", [], "500", None, "mock internal server error"),
    ("filtered", [], "400", None, "content_filter_policy"),
    ("times-out", [], "408", None, "mock timeout error"),
    ("unheard-of", [], "400", None, "Invalid model name"),
    ("behind", [reply()], "whole", TEXT, ""),
    ("behind", [reply(finish_reason="length")], "whole", TEXT, ""),
    ("behind", [reply(finish_reason="content_filter")], "broken", TEXT, ""),
    ("behind", [reply("")], "502", None, "finish reason stop"),
    ("behind", [reply(None, tool_calls=[{"name": "weather", "arguments": {}}])], "502", None, "a tool"),
    # Its own client drops text that came together with a break, so that there may be none.
    ("behind", [reply(), stream_fault("disconnect", 4)], "broken|500", None, ""),
    ("behind", [reply(), stream_fault("disconnect", 0)], "500", None, "Connection error"),
    ("behind", [reply(), stream_fault("malformed", 4)], "broken|500", None, ""),
    ("behind", [reply(), stall(3)], "broken", None, ""),
    ("behind", [reply(), stall(1)], "504", None, "nothing for 4 seconds"),
    ("behind-impatient", [reply(), stall(3)], "broken", None, ""),
    # litellm says of a reply that is cut between two events that it is finished: nobody can tell behind it.
    ("behind", [reply(), stream_fault("truncate", 3)], "whole", "Хорошо, спасибо! ", ""),
    ("behind", [reply(), stream_fault("truncate", 0)], "502", None, "finish reason stop"),
    *[("behind", [fail(status)], str(status), None, "") for status in (400, 404, 429, 500, 503)],
]


def check_cases(behind: LLMock, url: str) -> int:
    for model, behaviours, ending, text, message in CASES:
        for way, ask in WAYS.items():
            behind.script(*behaviours)
            said = ask(url, "Привет!", model)
            expect(said, f"{way}: {model}: {behaviours}", ending, text=text, message=message)
            assert TEXT.startswith(said.text), said
            assert _KEY not in said.message, said
    return len(CASES) * len(WAYS)


def check_retry_after(url: str) -> None:
    ask = WAYS["Client"]
    endings = {ask(url, "Hi", "limited").ending for _ in range(2)}
    assert "429" in endings, endings
    for way, ask in WAYS.items():
        said = ask(url, "Hi", "limited")
        assert (said.ending, said.retry_after) == ("429", 60.0), (way, said)


def check_ends(proxy: Program, behind: LLMock, url: str) -> None:
    for way, ask in WAYS.items():
        behind.script(reply(), stall(3))
        expect(ask(url, "Hi", "behind", after_first=behind.kill), f"{way}: the server behind is killed", "broken")
        behind.start()
    behind.script(reply(), stall(3))
    expect(WAYS["curl"](url, "Hi", "behind", after_first=proxy.kill), "the proxy is killed", "broken")
    for way, ask in WAYS.items():
        expect(ask(url, "Hi", "behind"), f"{way}: not there", "502", message="no connection")


def main(program: str, behind_program: str) -> None:
    upstream = f"http://127.0.0.1:{free_port()}"
    command: list[str | Path] = [program, "--config", Path(__file__).with_name("litellm.yaml"), "--host", "127.0.0.1"]
    with LLMock(behind_program) as behind:
        environment = {
            "LLMOCK_URL": f"{behind.url}/v1",
            "LITELLM_MASTER_KEY": _KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        port = upstream.rpartition(":")[2]
        options = ("--upstream", f"{upstream}/v1", "--first-byte-timeout", "30", "--idle-timeout", "4")
        with Program(
            [*command, "--port", port], url=upstream, health="/health/liveliness", environment=environment
        ) as proxy:
            with relay(*options, "--upstream-key-env", "UPSTREAM_KEY", environment={"UPSTREAM_KEY": _NO_KEY}) as url:
                for way, ask in WAYS.items():
                    said = ask(url, "Hi", "whole")
                    expect(said, f"{way}: wrong key", "400", message="No connected db")  # where it would look
            with relay(*options, "--upstream-key-env", "UPSTREAM_KEY", environment={"UPSTREAM_KEY": _KEY}) as url:
                count = check_cases(behind, url)
                check_retry_after(url)
                check_ends(proxy, behind, url)
    print(f"litellm: {count} replies in {len(CASES)} forms, through {', '.join(WAYS)}; its limits and its ends")


if __name__ == "__main__":
    main(*sys.argv[1:])
