"""Servers for batches: what goes wrong depends on the prompt, or on how many requests there were of late."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acytoo_sdk.testing import FakeServer, Fault


def prompt_of(request: dict[str, Any]) -> str:
    """What a request asks."""
    return str(request["messages"][-1]["content"])


class BatchServer(FakeServer):
    """Answers each prompt in upper case, in two pieces; and goes wrong as each prompt's own faults say, one a request.

    Attributes:
        most: how many replies there were at once, at most.
    """

    def __init__(self, faults: Mapping[str, Sequence[Fault | None]] | None = None, **options: Any) -> None:
        super().__init__(self._upper, pause=0.0, faults=self._faults_by_prompt(dict(faults or {})), **options)
        self.most = 0
        self._running = 0
        self._counting = threading.Lock()

    def __enter__(self) -> BatchServer:
        self.start()
        return self

    @property
    def prompts(self) -> list[str]:
        """Every prompt that was asked, in the order of arrival."""
        return [prompt_of(request.json or {}) for request in [*self.requests]]

    def _upper(self, request: dict[str, Any]) -> Iterator[str]:
        with self._counting:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            text = prompt_of(request).upper()
            yield text[:1]
            yield text[1:]
        finally:
            with self._counting:
                self._running -= 1

    def _faults_by_prompt(self, faults: Mapping[str, Sequence[Fault | None]]) -> Iterator[Fault | None]:
        asked: Counter[str] = Counter()
        while True:
            prompt = prompt_of(self.requests[-1].json or {})
            mine = faults.get(prompt, ())
            yield mine[asked[prompt]] if asked[prompt] < len(mine) else None
            asked[prompt] += 1


def limited(requests: int, seconds: float, fault: Fault) -> Iterator[Fault | None]:
    """Faults of a server that allows so many requests in so many seconds."""
    times: deque[float] = deque()
    while True:
        now = time.monotonic()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) < requests:
            times.append(now)
            yield None
        else:
            yield fault
