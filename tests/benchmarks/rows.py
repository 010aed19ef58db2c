"""The rows: who does what, and how fast this package has to be at it. The bars are the design's.

A round lets every contender run once, in turn; a ratio is the median of the rounds' ratios, so that whatever else the
machine does falls on all of them alike.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from .server import ALONE_CHUNKS, FAST_CHUNKS, FRAMINGS, STAMP
from .tasks import Figures
from .worker import PeerMissingError, Worker


@dataclass(frozen=True)
class Bar:
    """What is to be reached, and what should be reached then; None for nothing."""

    reach: float | None
    then: float | None = None


@dataclass(frozen=True)
class Measure:
    """One figure of a row.

    Attributes:
        figure: its name in what a round returns.
        title: for people.
        unit: for people.
        scale: from what a round returns to the unit.
        absolute: the bar for the figure itself, in its unit.
        bars: by contender, the bar for the ratio of our figure to theirs.
    """

    figure: str
    title: str
    unit: str
    scale: float = 1.0
    absolute: Bar | None = None
    bars: dict[str, Bar] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One contest.

    Attributes:
        name: for the command line.
        contenders: peers, or statements for a fresh interpreter. The first is this package.
        rounds: how many; a quick run has one.
        measures: what is compared.
        task: what the peers do; "" where the contenders are statements.
        path: what they post to.
        characters: how many every contender must receive; None for any number.
    """

    name: str
    contenders: tuple[str, ...]
    rounds: int
    measures: tuple[Measure, ...]
    task: str = ""
    path: str = ""
    characters: int | None = None


@dataclass(frozen=True)
class Line:
    """One line of the table: a figure, and what it is compared with.

    Attributes:
        title: of the measure.
        contender: whose figure it is.
        figure: with its unit.
        server: how much of the time the server was busy, from 0 to 1; None where there is none.
        compared: our ratio to this contender, or our own figure; None where there is no more than the figure.
        bar: for `compared`.
    """

    title: str
    contender: str
    figure: str
    server: float | None
    compared: float | None
    bar: Bar | None

    @property
    def verdict(self) -> str:
        """Which bars are reached; "" where there is none."""
        if self.compared is None or self.bar is None:
            return ""
        if self.bar.reach is not None and self.compared > self.bar.reach:
            return "FAILED"
        if self.bar.then is not None and self.compared > self.bar.then:
            return "reached, but not what then"
        return "reached"


def _per_chunk(chunks: int, how: str, **bars: Bar) -> tuple[Measure, ...]:
    named = {name.replace("_", " "): bar for name, bar in bars.items()}
    return (Measure("cpu", f"CPU a chunk, {how}", "us", 1e6 / chunks, bars=named),)


def _delay(framing: str) -> tuple[Measure, ...]:
    return (Measure("delay", f"delay of a paced piece, {framing}", "ms", 1e3, absolute=Bar(5.0)),)


_PEERS = ("acytoo", "httpx", "requests", "read1", "socket")
_ASYNC_PEERS = ("acytoo async", "httpx async", "aiohttp")
_BLOCKING_BAR, _ASYNC_BAR = Bar(0.75, 0.5), Bar(1.0, 0.5)
_IMPORT, _INTERPRETER = "import acytoo_sdk", "pass"

