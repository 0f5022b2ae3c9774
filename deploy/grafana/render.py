"""Draws the dashboard's JSON with matplotlib over the answers of a Prometheus, for the documentation. It is no Grafana.

python deploy/grafana/render.py PROMETHEUS-URL PICTURE.png [MINUTES]
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DASHBOARD: Final = Path(__file__).with_name("penchant.json")
VARIABLES: Final = (("$__rate_interval", "30s"), ("$job", ".*"), ("$instance", ".*"))
COLOURS: Final = {"green": "#73bf69", "yellow": "#f2cc0c", "red": "#f2495c"}
CELL_INCHES: Final = (0.8, 0.36)
LINES_MAX: Final = 8
POINTS: Final = 240
TIMEOUT_S: Final = 30


class Line(NamedTuple):
    """One series of a query."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


Ask = Callable[[str], list[Line]]


def asking(url: str, minutes: float) -> Ask:
    """Asks a Prometheus for the last minutes."""
    end = time.time()

    def ask(expr: str) -> list[Line]:
        span = {"start": end - 60 * minutes, "end": end, "step": 60 * minutes / POINTS}
        query = urllib.parse.urlencode({"query": expr} | span)
        with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=TIMEOUT_S) as answer:  # noqa: S310
            found = json.load(answer)["data"]["result"]
        return [
            Line(s["metric"], [float(t) for t, _ in s["values"]], [float(v) for _, v in s["values"]]) for s in found
        ]

    return ask


def draw(dashboard: dict[str, Any], ask: Ask) -> Figure:
    """Every panel at its place; a panel without an answer says `No data`, as Grafana does."""
    panels = dashboard["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels)
    figure = plt.figure(figsize=(24 * CELL_INCHES[0], height * CELL_INCHES[1]), facecolor="#f4f5f5")
    for panel in panels:
        at = panel["gridPos"]
        box = (at["x"] / 24, 1 - (at["y"] + at["h"]) / height, at["w"] / 24, at["h"] / height)
        if panel["type"] == "row":
            figure.text(box[0] + 0.004, box[1] + box[3] / 3, panel["title"], fontsize=11, weight="bold")
            continue
        found = [(t, line) for t in panel["targets"] for line in ask(_filled(t["expr"]))]
        _draw_stat(figure, box, panel, found) if panel["type"] == "stat" else _draw_lines(figure, box, panel, found)
    return figure


Box = tuple[float, float, float, float]


def _draw_stat(figure: Figure, box: Box, panel: dict[str, Any], found: list[tuple[Any, Line]]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    value = found[0][1].values[-1] if found else None
    axes = figure.add_axes((box[0] + 0.003, box[1] + 0.001, box[2] - 0.006, box[3] - 0.002))
    axes.set(
        xticks=[], yticks=[], facecolor="white" if value is None else _colour(value, defaults["thresholds"]["steps"])
    )
    axes.text(
        0.5, 0.38, "No data" if value is None else _said(value, defaults["unit"]), ha="center", va="center", fontsize=17
    )
    axes.text(0.03, 0.84, panel["title"], fontsize=9, weight="bold", transform=axes.transAxes, va="center")


def _draw_lines(figure: Figure, box: Box, panel: dict[str, Any], found: list[tuple[Any, Line]]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes = figure.add_axes((box[0] + 0.032, box[1] + 0.0065, box[2] - 0.042, box[3] - 0.0135))
    for target, line in found[:LINES_MAX]:
        ago = [(t - line.times[-1]) / 60 for t in line.times]
        axes.plot(ago, line.values, linewidth=1.1, label=_legend(target["legendFormat"], line.labels))
    axes.set_title(panel["title"], fontsize=9, weight="bold", loc="left")
    axes.tick_params(labelsize=6)
    axes.yaxis.set_major_formatter(lambda value, _: _said(value, defaults["unit"]))
    if not found:
        axes.text(0.5, 0.5, "No data", ha="center", va="center", transform=axes.transAxes, color="gray")
        return
    axes.set_ylim(bottom=0)
    _draw_thresholds(axes, defaults["thresholds"]["steps"])
    axes.legend(fontsize=5.5, ncols=2, loc="upper left", framealpha=0.6)


def _draw_thresholds(axes: Axes, steps: list[dict[str, Any]]) -> None:
    top = axes.get_ylim()[1]
    for step in steps:
        if step["value"] is not None and step["value"] <= top:
            axes.axhline(step["value"], color=COLOURS[step["color"]], linestyle="--", linewidth=0.8)


def _filled(expr: str) -> str:
    for name, value in VARIABLES:
        expr = expr.replace(name, value)
    return expr


def _legend(form: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], "-"), form)[:40]


def _colour(value: float, steps: list[dict[str, Any]]) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[reached[-1]]


def _said(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.4g} %"
    if unit == "bytes":
        size, names = value, ["B", "KiB", "MiB", "GiB", "TiB"]
        while size >= 1024 and len(names) > 1:
            size, names = size / 1024, names[1:]
        return f"{size:.3g} {names[0]}"
    return f"{value:.3g}" + {"s": " s", "ops": "/s"}.get(unit, "")


def main() -> None:
    url, picture = sys.argv[1:3]
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 10
    draw(json.loads(DASHBOARD.read_text()), asking(url, minutes)).savefig(picture, dpi=70)


if __name__ == "__main__":
    main()
