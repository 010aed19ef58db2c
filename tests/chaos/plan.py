"""The plan of a round: what its seed decides, the servers, and the replies, which both ends know."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from acytoo_sdk.testing import FakeServer, Fault, Framing

FRAMINGS: tuple[Framing, ...] = ("chunked", "one-chunk", "length", "close")
KINDS = (TimeoutError, ConnectionResetError, OSError, ValueError, RuntimeError, IndexError, AttributeError)
HANDLERS = ("raise", "cancel", "look", "collect", "call")

_MANY = 1200  # pieces

# What leaves a reply whole, and what need not.
_HARMLESS = (
    *[None] * 6,
    Fault(gap=0.0005),
    Fault.split_characters(),
    Fault.notice(),
    Fault.slow_head(0.01),
)
_HARMFUL = (
    *[None] * 8,
    *(Fault.cut(after) for after in (1, 2, 5)),
    *(Fault.reset(after) for after in (0, 1, 4)),
    *(Fault.stall(after) for after in (1, 3)),
    Fault.no_head(),
    Fault.drop(),
    Fault.empty(),
    Fault.status(503),
    Fault.status(429, retry_after=0),
    Fault.status(400),
    Fault.redirect("/elsewhere"),
    Fault.html_page(),
    Fault.json_error(),
    Fault.event_stream(),
    Fault.raw(b"no HTTP at all\r\n\r\n"),
)


@dataclass(frozen=True)
class Plan:
    """What is varied.

    Attributes:
        seed: decides all the others.
        loop: of the async client.
        main: who has the main thread, which gets the signals: the blocking client, or the loop.
        handlers: what the signal handler does; each time one of these.
        kind: what it raises.
        gap: the longest time between two signals, in seconds.
        thresholds: of the garbage collector.
        switch: seconds until another thread has its turn.
        framings: of the server whose replies are whole, and of the other.
        tls: whether the first one speaks TLS.
        pause: of the servers, in seconds.
        max_streams: of the async client.
        forks: whether the main thread forks now and then.
        listens: whether somebody listens to the events of calls.
    """

    seed: int
    loop: Literal["asyncio", "trio"]
    main: Literal["blocking", "async"]
    handlers: tuple[str, ...]
    kind: type[Exception]
    gap: float
    thresholds: tuple[int, int, int]
    switch: float
    framings: tuple[Framing, Framing]
    tls: bool
    pause: float
    max_streams: int
    forks: bool
    listens: bool

    @staticmethod
    def from_seed(seed: int) -> Plan:
        draw = random.Random(seed)
        main: Literal["blocking", "async"] = draw.choice(("blocking", "blocking", "async"))
        # An exception that a handler raises in the machinery of an event loop breaks the loop.
        handlers = HANDLERS if main == "blocking" else HANDLERS[1:]
        return Plan(
            seed=seed,
            loop=draw.choice(("asyncio", "trio")),
            main=main,
            handlers=tuple(draw.sample(handlers, draw.randint(1, len(handlers)))),
            kind=draw.choice(KINDS),
            gap=draw.choice((0.0005, 0.002, 0.004)),
            thresholds=draw.choice(((3, 1, 1), (7, 1, 1), (50, 2, 2), (700, 10, 10))),
            switch=draw.choice((1e-6, 1e-5, 1e-4, 5e-3)),
            framings=(draw.choice(FRAMINGS), draw.choice(FRAMINGS)),
            tls=draw.random() < 0.3,
            pause=draw.choice((0, 0.0005, 0.002)),
            max_streams=draw.choice((3, 100)),
            forks=draw.random() < 0.4,
            listens=draw.random() < 0.5,
        )

    def servers(self, tls: ssl.SSLContext) -> tuple[FakeServer, FakeServer]:
        """The one whose replies are whole, and the other."""
        calm, rough = self.framings
        return (
            FakeServer(
                _reply, framing=calm, pause=self.pause, faults=self._some(_HARMLESS), tls=tls if self.tls else None
            ),
            FakeServer(_reply, framing=rough, pause=self.pause, faults=self._some(_HARMFUL)),
        )

    def __str__(self) -> str:
        main = self.loop if self.main == "async" else f"blocking, {self.loop} in a thread"
        signals = f"{'/'.join(self.handlers)} ({self.kind.__name__}) in {self.gap * 1000:g} ms"
        extras = ("tls " if self.tls else "") + ("forks " if self.forks else "") + ("heard" if self.listens else "")
        return (
            f"seed {self.seed}: {main}; {signals}; gc {self.thresholds}; switch {self.switch:g}; "
            f"{'+'.join(self.framings)} {self.pause:g} s; {self.max_streams} streams {extras}"
        ).rstrip()

    def _some(self, faults: tuple[Fault | None, ...]) -> Iterator[Fault | None]:
        draw = random.Random(self.seed)
        while True:
            yield draw.choice(faults)


def new_question(number: int, draw: random.Random) -> str:
    """One that no other is like; it says how many pieces its reply has."""
    return long_question(number) if draw.random() < 0.03 else short_question(number, draw)


def short_question(number: int, draw: random.Random) -> str:
    """One whose reply has few pieces."""
    return f"{number}:{draw.randint(1, 12)}"


def long_question(number: int) -> str:
    """One whose reply has more pieces than are kept unjoined, and is longer than what is read ahead."""
    return f"{number}:{_MANY}"


def reply_to(question: str) -> list[str]:
    """The pieces of a reply: no two are like each other, so none can be missed, repeated, or taken for another's."""
    number, count = map(int, question.split(":"))
    padding = "." * (60 if count == _MANY else 0)
    return [f"{number}.{index} жёлтый{padding}\n" for index in range(count)]


def _reply(request: dict[str, Any]) -> list[str]:
    return reply_to(request["messages"][-1]["content"])
