"""One budget for what a worker keeps in memory, divided among its parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, Field, model_validator

from stream.settings.bounds import Positive

MIB: Final = 1 << 20

PARTS: Final = {
    "overlay_max_bytes": (0.25, 256 * MIB),
    "block_cache_bytes": (0.20, 256 * MIB),
    "write_buffer_bytes": (0.10, 128 * MIB),
    "fetch_buffer_max_bytes": (0.10, 128 * MIB),
    "item_records_max_bytes": (0.05, 256 * MIB),
}
"""By setting: its share of the budget, and the most that it is given where nobody says otherwise: more brings nothing."""

OF_THE_REST: Final = {"statistics_max_bytes": 0.5, "vectors_max_bytes": 0.25}
"""What every worker has whole, by setting: its share of what the others leave. The rest is for the catalogue and Python."""

DEFAULT_SHARE: Final = 0.5
"""Of the memory that the machine, or the container, has."""

_CGROUP_FILES: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available_bytes(cgroup_files: tuple[Path, ...] = _CGROUP_FILES) -> int:
    """Memory of the machine, or of the container where that has less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in cgroup_files:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # "max", or no such controller
            continue
    return min(found)


class MemorySettings(BaseModel):
    """One budget for what a worker keeps in memory, divided among its parts."""

    memory_max_bytes: int | None = Field(
        None,
        ge=64 * MIB,
        description="Memory that a worker's states, caches and buffers are divided from where they are not set one by one; "
        "half of the machine's, or of the container's",
    )
    item_records_max_bytes: Positive = Field(
        256 << 20, description="Records of changed items kept between commits, over all partitions"
    )
    statistics_max_bytes: Positive = Field(
        4 << 30,
        description="Item statistics, of which every worker has all; at the bound further items have no neighbours. Half of "
        "what the other parts leave of the budget",
    )
    vectors_max_bytes: Positive = Field(
        2 << 30,
        description="Text vectors of items, of which every worker has all; at the bound further items go without. A quarter of "
        "what the other parts leave of the budget",
    )

    @model_validator(mode="after")
    def _divided(self) -> Self:
        budget = self.memory_max_bytes or int(DEFAULT_SHARE * available_bytes())
        given: dict[str, Any] = {name: getattr(self, name) for name in PARTS if name in self.model_fields_set}
        if self.memory_max_bytes is not None and sum(given.values()) > budget:
            raise ValueError(f"{' + '.join(given)} is {sum(given.values())}, more than memory_max_bytes ({budget})")
        for name, (share, most) in PARTS.items():
            if name not in given:
                # Not an assignment: what was not given stays a default.
                object.__setattr__(self, name, min(most, max(MIB, int(share * budget))))
        rest = max(0, budget - sum(getattr(self, name) for name in PARTS))
        for name, share in OF_THE_REST.items():
            if name not in self.model_fields_set:
                object.__setattr__(self, name, max(MIB, int(share * rest)))
        return self
