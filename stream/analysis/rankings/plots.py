"""Pictures of an evaluation's report, as PNG bytes. The only part of the evaluation that needs matplotlib."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from models.evaluation.slices import MONTH
from models.evaluation.verdict import MODEL
from stream.analysis.rankings.contenders import REACH

_DPI: Final = 110
_METRIC: Final = "ndcg@10"
_REACH: Final = "coverage@10"
_MARKERS: Final = "osD^vPX<>*hp"


def plots(report: dict[str, Any]) -> dict[str, bytes]:
    """PNG files by title; those that the report has figures for."""
    found = {"NDCG@10, 95 % intervals": _models(report), "Relevance and reach": _frontier(report)}
    found["NDCG@10 by slice"] = _slices(report)
    months = [part for part in report["slices"] if part.startswith(MONTH)]
    if len(months) > 1:
        found["NDCG@10 by month"] = _months(report, months)
    if any("probability" in each for each in report["models"].values()):
        found["Click probability: stated and observed"] = reliability_plot(report)
    return found


def _models(report: dict[str, Any]) -> bytes:
    names = list(report["models"])[::-1]
    figure, axes = new_figure(8, 1.2 + 0.35 * len(names))
    for row, name in enumerate(names):
        each = report["models"][name]
        low, high = each["intervals"][_METRIC]
        axes.barh(row, each[_METRIC], color="C0", alpha=0.7)
        axes.plot([low, high], [row, row], color="black", linewidth=1.5)
    axes.set_yticks(range(len(names)), names)
    return png(figure)


def _frontier(report: dict[str, Any]) -> bytes:
    """Up and to the right is better; a line joins Penchant with itself where popularity was taken off its scores."""
    figure, axes = new_figure(9, 4.5)
    at = {name: (each[_REACH], each[_METRIC]) for name, each in report["models"].items()}
    reached = {name: report["models"][name]["chosen"]["reach"] for name in at if name.startswith(f"{MODEL}{REACH}")}
    joined = [at[name] for name in at if name == MODEL or name in reached]
    if reached:
        axes.plot(*zip(*joined, strict=True), color="black", marker=".", linewidth=1, label=f"{MODEL}{REACH}..")
    for number, (name, amount) in enumerate(reached.items()):
        above = 6 if number % 2 else -13  # in turn, because amounts may lie near each other
        axes.annotate(f"{amount:g}", at[name], (0, above), textcoords="offset points", fontsize="small", ha="center")
    for number, name in enumerate(name for name in at if name not in reached):
        axes.scatter(*at[name], marker=_MARKERS[number % len(_MARKERS)], color=f"C{number % 10}", label=name, zorder=3)
    axes.set(xlabel="coverage@10", ylabel="NDCG@10")
    axes.set_xlim(0, 1.08 * max(x for x, _ in at.values()) or 1)
    axes.set_ylim(0, 1.12 * max(y for _, y in at.values()) or 1)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _slices(report: dict[str, Any]) -> bytes:
    parts = [part for part in report["slices"] if not part.startswith(MONTH) and report["questions"][part]]
    names = list(report["models"])
    figure, axes = new_figure(9, 1.5 + 0.5 * len(parts) + 0.1 * len(names))
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        values = [report["slices"][part][name][_METRIC] for part in parts]
        axes.barh([row - number * height for row in range(len(parts))], values, height, label=name)
    axes.set_yticks(
        [row - 0.4 for row in range(len(parts))], [f"{part} ({report['questions'][part]:,})" for part in parts]
    )
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _months(report: dict[str, Any], months: list[str]) -> bytes:
    figure, axes = new_figure(9, 4)
    for name in report["models"]:
        values = [report["slices"][month][name][_METRIC] for month in months]
        axes.plot(range(len(months)), values, marker=".", label=name)
    step = max(1, len(months) // 12)
    axes.set_xticks(range(0, len(months), step), [month.removeprefix(MONTH) for month in months[::step]], rotation=30)
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def reliability_plot(report: dict[str, Any]) -> bytes:
    """Stated against observed, a line per model of the report that states probabilities."""
    figure, axes = new_figure(5, 4.5)
    largest = 0.0
    for name, each in report["models"].items():
        if "probability" in each:
            bins = each["probability"]["reliability"]
            axes.plot(bins["stated"], bins["observed"], marker="o", label=name)
            largest = max(largest, *bins["stated"], *bins["observed"])
    axes.plot([0, largest], [0, largest], color="0.6", linestyle="--", linewidth=1)
    axes.set(xlabel="stated", ylabel="observed")
    axes.legend(frameon=False, fontsize="small")
    return png(figure)


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """Figure and axes of so many inches, as the pictures of all reports have them."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Any) -> bytes:
    """The figure as a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png")
    return buffer.getvalue()
