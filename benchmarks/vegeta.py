"""HTTP requests on a fixed schedule, by vegeta: request i is due at start + i / rate, whatever becomes of the ones before.

Vegeta (a Go module) starts as many requests beside each other as the schedule wants; it never waits for an answer before it
sends the next. Latency is counted here from when a request was due, not from when vegeta got round to sending it: a generator
that falls behind makes requests late, it does not hide that they are (coordinated omission).
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MODULE: Final = "github.com/tsenart/vegeta/v12@v12.13.0"
FOLDER: Final = Path(".penchant") / "bench" / "bin"
BUILD_TIMEOUT_S: Final = 300.0
ANSWER_TIMEOUT_S: Final = 15.0

_AT_NS, _STATUS, _LATENCY_NS, _ERROR, _SEQUENCE = 0, 1, 2, 5, 8
"""Columns of `vegeta encode -to csv`."""


class Target(NamedTuple):
    """One request."""

    method: str
    url: str
    body: bytes | None = None
    """JSON."""


class Answers(NamedTuple):
    """What became of the requests, in the order of the schedule, `(n,)` each."""

    latency_ms: NDArray[np.float64]
    """From when it was due to the last byte; infinite where the status was not 2xx, or there was none."""
    status: NDArray[np.int64]
    """0: no answer."""
    errors: tuple[str, ...]
    """What was said of those without one, each once."""

    @property
    def refused(self) -> float:
        """Share without a good answer."""
        return float(np.isinf(self.latency_ms).mean())


def find() -> Path:
    """The program: of PATH, or built once into .penchant by Go.

    Raises:
        RuntimeError: there is neither.
    """
    built = FOLDER / "vegeta"
    found = shutil.which("vegeta") or (str(built) if built.is_file() else None)
    if found is not None:
        return Path(found)
    if shutil.which("go") is None:
        raise RuntimeError(f"there is no vegeta and no Go. Fix: install Go (Debian: golang), or put {MODULE} on PATH")
    FOLDER.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOBIN": str(FOLDER.resolve()), "GOFLAGS": "-trimpath"}
    done = subprocess.run(
        ["go", "install", MODULE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode or not built.is_file():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RuntimeError(f"go install {MODULE} failed: {last}. Fix: put vegeta on PATH")
    return built


def attack(targets: Iterable[Target], rate: float, seconds: float, directory: Path, name: str) -> Answers:
    """Ask for the targets in turn, `rate` a second for so many seconds, and wait for the answers."""
    program, written, result = find(), directory / f"{name}.targets", directory / f"{name}.bin"
    written.write_text("".join(f"{_line(target)}\n" for target in targets), encoding="utf-8")
    command = [
        *(str(program), "attack", "-format=json", f"-targets={written}", f"-output={result}", "-max-body=0"),
        *(f"-rate={round(rate * 60)}/1m", f"-duration={seconds}s", f"-timeout={ANSWER_TIMEOUT_S}s", "-redirects=-1"),
    ]
    subprocess.run(command, check=True, timeout=seconds + 2 * ANSWER_TIMEOUT_S)
    encoded = subprocess.run(
        [str(program), "encode", "-to=csv", str(result)], check=True, capture_output=True, text=True, timeout=60
    )
    return read(encoded.stdout, rate)


def read(encoded: str, rate: float) -> Answers:
    """Answers of what `vegeta encode -to csv` wrote, requests in any order.

    Raises:
        ValueError: there are none.
    """
    rows = sorted(csv.reader(io.StringIO(encoded)), key=lambda row: int(row[_SEQUENCE]))
    if not rows:
        raise ValueError("nothing was asked")
    columns = np.array([[int(row[i]) for i in (_AT_NS, _STATUS, _LATENCY_NS, _SEQUENCE)] for row in rows], np.int64)
    at_ns, status, latency_ns, sequence = columns.T
    after_start_ns = sequence * (1e9 / rate)
    # The schedule began when the earliest request, measured against its own place in it, was sent.
    start_ns = int((at_ns - after_start_ns.astype(np.int64)).min())
    late_ns = (at_ns - start_ns) - after_start_ns
    latency_ms = (np.maximum(late_ns, 0.0) + latency_ns) / 1e6
    latency_ms[(status < 200) | (status > 299)] = np.inf
    return Answers(latency_ms, status, tuple(sorted({row[_ERROR] for row in rows if row[_ERROR]})))


def _line(target: Target) -> str:
    request: dict[str, object] = {"method": target.method, "url": target.url}
    if target.body is not None:
        request |= {"body": base64.b64encode(target.body).decode(), "header": {"Content-Type": ["application/json"]}}
    return json.dumps(request)
