"""A shop of a federation that learns the sequence model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from models.encoder.errors import ModelError
from models.training.engagements import engagements
from models.training.sequence.client import SequenceClient, initial
from models.training.sequence.settings import SequenceSettings

SETTINGS = SequenceSettings(layers=1, heads=1, dims=8, hidden=8, length=8, batch=8, learning_rate=0.01)
ITEMS = 12


def shop(seed: int, people: int = 40) -> SequenceClient:
    """Everybody goes round the items in their order."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(people, dtype=np.int32), 8)
    item = (np.tile(np.arange(8), people) + np.repeat(rng.integers(0, ITEMS, people), 8)) % ITEMS
    time_ms = 1_000_000 * np.tile(np.arange(1, 9), people) + np.repeat(np.arange(people), 8)
    return SequenceClient(engagements(user, item.astype(np.int32), time_ms.astype(np.int64)), ITEMS, SETTINGS)


def test_rounds_make_the_common_model_better_at_what_no_shop_learned_from():
    shops = [shop(1), shop(2)]
    start = given = initial(ITEMS, SETTINGS)

    for number in range(1, 9):
        updates = [each.train(given, {"round": number, "epochs": 2})[0] for each in shops]
        given = {name: np.mean([update[name] for update in updates], axis=0) for name in given}

    before, after = (np.concatenate([each.judge(of) for each in shops]).mean() for of in (start, given))
    assert after > before + 0.1
    assert {name: value.shape for name, value in given.items()} == {name: v.shape for name, v in start.items()}


def test_a_round_is_the_same_each_time_and_another_round_draws_otherwise():
    given, one = initial(ITEMS, SETTINGS), shop(1)

    first, engaged = one.train(given, {"round": 1})
    again, _ = one.train(given, {"round": 1})
    other, _ = one.train(given, {"round": 2})

    assert engaged == one.past.item.size
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_the_pool_has_everybody_of_all_shops_and_nobody_twice():
    shops = [shop(1), shop(2)]

    pool = SequenceClient.of_pasts(shops, people=100)

    assert pool.past.item.size == sum(each.past.item.size for each in shops)
    assert len(np.unique(pool.past.start)) == sum(len(np.unique(each.past.start)) for each in shops)


def test_a_shop_without_a_later_time_is_refused():
    alone = np.zeros(3, np.int32), np.arange(3, dtype=np.int32), np.full(3, 5, np.int64)
    with pytest.raises(ModelError, match="cannot be split"):
        SequenceClient(engagements(*alone), ITEMS, SETTINGS)
