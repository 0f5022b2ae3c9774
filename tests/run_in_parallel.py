"""Every test, in four pytest processes side by side: those with Apache Kafka mostly wait, for brokers and for timeouts.

    python tests/run_in_parallel.py

Each process's output is printed when it ends. The exit code is the first that is not 0.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parent
FAULTS = [str(TESTS / "system" / f"test_{name}_on_kafka.py") for name in ("faults", "membership", "logs")]
SERVE = [
    str(TESTS / "system" / f"test_{name}.py")
    for name in (
        "serve",
        "serve_bounds",
        "openapi_of_serve",
        "client_on_serve",
        "explorer_in_a_browser",
        "explorer_on_serve",
        "serve_oddities",
    )
]
MOVED = [str(TESTS / "system" / f"test_{name}_on_kafka.py") for name in ("backup", "blue_green", "upgrade", "rights")]
APART = [f"--ignore={path}" for path in (*FAULTS, *SERVE, *MOVED)]
PARTS = (
    ("faults, membership and logs on Apache Kafka", FAULTS),
    ("the others on Apache Kafka", ["-m", "kafka", *APART]),
    ("penchant serve, backups, upgrades, rights", [*SERVE, *MOVED]),
    ("without Apache Kafka", ["-m", "not kafka", *APART]),
)


def main() -> int:
    subprocess.run(
        [sys.executable, str(TESTS / "support" / "compile_everything.py")], check=False
    )  # a failure is the tests' to tell
    running = []
    for name, arguments in PARTS:
        output = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed when its process has ended)
        command = [sys.executable, "-m", "pytest", "--durations=5", *arguments]
        running.append((name, output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)))
    code, started = 0, time.monotonic()
    while running:
        for part in list(running):
            name, output, process = part
            if process.poll() is None:
                continue
            running.remove(part)
            output.seek(0)
            print(f"=== tests: {name} ({time.monotonic() - started:.0f} s)\n{output.read()}", flush=True)
            output.close()
            code = code or process.returncode
        time.sleep(0.2)
    return code


if __name__ == "__main__":
    sys.exit(main())
