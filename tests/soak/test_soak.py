"""What a soak run says of what it saw: above all, that it can say no."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest
from soak_figures import Sample, disk_bytes, of_process, plot, quantile_between, verdicts, write_csv


def samples(values: list[float], figure: str = "memory_mib", process: str = "a") -> list[Sample]:
    return [Sample(10.0 * n, process, {figure: value}) for n, value in enumerate(values)]


def test_a_steady_series_is_flat_and_one_that_grows_is_not():
    assert verdicts(samples([400.0] * 30), ["a"])["a memory_mib"]["flat"]
    assert verdicts(samples([100.0] * 10 + [400.0] * 20), ["a"])["a memory_mib"]["flat"], "it may grow at first"
    assert not verdicts(samples([400.0 + 10 * n for n in range(30)]), ["a"])["a memory_mib"]["flat"]
    assert not verdicts(samples([150.0] * 20 + [190.0] * 10, "handles"), ["a"])["a handles"]["flat"]


def test_a_peak_is_no_growth_and_a_little_of_little_is_not_either():
    assert verdicts(samples([0.1] * 25 + [60.0] + [0.1] * 4, "freshness_p99_s"), ["a"])["a freshness_p99_s"]["flat"]
    assert verdicts(samples([0.1] * 20 + [0.3] * 10, "freshness_p99_s"), ["a"])["a freshness_p99_s"]["flat"]


def test_only_processes_that_nobody_killed_are_judged_and_only_with_enough_samples():
    assert verdicts(samples([float(n) for n in range(30)], process="b"), ["a"]) == {}
    assert verdicts(samples([1.0] * 8), ["a"]) == {}


def test_a_quantile_is_that_of_what_came_in_between():
    def histogram(*counts: float) -> dict[str, float]:
        bounds = ("0.1", "1.0", "+Inf")
        return {f'fresh_bucket{{le="{bound}"}}': count for bound, count in zip(bounds, counts, strict=True)}

    before, now = histogram(100, 100, 100), histogram(100, 199, 200)
    assert quantile_between(before, now, "fresh", 0.99) == 1.0
    assert quantile_between(before, now, "fresh", 1.0) == math.inf
    assert quantile_between(now, now, "fresh", 0.99) is None
    assert quantile_between({}, {}, "fresh", 0.99) is None


def test_a_process_and_its_directory_are_looked_at(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    figures = of_process(psutil.Process().pid, tmp_path)
    assert figures["memory_mib"] > 10
    assert figures["threads"] >= 1
    assert 0.09 < figures["disk_mib"] < 0.2
    assert disk_bytes(tmp_path / "nowhere") == 0


@pytest.mark.filterwarnings("ignore")
def test_a_table_and_a_picture_are_written(tmp_path: Path):
    seen = samples([400.0] * 12) + samples([0.2] * 12, "freshness_p99_s", "b")
    write_csv(seen, tmp_path / "samples.csv")
    plot(seen, [(30.0, "broker"), (60.0, "kill")], "a run", tmp_path / "soak.png")
    assert (tmp_path / "samples.csv").read_text().splitlines()[1] == "0.0,a,memory_mib,400.0000"
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
