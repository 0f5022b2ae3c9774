"""Make the committed sample from the full Online Retail data: `python -m stream.files.sample.make FULL_FILE OUT_DIR`.

Deterministic: everything "random" is the order of SHA-256 digests of a seed and a row's own text or line.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from stream.errors import InputFileError, UsageError
from stream.files.formats import open_table

SEED = "penchant sample 1"
CUSTOMERS = 560

_STOCK_CODE = re.compile(r"\d{5}[A-Za-z]{0,2}")
"""What the shop sells; service lines are `POST`, `M`, `BANK CHARGES` and the like."""

_COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
_SMALL_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "of",
        "on",
        "or",
        "the",
        "to",
        "with",
    ]
)
_CAPITALS = frozenset(["3D", "BBQ", "CD", "DVD", "FM", "LED", "RSVP", "TV", "UK", "USB", "XL"])
_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z]+)?")
_MEASURE = re.compile(r"[0-9]+(?:cm|mm|m|l|ml|g|kg|pc|pcs)", re.IGNORECASE)


class Purchase(NamedTuple):
    """One line of an invoice that sold something to a known customer."""

    line: int
    customer: str
    stock_code: str
    description: str
    quantity: str
    time: str
    price: float


def usable(path: Path) -> Iterator[Purchase]:
    """The lines with a known customer, more than nothing sold, not cancelled, and no service code."""
    with open_table(path) as table:
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise InputFileError(f"{path} has no column {missing[0]!r}.", "give the full Online Retail file")
        places = [table.columns.index(name) for name in _COLUMNS]
        for line, row, _ in table.rows:
            invoice, code, description, quantity, time, price, customer = (row[place] for place in places)
            if customer and int(quantity) > 0 and not invoice.startswith("C") and _STOCK_CODE.fullmatch(code):
                number = customer.removesuffix(".0")
                yield Purchase(line, number, code, description, quantity, time, float(price))


def choose(purchases: Iterable[Purchase], customers: int = CUSTOMERS) -> list[Purchase]:
    """All purchases of some customers, drawn by digest; by time, the lines of one minute in the order of digests."""
    purchases = list(purchases)
    drawn = sorted({purchase.customer for purchase in purchases}, key=_digest)[:customers]
    kept = frozenset(drawn)
    chosen = (purchase for purchase in purchases if purchase.customer in kept)
    return sorted(chosen, key=lambda purchase: (purchase.time, _digest(str(purchase.line))))


def event_rows(chosen: Iterable[Purchase]) -> Iterator[tuple[str, ...]]:
    """Header and rows of the event file. Seconds are always 00 in the source and left out."""
    yield ("CustomerID", "StockCode", "Quantity", "InvoiceDate")
    for purchase in chosen:
        yield purchase.customer, purchase.stock_code, purchase.quantity, purchase.time.removesuffix(":00")


def item_rows(purchases: Iterable[Purchase], chosen: Iterable[Purchase]) -> Iterator[tuple[str, ...]]:
    """Header and rows of the catalogue: the chosen items by code; titles and prices come from all usable lines."""
    titles: defaultdict[str, Counter[str]] = defaultdict(Counter)
    prices: defaultdict[str, list[float]] = defaultdict(list)
    for purchase in purchases:
        titles[purchase.stock_code][readable(purchase.description)] += 1
        prices[purchase.stock_code].append(purchase.price)
    yield ("StockCode", "Description", "UnitPrice")
    for code in sorted({purchase.stock_code for purchase in chosen}):
        title = min(titles[code], key=lambda text: (-titles[code][text], text))
        yield code, title, f"{median(prices[code]):.2f}"


def readable(description: str) -> str:
    """`CHILDREN'S SET OF 3  T-LIGHTS` -> `Children's Set of 3 T-Lights`."""
    words = " ".join(description.split())
    return _WORD.sub(lambda match: _word(match[0], first=match.start() == 0), words)


def write_gzip(path: Path, rows: Iterable[tuple[str, ...]]) -> int:
    """Write `rows` as compressed CSV without a time stamp; returns the number of rows below the header."""
    text, count = io.StringIO(newline=""), -1
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow(row)
        count += 1
    path.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))
    return count


def make(full: Path, out: Path) -> tuple[int, int, int]:
    """Write `events.csv.gz` and `items.csv.gz` into `out`; returns the counts of events, items and customers."""
    purchases = list(usable(full))
    chosen = choose(purchases)
    events = write_gzip(out / "events.csv.gz", event_rows(chosen))
    items = write_gzip(out / "items.csv.gz", item_rows(purchases, chosen))
    return events, items, len({purchase.customer for purchase in chosen})


def main(arguments: list[str]) -> int:
    """Exit code 2 and one line for what the person can mend."""
    try:
        if len(arguments) != 2 or not Path(arguments[1]).is_dir():
            raise UsageError(
                "usage: python -m stream.files.sample.make FULL_FILE OUT_DIR.", "name an existing directory"
            )
        events, items, customers = make(Path(arguments[0]), Path(arguments[1]))
    except UsageError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(f"{events} events of {customers} customers, {items} items")  # noqa: T201
    return 0


def _digest(text: str) -> bytes:
    return hashlib.sha256(f"{SEED} {text}".encode()).digest()


def _word(word: str, *, first: bool) -> str:
    if word.upper() in _CAPITALS:
        return word.upper()
    if _MEASURE.fullmatch(word) or (word.lower() in _SMALL_WORDS and not first):
        return word.lower()
    return word[0].upper() + word[1:].lower()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