ROWS = (
    Row("pieces", _PEERS, 9, _per_chunk(FAST_CHUNKS, "20,000 at once", httpx=_BLOCKING_BAR), "drain", "/fast"),
    Row("alone", _PEERS, 5, _per_chunk(ALONE_CHUNKS, "5,000 one by one", httpx=_BLOCKING_BAR), "drain", "/alone"),
    Row(
        "async-pieces",
        _ASYNC_PEERS,
        7,
        _per_chunk(FAST_CHUNKS, "20,000 at once", httpx_async=_ASYNC_BAR),
        "drain",
        "/fast",
    ),
    Row(
        "async-openai",
        ("acytoo async", "openai"),
        3,
        _per_chunk(FAST_CHUNKS, "20,000 at once", openai=Bar(0.12)),
        "drain",
        "/fast",
    ),
    Row(
        "async-alone",
        _ASYNC_PEERS,
        5,
        _per_chunk(ALONE_CHUNKS, "5,000 one by one", httpx_async=Bar(None, 1.0)),
        "drain",
        "/alone",
    ),
    Row(
        "first-text",
        ("acytoo", "requests", "httpx"),
        15,
        (
            Measure(
                "first", "warm time to the first text", "ms", 1e3, bars={"requests": Bar(1.0), "httpx": Bar(None, 1.0)}
            ),
            Measure("cpu", "CPU for a warm call", "ms", 1e3 / 100),
        ),
        "first text",
        "/hello",
    ),
    *(
        Row(f"delay-{framing}", (peer,), 3, _delay(framing), "delays", f"/paced/60/100/{framing}")
        for framing in FRAMINGS
        for peer in ("acytoo", "acytoo async")
    ),
    Row(
        "crowd-200",
        ("acytoo async", "httpx async"),
        5,
        (Measure("cpu", "CPU of 200 streams", "s", bars={"httpx async": Bar(0.7, 0.5)}),),
        "crowd of 200",
        "/paced/60/20/chunked",
        200 * 60 * STAMP,
    ),
    Row(
        "crowd-1000",
        ("acytoo async", "requests"),
        5,
        (
            Measure("wall", "wall of 1,000 streams", "s", bars={"requests": Bar(1.3, 1.15)}),
            Measure("cpu", "CPU of 1,000 streams", "s"),
            Measure("memory", "memory of each of 1,000 streams", "KB", 1e-3, absolute=Bar(100.0)),
        ),
        "crowd of 1000",
        "/paced/50/10/chunked",
        1000 * 50 * STAMP,
    ),
    Row(
        "import",
        (_IMPORT, _INTERPRETER),
        15,
        (Measure("wall", "a fresh interpreter", "ms", 1e3, absolute=Bar(60.0)),),
    ),
    Row(
        "import-client",
        ("from acytoo_sdk import Client", "import requests, tenacity"),
        9,
        (Measure("wall", "a fresh interpreter", "ms", 1e3, bars={"import requests, tenacity": Bar(1.2)}),),
    ),
    Row(
        "memory",
        ("acytoo",),
        1,
        (
            Measure("reading", "memory of a 16 MiB reply, while reading", "x", absolute=Bar(1.5)),
            Measure("after", "memory of a 16 MiB reply, after `.text`", "x", absolute=Bar(1.25)),
        ),
        "memory",
        "/big",
    ),
)


def play(row: Row, url: str, *, quick: bool) -> Iterator[Line | str]:
    """Plays a row; yields its lines, and a sentence for each contender that is missing."""
    with ExitStack() as stack:
        contenders: dict[str, Callable[[], Figures]] = {}
        for name in row.contenders:
            if row.task:
                worker = stack.enter_context(Worker(name, task=row.task, path=row.path, url=url))
                contenders[name] = partial(_round, worker, url)
            else:
                contenders[name] = partial(_interpret, name)
        results: dict[str, list[Figures]] = {name: [] for name in contenders}
        for _ in range(1 if quick else row.rounds):
            for name in list(contenders):
                try:
                    figures = contenders[name]()
                except PeerMissingError as missing:
                    yield str(missing)
                    del contenders[name], results[name]
                    continue
                if row.characters is not None and figures["characters"] != row.characters:
                    raise RuntimeError(f"{name} lost text: {figures['characters']} of {row.characters} characters")
                results[name].append(figures)
    for measure in row.measures:
        yield from _lines(measure, results, ours=results[row.contenders[0]])


def _lines(measure: Measure, results: dict[str, list[Figures]], *, ours: list[Figures]) -> Iterator[Line]:
    for name, figures in results.items():
        values = [each[measure.figure] * measure.scale for each in figures]
        compared, bar = None, measure.bars.get(name)
        if figures is not ours:
            compared = median(
                our[measure.figure] / max(their[measure.figure], 1e-9) for our, their in zip(ours, figures, strict=True)
            )
        elif measure.absolute is not None:
            compared, bar = median(values), measure.absolute
        busy = [each["server"] for each in figures if "server" in each]
        figure = f"{median(values):.3g} {measure.unit}"
        yield Line(measure.title, name, figure, median(busy) if busy else None, compared, bar)


def _round(worker: Worker, url: str) -> Figures:
    before = _server_cpu(url)
    figures = worker.round()
    return {**figures, "server": (_server_cpu(url) - before) / figures["wall"]}


def _server_cpu(url: str) -> float:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", "/cpu", body=b"")
        return float(connection.getresponse().read())
    finally:
        connection.close()


def _interpret(statement: str) -> Figures:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return {"wall": time.perf_counter() - began}
