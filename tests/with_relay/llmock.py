"""LLMock, a server that breaks on request: https://github.com/JulienRabault/LLMock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .programs import Program, fetch, free_port

TEXT = "Хорошо, спасибо! 👋 — и вам?"


class LLMock(Program):
    """One that runs.

    Args:
        program: the installed one.
        options: of its command line.
    """

    def __init__(self, program: str | Path, *options: str) -> None:
        port = free_port()
        command = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--response-style", "echo"]
        super().__init__([*command, *options], url=f"http://127.0.0.1:{port}", health="/health")

    def script(self, *behaviours: dict[str, Any]) -> None:
        """See the function."""
        script(self.url, *behaviours)

    def requests(self, count: int) -> list[dict[str, Any]]:
        """See the function."""
        return requests(self.url, count)

    def findings(self) -> list[str]:
        """What it has against whoever sent the requests since the last script."""
        return [finding["code"] for finding in fetch(f"{self.url}/_llmock/verdict")["findings"]]


def script(url: str, *behaviours: dict[str, Any]) -> None:
    """What becomes of the next request, and nothing else: what was before is forgotten."""
    fetch(f"{url}/_llmock/reset", {})
    if behaviours:
        fetch(f"{url}/_llmock/scenario", {"behaviors": list(behaviours)})


def requests(url: str, count: int) -> list[dict[str, Any]]:
    """The requests since the last script, once so many are over."""
    due = time.monotonic() + 30
    while len(found := fetch(f"{url}/_llmock/requests")["requests"]) < count:  # it waits itself
        assert time.monotonic() < due, found
    assert len(found) == count, found
    return list(found)


def reply(text: str | None = TEXT, **more: Any) -> dict[str, Any]:
    return {"type": "reply", "text": text, **more}


def stream_fault(kind: str, after_chunks: int, **more: Any) -> dict[str, Any]:
    """The first chunk has the role, each of the next a word."""
    return {"type": "stream_fault", "kind": kind, "after_chunks": after_chunks, **more}


def fail(status: int, **more: Any) -> dict[str, Any]:
    return {"type": "fail", "status": status, **more}


def stall(after_chunks: int) -> dict[str, Any]:
    return stream_fault("stall", after_chunks, stall_seconds=60)
