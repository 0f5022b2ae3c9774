"""Everything that a worker and `penchant serve` run compiled, compiled once into $NUMBA_CACHE_DIR. Asks no broker."""

from __future__ import annotations

import sys
import time

from stream.metrics import Metrics
from stream.settings import load_settings
from stream.worker.compiling import compile_stages
from stream.worker.tracker import Tracker


def main() -> None:
    began = time.monotonic()
    tracker = Tracker(load_settings(), Metrics())
    compile_stages(tracker.stages(texts=True), lambda: False)
    tracker.compile_placement()
    sys.stdout.write(f"compiled in {time.monotonic() - began:.1f} s\n")


if __name__ == "__main__":
    main()
