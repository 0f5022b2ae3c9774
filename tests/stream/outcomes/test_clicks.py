"""Click probabilities of a partition: from events through the commit to the lists, and back after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outcome_shop import Shop

from stream.outcomes.clicks import CLICKS_KEY, PartitionClicks

WINDOW_MS = 30 * 60_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "data")
    yield made
    made.stores.close_all()
    made.directory.close()


def sees_and_clicks(shop: Shop, user: str, clicked: int) -> Any:
    """A list of a user, of which all places are seen and the first `clicked` are clicked."""
    shop.happens({"action": "view", "user": user})
    published = shop.publishes()
    named = {"user": user, "recommendation_id": published.list.record.recommendation_id}
    for item in published.list.record.items:
        place = {"item_id": item.item_id, "slot": item.rank}
        shop.happens({"action": "impression", **named, **place})
        if item.rank <= clicked:
            shop.happens({"action": "click", **named, **place})
    shop.tracker.queue.next_batch(9)
    return published


async def time_passes(shop: Shop) -> None:
    """The window is over, and somebody's event says so."""
    shop.now_ms += 2 * WINDOW_MS
    shop.happens({"action": "view", "user": "later"})
    shop.tracker.queue.next_batch(9)
    await shop.committer.commit()


async def test_what_is_shown_and_clicked_is_learned_when_its_window_is_over_and_written_with_the_states(
    shop: Shop,
) -> None:
    sees_and_clicks(shop, "first", 1)  # nobody has reported an impression when this list goes out
    before = sees_and_clicks(shop, "ann", 1)
    await shop.committer.commit()
    assert shop.users.clicks.model is None

    await time_passes(shop)

    model = shop.users.clicks.model
    assert model is not None
    assert (model.n_examples, model.n_clicks) == (len(before.list.record.items), 1)
    *_, transaction = [step for step in shop.broker.steps if step[0] == "transaction"]
    assert (shop.settings.changelog_topic, CLICKS_KEY) in transaction
    assert shop.metrics.registry.get_sample_value("penchant_click_examples", {"partition": "0"}) == model.n_examples


async def test_lists_after_it_have_the_learned_probabilities_also_after_a_restart(shop: Shop) -> None:
    sees_and_clicks(shop, "first", 2)
    before = sees_and_clicks(shop, "u0", 2).list.record.items
    for n in range(1, 9):
        sees_and_clicks(shop, f"u{n}", 2)
        await time_passes(shop)
    stored = dict(shop.store.items())[CLICKS_KEY]

    shop.restart()
    shop.happens({"action": "view", "user": "new"})
    after = shop.publishes().list.record.items

    assert shop.users.clicks.model is not None
    assert shop.users.clicks.model.to_bytes() == stored
    assert after[0].probability > 10 * before[0].probability
    parts = np.array([[item.parts[name] for name in before[0].parts] for item in after])
    expected = shop.users.clicks.probability(parts, np.array([item.rank for item in after]))
    assert expected is not None
    assert [item.probability for item in after] == expected.tolist()


async def test_what_a_crash_undoes_is_not_learned_and_what_was_committed_is_not_learned_twice(shop: Shop) -> None:
    sees_and_clicks(shop, "first", 1)
    learned = sees_and_clicks(shop, "ann", 1)
    await time_passes(shop)
    sees_and_clicks(shop, "bob", 2)
    shop.restart()

    shop.happens({"action": "click", "user": "ann"}, start=0)  # read again, fenced
    await time_passes(shop)

    assert shop.users.clicks.model is not None
    assert shop.users.clicks.model.n_examples == len(learned.list.record.items)


async def test_without_impressions_or_with_the_setting_off_nothing_is_kept(tmp_path: Path) -> None:
    for name, settings, clicked in (("a", {}, True), ("b", {"learn_clicks": False}, False)):
        shop = Shop(tmp_path / name, **settings)
        if clicked:
            shop.happens({"action": "view"})
            listed = shop.publishes().list.record
            shop.happens({"action": "click", "recommendation_id": listed.recommendation_id})
        else:
            sees_and_clicks(shop, "first", 1)
            sees_and_clicks(shop, "ann", 1)
        await time_passes(shop)
        assert shop.users.clicks.model is None
        assert CLICKS_KEY not in dict(shop.store.items())
        shop.stores.close_all()
        shop.directory.close()


def test_a_model_that_cannot_be_read_is_learned_anew(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.store.write([(CLICKS_KEY, b"junk")], 0)

    assert PartitionClicks(shop.store).model is None
    assert "learned anew" in caplog.text


async def test_examples_that_cannot_be_learned_from_cost_no_commit(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise ValueError("the parts of a score must be finite numbers")

    sees_and_clicks(shop, "first", 1)
    sees_and_clicks(shop, "ann", 1)
    monkeypatch.setattr("models.learning.click_model.ClickModel.learn", refused)
    await time_passes(shop)
    assert b"later" in {key for _, key in next(s[1:] for s in reversed(shop.broker.steps) if s[0] == "transaction")}
