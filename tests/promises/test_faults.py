"""Whatever the server or the network does: the text that arrived, once, then the end or exactly one error of ours.

Every row of `cases.CASES` runs on real sockets, plain and TLS, and through one judge, `run`, which holds each of them
to all promises: text, error, requests, sockets, time.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import gc
import os
import pickle
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from http.client import HTTPConnection
from typing import Any, Literal

import pytest
import trustme
from cases import CASES
from cases.case import CALM, CHUNKED, CLOSED, END, OK, RETRY, Case, Certificate, after, chunk, head, sized
from fault_server import Connection, FaultServer, Script, Step, bye, fin, flood, held, pause, rst, stall, told, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acytoo_sdk import (
    AcytooError,
    APIConnectionError,
    APITimeoutError,
    Client,
    EmptyReplyError,
    Message,
    ServerError,
    Stream,
    StreamInterruptedError,
)
from acytoo_sdk.testing import FakeServer, Framing, Gate

SLACK = 1.0
"""How much later than `total` a call may end, and how long a socket may stay open then: 0.5 s, on a busy machine."""


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
        with Client(
            server.url, **{"timeout": case.timeout, "retry": RETRY, "verify": trust.bundle, **case.client}
        ) as client:
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


# What takes more than one script


def read_to_end(stream: Stream) -> Outcome:
    outcome = consume(stream)
    if outcome.error is not None:
        raise outcome.error
    return outcome


@pytest.fixture(params=["tcp", "tls"])
def tls(request: pytest.FixtureRequest, trust: Trust) -> ssl.SSLContext | None:
    return trust.contexts["good"] if request.param == "tls" else None


@pytest.fixture
def connect(trust: Trust) -> Iterator[Callable[..., Client]]:
    """Makes clients that trust our authority, and closes them."""
    with contextlib.ExitStack() as clients:

        def make(url: str, **options: Any) -> Client:
            return clients.enter_context(
                Client(url, **{"verify": trust.bundle, "timeout": CALM, "retry": RETRY, **options})
            )

        yield make


def test_nobody_listens(connect: Callable[..., Client]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = consume(connect(f"http://127.0.0.1:{port}").stream("Hi"))
    case = Case("", (), error=APIConnectionError, retryable=True, request_id=None, says="refused")
    judge_error(case, outcome)
    assert outcome.stream.stats.attempts == 3


def test_no_such_host(connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    outcome = consume(connect("http://nowhere.example").stream("Hi"))
    says = "no host nowhere.example"
    judge_error(Case("", (), error=APIConnectionError, request_id=None, says=says, hint="base_url"), outcome)


@contextlib.contextmanager
def dead_addresses(count: int) -> Iterator[list[tuple[str, int]]]:
    """Addresses that answer nothing: their queues are full, so that Linux drops what comes."""
    with contextlib.ExitStack() as sockets:
        addresses = []
        for _ in range(count):
            listener = sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            addresses.append(listener.getsockname())
            for _ in range(4):
                client = sockets.enter_context(socket.socket())
                client.setblocking(False)
                assert client.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        yield addresses


def resolve_to(addresses: list[tuple[str, int]]) -> Callable[..., list[Any]]:
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


@pytest.mark.parametrize(("limits", "phase"), [({"connect": 0.4}, "connect"), ({"total": 0.4}, "total")])
def test_dead_addresses_share_one_limit(
    connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, limits: dict[str, float], phase: str
) -> None:
    with dead_addresses(4) as addresses:
        monkeypatch.setattr(socket, "getaddrinfo", resolve_to(addresses))
        client = connect("http://four.example", timeout=replace(CALM, **limits), retry=1)
        outcome = consume(client.stream("Hi"))
    judge_error(Case("", (), error=APITimeoutError, request_id=None, facts={"phase": phase}), outcome)
    judge_time(outcome, 0.4)


def test_a_dead_address_leaves_time_for_the_next(
    connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext | None
) -> None:
    with dead_addresses(1) as addresses, FaultServer([(OK,)], tls=tls) as server:
        monkeypatch.setattr(socket, "getaddrinfo", resolve_to([*addresses, ("127.0.0.1", server.port)]))
        scheme = "https" if tls else "http"
        outcome = read_to_end(connect(f"{scheme}://localhost", timeout=replace(CALM, connect=1)).stream("Hi"))
        assert (outcome.text, outcome.stream.stats.attempts) == ("fine", 1)


@pytest.mark.parametrize("end", [fin, bye, rst], ids=["FIN", "close_notify", "RST"])
def test_a_stale_connection_costs_no_attempt(
    connect: Callable[..., Client], tls: ssl.SSLContext | None, end: Step
) -> None:
    ended = threading.Event()
    with FaultServer([(OK, pause(0.02), end), (OK,)], tls=tls) as server:
        client = connect(server.url)
        assert client.complete("Hi") == "fine"
        assert end is not rst or server.wait_until(lambda: not server.open_connections)
        ended.wait(0.1)
        outcome = read_to_end(client.stream("Hi"))
        assert (outcome.text, outcome.stream.stats.attempts, len(server.requests)) == ("fine", 1, 2)


def test_a_connection_is_kept(connect: Callable[..., Client], tls: ssl.SSLContext | None) -> None:
    with FaultServer([(OK,)], tls=tls) as server:
        client = connect(server.url)
        assert [client.complete("Hi") for _ in range(5)] == ["fine"] * 5
        assert (len(server.requests), server.connections) == (5, 1)


@pytest.mark.parametrize(
    "surplus", [(b"POISON",), (sized("POISON" * 9000),), (pause(0.02), sized("POISON"))], ids=range(3)
)
@pytest.mark.parametrize(
    "first", [OK, sized("fine"), sized("", status="503 No"), head(status="204 None")], ids=range(4)
)
def test_what_nobody_asked_for_reaches_no_call(
    connect: Callable[..., Client], tls: ssl.SSLContext | None, first: bytes, surplus: Script
) -> None:
    sent = threading.Event()
    glued = (first + surplus[0], *surplus[1:]) if isinstance(surplus[0], bytes) else (first, *surplus)
    with FaultServer([(*glued, told(sent), stall), (OK,)], tls=tls) as server:
        client = connect(server.url, retry=1)
        consume(client.stream("Hi"))
        sent.wait(0.5)
        assert client.complete("Hi") == "fine"
        assert server.connections == 2


def test_a_reply_with_two_framings_ends_its_connection(
    connect: Callable[..., Client], tls: ssl.SSLContext | None
) -> None:
    both = head("content-length: 4", "transfer-encoding: chunked") + chunk("fine") + END
    with FaultServer([(both,), (OK,)], tls=tls) as server:
        client = connect(server.url, retry=1)
        assert [client.complete("Hi") for _ in range(3)] == ["fine"] * 3
        assert server.connections == 2


def test_what_comes_at_the_last_moment_before_the_request_reaches_no_call(
    connect: Callable[..., Client], tls: ssl.SSLContext | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, poisoned = threading.Event(), threading.Event()
    put_header = HTTPConnection.putheader

    def put_header_meanwhile(connection: HTTPConnection, *header: Any) -> None:
        if connection.sock is not None:
            now.set()
            assert poisoned.wait(5)
        put_header(connection, *header)

    with FaultServer([(OK, held(now), sized("POISON"), told(poisoned), stall), (OK,)], tls=tls) as server:
        client = connect(server.url, retry=1)
        assert client.complete("Hi") == "fine"
        monkeypatch.setattr(HTTPConnection, "putheader", put_header_meanwhile)
        assert client.complete("Hi") == "fine"
        assert server.connections == 2


def test_what_waits_decrypted_behind_a_reply_reaches_no_call(connect: Callable[..., Client], trust: Trust) -> None:
    """One record of TLS holds 16 KiB, and one receive brings 8 KiB of it: the socket has nothing to read any more."""
    reply = head("content-length: 8192")
    reply = head(f"content-length: {8192 - len(reply)}") + b"x" * (8192 - len(reply))
    assert len(reply) == 8192
    with FaultServer([(reply + sized("POISON"), stall), (OK,)], tls=trust.contexts["good"]) as server:
        client = Client(server.url, verify=trust.bundle, retry=1)
        assert set(client.complete("Hi")) == {"x"}
        assert client.complete("Hi") == "fine"
        client.close()


def test_a_fork_makes_connections_of_its_own(connect: Callable[..., Client], tls: ssl.SSLContext | None) -> None:
    with FaultServer([(OK,)], tls=tls) as server:
        client = connect(server.url)
        assert client.complete("Hi") == "fine"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the server's threads do not matter to the child
            child = os.fork()
        if not child:
            signal.alarm(10)
            os._exit(0 if client.complete("Hi") == "fine" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert client.complete("Hi") == "fine"
        assert (len(server.requests), server.connections) == (3, 2)


def test_retry_after_is_waited_for(connect: Callable[..., Client]) -> None:
    asked = sized("", "retry-after: 1", status="429 Slow")
    with FaultServer([(asked,), (OK,)]) as server:
        outcome = read_to_end(connect(server.url).stream("Hi"))
    assert outcome.seconds >= 1


def test_a_deadline_in_a_backoff_ends_at_once_with_the_last_error(connect: Callable[..., Client]) -> None:
    slow = replace(RETRY, wait_initial=5.0, wait_max=5.0)
    with FaultServer([(sized("tired", status="503 No"),)]) as server:
        outcome = consume(connect(server.url, timeout=after(3), retry=slow).stream("Hi"))
    judge_error(Case("", (), error=ServerError, retryable=True, says="tired"), outcome)
    assert outcome.seconds < 3


def test_later_changes_of_the_messages_reach_no_attempt(connect: Callable[..., Client]) -> None:
    messages: list[Message] = [{"role": "user", "content": "one"}]
    with FaultServer([(fin,), (OK,)]) as server:
        stream = connect(server.url).stream(messages)
        messages[0]["content"] = "two"
        messages.clear()
        read_to_end(stream)
        assert len(server.requests) == 2
        assert len(set(server.requests)) == 1
        assert b"one" in server.requests[0]


_MIX: list[Script] = [
    (OK,),
    (sized("no", status="400 No"),),
    (CHUNKED + chunk("so far"), fin),
    (CHUNKED + chunk("so far") + b"zz\r\n",),
    (fin,),
    (rst,),
    (head(status="307 There"), flood(b"x")),
    (CLOSED + b"fine\xff", flood(b"x")),
    (sized(""),),
    (head("content-length: 99", status="500 No") + b"no", rst),
]


def counts() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def test_two_hundred_calls_leave_nothing_behind(connect: Callable[..., Client], tls: ssl.SSLContext | None) -> None:
    outcomes = list[Outcome]()
    with FaultServer(_MIX * 20, tls=tls) as server:
        client = connect(server.url, retry=1)
        gc.disable()
        try:
            outcomes += [consume(client.stream("Hi")) for _ in _MIX]
            assert server.wait_until(lambda: not server.open_connections, SLACK)
            before = counts()
            for _ in range(19):
                outcomes += [consume(client.stream("Hi")) for _ in _MIX]
                assert server.wait_until(lambda: not server.open_connections, SLACK)
                assert wait_for(lambda: counts() == before, SLACK)
        finally:
            gc.enable()
    assert [type(outcome.error) for outcome in outcomes] == [type(outcome.error) for outcome in outcomes[:10]] * 20


# When pieces come


@pytest.mark.parametrize("framing", ["chunked", "one-chunk", "length", "close"])
def test_a_piece_is_handed_out_before_the_next_is_sent(
    connect: Callable[..., Client], tls: ssl.SSLContext | None, framing: Framing
) -> None:
    pieces, gate = ["П", "ри", "вет", "! ", "🦊"], Gate()
    with FakeServer(pieces, framing=framing, gate=gate, pause=0, tls=tls) as server:
        stream = connect(server.url).stream("Hi")
        for piece in pieces:
            gate.release()
            assert next(stream) == piece
        gate.open()
        assert next(stream, None) is None
        assert stream.whole is (None if framing == "close" and tls is None else True)  # over TLS, its end is proved


def test_half_a_chunk_is_handed_out(connect: Callable[..., Client], tls: ssl.SSLContext | None) -> None:
    steps: list[Step] = [CHUNKED + b"9\r\n"]
    gates = [threading.Event() for _ in "abc"]
    for gate, part in zip(gates, (b"fin\xd0", b"\xb5ly", b" x\r"), strict=True):
        steps += [held(gate), part]
    with FaultServer([(*steps, b"\n" + END)], tls=tls) as server:
        stream = connect(server.url).stream("Hi")
        for gate, piece in zip(gates, ("fin", "еly", " x"), strict=True):
            gate.set()
            assert next(stream) == piece
        assert next(stream, None) is None
        assert stream.whole is True


def test_text_before_a_cut_is_handed_out_before_it(connect: Callable[..., Client], tls: ssl.SSLContext | None) -> None:
    gate = threading.Event()
    with FaultServer([(CHUNKED + chunk("so far"), held(gate), rst)], tls=tls) as server:
        stream = connect(server.url).stream("Hi")
        assert next(stream) == "so far"
        gate.set()
        with pytest.raises(StreamInterruptedError) as caught:
            next(stream)
        assert caught.value.partial_text == stream.text == "so far"
        assert len(server.requests) == 1


def test_a_reset_behind_the_closure_alert_cuts_nothing(trust: Trust) -> None:
    def alert(connection: Connection) -> None:
        assert isinstance(connection.socket, ssl.SSLSocket)
        connection.socket.settimeout(0)
        with contextlib.suppress(OSError):
            connection.socket.unwrap()

    with FaultServer([(b"HTTP/1.1 200 OK\r\n\r\nHello", alert, rst)], tls=trust.contexts["good"]) as server:
        stream = Client(server.url, verify=trust.bundle, retry=1).stream("Hi")
        assert next(stream) == "Hello"
        time.sleep(0.2)  # for both to arrive
        assert next(stream, None) is None
        assert stream.whole is True


# Any text, any cut, any framing, a fault anywhere


@dataclass(frozen=True)
class Reply:
    """A reply that goes wrong, or not, after some of its wire's bytes."""

    text: str
    framing: str
    fault: Step | None
    sent: int
    cuts: list[int]

    @cached_property
    def body(self) -> tuple[bytes, list[int]]:
        """The whole body on the wire, and where in it each byte of the text is."""
        encoded, places = self.text.encode(), list[int]()
        if self.framing != "chunked":
            return encoded, list(range(len(encoded)))
        wire, ends = b"", [*sorted({cut % len(encoded) for cut in self.cuts} - {0}), len(encoded)]
        for start, end in zip([0, *ends], ends, strict=False):
            wire += b"%x\r\n" % (end - start)
            places += range(len(wire), len(wire) + end - start)
            wire += encoded[start:end] + b"\r\n"
        return wire + END, places

    @property
    def wire(self) -> bytes:
        """What of it is sent."""
        whole = self.body[0]
        return whole if self.fault is None else whole[: self.sent % len(whole)]

    @property
    def script(self) -> Script:
        wire, whole = self.wire, self.body[0]
        field = {"chunked": "transfer-encoding: chunked", "length": f"content-length: {len(whole)}"}.get(self.framing)
        cuts = sorted(cut % (len(wire) + 1) for cut in self.cuts)
        parts = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
        end = self.fault or (fin if self.framing == "close" else pause(0))
        return head(*[field] if field else []), *(step for part in parts for step in (part, pause(0.001))), end

    @property
    def arrived(self) -> bytes:
        """What of the text is sent."""
        return self.text.encode()[: sum(place < len(self.wire) for place in self.body[1])]

    @property
    def delivered(self) -> str:
        return self.arrived.decode("utf-8", "ignore")

    @property
    def error(self) -> type[AcytooError] | None:
        whole_characters = self.arrived.decode("utf-8", "replace") == self.delivered
        unsent = len(self.body[0]) - len(self.wire)
        complete = unsent <= 2 if self.framing == "chunked" else self.framing == "close"  # 2: behind the trailers
        if self.fault is None or (self.fault is fin and complete and whole_characters):
            return None if self.delivered else EmptyReplyError
        return StreamInterruptedError if self.delivered else APIConnectionError


REPLIES = st.builds(
    Reply,
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), min_size=1, max_size=40),
    framing=st.sampled_from(["chunked", "length", "close"]),
    fault=st.sampled_from([None, fin, fin, rst]),
    sent=st.integers(0, 999),
    cuts=st.lists(st.integers(0, 999), max_size=4),
)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reply=REPLIES)
def test_any_reply_comes_as_far_as_it_came(connect: Callable[..., Client], reply: Reply) -> None:
    with FaultServer([reply.script]) as server:
        outcome = consume(connect(server.url, retry=1, strip_notices=False).stream("Hi"))
    judge_text(Case("", (), text=reply.delivered), outcome)
    assert type(outcome.error) is (reply.error or type(None))
    assert outcome.error is None or outcome.error.partial_text == outcome.text
