"""A first start: what is wrong is told before anything is compiled, and whoever stops it need not wait for a compiler."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from stream.demo.process import free_port
from stream.demo.worker import WorkerProcess
from stream.errors import CorruptStateError, PenchantError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.replica import TopicReplica
from stream.kafka.specs import topic_specs
from stream.rules import active
from stream.rules.rule import rule_of
from stream.rules.topic import publish_changes
from stream.settings import Settings, load_settings
from stream.worker.app import Application

DEADLINE_S = 60.0
Embedded = Callable[[Mapping[str, int]], EmbeddedBroker]


@pytest.fixture
def settings(embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a worker that has everything to compile."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    broker = embedded({spec.name: 1 for spec in topic_specs(load_settings())})
    return load_settings(bootstrap_servers=broker.bootstrap_servers, metrics_port=free_port(), encoder_model="hashing")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_compiles_ends_with_0_and_compiles_no_further(settings: Settings, number: signal.Signals):
    with WorkerProcess(settings) as worker:
        wait_for(worker, "compiling 1 of ")
        code = worker.end(number, DEADLINE_S)
        log = worker.log.read_text()

    assert code == 0, log
    assert "compiled in" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"encoder_model": "no-such-model"}, "no-such-model"),
        ({"metrics_port": "taken"}, "cannot be opened"),
        ({"write_buffer_bytes": 1 << 50}, "MiB free and needs 4294967296 (4 times write_buffer_bytes). Fix: free some"),
    ],
)
def test_what_is_wrong_with_the_port_the_disk_or_the_encoder_is_told_before_anything_is_compiled(
    settings: Settings, wrong: dict[str, object], told: str
):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        if "metrics_port" in wrong:
            wrong = {"metrics_port": other.getsockname()[1]}
        with (
            pytest.raises(PenchantError, match=r"exit code 2"),
            WorkerProcess(settings.model_copy(update=wrong)) as worker,
        ):
            wait_for(worker, "compiled in")

    log = worker.log.read_text()
    worker.log.unlink()
    assert told in log
    assert "compiled in" not in log


@pytest.fixture
async def application(embedded: Embedded, tmp_path: Path) -> AsyncIterator[Application]:
    """A worker that is not running, and has little to compile."""
    broker = embedded({spec.name: 1 for spec in topic_specs(load_settings())})
    settings = load_settings(
        bootstrap_servers=broker.bootstrap_servers, data_dir=tmp_path / "data", encoder_model="none", metrics_port=0
    )
    made = Application(settings)
    yield made
    made.engine.faust.consumer._thread.thread_loop.close()


async def test_a_worker_has_read_what_all_know_before_it_joins_its_group(application: Application) -> None:
    try:
        await application._prepare()
        assert application._replicas_caught_up()
    finally:
        gc.unfreeze()
        await application._close()


async def test_it_knows_by_then_which_items_each_rule_means(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer(application.settings.client_config())
    for n in range(60):
        item = json.dumps({"item_id": f"i{n}", "title": f"T{n}", "price": n})
        producer.produce(application.settings.topic_items, item, f"i{n}")
    assert producer.flush(10) == 0
    publish_changes(application.settings, {"rule/no": rule_of("no", {"kind": "deny", "where": "price > 9"})})
    monkeypatch.setattr(active, "ITEMS_AT_ONCE", 7)  # so that one look is not enough
    try:
        await application._prepare()
        rules = application.tracker.refresher.pages.rules
        assert rules.ids == ("no",)
        assert rules.marks_of("no").means.sum() == 50
    finally:
        gc.unfreeze()
        await application._close()


async def test_what_breaks_while_that_is_read_ends_the_worker_and_is_told(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking: list[object] = []

    def break_(replica: TopicReplica) -> None:
        breaking.append(asyncio.ensure_future(replica._fatal(CorruptStateError("no record of an item"))))

    monkeypatch.setattr(TopicReplica, "start", break_)
    with pytest.raises(CorruptStateError, match="no record"):
        await application.run()


def wait_for(worker: WorkerProcess, line: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while line not in worker.log.read_text():
        worker.check()
        assert time.monotonic() < deadline, worker.log.read_text()
        threading.Event().wait(0.02)
