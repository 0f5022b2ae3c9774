"""`penchant serve` as its users run it: a process, its address, questions over HTTP. For tests on either broker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from places import ROOT

from stream.settings import Settings

START_TIMEOUT_S = 120
TIMEOUT_S = 60


class ServeProcess:
    """`penchant serve` on a free port with a data directory of its own."""

    def __init__(self, settings: Settings, data_dir: Path, port: int = 0, **overrides: object) -> None:
        self.data_dir, self.log_path = data_dir, data_dir.with_suffix(".log")
        changed = {name: getattr(settings, name) for name in settings.model_fields_set} | overrides
        changed = {"encoder_model": "none"} | changed | {"serve_data_dir": data_dir, "serve_port": port}
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
        self._env |= {f"PENCHANT_{name.upper()}": _told(value) for name, value in changed.items()}
        self._env |= {"PYTHONWARNINGS": "default", "PYTHONPATH": str(ROOT)}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None
        self.url = ""

    def __enter__(self) -> ServeProcess:
        try:
            self.start()
        except BaseException:
            self.__exit__()  # nobody else does where the context could not be entered
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)

    def start(self) -> None:
        before = self.log if self.log_path.exists() else ""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", "serve"], cwd=ROOT, env=self._env, stdout=log, stderr=log
            )
        self.wait_for("it listens", lambda: "serving on" in self.log[len(before) :])
        found = re.findall(r"serving on ([^\s\",]+)", self.log[len(before) :])
        self.url = found[-1]
        if self._client is not None:
            self._client.close()
        self._client = httpx.Client(base_url=self.url, timeout=TIMEOUT_S)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def client(self) -> httpx.Client:
        assert self._client is not None
        return self._client

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def get(self, path: str, status: int = 200, headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        answer = self.client.get(path, params=query, headers=headers)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:1000]}\n{self.log[-2000:]}"
        return answer.json()

    def post(self, path: str, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:1000]}\n{self.log[-2000:]}"
        return answer.json()

    def is_ready(self) -> bool:
        return self.client.get("/health/ready").status_code == 200

    def until_ready(self) -> None:
        self.wait_for("it is ready", self.is_ready, START_TIMEOUT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Until `condition()`; fails, with the log, when it ended or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended ({self.process.returncode}) before {what}:\n{self.log[-4000:]}")
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}\n{self.log[-4000:]}"
            time.sleep(0.05)


def _told(value: object) -> str:
    """A setting as an environment variable says it; lists and tables as JSON."""
    if isinstance(value, tuple):
        return json.dumps(value)
    if not isinstance(value, dict):
        return str(value)
    return json.dumps({name: each.model_dump() for name, each in value.items()})
