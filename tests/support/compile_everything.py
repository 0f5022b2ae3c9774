"""Everything that runs compiled, compiled once, before several processes would each do it at the same time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tracker_harness import lists_of, opened, shop_with_history


def main() -> None:
    """A small shop, once through."""
    with tempfile.TemporaryDirectory() as path, opened(Path(path)) as harness:
        harness.tracker.warm_up()
        shop_with_history(harness)
        lists_of(harness, "ann")


if __name__ == "__main__":
    main()
