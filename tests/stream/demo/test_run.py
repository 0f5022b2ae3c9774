"""The demo as a person runs it: a process, its output, its exit code, and nothing left behind."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from stream.demo.observer import Observer, wall_clock_ms
from stream.demo.process import free_port
from stream.demo.shoppers import Shoppers
from stream.demo.worker import WorkerProcess
from stream.errors import PenchantError
from stream.files.sample import EVENTS, ITEMS
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import load_settings

DEADLINE_S = 150.0
TINY = """
import sys
from pathlib import Path
from stream.demo import Shop, run_demo
from stream.settings import load_settings
shop = Shop(events=Path(sys.argv[1]), items=Path(sys.argv[2]))
sys.exit(run_demo(load_settings(), serve=True, seconds=2, lang="en", shop=shop))
"""


SHORT = """
import sys
from pathlib import Path
from stream.demo import Shop, run_demo
from stream.settings import load_settings
shop = Shop(events=Path(sys.argv[1]), items=Path(sys.argv[2]))
sys.exit(
    run_demo(load_settings(), serve=False, seconds=600, lang="en", shop=shop, data_dir=Path(sys.argv[3]), end_s=1.0)
)
"""


class Demo:
    """A running demo whose output can be awaited."""

    def __init__(self, arguments: list[str], temporary: Path) -> None:
        self.temporary = temporary
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._grown:
                    self._lines.append(line)
                    self._grown.notify_all()

    def join(self) -> None:
        self._reader.join(DEADLINE_S)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def until(self, text: str) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: text in self.output, DEADLINE_S), self.output

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Exit code and seconds it took; nothing of it may be left."""
        workers = psutil.Process(self.process.pid).children(recursive=True)
        assert workers
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        took_s = time.monotonic() - began
        self.join()
        assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
        # ONNX Runtime leaves a session number of its telemetry, which is switched off, in the temporary directory.
        assert [path for path in self.temporary.iterdir() if path.name != ".ses"] == [], self.output
        assert "Traceback" not in self.output
        return code, took_s


@contextmanager
def running(arguments: list[str], temporary: Path) -> Iterator[Demo]:
    temporary.mkdir()
    demo = Demo(arguments, temporary)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.wait(DEADLINE_S)


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """The sample's first 400 purchases and all items."""
    events = tmp_path / "events.csv"
    with gzip.open(EVENTS, "rt") as lines:
        events.write_text("".join(line for line, _ in zip(lines, range(401), strict=False)))
    return ["-c", TINY, str(events), str(ITEMS)]


def test_the_demo_ends_when_it_was_told_to_and_keeps_its_state_where_it_was_told_to(
    tiny: list[str], tmp_path: Path
) -> None:
    state = tmp_path / "state" / "here"
    with running(["-c", SHORT, *tiny[2:], str(state)], tmp_path / "temporary") as demo:
        while not list(tmp_path.glob("state/here/penchant-demo-*/data/users")):
            assert demo.process.poll() is None, demo.output
            time.sleep(0.05)
        code = demo.process.wait(DEADLINE_S)
        demo.join()

    assert code == 0, demo.output
    words = " ".join(demo.output.split())
    assert "Ended after 1 s of replay, as --seconds says" in words
    assert "lost nothing" in words
    assert list(state.iterdir()) == []


def test_the_demo_ends_with_a_summary_of_the_published_topics_and_serves_until_told_to_stop(
    tiny: list[str], tmp_path: Path
):
    with running(tiny, tmp_path / "temporary") as demo:
        demo.until("Ctrl-C stops everything.")
        code, took_s = demo.stop(signal.SIGTERM)

    assert code == 0, demo.output
    assert took_s < 8
    words = " ".join(demo.output.split())
    assert "events 400 (" in words
    assert "6 sent on purpose: 1 empty, 1 key_mismatch, 1 no_item, 1 not_json, 1 schema, 1 time_out_of_bounds" in words
    assert "freshness p50 " in words
    assert "hit rate @10" in words
    assert "hit rate @20" in words
    assert "lost nothing: every record followed the one before it" in words
    for needed in ("kcat -P -b 127.0.0.1:", "curl -s http://127.0.0.1:", "penchant watch", "5 MiB"):
        assert needed in words


def test_ctrl_c_in_the_middle_stops_everything_with_130_and_no_traceback(tmp_path: Path):
    with running(["-m", "stream", "demo"], tmp_path / "temporary") as demo:
        demo.until("replaying")
        code, took_s = demo.stop(signal.SIGINT)

    assert code == 130
    assert took_s < 8
    assert "Stopped; nothing is left running." in demo.output


def test_ctrl_c_while_the_worker_compiles_stops_everything_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    with running(["-m", "stream", "demo"], tmp_path / "temporary") as demo:
        demo.until("compiling 1 of ")
        code, took_s = demo.stop(signal.SIGINT)

    assert code == 130
    assert took_s < 8
    assert "Stopped; nothing is left running." in demo.output


def test_what_is_missing_at_the_end_keeps_the_workers_log_and_says_where_it_is(tiny: list[str], tmp_path: Path):
    script = "import stream.demo.run as run; run.problems_of = lambda *_: ['7 lists never came']\n" + TINY
    with running(["-c", script, *tiny[2:]], tmp_path / "temporary") as demo:
        demo.until("Ctrl-C stops everything.")
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(DEADLINE_S) == 1
        demo.join()

    (log,) = (tmp_path / "temporary").glob("*.log")
    assert f"The worker's log: {log}" in demo.output
    assert "started in" in log.read_text()


def test_a_worker_that_dies_is_an_error_that_quotes_the_end_of_its_log(tmp_path: Path):
    settings = load_settings(
        bootstrap_servers=f"127.0.0.1:{free_port()}", connect_timeout_s=0.2, metrics_port=0, group_id="dies"
    )
    with (
        pytest.raises(PenchantError, match=r"the worker ended \(exit code 2\).*\n.*no Kafka broker answers") as failure,
        WorkerProcess(settings) as worker,
    ):
        _wait_for(lambda: worker.check() is not None)

    assert worker.log.name in str(failure.value)
    assert worker.log.exists()
    assert not worker.settings.data_dir.parent.exists()
    worker.log.unlink()


def test_a_record_that_the_broker_dropped_before_it_was_read_is_counted_as_lost(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker],
):
    settings = load_settings()
    topics = [settings.topic_events, settings.topic_recommendations]
    topics += [settings.topic_attributions, settings.topic_dead_letter]
    broker = embedded(dict.fromkeys(topics, 1))
    settings = settings.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
    producer = Producer(settings.client_config() | {"linger.ms": 0})
    for _ in range(80):
        producer.produce(settings.topic_events, os.urandom(100_000), b"ann", 0)
        assert producer.flush(10) == 0

    with Observer(settings, 1, Shoppers([], chinese=False), wall_clock_ms) as observer:
        _wait_for(lambda: observer.progress(settings.topic_events) == 80)
        read = observer.figures().missing_refusals
        lost = observer.lost()

    assert lost == {settings.topic_events: 80 - read}
    assert lost[settings.topic_events] > 20


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
