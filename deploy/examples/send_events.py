"""Send events to Penchant, one JSON object per line of standard input.

    echo '{"user_id": "ann", "item_id": "cup", "action": "click"}' | python send_events.py --brokers 127.0.0.1:9092

Exit code 0: the broker has every event. 1: it has not. 2: a line is no event; nothing after it was sent.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer

WAIT_S = 30.0


class Sender:
    """A producer that counts what the broker did not accept."""

    def __init__(self, brokers: str) -> None:
        self.failed = 0
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                # All producers of events must choose partitions alike: a user whose events arrive on two has two states.
                "partitioner": "murmur2_random",
                "enable.idempotence": True,  # a retry inside the client must not become a second event
                "delivery.timeout.ms": int(WAIT_S * 1000),
                "linger.ms": 5,
            }
        )

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Hand a record over; whether it arrived is known after `finish`."""
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._delivered)
            except BufferError:  # the queue is full: let the client send some first
                self._producer.poll(0.5)
            else:
                self._producer.poll(0)  # runs the delivery callbacks that are due
                return

    def finish(self) -> int:
        """Wait for the broker; the number of records that it does not have."""
        waiting: int = self._producer.flush(WAIT_S + 5)
        return waiting + self.failed

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed += 1
            print(f"not delivered: {message.key()!r}: {error.str()}", file=sys.stderr)


def send_lines(sender: Sender, topic: str, lines: Iterable[str]) -> int:
    """Send every line under its `user_id`; the number of the first line that is no event, else 0."""
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            key = event["user_id"]  # the key: a user's events must all be in one partition, in order
            sender.send(topic, str(key), json.dumps(event).encode())
        except (ValueError, KeyError, TypeError) as error:
            print(f"line {number} is no event: {error!r}", file=sys.stderr)
            return number
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Send events, one JSON object per line of standard input.")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--topic", default="interest.events")
    options = parser.parse_args()

    sender = Sender(options.brokers)
    wrong_line = send_lines(sender, options.topic, sys.stdin)
    missing = sender.finish()
    if missing:
        print(f"{missing} events are not known to have arrived; it is safe to send them again", file=sys.stderr)
        return 1
    return 2 if wrong_line else 0


if __name__ == "__main__":
    sys.exit(main())
