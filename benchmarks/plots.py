"""Pictures of what was measured, into benchmarks/results; without matplotlib there are none, but the figures stand."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"
OURS, PEERS, INK, GRID = "#0f766e", "#94a3b8", "#1e293b", "#e2e8f0"
LABEL_SHARE = 0.07
"""Of the axis, that a label is high."""
SHADES = {"p50": "#99d5cf", "p90": "#4fb3a9", "p99": "#0f766e", "p99_9": "#134e4a"}


def throughput(rates: Mapping[str, float]) -> None:
    """Bars of events per second by engine; those whose name starts with Penchant are ours."""

    def draw(axes: Axes) -> None:
        names, values = list(rates)[::-1], list(rates.values())[::-1]
        colours = [OURS if name.startswith("Penchant") else PEERS for name in names]
        axes.barh(names, values, color=colours, height=0.68)
        for i, value in enumerate(values):
            axes.text(value, i, f"  {value:,.0f}", va="center", fontsize=9, color=INK)
        axes.set_xlim(0, max(values) * 1.14)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("events per second, one process, the broker beside it")
        axes.grid(axis="x")

    _picture("throughput", "Events into durable, committed state", (9, 0.42 * len(rates) + 1.4), draw)


def freshness(rates: Mapping[str, tuple[float, float]]) -> None:
    """Hit rate and half the width of its interval by how late a user's own events are."""

    def draw(axes: Axes) -> None:
        names = list(rates)
        means, widths = [mean for mean, _ in rates.values()], [width for _, width in rates.values()]
        axes.bar(names, means, yerr=widths, color=[OURS, *[PEERS] * (len(names) - 1)], width=0.6, capsize=4, ecolor=INK)
        for i, (mean, width) in enumerate(rates.values()):
            axes.text(i, mean + width, f"{100 * mean:.1f} %", ha="center", va="bottom", fontsize=10, color=INK)
        axes.set_ylim(0, 1.18 * max(mean + width for mean, width in rates.values()))
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel("how late the user's own events are known")
        axes.grid(axis="y")

    _picture("freshness", "The next new item stood among the first ten", (7, 3.6), draw)


def latency(figures: Mapping[str, float], loads: Mapping[str, float]) -> None:
    """Percentiles of event to recommendation over the load."""

    def draw(axes: Axes) -> None:
        rates = list(loads.values())
        last = [math.log10(figures[f"{name}_ms_at_{list(loads)[-1]}"]) for name in SHADES]
        span = max(last) - math.log10(min(figures[f"p50_ms_at_{load}"] for load in loads))
        heights = iter(_apart(last, max(span, 0.1) * LABEL_SHARE))
        for name, colour in SHADES.items():
            values = [figures[f"{name}_ms_at_{load}"] for load in loads]
            axes.plot(rates, values, marker="o", color=colour, linewidth=2)
            axes.annotate(
                f"{name.replace('_', '.')}  {values[-1]:,.0f} ms",
                (rates[-1], 10 ** next(heights)),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                annotation_clip=False,  # a label moved up may stand above the axis
                fontsize=9,
                color=colour if name != "p50" else SHADES["p90"],
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f} ms")
        axes.set_xlim(0, rates[-1] * 1.22)
        axes.set_xlabel("events per second, each asking for a list (10, 50 and 90 % of the peak)")
        axes.grid(axis="both")

    _picture("latency", "From event to recommendation, both on their topics", (8, 4.6), draw)


def overload(
    runs: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    stages: Mapping[str, float],
    seconds: float,
    deadline_s: float,
) -> None:
    """Latency by when an event was due, through stages of load; `runs`: due times and latencies in s by name of the run."""

    def draw(axes: Axes) -> None:
        for (name, (due_s, latency_s)), colour in zip(runs.items(), (OURS, PEERS), strict=False):
            label, second = name.replace("_", " "), due_s.astype(int)
            times = np.unique(second)
            events = [latency_s[second == each] for each in times]
            if colour == OURS:
                in_time = [of[of <= deadline_s] for of in events]
                for q, style in ((50, "-"), (99, ":")):
                    values = [np.percentile(of, q) if len(of) else math.nan for of in in_time]
                    axes.plot(times, values, style, color=OURS, linewidth=2, label=f"{label}, answered in time: p{q}")
            axes.plot(times, [np.median(of) for of in events], "--", color=colour, label=f"{label}, all events: p50")
        for i, share in enumerate(stages.values()):
            axes.axvline(i * seconds, color=GRID)
            axes.text((i + 0.5) * seconds, 0.96, f"{share:.0%}", transform=axes.get_xaxis_transform(), ha="center")
        axes.axhline(deadline_s, color=INK, linewidth=1)
        axes.text(0, deadline_s * 1.1, f" deadline, {deadline_s:g} s", color=INK, fontsize=9)
        axes.set_yscale("log")
        axes.set_ylim(0.01, 100)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} s")
        axes.set_xlim(0, len(stages) * seconds)
        axes.set_xlabel("seconds; at the top: load, of what the worker can make")
        axes.set_ylabel("from event to list")
        axes.legend(frameon=False, fontsize=9, loc="lower left", ncols=2)
        axes.grid(axis="y")

    _picture("overload", "Freshness through an overload", (9, 4.8), draw)


