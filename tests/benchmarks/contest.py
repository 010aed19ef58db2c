"""What a row is, and how it is played. No row is named here, and no bar.

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

from .server import Served
from .streams import Figures
from .worker import LeftOutError, Worker


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
        more_is_better: of the figure, and so of the ratio. Bars are for measures of which less is better.
    """

    figure: str
    title: str
    unit: str
    scale: float = 1.0
    absolute: Bar | None = None
    bars: dict[str, Bar] = field(default_factory=dict)
    more_is_better: bool = False


@dataclass(frozen=True)
class Row:
    """One contest.

    Attributes:
        name: for the command line.
        contenders: peers, or statements for a fresh interpreter. The first is this package.
        rounds: how many count; a quick run has one.
        measures: what is compared.
        task: what the peers do; "" where the contenders are statements.
        path: what they post to.
        characters: how many every contender must receive; None for any number.
        warmups: how many rounds go before those that count.
        tls: whether the server is spoken to with TLS.
    """

    name: str
    contenders: tuple[str, ...]
    rounds: int
    measures: tuple[Measure, ...]
    task: str = ""
    path: str = ""
    characters: int | None = None
    warmups: int = 0
    tls: bool = False

    def all_rounds(self, *, quick: bool) -> int:
        """How many rounds are played, those that do not count among them."""
        return self.warmups + (1 if quick else self.rounds)


@dataclass(frozen=True)
class Line:
    """One line of the table: a figure, and what it is compared with.

    Attributes:
        row: its name.
        title: of the measure.
        ours: the contender that is this package.
        contender: whose figure it is.
        figure: the median of the rounds.
        unit: of the figure.
        server: how much of the time the server was busy, from 0 to 1; None where there is none.
        compared: our ratio to this contender, or our own figure; None where there is no more than the figure.
        spread: the lowest and the highest of the rounds, of `compared`, or, where that is None, of the figure.
        bar: for `compared`.
        more_is_better: of the figure.
    """

    row: str
    title: str
    ours: str
    contender: str
    figure: float
    unit: str
    server: float | None
    compared: float | None
    spread: tuple[float, float]
    bar: Bar | None
    more_is_better: bool = False

    @property
    def is_ratio(self) -> bool:
        """Whether `compared` is a ratio, and not our own figure."""
        return self.compared is not None and self.contender != self.ours

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


def play(row: Row, served: Served, *, quick: bool, playing: Callable[[str, int], None]) -> Iterator[Line | str]:
    """Plays a row; yields its lines, and a sentence for each contender that is missing.

    Args:
        row: what is played.
        served: the server.
        quick: whether one round counts, instead of the row's number of them.
        playing: told, before each contender's turn, the contender and how many rounds of the row are done.
    """
    if row.tls and not served.tls_url:
        yield f"{row.name} is left out: trustme is not installed"
        return
    with ExitStack() as stack:
        contenders: dict[str, Callable[[], Figures]] = {}
        for name in row.contenders:
            if row.task:
                worker = stack.enter_context(_worker(name, row.task, served, tls=row.tls))
                contenders[name] = partial(_round, worker, row.path, served.url)
            else:
                contenders[name] = partial(_interpret, name)
        results: dict[str, list[Figures]] = {name: [] for name in contenders}
        for number in range(row.all_rounds(quick=quick)):
            for name in list(contenders):
                playing(name, number)
                try:
                    figures = contenders[name]()
                except LeftOutError as why:
                    if name == row.contenders[0]:
                        raise
                    yield str(why)
                    del contenders[name], results[name]
                    continue
                if row.characters is not None and figures["characters"] != row.characters:
                    raise RuntimeError(f"{name} lost text: {figures['characters']} of {row.characters} characters")
                if number >= row.warmups:
                    results[name].append(figures)
    for measure in row.measures:
        yield from _lines(row, measure, results)


def _worker(peer: str, task: str, served: Served, *, tls: bool) -> Worker:
    if tls:
        return Worker(peer, task=task, url=served.tls_url, authority=served.authority)
    return Worker(peer, task=task, url=served.url)


def _lines(row: Row, measure: Measure, results: dict[str, list[Figures]]) -> Iterator[Line]:
    ours = results[row.contenders[0]]
    for name, figures in results.items():
        values = [each[measure.figure] * measure.scale for each in figures]
        compared: list[float] = []
        bar = measure.bars.get(name)
        if figures is not ours:
            compared = [
                our[measure.figure] / max(their[measure.figure], 1e-9) for our, their in zip(ours, figures, strict=True)
            ]
        elif measure.absolute is not None:
            compared, bar = values, measure.absolute
        busy = [each["server"] for each in figures if "server" in each]
        yield Line(
            row.name,
            measure.title,
            ours=row.contenders[0],
            contender=name,
            figure=median(values),
            unit=measure.unit,
            server=median(busy) if busy else None,
            compared=median(compared) if compared else None,
            spread=(min(compared or values), max(compared or values)),
            bar=bar,
            more_is_better=measure.more_is_better,
        )


def _round(worker: Worker, path: str, url: str) -> Figures:
    before = _server_cpu(url)
    figures = worker.round(path)
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
