"""A real Prometheus with Penchant's rules reads a worker and `penchant serve`; the dashboard's queries are asked of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dashboard import queries
from observed_world import SERVE_JOB, WORKER_JOB, Watched, watched_world
from prometheus_process import RULE_FILES
from tools import debian

NOTHING_TO_SHOW = {"Certificates": "there is no TLS here"}
"""Panels that rightly are empty."""

FILLED_S = 90


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    debian("prometheus", "prometheus")
    with watched_world(tmp_path_factory.mktemp("watched")) as running:
        yield running


def test_every_query_of_the_dashboard_has_an_answer(world: Watched) -> None:
    empty: list[str] = []

    def is_filled() -> bool:
        empty[:] = [
            f"{each.panel}: {each.asked}"
            for each in queries()
            if each.panel not in NOTHING_TO_SHOW and not world.prometheus.query(each.asked)
        ]
        return not empty

    try:
        world.prometheus.wait_for("every query has an answer", is_filled, FILLED_S)
    except AssertionError as late:
        raise AssertionError("\n".join(empty)) from late
    shown = {each.panel for each in queries() if world.prometheus.query(each.asked)}
    assert not shown & set(NOTHING_TO_SHOW), "then it is to be listed no more"


def test_rules_are_evaluated_without_an_error_and_what_is_recorded_is_of_both_jobs(world: Watched) -> None:
    groups = world.prometheus.ask("rules")["groups"]
    assert {group["file"].rpartition("/")[2] for group in groups} == set(RULE_FILES)
    assert [rule for group in groups for rule in group["rules"] if rule["health"] == "err"] == []
    jobs = {each["metric"]["job"] for each in world.prometheus.query("penchant_ready == 1")}
    assert jobs == {WORKER_JOB, SERVE_JOB}
    ratios = {
        (each["metric"]["job"], each["metric"]["slo"])
        for each in world.prometheus.query("penchant:slo_errors:ratio_rate5m")
    }
    assert ratios == {(WORKER_JOB, "freshness"), (WORKER_JOB, "correctness"), (SERVE_JOB, "availability")}


def test_while_all_is_well_nobody_is_called(world: Watched) -> None:
    """Events that cannot be read are no matter for the night, and how full this disk is does not concern the test."""
    firing = world.prometheus.query('ALERTS{alertstate="firing",severity="page",alertname!="PenchantDiskFills"}')
    assert [each["metric"]["alertname"] for each in firing] == []
