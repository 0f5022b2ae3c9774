"""Where moves are made: whom they write to, and what they may do to an episode."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from confluent_kafka import Producer
from episode import Episode

from stream.settings import Settings

ITEMS: Final = 40
ACTIONS: Final = ("view", "click", "like", "dislike", "cart", "purchase", "refund", "impression")

Fields = dict[str, Any]


class Scene(NamedTuple):
    """Of one episode."""

    episode: Episode

    @property
    def settings(self) -> Settings:
        return self.episode.settings

    def send(self, topic: str, key: bytes | None, value: bytes | None, **how: Any) -> None:
        """Queue a record."""
        self.episode.topics.producer.produce(topic, value, key, **how)
        self.episode.topics.producer.poll(0)

    def flush(self) -> None:
        """Until everything has been written."""
        assert self.episode.topics.producer.flush(60) == 0

    def event(self, user: str, **fields: Any) -> None:
        """An event of somebody."""
        self.send(self.settings.topic_events, *event(user, **fields))

    def item(self, item_id: str, **fields: Any) -> None:
        """A catalogue record."""
        value = json.dumps({"item_id": item_id, "title": f"Title {item_id}"} | fields).encode()
        self.send(self.settings.topic_items, item_id.encode(), value)

    def other_producer(self, **config: Any) -> Producer:
        """Somebody else's; settings of librdkafka with _ for the dots."""
        named = {name.replace("_", "."): value for name, value in config.items()}
        of = {"bootstrap.servers": self.settings.bootstrap_servers, "log_level": 0, "partitioner": "murmur2_random"}
        return Producer(of | named)

    def good_events(self, rng: random.Random, n: int) -> None:
        """Of thirty people who do nothing odd."""
        for _ in range(n):
            self.event(**good_event(rng))


Move = Callable[[Scene, random.Random], None]


def event(user: str, **fields: Any) -> tuple[bytes, bytes]:
    """Key and value."""
    fields = {"user_id": user, "action": "click", "item_id": "i1"} | fields
    return user.encode(errors="surrogatepass"), json.dumps(fields).encode()


def somebody(rng: random.Random) -> str:
    """Who does odd things."""
    return f"bad-{rng.randrange(10_000)}"


def good_event(rng: random.Random) -> Fields:
    """The `user`, and what they do: look, buy and give back, often from a list of ours or another's."""
    done: Fields = {
        "user": f"good-{rng.randrange(30)}",
        "action": rng.choice(["view", "view", "click", "click", "cart", "purchase", "refund", "impression", "like"]),
        "item_id": f"i{rng.randrange(ITEMS)}",
    }
    if rng.random() < 0.4:
        done |= {"recommendation_id": f"other-{rng.randrange(20)}", "slot": rng.randrange(1, 20)}
    if rng.random() < 0.4:
        done |= {"value": rng.randrange(1, 90), "dwell_ms": rng.randrange(60_000)}
    if rng.random() < 0.3:
        done |= {"event_id": f"e{rng.randrange(200)}"}
    if rng.random() < 0.2:
        done |= {"context": {"device": rng.choice(["phone", "desk"]), "scene": "home"}}
    return done
