"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP. The only importer of `opentelemetry`, which is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stream import __version__
from stream.errors import SettingsError
from stream.tracing.traces import Traces

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

EVENT: Final = "penchant.event"
QUEUE_MAX_SPANS: Final = 2048
"""Spans that wait to be sent; further ones are dropped while the collector is away."""

CLOSE_TIMEOUT_MS: Final = 2000


def traces_of(endpoint: str | None, share: float, **resource: str) -> Traces | None:
    """What the settings ask for; None: nothing is traced.

    Args:
        endpoint: of a collector, without a path, `http://127.0.0.1:4318`.
        share: see `Traces`.
        resource: what the spans say of this process, beside its name and version.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            f"otlp_endpoint is set but OpenTelemetry is not installed ({error}).", "pip install 'penchant[tracing]'"
        ) from None
    about = {"service.name": "penchant", "service.version": __version__} | {
        name.replace("_", "."): value for name, value in resource.items()
    }
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_MAX_SPANS, schedule_delay_millis=1000)
    )
    return Traces(OpenTelemetrySpans(provider), share)


class OpenTelemetrySpans:
    """See `stream.tracing.traces.Spans`."""

    def __init__(self, provider: Any) -> None:
        """`provider`: an `opentelemetry.sdk.trace.TracerProvider`."""
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._trace, self._propagator = trace, TraceContextTextMapPropagator()
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("penchant", __version__)

    def begin(self, traceparent: str | None, start_ns: int, attributes: Mapping[str, Any]) -> Span | None:
        """See `Spans`."""
        parent = None
        if traceparent is not None:
            parent = self._propagator.extract({"traceparent": traceparent})
            context = self._trace.get_current_span(parent).get_span_context()
            if not (
                context.is_valid and context.trace_flags.sampled
            ):  # malformed ones would let anybody have all traced
                return None
        kind = self._trace.SpanKind.CONSUMER
        return self._tracer.start_span(EVENT, parent, kind, attributes, start_time=start_ns)

    def child(self, of: Span, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any]) -> None:
        """See `Spans`."""
        context = self._trace.set_span_in_context(of)
        self._tracer.start_span(f"penchant.{name}", context, attributes=attributes, start_time=start_ns).end(end_ns)

    def end(self, span: Span, end_ns: int, error: str | None) -> None:
        """See `Spans`."""
        if error is not None:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, error))
        span.end(end_ns)

    def trace_id(self, span: Span) -> str:
        """See `Spans`."""
        return self._trace.format_trace_id(span.get_span_context().trace_id)

    def traceparent(self, span: Span) -> str:
        """See `Spans`."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        return carrier["traceparent"]

    def close(self) -> None:
        """See `Spans`."""
        self._provider.force_flush(CLOSE_TIMEOUT_MS)
        self._provider.shutdown()
