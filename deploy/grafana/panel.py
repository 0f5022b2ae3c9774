"""One figure of the dashboard, and how its queries are mostly written."""

from __future__ import annotations

from typing import NamedTuple

GOOD, ATTENTION, BAD = "green", "yellow", "red"

Steps = tuple[tuple[float, str], ...]
"""From which value on a figure has which colour; before the first it is green."""


class Panel(NamedTuple):
    """One figure."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    """Each an expression and its legend."""
    unit: str = "short"
    """As Grafana calls it: s, bytes, percentunit, ops, short."""
    kind: str = "timeseries"
    width: int = 8
    steps: Steps = ()
    base: str = GOOD


class Row(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def stat(title: str, description: str, query: str, unit: str, steps: Steps, base: str = GOOD) -> Panel:
    """One number, now."""
    return Panel(title, description, ((query, ""),), unit, "stat", 4, steps, base)


def rate(metric: str, by: str) -> str:
    """How fast a counter grows, a second."""
    return f"sum by ({by}) (rate({metric}{{$of}}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    """Of a histogram; `by`: further labels to keep, each with a comma before it."""
    buckets = f"rate({metric}_bucket{{$of}}[$__rate_interval])"
    return f"histogram_quantile({q}, sum by (le{by}) ({buckets}))"
