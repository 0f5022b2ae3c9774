"""Bad days, with text and without: bounded work, and the lists that a ranking without shortcuts makes."""

from __future__ import annotations

import numpy as np
import pytest
from kafka_records import event_record
from text_source import InstantTexts
from tracker_harness import item_value, opened, replicated

from models.items.near import NO_LIMIT, NearItems
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, compute_priors
from models.ranking.rank import rank
from models.ranking.semantics import semantics
from stream.params import interest_params
from stream.state.record import RING

WORDS = ("red", "blue", "small", "large", "wool", "silk", "hat", "shoe", "coat", "scarf", "glove", "sock")


@pytest.fixture(params=["plain", "text"])
def shop(request, tmp_path):
    with opened(tmp_path, strategy_feedback_max=0.0) as harness:
        if request.param == "text":
            InstantTexts(harness.tracker.knowledge)
        yield harness


def fill(shop, begin, end, **fields):
    """Items of the catalogue, each with three words of its own number."""
    records = [
        replicated(
            f"i{n}".encode(),
            item_value(f"i{n}", title=" ".join(WORDS[n // k % len(WORDS)] for k in (1, 12, 144)), **fields),
        )
        for n in range(begin, end)
    ]
    shop.tracker.replicate_items(records, 0.0)


def visits(rng, users, items, each=4):
    return [
        (f"v{u}", str(rng.choice(["view", "click", "purchase"])), f"i{i}")
        for u in range(users)
        for i in rng.permutation(items)[:each]
    ]


def without_shortcuts(shop, *users):
    """What `shop.refresh` should say: nothing kept, nothing bounded, all near items searched now."""
    tracker, known = shop.tracker, shop.tracker.knowledge
    rows = shop.users.overlay.rows([user.encode() for user in users])
    asking = tracker.refresher.ask(shop.users.overlay.states, rows, shop.now_ms)
    text = asking.text
    if text is not None:
        kept, known.vectors.near = known.vectors.near, NearItems()
        text = semantics(
            asking.past_texts, asking.recent.gains, asking.question.ages_s, known.vectors, known.catalog.recommendable,
            interest_params(shop.settings), NO_LIMIT,
        )  # fmt: skip
        known.vectors.near = kept
    priors = compute_priors(
        known.catalog, known.stats, candidates_each=PRIOR_CANDIDATES, new_items=NEW_CANDIDATES,
        now_ms=known.stream_time_ms(shop.now_ms),
    )  # fmt: skip
    ranked = rank(
        asking.question, catalog=known.catalog, stats=known.stats, priors=priors, params=tracker.serving.params,
        semantics=text,
    )  # fmt: skip
    return {
        user: [known.catalog.id_of(item) for item in row if item >= 0]
        for user, row in zip(users, ranked.items.tolist(), strict=True)
    }


def batches(shop, size=64):
    """Lists of all who are due, a batch each time."""
    while (batch := shop.tracker.queue.next_batch(size)) is not None:
        assert len(batch.due) <= size
        published = shop.tracker.refresh(0, batch.due, shop.now_ms, shop.now_ms / 1000)
        yield {p.list.record.user_id: [i.item_id for i in p.list.record.items] for p in published}


def assert_lists_are_right(shop, *users):
    """Of these users and all others who are due."""
    for user in users:
        shop.tracker.queue.add(0, user.encode(), "refresh", 0.0)
    shop.now_ms += 2000  # so that trend and popularity are computed again
    made = {user: items for batch in batches(shop) for user, items in batch.items()}
    assert made == without_shortcuts(shop, *made)
    return {user: made[user] for user in users}


def test_somebody_with_endless_events_is_one_user_with_as_much_state_as_others(shop):
    fill(shop, 0, 100)
    rng = np.random.default_rng(1)
    shop.events(*visits(rng, 60, 100))
    shop.share_statistics()
    shop.waiting()
    sizes = []
    for _ in range(5):
        shop.events(*[("bot", "view", f"i{i}") for i in rng.integers(0, 100, 2000)])
        assert shop.waiting() == [("bot", "event")]
        shop.share_statistics()
        sizes.append(len(dict(zip(*shop.commit(), strict=True))[b"bot"]))
        assert_lists_are_right(shop, "bot", "v1", "v2")
    assert sizes[0] == sizes[-1]
    _, lengths = shop.users.overlay.states.by_arrival(shop.users.overlay.rows([b"bot"]))
    assert lengths.tolist() == [RING]


def test_everybody_at_one_instant_gets_one_list_each_in_batches(shop):
    fill(shop, 0, 100)
    rng = np.random.default_rng(2)
    shop.events(*visits(rng, 60, 100))
    shop.share_statistics()
    shop.waiting()
    shop.events(*[(f"u{n}", "click", f"i{n % 100}") for n in range(700) for _ in range(2)])
    made = {}
    for batch in batches(shop):
        assert not made.keys() & batch.keys()
        made |= batch
    assert made == without_shortcuts(shop, *(f"u{n}" for n in range(700)))


def test_a_catalogue_that_doubles_meanwhile_is_in_the_next_lists(shop):
    fill(shop, 0, 150)
    rng = np.random.default_rng(3)
    shop.events(*visits(rng, 60, 150))
    shop.share_statistics()
    users = [f"v{n}" for n in range(60)]
    met = set()
    for step in range(10):
        fill(shop, 150 + 15 * step, 165 + 15 * step)
        shop.events(*[(f"v{rng.integers(60)}", "like", f"i{150 + 15 * step + n}") for n in range(8)])
        if step % 2:
            shop.share_statistics()
        shop.remove(f"i{step}")
        made = assert_lists_are_right(shop, *users)
        met |= {item for row in made.values() for item in row}
        assert not met & {f"i{165 + 15 * step + n}" for n in range(15)}
    assert len(met & {f"i{n}" for n in range(150, 300)}) > 20


def test_an_item_that_goes_with_everything_keeps_the_heaviest_neighbours(shop):
    fill(shop, 0, 50)
    for begin in range(0, 1500, 500):
        shop.events(
            *[e for n in range(begin, begin + 500) for e in ((f"v{n}", "click", "i0"), (f"v{n}", "click", f"x{n}"))]
        )
        shop.events(*[(f"v{n}", "click", f"i{1 + n % 9}") for n in range(begin, begin + 500)])
        shop.share_statistics()
    stats, hub = (
        shop.tracker.knowledge.stats,
        shop.tracker.knowledge.index.lookup(shop.tracker.knowledge.hashes_of(["i0"])),
    )
    near = stats.neighbours[stats.neighbour_row[hub[0]]]
    assert len(near) == shop.settings.neighbours_max
    assert {f"i{n}" for n in range(1, 10)} <= {shop.tracker.knowledge.catalog.id_of(i) for i in near.tolist()}
    shop.events(("ann", "click", "i0"))
    assert set(assert_lists_are_right(shop, "ann", "v1")["ann"][:9]) == {f"i{n}" for n in range(1, 10)}


@pytest.mark.parametrize("items", [0, 1])
def test_of_nothing_and_of_one_item_there_are_lists(shop, items):
    fill(shop, 0, items)
    shop.events(("ann", "click", "i0"), ("ann", "click", "gone"))
    shop.share_statistics()
    assert assert_lists_are_right(shop, "ann", "new") == {"ann": ["i0"] * items, "new": ["i0"] * items}
    shop.events(("ann", "dislike", "i0"))
    assert assert_lists_are_right(shop, "ann")["ann"] == []


def test_who_may_see_nothing_gets_an_empty_list(shop):
    fill(shop, 0, 40)
    shop.events(*visits(np.random.default_rng(4), 40, 40))
    shop.events(*[("all", "purchase", f"i{n}") for n in range(40)])
    shop.share_statistics()
    made = assert_lists_are_right(shop, "all", "v1", "new")
    assert made["all"] == []
    assert made["new"]
    fill(shop, 0, 40, available=False)
    assert assert_lists_are_right(shop, "all", "v1", "new") == {"all": [], "v1": [], "new": []}
    for n in range(40):
        shop.remove(f"i{n}")
    assert assert_lists_are_right(shop, "all", "v1", "new") == {"all": [], "v1": [], "new": []}


def test_searches_of_everybody_are_answered_and_stay_right_when_an_item_comes(tmp_path):
    with opened(tmp_path, strategy_feedback_max=0.0) as shop:
        InstantTexts(shop.tracker.knowledge)
        fill(shop, 0, 300)
        rng = np.random.default_rng(5)
        records = [
            event_record(n, f"u{n}", action="query", item_id=None, text=" ".join(rng.choice(WORDS, 2)) + f" {n}")
            for n in range(128)
        ]
        assert shop.chunk(records).refused == []
        made = assert_lists_are_right(shop, *(f"u{n}" for n in range(128)))
        assert len({*map(tuple, made.values())}) > 20
        fill(shop, 300, 301)  # all searches are old
        assert_lists_are_right(shop, *(f"u{n}" for n in range(128)))
