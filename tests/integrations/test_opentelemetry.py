"""OpenTelemetry's spans and measurements, in its own SDK's memory."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from acytoo_sdk import AsyncClient, Client, RetryPolicy, ServerError, __version__
from acytoo_sdk.integrations.opentelemetry import AcytooInstrumentor
from acytoo_sdk.testing import FakeServer, Fault, Gate

AT_ONCE = RetryPolicy(wait_initial=0)
DURATION = "gen_ai.client.operation.duration"
TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"


@dataclass
class Telemetry:
    """What was exported."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer: trace.Tracer

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those of calls, in the order of their ends."""
        return [span for span in self.exporter.get_finished_spans() if span.kind is trace.SpanKind.CLIENT]

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    def points(self, name: str) -> list[Any]:
        """What was measured, by its attributes."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        assert all(metric.unit == "s" for metric in metrics)
        return [point for metric in metrics for point in metric.data.data_points]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    AcytooInstrumentor().instrument(tracer_provider=tracers, meter_provider=meters)
    yield Telemetry(exporter, reader, tracers.get_tracer("a caller"))
    if AcytooInstrumentor().is_instrumented_by_opentelemetry:
        AcytooInstrumentor().uninstrument()
    tracers.shutdown()
    meters.shutdown()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hel", "lo!"]) as server:
        yield server


def complete(flavour: str, url: str, **options: Any) -> str:
    if flavour == "blocking":
        with Client(url, **options) as client:
            return client.complete("Hi")

    async def main() -> str:
        async with AsyncClient(url, **options) as client:
            return await client.complete("Hi")

    return anyio.run(main, backend=flavour)


def test_a_reply_is_a_span_of_the_conventions(flavour: str, server: FakeServer, telemetry: Telemetry) -> None:
    before = time.time_ns()
    complete(flavour, server.url, model="tiny", temperature=1)
    span = telemetry.span
    assert span.name == "chat tiny"
    assert span.kind is trace.SpanKind.CLIENT
    assert span.parent is None
    assert span.status.status_code is trace.StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("acytoo_sdk", __version__)
    attributes = dict(span.attributes or {})
    first = attributes.pop("gen_ai.response.time_to_first_chunk")
    assert span.start_time is not None
    assert span.end_time is not None
    assert isinstance(first, float)
    assert before <= span.start_time <= span.start_time + first * 1e9 - 1 <= span.end_time <= time.time_ns()
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acytoo",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.temperature": 1,
        "gen_ai.request.stream": True,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "acytoo.outcome": "completed",
        "acytoo.attempts": 1,
    }


def test_all_attempts_are_one_span(flavour: str, telemetry: Telemetry) -> None:
    with FakeServer("Hello!", faults=[Fault.status(503), Fault.status(429)]) as server:
        complete(flavour, server.url, retry=AT_ONCE)
    assert telemetry.span.attributes is not None
    assert telemetry.span.attributes["acytoo.attempts"] == 3
    assert telemetry.span.status.is_unset
    assert not telemetry.span.events


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.status(429), "RateLimitError"),
        (Fault.html_page(), "UnexpectedReplyError"),
        (Fault.cut(after=1), "StreamInterruptedError"),
    ],
)
def test_an_error_has_its_type_and_no_words(flavour: str, fault: Fault, kind: str, telemetry: Telemetry) -> None:
    with FakeServer(["Hel", "lo!"], faults=[fault]) as server, pytest.raises(Exception) as caught:  # noqa: PT011
        complete(flavour, server.url, retry=1)
    assert type(caught.value).__name__ == kind
    span = telemetry.span
    assert span.attributes is not None
    assert span.attributes["error.type"] == kind
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, None)
    assert not span.events
    (point,) = telemetry.points(DURATION)
    assert point.attributes["error.type"] == kind


@pytest.mark.parametrize("how", ["close", "drop", "cancel"])
def test_a_stream_that_is_left_or_cancelled_is_no_error(how: str, flavour: str, telemetry: Telemetry) -> None:
    gate = Gate()
    gate.release()
    with FakeServer(["Hel", "lo!"], gate=gate) as server:

        def end(stream: Any) -> None:
            if how == "cancel":
                stream.cancel()

        async def main() -> None:
            async with AsyncClient(server.url) as client:
                stream = client.stream("Hi")
                await anext(stream)
                end(stream)
                if how == "close":
                    await stream.aclose()
                del stream

        if flavour == "blocking":
            with Client(server.url) as client:
                stream = client.stream("Hi")
                next(stream)
                end(stream)
                if how == "close":
                    stream.close()
                del stream
        else:
            anyio.run(main, backend=flavour)
        gate.open()
    assert telemetry.span.attributes is not None
    assert telemetry.span.attributes["acytoo.outcome"] == ("cancelled" if how == "cancel" else "closed")
    assert "error.type" not in telemetry.span.attributes
    assert telemetry.span.status.is_unset
    (point,) = telemetry.points(DURATION)
    assert "error.type" not in point.attributes


