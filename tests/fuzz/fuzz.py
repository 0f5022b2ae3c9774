"""Arbitrary bytes for whatever reads what others wrote: coverage-guided (Atheris, which is libFuzzer), one process a target.

    make fuzz RUNS=100000

Each target (`fuzz_targets`) gets so many inputs of up to 4 KiB, begun from golden files. What crashes, takes longer than ten
seconds or more than 2 GiB ends the run of its target; the input is kept in `.fuzz`. One line of JSON last. Exit code 0:
all held.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Final

from places import ROOT

OUT: Final = ROOT / ".fuzz"
INSTRUMENTED: Final = (
    "stream.wire",
    "stream.rules",
    "stream.dead_letters",
    "stream.worker.intake",
    "stream.state.contributions",
    "stream.state.owed",
    "stream.state.standing",
    "stream.state.told",
    "stream.state.log_mark",
    "fuzz_targets",
)
INPUT_MAX_BYTES, INPUT_TIMEOUT_S, MEMORY_MAX_MIB = 4096, 10, 2048


def main(arguments: Sequence[str]) -> int:
    """Run all; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="inputs of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", help="this one only")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options, libfuzzer = parser.parse_known_args(arguments)
    if options.inside:
        return _inside(options.target, libfuzzer)
    OUT.mkdir(exist_ok=True)
    from fuzz_targets import TARGETS  # noqa: PLC0415  (the children import it instrumented)

    names = [options.target] if options.target else list(TARGETS)
    done, failed = dict[str, dict[str, int]](), list[str]()
    for name in names:
        code, done[name] = _run(name, TARGETS[name].seeds, options.runs, options.seed)
        failed += [name] * (code != 0)
        print(
            f"{name:11} {done[name]['inputs']:>9,} inputs  {done[name]['memory_mib']:>5} MiB  "
            f"{'held' if code == 0 else 'FAILED'}",
            flush=True,
        )
    print(json.dumps({"inputs": sum(each["inputs"] for each in done.values()), "failed": failed, "targets": done}))
    return 1 if failed else 0


def _run(name: str, seeds: Sequence[bytes], runs: int, seed: int) -> tuple[int, dict[str, int]]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as corpus:
        for n, content in enumerate(seeds):
            (Path(corpus) / f"seed-{n}").write_bytes(content)
        done = subprocess.run(
            [sys.executable, __file__, "--inside", "--target", name, f"-runs={runs}", f"-seed={seed}",
             f"-max_len={INPUT_MAX_BYTES}", f"-timeout={INPUT_TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MAX_MIB}",
             f"-artifact_prefix={OUT}/{name}-", "-print_final_stats=1", corpus],
            capture_output=True, text=True, errors="replace", check=False, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
    if done.returncode != 0:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    return done.returncode, {
        "inputs": _stat(done.stderr, r"number_of_executed_units:\s*(\d+)"),
        "memory_mib": _stat(done.stderr, r"peak_rss_mb:\s*(\d+)"),
    }


def _stat(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _inside(name: str, libfuzzer: Sequence[str]) -> int:
    import atheris  # noqa: PLC0415
    from fuzz_targets import TARGETS  # noqa: PLC0415

    _instrument(atheris.instrument_func)
    read = TARGETS[name].read
    for seed in TARGETS[name].seeds:
        read(seed)  # compiled loops are compiled before time is taken
    atheris.Setup([sys.argv[0], *libfuzzer], lambda data: read(bytes(data)))
    atheris.Fuzz()
    return 0


def _instrument(instrument: Callable[[FunctionType], object]) -> None:
    """Functions of these rooms; not of all modules as they are imported, because numba cannot compile what was changed."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith(INSTRUMENTED):
            for each in vars(module).values():
                if isinstance(each, FunctionType) and each.__module__ == module.__name__:
                    instrument(each)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
