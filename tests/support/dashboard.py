"""The dashboard's queries, as Grafana would ask them."""

from __future__ import annotations

import json
from typing import NamedTuple

from places import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "penchant.json"


class Asked(NamedTuple):
    """One query of a panel."""

    panel: str
    expr: str
    """As it stands in the file."""
    variables: tuple[tuple[str, str], ...] = (("$__rate_interval", "15s"), ("$job", ".*"), ("$instance", ".*"))

    @property
    def asked(self) -> str:
        """With Grafana's variables filled in, of everything."""
        expr = self.expr
        for name, value in self.variables:
            expr = expr.replace(name, value)
        return expr


def queries() -> list[Asked]:
    """Of all panels."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [Asked(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]
