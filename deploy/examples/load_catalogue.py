"""Put a catalogue into Penchant, and take out what is no longer sold.

    python load_catalogue.py catalogue.csv --brokers 127.0.0.1:9092 --removed old-ids.txt

The CSV has a header. `item_id` and `title` are needed; `description`, `price`, `categories` (separated by `;`) and `available`
are used where they are there. `--removed` names a file with one item id a line.

Exit code 0: the broker has everything. 1: it has not. 2: a row is no item; nothing was sent.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

WAIT_S = 30.0


def items(path: Path) -> Iterator[tuple[str, bytes]]:
    """`(item_id, JSON)` of every row. Raises ValueError, which names the line, for a row that is no item."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                item: dict[str, object] = {"item_id": row["item_id"].strip(), "title": row["title"].strip()}
                if not all(item.values()):
                    raise ValueError("item_id or title is empty")
                if row.get("description"):
                    item["description"] = row["description"]
                if row.get("price"):
                    item["price"] = float(row["price"])
                if row.get("categories"):
                    item["categories"] = [name.strip() for name in row["categories"].split(";")]
                if row.get("available"):
                    item["available"] = row["available"].lower() not in {"0", "false", "no"}
            except (KeyError, ValueError, AttributeError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error!r}") from error
            yield str(item["item_id"]), json.dumps(item).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Put a catalogue into Penchant.")
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--removed", type=Path, help="a file of item ids to take out, one a line")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--topic", default="interest.items")
    options = parser.parse_args()

    # All of it is read before any of it is sent, so a broken file changes nothing.
    records: list[tuple[str, bytes | None]] = []
    try:
        records += items(options.catalogue)
        if options.removed is not None:
            gone = options.removed.read_text(encoding="utf-8").split()
            records += [(item_id, None) for item_id in gone]  # no value: the item is removed
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2

    failed = 0

    def delivered(error: KafkaError | None, message: Message) -> None:
        nonlocal failed
        if error is not None:
            failed += 1
            print(f"not delivered: {message.key()!r}: {error.str()}", file=sys.stderr)

    producer = Producer({"bootstrap.servers": options.brokers, "delivery.timeout.ms": int(WAIT_S * 1000)})
    for item_id, value in records:
        while True:
            try:
                producer.produce(options.topic, value, item_id, on_delivery=delivered)
                break
            except BufferError:  # the queue is full: let the client send some first
                producer.poll(0.5)
        producer.poll(0)
    missing = producer.flush(WAIT_S + 5) + failed
    print(f"{len(records) - missing} of {len(records)} records sent", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
