"""A real Prometheus (Debian's) with Penchant's rules, for tests and for whoever tries the alerts."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kafka_server import free_ports
from places import ROOT

RULES = ROOT / "deploy" / "prometheus"
RULE_FILES = ("recording.yaml", "slo.yaml", "alerts.yaml")
TIMEOUT_S = 60
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST_S = 5


def shortened(rules: str, divisor: float) -> str:
    """The same rules with windows and waits a fraction as long, none shorter than `SHORTEST_S` but those of 0."""

    def short(found: re.Match[str]) -> str:
        seconds = int(found[2]) * UNIT_S[found[3]]
        return f"{found[1]}{seconds and max(SHORTEST_S, round(seconds / divisor))}s{found[4]}"

    return re.sub(r"(for: )(\d+)([smhd])()", short, re.sub(r"(\[)(\d+)([smhd])(\])", short, rules))


class PrometheusProcess:
    """Scrapes `targets` (job -> address) each second, evaluates the rules as often."""

    def __init__(self, folder: Path, targets: Mapping[str, str], divisor: float = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._port = folder, free_ports(1)[0]
        for name in RULE_FILES:
            (folder / name).write_text(shortened((RULES / name).read_text(), divisor))
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [address]}], "metrics_path": "/metrics"}
            for job, address in targets.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": list(RULE_FILES),
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrometheusProcess:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn",
                 f"--web.listen-address=127.0.0.1:{self._port}"],
                cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        self.wait_for("it is ready", self._is_ready)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def ask(self, path: str, **parameters: object) -> Any:
        """`data` of an answer of its interface."""
        query = urllib.parse.urlencode({name: str(value) for name, value in parameters.items()})
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=TIMEOUT_S) as answer:
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an expression now: each a `metric` and a `value`."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def alerts(self) -> dict[str, str]:
        """State by alert: of several of a name the worst."""
        found: dict[str, str] = {}
        for each in self.ask("alerts")["alerts"]:
            name = each["labels"]["alertname"]
            found[name] = "firing" if "firing" in (found.get(name), each["state"]) else each["state"]
        return found

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Until `condition()`; fails, with the log, when the time is up."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{self.log[-3000:]}"
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
