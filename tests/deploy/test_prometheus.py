"""The rules of Prometheus: they are right to promtool, each alert is tried, and each says what to do."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from dashboard import queries
from places import DOCS
from prometheus_process import RULE_FILES, RULES, shortened
from tools import debian

PROMTOOL_S = 170
TESTS = sorted((RULES / "tests").glob("*.yaml"))
OF_OTHERS = {"up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total",
             "process_open_fds", "process_max_fds"}  # fmt: skip


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load((RULES / name).read_text()) for name in RULE_FILES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = sorted({alert["alert"] for alert in ALERTS})


def promtool(*arguments: object) -> None:
    done = subprocess.run(
        [debian("promtool", "prometheus"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PROMTOOL_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", *(RULES / name for name in RULE_FILES))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_where_they_should_and_nowhere_else(path: Any) -> None:
    promtool("test", "rules", path)


@pytest.mark.parametrize("name", NAMES)
def test_of_every_alert_a_case_in_which_it_fires_is_tried_and_one_in_which_it_must_not(name: str) -> None:
    cases = [case["name"] for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    short = name.removeprefix("Penchant")
    assert any(case.startswith(f"{short} fires") for case in cases)
    assert any(case.startswith(f"{short} does not") for case in cases)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels'].get('window', '')}")
def test_an_alert_says_how_urgent_it_is_what_to_do_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    summary = alert["annotations"]["summary"]
    assert re.search(r": .*\w", summary), "what is wrong, a colon, what to do"
    assert len(summary) < 200
    assert (
        alert["annotations"]["runbook_url"] == f"{{{{ $externalLabels.penchant_docs }}}}/runbook/{alert['alert']}.html"
    )


def test_rules_and_dashboard_ask_only_for_metrics_that_there_are() -> None:
    listed = set(re.findall(r"^\| `(penchant_\w+)`", (DOCS / "metrics.md").read_text(), re.M)) | OF_OTHERS
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = " ".join([rule["expr"] for rule in rules()] + [each.expr for each in queries()])
    plain = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\b(?:penchant|process)_\w+", asked)}
    assert plain - listed == set()
    assert set(re.findall(r"penchant:[\w:]+", asked)) - recorded == set()


def test_windows_are_shortened_to_try_alerts_and_nothing_else_changes() -> None:
    assert shortened("for: 10m\nrate(x[2h]) > 14 and y < 3600", 60) == "for: 10s\nrate(x[120s]) > 14 and y < 3600"
    assert shortened("for: 0m\ndeltas(x[1m])", 60) == "for: 0s\ndeltas(x[5s])"
