"""Shops whose people take things in the same order, each a file of events; and clients that do as a test says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ITEMS = 24


class Adding:
    """A client to which a model becomes what it was and `add`."""

    def __init__(self, add: float, examples: float = 10.0) -> None:
        self.add, self.examples = add, examples

    def train(self, given, config):
        return {name: value + self.add for name, value in given.items()}, self.examples


class Failing:
    """A client that cannot."""

    def train(self, given, config):
        raise ValueError("the disk\nis full")


def write_shop(path: Path, seed: int, people: int = 60) -> Path:
    """Everybody takes ten items; after an item of one kind mostly one of the same kind."""
    rng = np.random.default_rng(seed)
    lines = ["user_id,item_id,action,event_time"]
    for person in range(people):
        kind = int(rng.integers(0, 4))
        for step, item in enumerate(rng.permutation(ITEMS // 4)[:5].tolist() + rng.permutation(ITEMS)[:3].tolist()):
            number = 4 * item % ITEMS + kind if step < 5 else item
            time_s = 1_767_225_600 + 1000 * (step * people + person) + int(rng.integers(0, 900))
            lines.append(f"p{person},i{number},click,{time_s}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
