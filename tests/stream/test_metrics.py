"""Metrics: what the documentation lists is what is exported, and labels stay few."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import places
import pytest
from prometheus_client import ProcessCollector, generate_latest

from models.ranking.few_items import ADDED_NAMES
from models.vocabulary import ACTIONS, NEWCOMER_CONTEXTS, NEWCOMER_LISTS
from stream.errors import UsageError
from stream.metrics import Metrics
from stream.refresh.quarantine import CAUSES
from stream.texts.batch import REASONS as REFUSALS
from stream.wire.decode import LETTER_REASONS

DOCS = places.DOCS / "metrics.md"
UNITS = {"seconds", "bytes", "records", "rules", "users", "items", "events", "keys", "partitions", "lists", "commits",
         "rebalances", "rewinds", "models", "texts", "places", "tokens", "batches", "bisections", "restarts", "requests",
         "1"}  # fmt: skip
DEADLINE_S = 30.0


def _own(metrics):
    """Without the library's own of the process."""
    return [each for each in metrics.registry._collector_to_names if not isinstance(each, ProcessCollector)]


def exported():
    """`{name: (type, labels, help)}` of every metric, named as Prometheus sees it."""
    found = {}
    for collector in _own(Metrics()):
        suffix = {"counter": "_total", "info": "_info"}.get(collector._type, "")
        labels = ("version", "python") if collector._type == "info" else collector._labelnames
        found[collector._name + suffix] = (collector._type, labels, collector._documentation)
    return found


def documented():
    """`{name: (type, labels, unit, meaning)}` of the rows of the tables in the documentation."""
    found = {}
    for line in DOCS.read_text().splitlines():
        if line.startswith("| `penchant_"):
            name, kind, labels, unit, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert name not in found, f"{name} is documented twice"
            found[name.strip("`")] = kind, tuple(re.findall(r"`(\w+)`", labels)), unit, meaning
    return found


def test_the_documentation_lists_exactly_what_is_exported_with_type_labels_and_meaning():
    says = {name: (kind, labels, meaning) for name, (kind, labels, _, meaning) in documented().items()}
    assert says == exported()


def test_every_metric_has_a_unit_that_its_name_agrees_with():
    for name, (_, _, unit, _) in documented().items():
        assert unit in UNITS, name
        if name.endswith(("_seconds", "_bytes", "_records")):
            assert name.endswith(unit)


def test_no_label_is_a_user_or_an_item():
    labels = {label for _, names, _ in exported().values() for label in names}
    assert labels <= {"action", "reason", "topic", "partition", "stage", "table", "trigger", "version", "python",
                      "outcome", "provider", "cause", "part", "evidence", "strategy", "field", "expert",
                      "made_for", "added", "placement", "route", "status", "how", "role", "certificate",
                      "why", "request"}  # fmt: skip


def test_the_documentation_names_every_value_of_the_labels():
    text = DOCS.read_text()
    stages = ("decode", "update", "items", "rank", "publish")
    for value in (
        *ACTIONS,
        *LETTER_REASONS,
        *CAUSES,
        *REFUSALS,
        *stages,
        *NEWCOMER_LISTS,
        *NEWCOMER_CONTEXTS,
        *ADDED_NAMES,
        "users",
        "items",
        "event",
        "refresh",
        "catalog",
        "model",
    ):
        assert f"`{value}`" in text, value


def test_the_endpoint_serves_on_localhost_until_it_is_shut_down():
    metrics = Metrics()
    metrics.work.commits.inc(3)
    server = metrics.serve("127.0.0.1", free_port())
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=DEADLINE_S) as answer:
            assert b"penchant_commits_total 3.0" in answer.read()
        assert server.server_address[0] == "127.0.0.1"
    finally:
        server.shutdown()
        server.server_close()


def test_with_a_token_the_metrics_are_for_who_shows_it_and_the_probes_for_everybody():
    metrics = Metrics()
    server = metrics.serve("127.0.0.1", free_port(), {"/ready": lambda: None}, "a-long-enough-token")
    try:
        for path, shown, status in (
            ("/metrics", None, 401),
            ("/metrics", "Bearer wrong", 401),
            ("/metrics", "a-long-enough-token", 401),
            ("/metrics", "Bearer a-long-enough-token", 200),
            ("/ready", None, 200),
        ):
            asked = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}")
            if shown is not None:
                asked.add_header("Authorization", shown)
            try:
                with urllib.request.urlopen(asked, timeout=DEADLINE_S) as answer:
                    found = answer.status
            except urllib.error.HTTPError as error:
                found = error.code
            assert found == status, (path, shown)
    finally:
        server.shutdown()
        server.server_close()


def test_a_probe_is_green_only_where_it_means_it_and_no_other_path_is_anything():
    answers = {"/healthz": None, "/ready": "recovering"}
    server = Metrics().serve("127.0.0.1", free_port(), {path: (lambda p=path: answers[p]) for path in answers})
    try:
        assert get(server, "/healthz") == (200, "ok\n")
        assert get(server, "/ready") == (503, "recovering\n")
        answers["/ready"] = None
        assert get(server, "/ready") == (200, "ok\n")
        for path in ("/", "/live", "/metric", "/metrics/", "/ready/x"):
            assert get(server, path) == (404, "there is /metrics, /healthz, /ready\n")
        assert get(server, "/metrics?name[]=penchant_commits_total")[0] == 200
    finally:
        server.shutdown()
        server.server_close()


def get(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=DEADLINE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_port_0_means_no_endpoint():
    assert Metrics().serve("127.0.0.1", 0) is None


def test_a_port_that_is_taken_is_named_with_its_fix():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} cannot be opened") as refused:
            Metrics().serve("127.0.0.1", port)
    assert "--metrics-port" in refused.value.fix


def test_an_address_that_cannot_be_found_is_named_with_its_fix():
    with pytest.raises(UsageError, match=r"no such host\.invalid:9464"):
        Metrics().serve("no such host.invalid", 9464)


def test_two_workers_in_one_process_do_not_meet():
    first, second = Metrics(), Metrics()
    first.work.commits.inc()
    assert second.registry.get_sample_value("penchant_commits_total") == 0


def test_prometheus_own_linter_accepts_what_is_exported():
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on PATH")
    metrics = Metrics()
    for collector in _own(metrics):
        if collector._type != "info" and collector._labelnames:
            collector.labels(*("x" for _ in collector._labelnames))
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(metrics.registry), capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the library reads /proc")
def test_the_memory_of_the_whole_process_is_told():
    assert Metrics().registry.get_sample_value("process_resident_memory_bytes") > 1 << 20
