"""The rows: who does what, and how fast this package has to be at it. The bars are the design's."""

from __future__ import annotations

from .contest import Bar, Measure, Row
from .server import ALONE_CHUNKS, FAST_CHUNKS, FRAMINGS, STAMP


def _per_chunk(chunks: int, how: str, **bars: Bar) -> tuple[Measure, ...]:
    named = {name.replace("_", " "): bar for name, bar in bars.items()}
    return (Measure("cpu", f"CPU a chunk, {how}", "us", 1e6 / chunks, bars=named),)


def _delay(framing: str) -> tuple[Measure, ...]:
    return (Measure("delay", f"delay of a paced piece, {framing}", "ms", 1e3, absolute=Bar(5.0)),)


def _streams(
    name: str,
    contenders: tuple[str, ...],
    number: int,
    path: str,
    pieces: int,
    *,
    cpu: dict[str, Bar] | None = None,
    delay: Bar | None = None,
    threads: Bar | None = None,
    memory: Bar | None = None,
    opening: Bar | None = None,
    tls: bool = False,
) -> Row:
    which = ("one stream" if number == 1 else f"{number:,} streams") + (", TLS" if tls else "")
    measures = (
        Measure("cpu of a piece", f"CPU a piece, {which}", "us", 1e6, bars=cpu or {}),
        Measure("delay", f"delay, {which}", "ms", 1e3, absolute=delay),
        Measure("late delay", f"delay, the 99th percentile, {which}", "ms", 1e3),
        Measure("rate", f"pieces a second each, {which}", "", more_is_better=True),
        Measure("threads", f"threads, {which}", "", absolute=threads),
        Measure("memory", f"memory a stream, {which}", "KB", 1e-3, absolute=memory),
        Measure("cpu of opening", f"CPU a stream, opening {which}", "ms", 1e3, absolute=opening),
        Measure("wall of opening", f"wall, opening {which}", "s"),
    )
    return Row(
        name,
        contenders,
        3,
        measures if number >= 200 else measures[:4],  # what few streams have is mostly what the first one needs for all
        f"{number} streams",
        path,
        number * pieces * STAMP,
        warmups=1,
        tls=tls,
    )


def _relay(number: int, path: str, pieces: int) -> Row:
    which = "one stream" if number == 1 else f"{number:,} streams"
    bars = {"aiohttp relay": Bar(None if number == 1 else 1.5, 1.2)}
    measures = (
        Measure("cpu of a piece", f"CPU a relayed piece, {which}", "us", 1e6, bars=bars),
        Measure("delay", f"delay of a relayed piece, {which}", "ms", 1e3),
        Measure("rate", f"pieces a second each, {which}", "", more_is_better=True),
        Measure("memory", f"memory a relayed stream, {which}", "KB", 1e-3),
        Measure("cpu of opening", f"CPU a relayed stream, opening {which}", "ms", 1e3),
    )
    return Row(
        f"relay-{number}",
        ("acytoo serve", "aiohttp relay"),
        3,
        measures if number > 1 else measures[:3],
        f"{number} relayed",
        path,
        number * pieces * STAMP,
    )


_PEERS = ("acytoo", "httpx", "requests", "read1", "socket")
_ASYNC_PEERS = ("acytoo async", "httpx async", "aiohttp")
_STREAMS_PEERS = ("acytoo async", "acytoo async trio", "aiohttp", "requests")
_BLOCKING_BAR, _ASYNC_BAR = Bar(0.75, 0.5), Bar(1.0, 0.5)
_THREADS = "threads over requests"
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
    _streams(
        "streams-1",
        (*_STREAMS_PEERS, "httpx async"),
        1,
        "/alone",
        ALONE_CHUNKS,
        cpu={"aiohttp": Bar(1.1, 0.8), "httpx async": Bar(None, 1.0)},
        delay=Bar(1.0),
    ),
    _streams(
        "streams-20",
        (*_STREAMS_PEERS, "httpx async"),
        20,
        "/paced/70/20/chunked",
        70,
        cpu={"aiohttp": Bar(1.6, 1.3)},
        delay=Bar(1.0),
    ),
    _streams(
        "streams-200",
        (*_STREAMS_PEERS, "httpx async"),
        200,
        "/paced/90/20/chunked",
        90,
        cpu={"aiohttp": Bar(0.9, 0.7)},
        delay=Bar(5.0),
        threads=Bar(4),
        memory=Bar(45.0),
    ),
    *(
        _relay(number, f"/paced/{pieces}/{rate}/events", pieces)
        for number, pieces, rate in ((1, 1500, 400), (100, 90, 20), (1000, 60, 10))
    ),
    _streams("streams-200-tls", ("acytoo async", "aiohttp"), 200, "/paced/90/20/chunked", 90, tls=True),
    _streams(
        "streams-1000",
        _STREAMS_PEERS,  # httpx has not opened as many when the first ones end
        1000,
        "/paced/60/10/chunked",
        60,
        cpu={"aiohttp": Bar(0.9, 0.7)},
        delay=Bar(10.0),
        threads=Bar(4),
        memory=Bar(40.0),
        opening=Bar(1.3, 0.8),
    ),
    Row(
        "batch",
        ("Client.map", "Client.map, with a journal", "AsyncClient.map", _THREADS),
        3,
        (
            Measure("cpu", "CPU a prompt of 10,000, eight at once", "us", 1e6 / 10_000, bars={_THREADS: Bar(1.0, 0.8)}),
            Measure("wall", "wall a prompt of 10,000, eight at once", "us", 1e6 / 10_000),
        ),
        "10000 prompts",
        "/hello",
        10_000 * len("Hello!"),
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
