"""How the benchmarks are run and what they make of several variants of one engine; the arithmetic is in test_measure.py."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import run as runner
from benchmarks.engines import PEERS, PEERS_MEASURED, Measured
from benchmarks.throughput import _figures


def _measured(label: str, events: int, seconds: float, cpu_s: float) -> Measured:
    return Measured(label, events, seconds, cpu_s, 1.0, 0.0, "its offsets are committed")


def test_a_peer_is_judged_by_its_fastest_variant() -> None:
    own, everything = _measured("Penchant", 1000, 1.0, 0.5), _measured("Penchant, all", 100, 1.0, 1.0)
    figures = _figures(
        own,
        everything,
        [
            ("quix", _measured("Quix Streams", 1000, 4.0, 4.0)),
            ("kafka_streams", _measured("Kafka Streams, packed, at least once", 1000, 2.0, 4.0)),
            ("kafka_streams", _measured("Kafka Streams, exactly once", 1000, 5.0, 8.0)),
        ],
    )
    assert figures["penchant_events_per_cpu_s"] == 2000
    assert (figures["kafka_streams_events_per_s"], figures["over_kafka_streams"]) == (500, 2)
    assert figures["kafka_streams_events_per_cpu_s"] == 250
    assert figures["kafka_streams_exactly_once_events_per_s"] == 200
    assert (figures["quix_events_per_s"], figures["over_quix"]) == (250, 4)
    assert not any(name.startswith(("over_faust", "faust")) for name in figures), "it was not measured"


def test_every_peer_has_what_it_is_built_from() -> None:
    for name in {peer.name for peer in PEERS_MEASURED}:
        assert any((PEERS / name / file).is_file() for file in ("requirements.txt", "pom.xml"))


def test_a_benchmark_that_fails_leaves_the_others_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> dict[str, float]:
        raise RuntimeError("the worker ended")

    modules = {
        "benchmarks.refresh": SimpleNamespace(run=fail),
        "benchmarks.worker": SimpleNamespace(run=lambda _: {"events_per_s": 1.0}),
    }
    monkeypatch.setattr(runner, "BENCHMARKS", ("refresh", "worker"))
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    monkeypatch.setattr(runner.importlib, "import_module", modules.__getitem__)
    assert runner.main(["all"]) == 1
    out, err = capsys.readouterr()
    assert err == "bench: refresh failed: the worker ended\n"
    (result,) = json.loads(out.splitlines()[-1])["results"]
    assert (result["benchmark"], result["figures"]) == ("worker", {"events_per_s": 1.0})
    assert result["versions"]["kafka-streams"]
    assert [path.name for path in tmp_path.iterdir()] == ["worker.json"]


def test_an_unknown_benchmark_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["speed"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
