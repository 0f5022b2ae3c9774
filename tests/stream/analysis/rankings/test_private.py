"""Penchant ranking with released statistics: nothing else of others reaches a list."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.contract import ALWAYS_MS, Known, Setup, Stream, UnavailableError
from models.evaluation.questions import first_of_pairs
from models.items.catalog import CatalogItem
from models.privacy.bounds import Contribution, Promise
from stream.analysis.rankings.private import PrivatePenchant, ReleasedWorker, ReleaseOptions, options_of
from stream.settings import Settings

N_ITEMS = 12
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def world(seed=0, users=6, events=80, without=None):
    """A stream and what is known of it; `without`: that user's events are left out."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, users, events), rng.integers(0, N_ITEMS, events)
    time_ms = START_MS + np.arange(events) * HOUR_MS
    stay = np.ones(events, np.bool_) if without is None else user != without
    user, item, time_ms = user[stay].astype(np.int32), item[stay].astype(np.int32), time_ms[stay]
    n = len(user)
    positive = np.ones(n, np.bool_)
    stream = Stream(
        user, item, time_ms.astype(np.int64), np.full(n, 1, np.uint8), np.zeros(n, np.int64), np.zeros(n, np.uint8),
        np.zeros(n, np.uint32), np.zeros(n, np.uint8), np.full(n, -1, np.int32), positive,
        first_of_pairs(user, item, positive),
    )  # fmt: skip
    ids = [f"i{number:02}" for number in range(N_ITEMS)]
    vectors = np.random.default_rng(9).normal(size=(N_ITEMS, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    catalogue = [CatalogItem(item_id, item_id) for item_id in ids]
    listed = np.full(N_ITEMS, ALWAYS_MS, np.int64)
    return stream, Known([f"u{number}" for number in range(users)], ids, catalogue, listed, [], vectors)


def options(*ends, promise=None):
    return ReleaseOptions(promise, Contribution(3, 4, 8), tuple(START_MS + end * HOUR_MS for end in ends), 3)


def test_statistics_change_at_releases_only_and_not_before_the_first():
    many = options(40, 60)._replace(contribution=Contribution(50, 50, 8))
    worker = ReleasedWorker(Settings(), *world(), many)
    worker.advance(40)
    assert worker.stats.count.sum() == 0
    worker.advance(50)
    first = worker.stats.count.copy()
    assert first.sum() > 0
    worker.advance(60)
    assert (worker.stats.count == first).all()
    worker.advance(70)
    assert worker.stats.count.sum() > first.sum()
    assert worker.applied == 70


def test_nobody_counts_for_more_than_the_bounds():
    stream, known = world()
    found = ReleasedWorker(Settings(), stream, known, options(40, 79)).counted
    for user, most in ((found.items_user, 3), (found.pairs_user, 4)):
        assert np.unique(user, return_counts=True)[1].max() <= most


def test_without_a_person_what_is_counted_of_the_others_stays_the_same():
    def of_others(found, gone):
        kept = (found.items_user != gone, found.pairs_user != gone)
        return [
            sorted(zip(*(column[stay].tolist() for column in columns), strict=True))
            for stay, columns in zip(
                kept,
                (
                    (found.items_user, found.items, found.items_release),
                    (found.pairs_user, found.pairs, found.pairs_release),
                ),
                strict=True,
            )
        ]

    everybody = ReleasedWorker(Settings(), *world(), options(40, 79))
    gone = int(everybody.engagements.user[0])  # of the first event
    left = ReleasedWorker(Settings(), *world(without=int(world()[0].user[0])), options(40, 79))
    assert of_others(everybody.counted, gone) == of_others(left.counted, gone)
    assert gone not in left.counted.items_user


def test_lists_of_others_come_from_releases_and_the_own_history_alone():
    """What another person does after the last release changes nobody's list."""
    stream, known = world()
    pytest.importorskip("opendp", reason="needs the extra privacy (OpenDP)")
    contender = PrivatePenchant(Settings(), Setup(), options(20))
    contender.warm_up(stream, known, 30)
    scores = contender.ask(79).scores.copy()
    other = stream.item.copy()
    later = np.arange(80) > 40
    other[later & (stream.user != stream.user[79])] = 3
    again = PrivatePenchant(Settings(), Setup(), options(20))
    again.warm_up(stream._replace(item=other), known, 30)
    assert np.allclose(again.ask(79).scores, scores)


def test_the_settings_say_what_is_released():
    stream, _ = world()
    settings = Settings(
        dp_epsilon=2.0, dp_delta=1e-7, dp_items=5, dp_pairs=6, dp_pair_window=7, dp_releases=2, dp_release_h=10
    )
    made = options_of(settings, stream, 40)
    assert made.promise == Promise(2.0, 1e-7)
    assert made.contribution == Contribution(5, 6, 7)
    assert np.diff(made.ends_ms).tolist() == [10 * HOUR_MS]
    assert made.ends_ms[0] < stream.time_ms[40]


def test_with_dp_epsilon_off_it_does_not_take_part_and_says_why():
    stream, known = world()
    with pytest.raises(UnavailableError, match="dp_epsilon"):
        PrivatePenchant(Settings(), Setup()).warm_up(stream, known, 40)


def test_without_opendp_it_does_not_take_part_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr("models.privacy.noise.find_spec", lambda name: None)
    stream, known = world()
    with pytest.raises(UnavailableError, match="penchant\\[privacy\\]"):
        PrivatePenchant(Settings(dp_epsilon=1.0), Setup()).warm_up(stream, known, 40)


def test_with_noise_it_ranks():
    pytest.importorskip("opendp", reason="needs the extra privacy (OpenDP)")
    stream, known = world()
    contender = PrivatePenchant(Settings(dp_epsilon=4.0, dp_release_h=5), Setup())
    contender.warm_up(stream, known, 40)
    assert np.isfinite(contender.ask(70).scores).all()
    assert contender.chosen["releases"] == 3.0
    assert float(contender.chosen["noise"]) > 0.0
