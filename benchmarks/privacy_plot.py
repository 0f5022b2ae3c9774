"""The curve of `benchmarks.privacy`: relevance by epsilon, with what attackers find out beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SETS: Final = {"online-retail": "#1f6f8b", "ml-latest-small": "#b5542c"}


def plot(figures: Mapping[str, float], to: Path) -> None:
    """An SVG of two panels."""
    import matplotlib as mpl  # noqa: PLC0415  (slow, and the benchmark runs without)

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "penchant"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    canvas, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for name, colour in SETS.items():
        epsilons = sorted({float(each.split()[2]) for each in figures if each.startswith(f"{name} epsilon ")})
        if epsilons:
            _relevance(left, name, colour, epsilons, figures)
            _attacks(right, name, colour, epsilons, figures)
    for axes, title in ((left, "NDCG@10"), (right, "AUC of an attacker: did this person take part?")):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("epsilon, per person over all releases")
        axes.set_title(title, fontsize=10)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylim(bottom=0)
    right.axhline(0.5, color="#888888", linewidth=0.8, linestyle=":")
    right.set_ylim(0.4, 1.02)
    canvas.savefig(to, format="svg", metadata={"Date": None})
    plt.close(canvas)


def _relevance(axes: Any, name: str, colour: str, epsilons: list[float], figures: Mapping[str, float]) -> None:
    of = [f"{name} epsilon {each:g} ndcg" for each in epsilons]
    axes.plot(epsilons, [figures[each] for each in of], "o-", color=colour, label=name)
    low, high = ([figures[f"{each} {side}"] for each in of] for side in ("low", "high"))
    axes.fill_between(epsilons, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(figures[f"{name} exact ndcg"], color=colour, linestyle="--", linewidth=1, label=f"{name}, exact")


def _attacks(axes: Any, name: str, colour: str, epsilons: list[float], figures: Mapping[str, float]) -> None:
    for attacker, line, told in (("knower", "o-", "knows all others"), ("reader", "s--", "reads lists")):
        values = [figures[f"{name} epsilon {each:g} {attacker} auc"] for each in epsilons]
        axes.plot(epsilons, values, line, color=colour, label=f"{name}, {told}", markersize=4)