def encoder(figures: Mapping[str, float], mixes: Sequence[str]) -> None:
    """Texts per second of ONNX Runtime alone, the micro-batcher and torch, by kind of text."""
    bars = {"bare": ("ONNX Runtime alone", PEERS), "batcher": ("micro-batcher", OURS), "torch": ("torch", INK)}

    def draw(axes: Axes) -> None:
        for place, (who, (label, colour)) in enumerate(bars.items()):
            values = [figures.get(f"{mix}_{who}_texts_per_s", 0.0) for mix in mixes]
            if any(values):
                at = [i + 0.27 * (place - 1) for i in range(len(mixes))]
                axes.bar(at, values, 0.25, label=label, color=colour)
        axes.set_xticks(range(len(mixes)), [mix.replace("tokens", "tokens: ") for mix in mixes])
        axes.set_yscale("log")
        axes.set_ylabel("texts per second")
        axes.legend(frameon=False)
        axes.grid(axis="y")

    _picture("encoder", "Texts into vectors", (8, 4), draw)


def encoder_duplicates(rates: Mapping[str, float]) -> None:
    """Texts per second by the share of texts that were asked for before."""

    def draw(axes: Axes) -> None:
        axes.bar(list(rates), list(rates.values()), 0.6, color=OURS)
        axes.set_xlabel("share of texts asked for before")
        axes.set_ylabel("texts per second")
        axes.grid(axis="y")

    _picture("encoder-duplicates", "Equal texts share one computation", (6, 4), draw)


def memory(users: Sequence[float], rss_mib: Sequence[float]) -> None:
    """Resident memory over the users that have passed through a worker."""

    def draw(axes: Axes) -> None:
        axes.fill_between([u / 1e6 for u in users], rss_mib, color=OURS, alpha=0.15)
        axes.plot([u / 1e6 for u in users], rss_mib, color=OURS, linewidth=2)
        axes.set_ylim(0, max(rss_mib) * 1.25)
        axes.set_xlim(0, max(users) / 1e6)
        axes.set_xlabel("million different users seen")
        axes.set_ylabel("resident memory, MiB")
        axes.grid(axis="y")

    _picture("memory", "Memory of one worker while users come and go", (8, 4), draw)


def cost(costs: Mapping[str, Mapping[float, float]]) -> None:
    """Processor time per event over the users in state, one line for each way of choosing users."""

    def draw(axes: Axes) -> None:
        for (name, by_users), colour in zip(costs.items(), (OURS, PEERS), strict=False):
            axes.plot(list(by_users), list(by_users.values()), marker="o", color=colour, linewidth=2, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(0, 1.3 * max(value for by_users in costs.values() for value in by_users.values()))
        axes.set_xlabel("users in state")
        axes.set_ylabel("processor time per event, µs")
        axes.legend(frameon=False, loc="upper left")
        axes.grid(axis="y")

    _picture("cost", "What an event costs, by the size of the state", (8, 4), draw)


def _apart(ascending: Sequence[float], least: float) -> list[float]:
    """The values, moved up where they are closer than `least`, so that their labels do not lie on each other."""
    placed: list[float] = []
    for value in ascending:
        placed.append(max(value, placed[-1] + least) if placed else value)
    return placed


def _picture(name: str, title: str, size: tuple[float, float], draw: Any) -> None:
    try:
        import matplotlib  # noqa: PLC0415  (a benchmark runs without it)
    except ImportError:
        sys.stderr.write(f"plots: no picture {name}.png without matplotlib\n")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    style = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": PEERS,
        "axes.axisbelow": True,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": GRID,
        "font.size": 10,
    }
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        draw(axes)
        axes.set_title(title, loc="left", fontweight="bold", pad=12)
        RESULTS.mkdir(exist_ok=True)
        figure.savefig(RESULTS / f"{name}.png", dpi=150)
        pyplot.close(figure)
