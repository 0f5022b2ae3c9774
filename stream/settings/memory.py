"""One budget for what a worker keeps in memory, divided among its parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, Field, model_validator

MIB: Final = 1 << 20

PARTS: Final = {
    "overlay_max_bytes": (0.25, 256 * MIB),
    "block_cache_bytes": (0.20, 256 * MIB),
    "write_buffer_bytes": (0.10, 128 * MIB),
    "fetch_buffer_max_bytes": (0.10, 128 * MIB),
}
"""By setting: its share of the budget, and the most that it is given where nobody says otherwise: more brings nothing. What is
left is for the catalogue, statistics and vectors, which every worker has whole, and for Python."""

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
        return self
