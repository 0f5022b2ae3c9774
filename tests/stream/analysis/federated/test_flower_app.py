"""The Flower app that is written; and a federation over processes, each with a file that no other process is told of."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from federated_shops import write_shop

from models.ranking.weights import from_json
from stream.analysis.federated.flower_app import PACKAGE, write_app
from stream.analysis.federated.run import FederationOptions
from stream.errors import UsageError

WAIT_S = 150


def test_what_is_written_is_what_flower_reads(tmp_path: Path):
    write_app(tmp_path / "app", tmp_path / 'w"eights.json', FederationOptions(4, "median", 0.5, {"steps": 7}, 3))

    said = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    assert said["components"] == {"serverapp": f"{PACKAGE}.apps:server", "clientapp": f"{PACKAGE}.apps:client"}
    out = said["config"].pop("out")
    assert said["config"] == {"clients": 3, "rounds": 4, "how": "median", "norm-max": 0.5, "steps": 7}
    assert out == str((tmp_path / 'w"eights.json').resolve())


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_app(tmp_path / "file" / "app", tmp_path / "w.json", FederationOptions())


@pytest.mark.timeout(2 * WAIT_S)
def test_a_server_and_two_places_as_processes_learn_weights_and_name_the_place_that_is_broken(tmp_path: Path):
    pytest.importorskip("flwr", reason="needs the extra federated: make federated")
    out, port = tmp_path / "weights.json", free_port()
    write_app(tmp_path / "app", out, FederationOptions(2, "mean", None, {"steps": 5}, 3))
    files = {name: write_shop(tmp_path / f"{name}.csv", seed) for seed, name in enumerate(("leeds", "york"))}
    with ExitStack() as stack:
        stack.enter_context(process("flower-superlink", tmp_path, "--insecure", "--port", str(port),
                                    "--disable-runtime-dependency-installation"))  # fmt: skip
        until(lambda: answers(port), "the SuperLink answers")
        for name in (*files, "hull"):
            events = files.get(name, tmp_path / "missing.csv")
            config = f'name="{name}" events="{events}" choices=200'
            stack.enter_context(process("flower-supernode", tmp_path, "--insecure", "--superlink", f"127.0.0.1:{port}",
                                        "--port", str(free_port()), "--node-config", config))  # fmt: skip
        home = tmp_path / "flower"
        (home / "config.toml").write_text(f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
                                          "insecure = true\n")  # fmt: skip
        subprocess.run(
            [script("flwr"), "run", tmp_path / "app", "here"], env=environment(home), check=True, timeout=WAIT_S
        )
        until(lambda: out.with_suffix(".report.json").exists() and out.exists(), "the weights are there")

    report = json.loads(out.with_suffix(".report.json").read_text(encoding="utf-8"))
    assert from_json(out.read_bytes()).version == report["version"]
    assert len(report["rounds"]) in (1, 3)  # the one that plans, and two where it found something to learn
    for verdicts in report["rounds"]:
        by_name = {each["client"]: each["refused"] for each in verdicts}
        assert [by_name["leeds"], by_name["york"]] == ["", ""]
        (failed,) = (why for name, why in by_name.items() if name not in files)
        assert "it failed" in failed
        assert "hull: InputFileError, see the log of that place" in failed
        assert "missing.csv" not in failed  # nor anything else of what that place has


# --- processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition, what: str) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < WAIT_S, f"not within {WAIT_S} s: {what}"
        time.sleep(0.2)  # asks again: what is waited for is another process's


def script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def environment(home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    others = {name: value for name, value in os.environ.items() if not name.upper().startswith("PENCHANT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return others | {
        "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "PENCHANT_ENCODER_MODEL": "none", "PATH": path
    }  # fmt: skip


@contextmanager
def process(name: str, folder: Path, *arguments: str) -> Iterator[None]:
    """Ended with whatever it started: Flower starts a process for every message."""
    log = folder / f"{name}-{len(list(folder.glob('*.log')))}.log"
    with log.open("wb") as written:
        started = subprocess.Popen(
            [script(name), *arguments], env=environment(folder / "flower"), cwd=folder, stdout=written,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            os.killpg(started.pid, 15)
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, 9)
                started.wait(20)
