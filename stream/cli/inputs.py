"""The files that a command learns from or judges by, and how they are to be read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from stream.analysis.data import Data, read_data
from stream.display.terminal import count, say, stderr
from stream.files.mapping import Mapping, parse_mapping
from stream.params import decode_limits
from stream.settings import Settings


class InputFiles(NamedTuple):
    """An event file and perhaps a catalogue."""

    events: Path
    items: Path | None
    columns: Mapping
    item_columns: Mapping
    reading: dict[str, Any]
    """How times are written, as `stream.files.reading` takes it."""

    def read(self, settings: Settings, shuffle_seed: int | None = None) -> Data:
        """All of it in memory.

        Raises:
            InputFileError: a file cannot be used.
        """
        return read_data(
            self.events,
            self.columns,
            self.items,
            self.item_columns,
            strengths=settings.strengths(),
            limits=decode_limits(settings),
            now_ms=time.time_ns() // 1_000_000,
            reading=self.reading,
            shuffle_seed=shuffle_seed,
        )


def input_files(
    events: Path,
    items: Path | None,
    map_: str,
    items_map: str,
    timezone: str,
    time_unit: str,
    time_pattern: str | None,
) -> InputFiles:
    """From the options of these names.

    Raises:
        InputFileError: a mapping makes no sense.
    """
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern}
    return InputFiles(events, items, parse_mapping(map_), parse_mapping(items_map, "item"), reading)


def say_what_was_read(path: Path, data: Data) -> None:
    """One line on stderr."""
    told = data.counts
    refused = ", ".join(f"{number:,} {reason}" for reason, number in data.refused.items())
    say(
        stderr(),
        f"{path}: {count(told['rows'], 'row')}, {count(told['first_engagements'], 'first engagement')} of "
        f"{count(told['users'], 'user')} with {count(told['items_in_events'], 'item')}"
        f"{f'; refused: {refused}' if refused else ''}",
    )
