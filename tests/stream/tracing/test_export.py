"""A real worker and a collector: the spans of an event, by OTLP over HTTP; and the exemplar that names its trace."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream.demo.process import free_port
from stream.demo.worker import WorkerProcess
from stream.errors import SettingsError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.settings import load_settings
from stream.tracing import export

DEADLINE_S = 90.0
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps the spans."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.spans: list[Any] = []
        self.resource: dict[str, str] = {}

    def take(self, body: bytes) -> None:
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = {a.key: a.value.string_value for a in each.resource.attributes}
            for scope in each.scope_spans:
                self.spans.extend(scope.spans)


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_way_of_an_event_is_exported_and_the_list_and_the_exemplar_name_its_trace(
    collector: Collector, embedded: Callable[[Mapping[str, int]], EmbeddedBroker]
) -> None:
    broker = embedded({spec.name: 1 for spec in topic_specs(load_settings())})
    settings = load_settings(
        bootstrap_servers=broker.bootstrap_servers, metrics_port=free_port(), encoder_model="none",
        otlp_endpoint=f"http://127.0.0.1:{collector.server_port}", trace_share=0, log_format="json", commit_interval_s=0.1,
    )  # fmt: skip
    producer = Producer(settings.client_config())
    for name in ("cup", "pot", "tray"):
        producer.produce(settings.topic_items, json.dumps({"item_id": name, "title": name}), name)
    click = json.dumps({"user_id": "ann", "item_id": "cup", "action": "click"})
    producer.produce(settings.topic_events, click, "ann", headers={"traceparent": f"00-{TRACE_ID}-{PARENT}-01"})
    producer.produce(settings.topic_events, click.replace("ann", "bob"), "bob")
    assert producer.flush(10) == 0

    with WorkerProcess(settings) as worker:
        until(lambda: any(span.name == "penchant.event" for span in collector.spans), worker)
        exposition = openmetrics(worker.metrics_url)
        assert worker.end(signal.SIGTERM, 30.0) == 0, worker.log.read_text()
        lines = worker.log.read_text().splitlines()
        worker.log.unlink()

    by_name = {span.name: span for span in collector.spans}
    assert set(by_name) == {f"penchant.{stage}" for stage in ("event", "wait", "apply", "rank", "commit")}
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}, "bob's event was not asked for"
    event = by_name["penchant.event"]
    assert event.parent_span_id.hex() == PARENT
    assert {by_name[name].parent_span_id for name in by_name if name != "penchant.event"} == {event.span_id}
    assert event.start_time_unix_nano <= by_name["penchant.wait"].start_time_unix_nano
    assert by_name["penchant.commit"].end_time_unix_nano <= event.end_time_unix_nano
    assert collector.resource["service.name"] == "penchant"
    assert collector.resource["penchant.group"] == settings.group_id
    assert f'# {{trace_id="{TRACE_ID}"}}' in exposition
    assert traceparents(settings)["ann"] == f"00-{TRACE_ID}-{event.span_id.hex()}-01"
    assert "bob" not in traceparents(settings)
    assert all(json.loads(line)["process"] == "worker" for line in lines)
    assert len(lines) > 3


def test_without_the_extra_the_setting_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(
        SettingsError, match=r"OpenTelemetry is not installed .* Fix: pip install 'penchant\[tracing\]'"
    ):
        export.traces_of("http://127.0.0.1:4318", 0.1)


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert export.traces_of(None, 1.0) is None


@pytest.mark.parametrize(
    ("header", "begins"),
    [
        (f"00-{TRACE_ID}-{PARENT}-01", True),
        (f"00-{TRACE_ID}-{PARENT}-00", False),
        ("", False),
        ("00-zz-1-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        ("x" * 100_000, False),
        (None, True),
    ],
)
def test_only_a_good_header_that_says_sampled_has_an_event_traced(header: str | None, begins: bool) -> None:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    spans = export.OpenTelemetrySpans(TracerProvider(shutdown_on_exit=False))
    assert (spans.begin(header, 1, {}) is not None) == begins


def until(is_so: Callable[[], bool], worker: WorkerProcess) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        worker.check()
        assert time.monotonic() < deadline, worker.log.read_text()
        threading.Event().wait(0.05)


def openmetrics(url: str) -> str:
    wanted = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(wanted, timeout=5) as answer:
        return str(answer.read().decode())


def traceparents(settings: Any) -> dict[str, str]:
    """Of the lists, by user."""
    consumer = Consumer(settings.client_config() | {"group.id": "t", "auto.offset.reset": "earliest"})
    consumer.subscribe([settings.topic_recommendations])
    found: dict[str, str] = {}
    try:
        while True:
            message = consumer.poll(3)
            if message is None:
                return found
            for name, value in message.headers() or ():
                if name == "traceparent":
                    found[message.key().decode()] = value.decode()
    finally:
        consumer.close()
