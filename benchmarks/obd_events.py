"""Open Bandit Dataset logs as an event file for `penchant evaluate clicks`: impressions with true slots, and clicks.

    python -m benchmarks.obd_events OUT_DIRECTORY random_men.csv.zst bts_men.csv.zst ..

There are no users in it: those with the same four hashed features are taken for one, so what is personal is that of a group. A
click is written one millisecond after its impression. The campaign (men, women) is the last word of a file's name; it is put
before items and users, which are numbered anew in each. There are no texts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

AFTER_MS: Final = 1
_FEATURES: Final = [f"user_feature_{n}" for n in range(4)]


def events(raw: pl.DataFrame, campaign: str) -> pl.DataFrame:
    """Columns user_id, item_id, action, event_time (ms), slot of one file, impressions first; `raw` has all columns as text."""
    group = pl.concat_str([pl.col(name).str.slice(0, 12) for name in _FEATURES])
    shown = raw.select(
        user_id=pl.lit(campaign + "-") + group,
        item_id=pl.lit(campaign + "-") + pl.col("item_id"),
        action=pl.lit("impression"),
        event_time=pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_zone="UTC").dt.epoch("ms"),
        slot=pl.col("position").cast(pl.Int64),
    )
    clicks = shown.filter(raw["click"].cast(pl.Float64) > 0).with_columns(
        action=pl.lit("click"), event_time=pl.col("event_time") + AFTER_MS
    )
    return pl.concat([shown, clicks])


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0, or 2 for wrong arguments."""
    if len(arguments) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    out, *logs = map(Path, arguments)
    out.mkdir(parents=True, exist_ok=True)
    read = [events(pl.read_csv(log, infer_schema=False), log.name.split(".")[0].rsplit("_", 1)[-1]) for log in logs]
    pl.concat(read).sort("event_time", maintain_order=True).write_csv(out / "events.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
