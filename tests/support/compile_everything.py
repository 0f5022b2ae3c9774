"""Everything that runs compiled, compiled once, before several processes would each do it at the same time."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from tracker_harness import lists_of, opened, shop_with_history

from models.learning.click_model import ClickModel
from models.ranking.weights import Calibration


def main() -> None:
    """A small shop, once through."""
    with tempfile.TemporaryDirectory() as path, opened(Path(path)) as harness:
        harness.tracker.warm_up()
        shop_with_history(harness)
        lists_of(harness, "ann")
    parts, slots = np.zeros((1, 7)), np.ones(1, np.int64)
    ClickModel.start(Calibration()).learn(parts, slots, np.zeros(1, np.bool_)).predict(parts, slots)


if __name__ == "__main__":
    main()
