"""The usable part of the UCI "Online Retail" file as event and catalogue files for `penchant evaluate`.

    python -m benchmarks.retail_events online_retail.csv.zst items.tsv OUT_DIRECTORY

Usable: the customer is known, the quantity above 0, the invoice not a cancellation ("C..."), the code not one of a service.
Writes events.csv (in the order of the file) and items.csv with the columns that Penchant reads by name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

SERVICE_CODES: Final = ("POST", "D", "C2", "DOT", "M", "BANK CHARGES", "AMAZONFEE", "CRUK", "S", "PADS", "B")
SERVICE_PREFIX: Final = "gift_"


def usable_events(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns user_id, item_id, action, event_time (RFC 3339, shop time taken as UTC); `raw` has all columns as text."""
    kept = raw.filter(
        pl.col("CustomerID").fill_null("") != "",
        pl.col("Quantity").cast(pl.Int64) > 0,
        ~pl.col("InvoiceNo").str.starts_with("C"),
        ~_is_service(pl.col("StockCode")),
    )
    return kept.select(
        user_id=pl.col("CustomerID").str.strip_suffix(".0"),
        item_id=pl.col("StockCode"),
        action=pl.lit("purchase"),
        event_time=pl.col("InvoiceDate").str.replace(" ", "T") + "Z",
    )


def usable_items(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns item_id, title of a table with stock_code, description."""
    kept = raw.filter(~_is_service(pl.col("stock_code")), pl.col("description").fill_null("") != "")
    return kept.select(item_id=pl.col("stock_code"), title=pl.col("description"))


def _is_service(code: pl.Expr) -> pl.Expr:
    return code.is_in(SERVICE_CODES) | code.str.starts_with(SERVICE_PREFIX)


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0, or 2 for wrong arguments."""
    if len(arguments) != 3:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    sales, items, out = map(Path, arguments)
    out.mkdir(parents=True, exist_ok=True)
    usable_events(pl.read_csv(sales, infer_schema=False)).write_csv(out / "events.csv")
    usable_items(pl.read_csv(items, separator="\t", quote_char=None, infer_schema=False)).write_csv(out / "items.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
