"""Streams for tests of the evaluation, and the protocol once more in plain Python: sets, dicts, one question after another."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from models.evaluation.contract import NEVER_MS, Answer, Known, Stream
from models.evaluation.questions import first_of_pairs

MINUTE_MS = 60_000


def make_stream(user, item, time_ms=None, positive=None):
    """A stream of events (user, item), numbered by first appearance as the contract asks; item -1 is a query."""
    n = len(user)
    user, item = renumbered(user), renumbered(item)
    positive = (np.ones(n, bool) if positive is None else np.array(positive, bool)) & (item >= 0)
    time_ms = np.arange(n) * MINUTE_MS if time_ms is None else time_ms
    zeros = np.zeros(n, np.int64)
    return Stream(
        user=user, item=item, time_ms=np.array(time_ms, np.int64), action=zeros.astype(np.uint8), dwell_ms=zeros,
        context=zeros.astype(np.uint8), event_id=zeros.astype(np.uint32), slot=zeros.astype(np.uint8),
        text=zeros.astype(np.int32) - 1, positive=positive, first=first_of_pairs(user, item, positive),
    )  # fmt: skip


def renumbered(values):
    places = {}
    return np.array([-1 if v < 0 else places.setdefault(v, len(places)) for v in values], np.int32)


def make_known(stream, more=0, listed_from_ms=None, vectors=None):
    """Names for the numbers of a stream, and `more` items that no event is about."""
    n_items = int(stream.item.max(initial=-1)) + 1 + more
    listed = np.full(n_items, NEVER_MS) if listed_from_ms is None else np.array(listed_from_ms)
    users = [f"u{n}" for n in range(int(stream.user.max(initial=-1)) + 1)]
    return Known(users, [f"i{n}" for n in range(n_items)], [None] * n_items, listed.astype(np.int64), [], vectors)


def random_stream(seed, n=300, users=12, items=25, queries=0.05):
    rng = np.random.default_rng(seed)
    item = rng.integers(0, items, n)
    item[rng.random(n) < queries] = -1
    times = np.sort(rng.integers(0, 40, n)) * MINUTE_MS
    return make_stream(rng.integers(0, users, n), item, times, rng.random(n) < 0.9)


class Fixed:
    """Answers with the scores it was given; remembers the calls."""

    name = "fixed"

    def __init__(self, scores_of, **answer):
        self.scores_of, self.answer, self.calls = scores_of, answer, []

    def warm_up(self, stream, known, end):
        self.calls.append(("warm_up", end))

    def ask(self, at):
        self.calls.append(("ask", at))
        return Answer(self.scores_of(at), **self.answer)

    def learn(self, at):
        self.calls.append(("learn", at))


def by_hand(stream, known, end, scores_of, k=20):
    """Per question: (at, rank, candidates, listed, novelty)."""
    seen_items, seen_users, had, owners, found = set(), set(), defaultdict(set), defaultdict(set), []
    for at in range(stream.n_events):
        user, item = int(stream.user[at]), int(stream.item[at])
        if at >= end and stream.positive[at] and item not in had[user]:
            listed = {j for j in range(known.n_items) if known.listed_from_ms[j] <= stream.time_ms[at]}
            candidates = (seen_items | listed) - had[user]
            scores = scores_of(at)
            top = sorted(candidates, key=lambda j: (-scores[j], j))[:k]
            if item in candidates:
                others = candidates - {item}
                rank = (
                    1
                    + sum(scores[j] > scores[item] for j in others)
                    + sum(scores[j] == scores[item] for j in others) / 2
                )
            else:
                rank = len(candidates) + 1
            surprise = [-math.log2((len(owners[j]) + 1) / (len(seen_users) + 1)) for j in top[:10]]
            size = len(candidates | {item})
            found.append((at, rank, size, top, sum(surprise) / len(surprise) if surprise else 0.0))
        seen_users.add(user)
        if item >= 0:
            seen_items.add(item)
        if stream.positive[at]:
            had[user].add(item)
            owners[item].add(user)
    return found
