"""Whatever the server or the network does: the text that arrived, once, then the end or exactly one error of ours.

Every row of `cases.CASES` runs on real sockets, plain and TLS, and through one judge, `run`, which holds each of them
to all promises: text, error, requests, sockets, time.
"""

from __future__ import annotations

import copy
import errno
import gc
import os
import pickle
import random
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from cases import CALM, CASES, CHUNKED, CLOSED, END, OK, RETRY, RID, Case, Certificate, after, chunk, head, sized
from fault_server import FaultServer, Step, fin, flood, pause, rst, stall, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    Client,
    EmptyReplyError,
    RetryPolicy,
    ServerError,
    Stream,
    StreamInterruptedError,
    Timeout,
)
from acytoo_sdk.testing import FakeServer, Fault, Framing, Gate

SLACK = 0.5
"""How much later than `total` a call may end, and how long a socket may stay open after it."""


@dataclass(frozen=True)
class Trust:
    """An authority of our own, and the certificates that servers show."""

    bundle: str
    contexts: dict[Certificate, ssl.SSLContext]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    authority, now = trustme.CA(), datetime.now(timezone.utc)
    expired = authority.issue_cert("127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))
    shown: dict[Certificate, trustme.LeafCert] = {
        "good": authority.issue_cert("127.0.0.1", "localhost"),
        "unknown": trustme.CA().issue_cert("127.0.0.1"),
        "wrong host": authority.issue_cert("other.example"),
        "expired": expired,
    }
    contexts: dict[Certificate, ssl.SSLContext] = {}
    for name, certificate in shown.items():
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(contexts[name])
    bundle = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    return Trust(str(bundle), contexts)


# The judge


@dataclass
class Outcome:
    """What a caller saw of a call."""

    stream: Stream
    pieces: list[str]
    error: AcytooError | None
    seconds: float

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def consume(stream: Stream, *, pause: float = 0.0) -> Outcome:
    """Reads a stream to its end, which must come within `total`; any other exception than ours goes through."""
    began, pieces, error = time.monotonic(), list[str](), None
    try:
        for piece in stream:
            pieces.append(piece)
            if pause and len(pieces) == 1:
                time.sleep(pause)
    except AcytooError as raised:
        error = raised
    with pytest.raises(StopIteration):  # exactly one end
        next(stream)
    return Outcome(stream, pieces, error, time.monotonic() - began)


def run(case: Case, server: FaultServer, *, trust: Trust) -> None:
    """Makes the call of a case, and holds it to every promise."""
    gc.disable()  # what closes, must not close by collection
    try:
        with Client(server.url, **{"timeout": case.timeout, "retry": RETRY, "verify": trust.bundle, **case.client}) as client:
            outcome = consume(client.stream("Привет, как дела?"), pause=case.pause)
            judge_text(case, outcome)
            judge_error(case, outcome)
            judge_time(outcome, case.timeout.total)
            if case.error and not case.kept:
                assert server.wait_until(lambda: not server.open_connections, SLACK), "open after the error"
        assert server.wait_until(lambda: not server.open_connections, SLACK), "open after the client was closed"
    finally:
        gc.enable()
    assert len(set(server.requests)) <= 1, "attempts differ"
    if case.requests is not None:
        assert len(server.requests) == case.requests
    if case.connections is not None:
        assert server.connections == case.connections
    assert outcome.stream.stats.attempts == max(len(server.requests), server.connections if not case.requests else 0)


def judge_text(case: Case, outcome: Outcome) -> None:
    assert all(outcome.pieces), "an empty piece"
    assert outcome.stream.text == outcome.text
    assert (case.text.startswith(outcome.text) and bool(outcome.text)) if case.some else outcome.text == case.text


def judge_error(case: Case, outcome: Outcome) -> None:
    error, stream = outcome.error, outcome.stream
    if case.error is None:
        if error is not None:
            raise error
        assert stream.whole is case.whole
        return
    assert type(error) is case.error, error
    assert error is not None
    assert stream.whole is False
    assert error.partial_text == outcome.text
    assert error.request_id == case.request_id
    assert error.retryable is (error.retryable if case.retryable is None else case.retryable)
    assert {name: getattr(error, name) for name in case.facts} == case.facts
    assert case.says in str(error)
    assert str(error).isprintable()
    assert (error.hint or "").isprintable()
    assert case.hint in (error.hint or "")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


def judge_time(outcome: Outcome, total: float | None) -> None:
    assert total is None or outcome.seconds < total + SLACK
    assert outcome.stream.stats.elapsed <= outcome.seconds


ROWS = [
    pytest.param(case, layer, id=f"{case.name}, {layer}".replace("/", "|")) for case in CASES for layer in case.over
]


@pytest.mark.parametrize(("case", "layer"), ROWS)
def test_the_promises_hold(case: Case, layer: Literal["tcp", "tls"], trust: Trust) -> None:
    with FaultServer(case.scripts, tls=trust.contexts[case.certificate] if layer == "tls" else None) as server:
        run(case, server, trust=trust)


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 120