def test_the_span_is_a_child_of_the_caller_s_and_never_the_current_one(
    flavour: str, server: FakeServer, telemetry: Telemetry
) -> None:
    current: list[trace.Span] = []

    async def main() -> None:
        with telemetry.tracer.start_as_current_span("the caller's") as own:
            async with AsyncClient(server.url) as client:
                current.extend([trace.get_current_span() async for _ in client.stream("Hi")])
            current.append(own)

    if flavour == "blocking":
        with telemetry.tracer.start_as_current_span("the caller's") as own, Client(server.url) as client:
            current.extend(trace.get_current_span() for _ in client.stream("Hi"))
            current.append(own)
    else:
        anyio.run(main, backend=flavour)
    assert len(current) == 3
    assert {span.get_span_context().span_id for span in current} == {own_id := current[-1].get_span_context().span_id}
    assert telemetry.span.parent is not None
    assert telemetry.span.parent.span_id == own_id


def test_the_spans_of_a_batch_are_children_of_the_caller_s(server: FakeServer, telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("the caller's") as own, Client(server.url) as client:
        assert len(list(client.map(["one", "two", "three"]))) == 3
    parents = {span.parent.span_id for span in telemetry.spans if span.parent is not None}
    assert parents == {own.get_span_context().span_id}
    assert len(telemetry.spans) == 3


def test_duration_and_time_to_first_chunk_are_measured(telemetry: Telemetry) -> None:
    with (
        FakeServer("Hello!", faults=[Fault.status(500)]) as server,
        Client(server.url, model="tiny", retry=1) as client,
    ):
        with pytest.raises(ServerError):
            client.complete("Hi")
        client.complete("Hi")
    shared = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acytoo",
        "gen_ai.request.model": "tiny",
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
    }
    (first,) = telemetry.points(TO_FIRST_CHUNK)
    assert (dict(first.attributes), first.count) == (shared, 1)
    assert first.explicit_bounds[0] == 0.01
    assert first.explicit_bounds[-1] == 81.92
    good, bad = sorted(telemetry.points(DURATION), key=lambda point: len(point.attributes))
    assert (dict(good.attributes), good.count) == (shared, 1)
    assert (dict(bad.attributes), bad.count) == ({**shared, "error.type": "ServerError"}, 1)
    assert 0 < first.sum <= good.sum
    assert good.explicit_bounds == first.explicit_bounds


def test_what_the_payload_has_no_place_for_is_no_attribute(server: FakeServer, telemetry: Telemetry) -> None:
    with Client(server.url, payload="prompt") as client:
        client.complete("Hi")
    assert telemetry.span.name == "chat"
    assert telemetry.span.attributes is not None
    assert not {"gen_ai.request.model", "gen_ai.request.temperature"} & {*telemetry.span.attributes}


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_the_port_that_a_scheme_implies_is_told(scheme: str, port: int, telemetry: Telemetry) -> None:
    with Client(f"{scheme}://[::1]", retry=1) as client, pytest.raises(Exception, match="::1"):
        client.complete("Hi")
    assert telemetry.span.attributes is not None
    assert (telemetry.span.attributes["server.address"], telemetry.span.attributes["server.port"]) == ("::1", port)


def test_no_word_and_no_secret_is_told(telemetry: Telemetry) -> None:
    faults = [Fault.status(400, body='{"error": "key-said, and message-said"}')]
    with FakeServer("reply-said", faults=faults) as server:
        headers = {"authorization": "Bearer header-said"}
        with Client(server.url, key="key-said", password="password-said", headers=headers) as client:
            with pytest.raises(Exception, match="message-said"):
                client.complete("message-said")
            client.complete("message-said")
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    assert len(telemetry.spans) == 2
    assert "said" not in "".join(span.to_json() for span in telemetry.spans) + data.to_json()


def test_uninstrumented_it_ends_what_was_begun_and_begins_nothing(server: FakeServer, telemetry: Telemetry) -> None:
    with Client(server.url) as client:
        stream = client.stream("Hi")
        next(stream)
        AcytooInstrumentor().uninstrument()
        stream.read()
        assert len(telemetry.spans) == 1
        client.complete("Hi")
        assert len(telemetry.spans) == 1


def test_suppressed_it_tells_nothing(server: FakeServer, telemetry: Telemetry) -> None:
    with Client(server.url) as client, suppress_instrumentation():
        client.complete("Hi")
    assert not telemetry.spans
    assert not telemetry.points(DURATION)


def test_opentelemetry_instrument_finds_it() -> None:
    (point,) = [each for each in entry_points(group="opentelemetry_instrumentor") if each.name == "acytoo"]
    assert point.load() is AcytooInstrumentor


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "acytoo_sdk.integrations.opentelemetry")
    sentence = r"^AcytooInstrumentor needs .*: pip install 'acytoo-sdk\[otel\]'$"
    with pytest.raises(ModuleNotFoundError, match=sentence) as raised:
        importlib.import_module("acytoo_sdk.integrations.opentelemetry")
    assert raised.value.__cause__ is None
