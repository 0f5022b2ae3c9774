"""No secret is in any log line, metric, answer, report or error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from places import ROOT
from serve_process import ServeProcess
from serve_world import PARTITIONS, behaviours, item
from worker_process import Topics, WorkerProcess

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.settings import Settings
from stream.settings.secret_files import is_secret

MARK = "d0-not-sh0w"
KEY = b64encode((MARK * 3)[:32].encode()).decode()
SECRETS = [name for name, field in Settings.model_fields.items() if is_secret(field)]


def secret(name: str) -> str:
    """Of a length and form that the setting takes; found by its mark."""
    if name.endswith("private_key"):
        return KEY
    if name == "pseudonym_keys":
        return f"k:{KEY}"
    return f"{MARK}-{name}-0123456789-0123456789-0123456789"


@pytest.fixture(scope="module")
def everything_said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a worker, `penchant serve` and some commands say that were given every secret, by where."""
    folder = tmp_path_factory.mktemp("secrets")
    settings = Topics("127.0.0.1:1", "secrets").settings
    given: dict[str, Any] = {name: secret(name) for name in SECRETS} | {
        "log_level": "debug",
        "sasl_username": "penchant",
    }
    with EmbeddedBroker({spec.name: PARTITIONS for spec in topic_specs(settings)}) as broker:
        topics = Topics(broker.bootstrap_servers, "secrets")
        topics.produce(topics.settings.topic_items, (item(n) for n in range(20)))
        topics.produce(topics.settings.topic_events, behaviours())
        topics.produce(topics.settings.topic_events, [(b"u1", b"garbage")])
        with (
            WorkerProcess(topics.settings, folder / "worker", **given) as worker,
            ServeProcess(topics.settings, folder / "serve", log_format="json", **given) as serve,
        ):
            worker.wait_for("everything is applied", topics.all_applied)
            token = {"Authorization": f"Bearer {secret('serve_admin_token')}"}
            serve.wait_for(
                "ready", lambda: httpx.get(f"{serve.url}/health/ready", headers=token).status_code == 200, 120
            )
            said = {
                "metrics of the worker": httpx.get(
                    f"http://127.0.0.1:{worker.port}/metrics",
                    headers={"Authorization": f"Bearer {secret('metrics_token')}"},
                ).text,
                "answers": "".join(
                    httpx.get(f"{serve.url}{path}", headers=headers).text
                    for path in (
                        "/v1/users/u1/recommendations",
                        "/v1/users/u1/why",
                        "/metrics",
                        "/openapi.json",
                        "/nothing",
                    )
                    for headers in (token, {}, {"Authorization": f"Bearer {secret('serve_read_token')}x"})
                ),
            }
            environment = {k: v for k, v in os.environ.items() if not k.startswith("PENCHANT_")} | {
                f"PENCHANT_{name.upper()}": str(value) for name, value in given.items()
            }
            for command in (
                "doctor", "doctor --json", "doctor --bootstrap-servers 127.0.0.1:1", "topics create --partitions 0",
                "worker --metrics-port 1 --bootstrap-servers 127.0.0.1:1", "serve --port 1 --bootstrap-servers 127.0.0.1:1",
            ):  # fmt: skip
                done = subprocess.run(
                    [sys.executable, "-m", "stream", *command.split()],
                    cwd=ROOT, capture_output=True, text=True, check=False, timeout=90,
                    env=environment
                    | {"PENCHANT_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "PENCHANT_CONNECT_TIMEOUT_S": "1"},
                )  # fmt: skip
                said[f"penchant {command}"] = done.stdout + done.stderr
                assert said[f"penchant {command}"], command
            worker.terminate()
            serve.terminate()
            yield said | {"log of the worker": worker.log, "log of serve": serve.log}


def test_there_are_secrets_and_things_that_are_said(everything_said: dict[str, str]) -> None:
    assert len(SECRETS) >= 8
    assert "penchant_commits_total" in everything_said["metrics of the worker"]
    assert "recommendation" in everything_said["answers"]
    assert len(everything_said["log of the worker"]) > 1000


def test_no_secret_is_said_anywhere(everything_said: dict[str, str]) -> None:
    assert [where for where, text in everything_said.items() if MARK in text or KEY in text] == []


def test_a_misspelt_secret_is_refused_and_not_quoted() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENCHANT_")}
    done = subprocess.run(
        [sys.executable, "-m", "stream", "doctor"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env=environment | {"PENCHANT_SASL_PASWORD": secret("sasl_password")},
    )  # fmt: skip
    assert "PENCHANT_SASL_PASWORD is set but there is no such setting" in done.stdout
    assert MARK not in done.stdout + done.stderr


def test_a_password_file_works_with_a_command(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secret("serve_read_token"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENCHANT_")}
    done = subprocess.run(
        [sys.executable, "-m", "stream", "doctor", "--json"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env=environment | {"PENCHANT_SERVE_READ_TOKEN_FILE": str(tmp_path / "token"), "PENCHANT_CONNECT_TIMEOUT_S": "1"},
    )  # fmt: skip
    assert next(c for c in json.loads(done.stdout)["checks"] if c["name"] == "settings")["status"] == "ok", done.stdout
    assert MARK not in done.stdout + done.stderr
