"""Makes the dashboard, `penchant.json`: panels are told in a line or two each, and Grafana's JSON follows.

    python deploy/grafana/make.py            write it
    python deploy/grafana/make.py --check    say whether it is as it would be written

A query says `$of` where it selects by job and instance, and `$by_job` where it asks what rules recorded by job.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from panel import Panel
from people import OBJECTIVES, OUTPUT
from processes import INPUT, RESOURCES, SERVE, TEXTS, WORK

DASHBOARD: Final = Path(__file__).with_name("penchant.json")
SELECTORS: Final = {"$of": 'job=~"$job",instance=~"$instance"', "$by_job": 'job=~"$job"'}
COLUMNS: Final = 24
ROWS: Final = (OBJECTIVES, INPUT, WORK, OUTPUT, TEXTS, SERVE, RESOURCES)
_DATASOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    """As Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        panels.append(
            {"type": "row", "title": row.title, "collapsed": False, "gridPos": _at(0, y, COLUMNS, 1), "panels": []}
        )
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + height
            height = 4 if panel.kind == "stat" else 8
            panels.append(_panel(panel, _at(x, y, panel.width, height)))
            x += panel.width
        y += height
    for number, panel_json in enumerate(panels, start=1):
        panel_json["id"] = number
    return {
        "uid": "penchant",
        "title": "Penchant",
        "description": "For whoever is on call. From the top: is anybody badly served, and what of an event's way is short.",
        "tags": ["penchant"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "annotations": {"list": [_alerts_drawn()]},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _at(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _panel(panel: Panel, at: dict[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + n),
            "datasource": _DATASOURCE,
            "expr": _selected(expr),
            "legendFormat": legend or "now",
        }
        for n, (expr, legend) in enumerate(panel.queries)
    ]
    steps = [{"color": panel.base, "value": None}, *({"color": c, "value": v} for v, c in panel.steps)]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "thresholdsStyle": {"mode": "line" if panel.steps else "off"}}
        defaults["min"] = 0
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }


def _selected(expr: str) -> str:
    for name, selector in SELECTORS.items():
        expr = expr.replace(name, selector)
    return expr


def _variables() -> list[dict[str, Any]]:
    known = "penchant_build_info"
    return [_source(), _variable("job", known), _variable("instance", f'{known}{{job=~"$job"}}')]


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, metric: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": f"label_values({metric}, {name})", "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _alerts_drawn() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Penchant.*",alertstate="firing"}',
        "titleFormat": "{{alertname}}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Make Grafana's dashboard of Penchant.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 where the file is not as it would be"
    )
    is_check = parser.parse_args().check
    text = json.dumps(dashboard(), indent=1) + "\n"
    if not is_check:
        DASHBOARD.write_text(text)
        return 0
    if DASHBOARD.read_text() == text:
        return 0
    sys.stderr.write("deploy/grafana/penchant.json is not what make.py makes. Fix: python deploy/grafana/make.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
