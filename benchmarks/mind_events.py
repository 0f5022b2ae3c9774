"""MIND (Microsoft News) as event and catalogue files for `penchant evaluate clicks`.

    python -m benchmarks.mind_events behaviors.tsv.zst news.tsv.zst OUT_DIRECTORY

MIND says when a list was shown, and of the clicks before it (`history`) only the order. They are from the four weeks before
the first list (Wu et al. 2020, "MIND: A Large-scale Dataset for News Recommendation"), so each user's are spread evenly over
these. Of a user with several lists the history is the same and written once. What was clicked in a list is written as a click
one second after it was shown, the next one a second later. MIND shuffles the order of a list's candidates: there is no slot.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

HISTORY_MS: Final = 28 * 86_400_000
AFTER_MS: Final = 1000
_BEHAVIOURS: Final = ["impression_id", "user_id", "time", "history", "impressions"]
_NEWS: Final = ["item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"]

Row = tuple[str, str, str, int]
"""user_id, item_id, action, event_time (ms)."""


def events(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns user_id, item_id, action, event_time (ms, MIND's times taken as UTC), by time; `raw` has all columns as text."""
    lists = sorted(
        ((_time_ms(row["time"]), row) for row in raw.to_dicts() if row["impressions"]), key=lambda each: each[0]
    )
    first_ms = lists[0][0] if lists else 0
    rows, met = list[Row](), set[str]()
    for shown_ms, row in lists:
        user = row["user_id"]
        if user not in met:
            met.add(user)
            rows += _history(user, (row["history"] or "").split(), first_ms)
        rows += _list(user, row["impressions"].split(), shown_ms)
    rows.sort(key=lambda each: each[3])  # stable: what has one time stays in the order of its list
    return pl.DataFrame(rows, schema=["user_id", "item_id", "action", "event_time"], orient="row")


def items(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns item_id, title, categories, description."""
    return raw.filter(pl.col("title").fill_null("") != "").select(
        "item_id", "title", categories=pl.col("category") + "|" + pl.col("subcategory"), description="abstract"
    )


def _time_ms(text: str) -> int:
    return int(datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC).timestamp() * 1000)


def _history(user: str, clicked: list[str], until_ms: int) -> list[Row]:
    step_ms = HISTORY_MS // (len(clicked) + 1)
    return [(user, item, "click", until_ms - HISTORY_MS + step_ms * (place + 1)) for place, item in enumerate(clicked)]


def _list(user: str, shown: list[str], shown_ms: int) -> list[Row]:
    told = [each.rsplit("-", 1) for each in shown]
    clicked = [item for item, label in told if label == "1"]
    return [(user, item, "impression", shown_ms) for item, _ in told] + [
        (user, item, "click", shown_ms + AFTER_MS * (place + 1)) for place, item in enumerate(clicked)
    ]


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    return pl.read_csv(path, separator="\t", quote_char=None, has_header=False, new_columns=columns, infer_schema=False)


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0, or 2 for wrong arguments."""
    if len(arguments) != 3:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    behaviours, news, out = map(Path, arguments)
    out.mkdir(parents=True, exist_ok=True)
    events(_read(behaviours, _BEHAVIOURS)).write_csv(out / "events.csv")
    items(_read(news, _NEWS)).write_csv(out / "items.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
