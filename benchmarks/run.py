"""Run benchmarks by name: a table for people, a JSON file in benchmarks/results, and one line of JSON last.

    python -m benchmarks.run NAME|all [--option value ...]

A benchmark is a module in this folder with `run(arguments: Sequence[str]) -> dict[str, float]`: its figures.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

BENCHMARKS = (
    "throughput",
    "refresh",
    "latency",
    "overload",
    "recovery",
    "scaling",
    "worker",
    "encoder",
    "freshness",
    "completeness",
    "items",
    "scale",
    "serve",
    "costs",
    "erasure",
    "privacy",
)
RESULTS = Path(__file__).parent / "results"
PEERS = Path(__file__).parent / "peers"
KAFKA_POM = Path(__file__).parents[1] / "deploy" / "kafka" / "pom.xml"
PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "msgspec", "numpy", "starlette", "uvicorn",
            "onnxruntime", "onnxruntime-gpu", "tokenizers", "torch", "opendp", "opacus")  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0, 1 if one failed, 2 for a name there is no benchmark of."""
    name, *options = arguments or ["all"]
    names = BENCHMARKS if name == "all" else (name,)
    for unknown in set(names) - set(BENCHMARKS):
        sys.stderr.write(f"bench: there is no benchmark {unknown!r}. Fix: one of {', '.join(BENCHMARKS)}, or all\n")
        return 2
    results, failed = [], False
    RESULTS.mkdir(exist_ok=True)
    for each in names:
        try:
            figures = importlib.import_module(f"benchmarks.{each}").run(options)
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError, KafkaException) as error:
            # What the others measure is not lost by it.
            sys.stderr.write(f"bench: {each} failed: {error}\n")
            failed = True
            continue
        _show(each, figures)
        results.append({"benchmark": each, "figures": figures, **_circumstances()})
        (RESULTS / f"{each}.json").write_text(json.dumps(results[-1], indent=1) + "\n")
    if results:
        sys.stdout.write(json.dumps(results[-1] if len(names) == 1 else {"results": results}) + "\n")
    return int(failed)


def _show(name: str, figures: dict[str, float]) -> None:
    table = Table("figure", "value", title=name)
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}")
    Console().print(table)


def _circumstances() -> dict[str, Any]:
    """Commit, machine and versions: without them a figure says nothing."""
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    versions = {"python": platform.python_version(), **_pinned_versions()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "commit": git.stdout.strip() or "unknown",
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30),
            "system": platform.platform(),
        },
        "versions": versions,
    }


def _pinned_versions() -> dict[str, str]:
    """Of the broker and of the engines beside us: what their requirements and pom.xml ask for."""
    found = re.findall(r"<kafka.version>(.+?)<", KAFKA_POM.read_text())
    versions = {"kafka": found[0]}
    for requirements in sorted(PEERS.glob("*/requirements.txt")):
        name, version_ = re.findall(r"^([\w-]+)\S*==(\S+)", requirements.read_text(), re.MULTILINE)[0]
        versions[name] = version_
    pom = (PEERS / "kafka_streams" / "pom.xml").read_text()
    versions["kafka-streams"] = re.findall(r"kafka-streams</artifactId>\s*<version>(.+?)<", pom)[0]
    return versions


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
