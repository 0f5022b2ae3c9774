"""Read recommendations: one line `user: item, item, ...` for every list that is newer than the one before it.

    python read_lists.py --brokers 127.0.0.1:9092 --group home-page

Runs until SIGTERM or Ctrl-C, or until nothing came for `--wait` seconds (exit code 1), or after `--lists` lists.
Exit code 0: ended as asked. 1: no list came in time, or Kafka refused to go on. 2: a record could not be read.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import Any

from confluent_kafka import Consumer, KafkaException

POLL_S = 0.5


class Lists:
    """The newest list of every user. A service would keep them in its cache or database."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}

    def is_news(self, answer: dict[str, Any]) -> bool:
        """Whether this list is newer than the one we have.

        A list may arrive twice after a crash, and one that a frozen worker had on its way may arrive late. `source` says where
        the newest event that the list reflects lies, so comparing offsets settles both.
        """
        source = answer["source"]
        known = self._newest.get(answer["user_id"])
        if known is not None and known[0] == source["partition"] and known[1] > source["offset"]:
            return False
        self._newest[answer["user_id"]] = (source["partition"], source["offset"])
        return True

    def forget(self, user_id: str) -> None:
        """A record without a value: the user's list is gone."""
        self._newest.pop(user_id, None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Read recommendations.")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--topic", default="interest.recommendations")
    parser.add_argument("--group", default="home-page")
    parser.add_argument("--lists", type=int, default=0, help="end after so many; 0: never")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds without a list until giving up; 0: never")
    options = parser.parse_args()

    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    lists, shown, last = Lists(), 0, time.monotonic()
    consumer = Consumer(
        {
            "bootstrap.servers": options.brokers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",  # the topic is compacted: this is every user's newest list
            "isolation.level": "read_committed",  # the default of librdkafka, not of the Java client
            "enable.auto.offset.store": False,  # only what was handled is committed: read again after a crash rather than lost
        }
    )
    try:
        consumer.subscribe([options.topic])
        while not stopping:
            message = consumer.poll(POLL_S)
            if message is None:
                if options.wait and time.monotonic() - last > options.wait:
                    print(f"no list within {options.wait:g} s; `penchant doctor` says what is wrong", file=sys.stderr)
                    return 1
                continue
            if message.error():
                raise KafkaException(message.error())
            last = time.monotonic()
            if message.value() is None:
                lists.forget(message.key().decode())
            else:
                answer = json.loads(message.value())
                if lists.is_news(answer):
                    print(
                        f"{answer['user_id']}: {', '.join(place['item_id'] for place in answer['items'])}", flush=True
                    )
                    shown += 1
            consumer.store_offsets(message)
            if options.lists and shown >= options.lists:
                return 0
    except KafkaException as error:
        print(f"Kafka: {error.args[0].str()}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError) as error:
        print(f"a record could not be read: {error!r}", file=sys.stderr)
        return 2
    finally:
        consumer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
