"""The dashboard: it is what its generator makes, and whoever is on call can read it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from dashboard import DASHBOARD
from places import ROOT

PANELS = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
GRAFANA = ROOT / "deploy" / "grafana"


def test_the_dashboard_is_what_its_generator_makes() -> None:
    subprocess.run([sys.executable, str(GRAFANA / "make.py"), "--check"], check=True, timeout=60)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit_and_from_where_on_it_is_bad(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert all("legendFormat" in target for target in panel["targets"])


def test_panels_do_not_lie_on_each_other_and_titles_are_told_apart() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    by_row = [panel["title"] for panel in PANELS]
    assert len({panel["id"] for panel in PANELS}) == len(by_row)


def test_it_can_be_narrowed_to_a_job_and_an_instance() -> None:
    names = [each["name"] for each in json.loads(DASHBOARD.read_text())["templating"]["list"]]
    assert names == ["source", "job", "instance"]


def test_provisioning_finds_the_dashboard_where_compose_mounts_it() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/penchant.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_the_picture_has_a_place_for_every_panel_and_says_where_there_is_no_data() -> None:
    spec = importlib.util.spec_from_file_location("render", GRAFANA / "render.py")
    assert spec is not None
    assert spec.loader is not None
    render = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(render)
    line = render.Line({"job": "w", "action": "click"}, [0.0, 60.0], [1.0, 2.0])
    figure = render.draw(json.loads(DASHBOARD.read_text()), lambda expr: [] if "certificate" in expr else [line])
    assert len(figure.axes) == len(PANELS)
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert told.count("No data") == 1
    render.plt.close(figure)
