"""What a soak run looks at every few seconds, whether it stays flat, and its picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import psutil

MIB: Final = 1 << 20

GROWTH_MAX: Final = 0.10
"""A series is flat if the median of its last third exceeds that of the middle one by no more than this share .."""

SLACK: Final = {"memory_mib": 15.0, "handles": 10.0, "threads": 3.0, "disk_mib": 60.0, "freshness_p99_s": 0.5}
""".. or by no more than this, where it is small."""

SAMPLES_MIN: Final = 9


class Sample(NamedTuple):
    """One look at one process; numbers it has not are absent."""

    at_s: float
    process: str
    figures: Mapping[str, float]


def of_process(pid: int, directory: Path) -> dict[str, float]:
    """Memory, handles, threads, and the disk under its directory."""
    process = psutil.Process(pid)
    with process.oneshot():
        return {
            "memory_mib": process.memory_info().rss / MIB,
            "handles": float(process.num_fds()),
            "threads": float(process.num_threads()),
            "disk_mib": disk_bytes(directory) / MIB,
        }


def disk_bytes(directory: Path) -> int:
    """What its files take; those that go meanwhile count for nothing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        total += status.st_blocks * 512
    return total


def quantile_between(before: Mapping[str, float], now: Mapping[str, float], name: str, share: float) -> float | None:
    """Upper bound of the bucket of a Prometheus histogram in which that share of what came in between lies, s."""
    prefix = f'{name}_bucket{{le="'
    buckets = sorted(
        (float(key.removeprefix(prefix).removesuffix('"}').replace("+Inf", "inf")), value - before.get(key, 0.0))
        for key, value in now.items()
        if key.startswith(prefix)
    )
    if not buckets or buckets[-1][1] <= 0:
        return None
    return next(bound for bound, count in buckets if count >= share * buckets[-1][1])


def growth(values: Sequence[float]) -> tuple[float, float]:
    """Medians of the middle and of the last third."""
    third = len(values) // 3
    return median(values[third : 2 * third]), median(values[2 * third :])


def verdicts(samples: Sequence[Sample], steady: Sequence[str]) -> dict[str, dict[str, float | bool | str]]:
    """By `process figure`, of the processes that nobody killed: medians of the middle and the last third, and whether flat."""
    found: dict[str, dict[str, float | bool | str]] = {}
    for process in steady:
        for figure, slack in SLACK.items():
            values = [s.figures[figure] for s in samples if s.process == process and figure in s.figures]
            if len(values) < SAMPLES_MIN:
                continue
            middle, last = growth(values)
            flat = last <= middle * (1 + GROWTH_MAX) or last - middle <= slack
            found[f"{process} {figure}"] = {"middle": round(middle, 3), "last": round(last, 3), "flat": flat}
    return found


def write_csv(samples: Sequence[Sample], path: Path) -> None:
    """A line a sample and figure."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("seconds", "process", "figure", "value"))
        for sample in samples:
            lines.writerows(
                (f"{sample.at_s:.1f}", sample.process, name, f"{v:.4f}") for name, v in sample.figures.items()
            )


def plot(samples: Sequence[Sample], marks: Sequence[tuple[float, str]], title: str, path: Path) -> None:
    """A panel a figure, a line a process, a mark at each fault."""
    import matplotlib as mpl  # noqa: PLC0415  (it takes a second, and only this needs it)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    names = list(dict.fromkeys(name for sample in samples for name in sample.figures))
    processes = list(dict.fromkeys(sample.process for sample in samples))
    figure, panels = plt.subplots(len(names), 1, figsize=(11, 1.9 * len(names) + 0.8), sharex=True, squeeze=False)
    for name, (axes,) in zip(names, panels, strict=True):
        for process in processes:
            own = [(s.at_s / 60, s.figures[name]) for s in samples if s.process == process and name in s.figures]
            if own:
                axes.plot(*zip(*own, strict=True), label=process, linewidth=1)
        for at_s, what in marks:
            axes.axvline(at_s / 60, color="#dc2626" if what == "broker" else "#94a3b8", linewidth=0.7, alpha=0.7)
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    panels[0][0].legend(loc="lower right", fontsize=8, ncols=len(processes))
    panels[-1][0].set_xlabel("minutes (grey: a worker killed or restarted; red: the broker)")
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
