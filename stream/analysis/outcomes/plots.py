"""Pictures of `penchant report outcomes`, as PNG bytes. The only part of it that needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.vocabulary import STRATEGIES
from stream.analysis.outcomes.credits import ALL_RULES
from stream.analysis.rankings.plots import new_figure, png

_SLOTS = 20


def plots(report: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG files by title; those that the report has figures for."""
    found = {}
    group = report["credits"].get(report["action"])
    if group is not None:
        found[f"Credits of {report['action']} by strategy, under every rule"] = _credits(group)
    rates = [row for row in report["click_rates"] if row["slot"] <= _SLOTS]
    if rates:
        found["Click rate if a strategy always filled a slot (SNIPS, 95 %)"] = _click_rates(rates)
    bias = report["position_bias"][:_SLOTS]
    if bias:
        found["Examined, relative to slot 1 (harvested, 95 %)"] = _position_bias(bias)
    if report["strategies_at_slot_1"]:
        found["Click rates of strategies, plain and as if in slot 1 (95 %)"] = _corrected(
            report["strategies_at_slot_1"]
        )
    return found


def _credits(group: Mapping[str, Any]) -> bytes:
    figure, axes = new_figure(9, 4)
    width = 0.8 / len(ALL_RULES)
    for n, rule in enumerate(ALL_RULES):
        earned = [group["rules"][rule]["strategies"][name]["credit"] for name in STRATEGIES]
        axes.bar([place + n * width for place in range(len(STRATEGIES))], earned, width, label=rule)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(STRATEGIES))], STRATEGIES)
    _legend(axes)
    return png(figure)


def _click_rates(rates: Sequence[Mapping[str, Any]]) -> bytes:
    figure, axes = new_figure(9, 4)
    for n, strategy in enumerate(STRATEGIES):
        rows = [row for row in rates if row["strategy"] == strategy and row["snips"] is not None]
        if rows:
            _points(axes, [row["slot"] + 0.1 * (n - 2) for row in rows], [row["snips"] for row in rows], strategy)
    _slot_axis(axes, max(row["slot"] for row in rates), "click rate")
    _legend(axes)
    return png(figure)


def _position_bias(bias: Sequence[Mapping[str, Any]]) -> bytes:
    figure, axes = new_figure(7, 4)
    _points(axes, [row["slot"] for row in bias], [row["harvested"] for row in bias], "examined")
    axes.axhline(1.0, color="0.6", linestyle="--", linewidth=1)
    _slot_axis(axes, len(bias), "relative to slot 1")
    return png(figure)


def _corrected(rows: Sequence[Mapping[str, Any]]) -> bytes:
    figure, axes = new_figure(7, 3.5)
    for shift, name, label in ((-0.1, "click_rate", "plain"), (0.1, "corrected", "as if in slot 1")):
        _points(axes, [place + shift for place in range(len(rows))], [row[name] for row in rows], label)
    axes.set_xticks(range(len(rows)), [row["strategy"] for row in rows])
    axes.set(ylabel="click rate")
    axes.set_ylim(bottom=0)
    _legend(axes)
    return png(figure)


def _points(axes: Any, places: Sequence[float], found: Sequence[Mapping[str, float]], label: str) -> None:
    """Values with their intervals; a value outside [0, 1] may lie outside its own."""
    values = [each["value"] for each in found]
    below = [max(0.0, each["value"] - each["low"]) for each in found]
    above = [max(0.0, each["high"] - each["value"]) for each in found]
    axes.errorbar(places, values, (below, above), fmt="o", capsize=3, markersize=4, label=label)


def _slot_axis(axes: Any, slots: int, label: str) -> None:
    axes.set(xlabel="slot", ylabel=label)
    axes.set_xticks(range(1, slots + 1))
    axes.set_ylim(bottom=0)


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
