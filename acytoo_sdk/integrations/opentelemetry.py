"""OpenTelemetry: a span and two measurements for each call, by the conventions for generative AI.

    pip install 'acytoo-sdk[otel]'

    from acytoo_sdk.integrations.opentelemetry import AcytooInstrumentor

    AcytooInstrumentor().instrument()

A program that is started by `opentelemetry-instrument` needs no line of this. Where spans and measurements go is the
business of OpenTelemetry's SDK: without one, nobody sees them. `pip install opentelemetry-distro` brings it.

No text, key or header is told, nor the message of an error, which may quote what the server says. All that is known
here of a call comes from `events`.

Source:
    https://github.com/open-telemetry/semantic-conventions-genai: gen-ai-spans.md ("Inference") and gen-ai-metrics.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from .._version import __version__
from ..events import CallEnded, CallInfo, CallStarted, Event, FirstPiece, subscribe

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled
    from opentelemetry.metrics import Meter, get_meter
    from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_tracer, set_span_in_context
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ModuleNotFoundError(
        "AcytooInstrumentor needs OpenTelemetry: pip install 'acytoo-sdk[otel]'", name=error.name
    ) from None

_OPERATION = "chat"
_SECONDS = tuple(0.01 * 2**power for power in range(14))  # the boundaries that the conventions give


class AcytooInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # it has no types
    """Traces and measures the calls of all clients of this process, from `instrument()` to `uninstrument()`.

    Each call has one span, `chat {model}` of kind CLIENT, over all its attempts: it begins when the first piece is
    asked for. Its parent is the span that was current then; it is never made the current one itself. Its status is an
    error, with `error.type`, where the call raised one; not where it was cancelled, or its stream closed or dropped.
    Beside the attributes of the conventions it has `acytoo.outcome` and `acytoo.attempts`: see `acytoo_sdk.events`. In
    a batch, each attempt is a call, and its parent is the span in which the results are taken; with an executor, it is
    what is current there.

    The metrics are `gen_ai.client.operation.duration` and `gen_ai.client.operation.time_to_first_chunk`, in seconds.

    `instrument(tracer_provider=..., meter_provider=...)` takes providers; without one, the global one is used. As all
    instrumentors it is one object for the process, and blocks nobody.

    Raises:
        ModuleNotFoundError: when this module is imported and OpenTelemetry is missing: install `acytoo-sdk[otel]`.

    Example:
        AcytooInstrumentor().instrument(tracer_provider=provider)
    """

    _unsubscribe: Callable[[], None]

    def instrumentation_dependencies(self) -> Collection[str]:
        """No packages: what is instrumented is this one."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """`instrument(tracer_provider=..., meter_provider=...)`; None: the global ones."""
        tracer = get_tracer("acytoo_sdk", __version__, kwargs.get("tracer_provider"))
        meter = get_meter("acytoo_sdk", __version__, kwargs.get("meter_provider"))
        self._unsubscribe = subscribe(_Telemetry(tracer, meter))

    def _uninstrument(self, **kwargs: Any) -> None:
        self._unsubscribe()


class _Telemetry:
    """Makes spans and measurements of events."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._time_to_first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._running: dict[CallInfo, tuple[Span, int]] = {}  # with the time of the start, in nanoseconds

    def __call__(self, event: Event) -> None:
        call = event.call
        if isinstance(event, CallStarted):
            if is_instrumentation_enabled():
                self._start(call)
        elif call not in self._running:
            return  # OpenTelemetry was told not to instrument it when it started
        elif isinstance(event, FirstPiece):
            self._note_first(call, event)
        elif isinstance(event, CallEnded):
            self._end(call, event)

    def _start(self, call: CallInfo) -> None:
        name = _OPERATION if call.model is None else f"{_OPERATION} {call.model}"
        attributes = {**_asked(call), "gen_ai.request.stream": True}
        if call.temperature is not None:
            attributes["gen_ai.request.temperature"] = call.temperature
        now = time.time_ns()
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=now)
        self._running[call] = span, now

    def _note_first(self, call: CallInfo, event: FirstPiece) -> None:
        span, _ = self._running[call]
        span.set_attribute("gen_ai.response.time_to_first_chunk", event.after)
        self._time_to_first_chunk.record(event.after, _asked(call), set_span_in_context(span))

    def _end(self, call: CallInfo, event: CallEnded) -> None:
        span, began = self._running.pop(call)
        span.set_attributes({"acytoo.outcome": event.outcome, "acytoo.attempts": event.stats.attempts})
        measured = _asked(call)
        if event.error is not None:
            measured["error.type"] = type(event.error).__qualname__
            span.set_attribute("error.type", measured["error.type"])
            span.set_status(StatusCode.ERROR)
        try:
            self._duration.record(event.stats.elapsed, measured, set_span_in_context(span))
        finally:
            span.end(began + round(event.stats.elapsed * 1e9))  # this may be called later than the call ended


def _asked(call: CallInfo) -> dict[str, str | bool | int | float]:
    """The attributes that spans and measurements share."""
    server = urlsplit(call.base_url)
    return {
        "gen_ai.operation.name": _OPERATION,
        "gen_ai.provider.name": "acytoo",
        **({} if call.model is None else {"gen_ai.request.model": call.model}),
        "server.address": server.hostname or "",
        "server.port": server.port or (443 if server.scheme == "https" else 80),
    }
