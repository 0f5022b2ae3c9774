"""Versions of what ranks, in a worker: swapped between two batches, named in every list, never half"""

from __future__ import annotations

import numpy as np
import pytest
from kafka_records import NOW_MS
from sequence_models import IDS, exported
from tracker_harness import lists_of, opened, replicated

from models.hashing import item_hash
from models.ranking.weights import default_weights, named
from stream.errors import ModelUnusableError
from stream.refresh.question import first_engagements
from stream.refresh.sequence import load_version, open_sequence, sequence_version
from stream.refresh.versions import ranker_model
from stream.wire.records import ExpertStats, NewcomerStats, encode

SEQUENCE_ONLY = named({"always": {"sequence": 1.0}}, {"popularity": 1.0})


@pytest.fixture
def harness(tmp_path):
    with opened(tmp_path / "data") as made:
        made.catalogue(*IDS)
        yield made


def fresh(harness):
    """`{user: published}` of everyone who is due, with the triggers they were due for."""
    batch = harness.tracker.queue.next_batch(100)
    published = harness.tracker.refresh(0, batch.due, NOW_MS + 5000, 0.0)
    return {p.list.record.user_id: p for p in published}, {due.trigger for due in batch.due}


def test_weights_are_swapped_between_batches_named_in_lists_and_withdrawn(harness):
    harness.events(("ann", "click", "i0"), ("bob", "click", "i1"))
    first, _ = fresh(harness)
    assert {p.list.record.model.ranker for p in first.values()} == {default_weights().version}
    other = named({"always": {"popularity": 1.0}}, {"popularity": 1.0})
    harness.tracker.use_ranker(ranker_model(other, 1), 0.0)
    second, triggers = fresh(harness)
    assert (set(second), triggers) == ({"ann", "bob"}, {"model"})
    assert {p.list.record.model.ranker for p in second.values()} == {other.version}
    assert {p.list.record.recommendation_id for p in first.values()}.isdisjoint(
        p.list.record.recommendation_id for p in second.values()
    )
    harness.tracker.use_ranker(ranker_model(other, 2), 0.0)
    assert harness.tracker.queue.next_batch(100) is None  # the same weights again make nobody's list anew
    harness.tracker.use_ranker(None, 0.0)
    assert {p.list.record.model.ranker for p in fresh(harness)[0].values()} == {default_weights().version}


def test_the_sequence_model_adds_its_part_and_is_named(harness, tmp_path):
    exported(tmp_path / "model", text=False)
    model = open_sequence(tmp_path / "model")
    harness.tracker.serving.start_with(SEQUENCE_ONLY)
    harness.events(("ann", "click", "i0"), ("ann", "click", "i1"))
    assert fresh(harness)[0]["ann"].list.record.model.sequence is None
    harness.tracker.use_sequence(model, 0.0)
    (published,) = fresh(harness)[0].values()
    items = published.list.record.items
    assert published.list.record.model.sequence == model.model_version
    assert all(item.score == item.parts["sequence"] >= 0 for item in items)
    assert items[0].score > 0
    assert items[0].strategy == "interest"
    assert published.reasons.gap < 1e-12
    assert not any(place.causes for place in published.reasons.record.places)
    states, rows = harness.users.overlay.states, harness.users.overlay.rows([b"ann"])
    history = first_engagements(states, rows, model.length)
    queries = model.queries(
        model.items.rows_of_hashes(history.items[:, :2]), history.times_ms[:, :2], history.lengths, np.array([NOW_MS])
    )
    expected = model.top_k(queries, len(IDS))
    assert [item.item_id for item in items] == [IDS[row] for row in expected.items[0]]
    harness.tracker.use_sequence(None, 0.0)
    assert fresh(harness)[0]["ann"].list.record.model.sequence is None


def test_what_the_sequence_model_expects_of_nobody_is_one_of_the_lists_that_newcomers_may_get(harness, tmp_path):
    exported(tmp_path / "model", text=False)
    model = open_sequence(tmp_path / "model")
    serving = harness.tracker.serving

    def judged(user, item):
        """How much better the model's list was for who took this first."""
        harness.refresh("nobody")
        before = harness.users.outcomes.newcomers.evidence.lists.better[-1]
        harness.events((user, "click", item))
        return harness.users.outcomes.newcomers.evidence.lists.better[-1] - np.exp(-1 / 300) * before

    now_ms = np.array([harness.tracker.knowledge.stream_time_ms(NOW_MS) or NOW_MS])
    nothing = np.zeros((1, 0), np.int64)
    queries = model.queries(nothing.astype(np.int32), nothing, np.zeros(1, np.int64), now_ms)
    order = [IDS[row] for row in model.top_k(queries, len(IDS)).items[0]]
    usual = harness.refresh("nobody")["nobody"]
    assert judged("a", order[0]) == pytest.approx(
        -1 / np.log2(2 + usual.index(order[0])) * (usual.index(order[0]) < 10)
    )
    harness.tracker.use_sequence(model, 0.0)
    place = min(usual.index(order[0]), 10)
    worth = 1 / np.log2(2 + place) if place < 10 else 0.0
    assert judged("b", order[0]) == pytest.approx(1.0 - worth)

    def weigh():
        stats = NewcomerStats(7, 200.0, 150.0, {"sequence": ExpertStats(100.0, 60.0)})
        serving.replicate_strategies([replicated(b"newcomers/7", encode(stats))])
        serving.weigh_strategies()

    harness.refresh("nobody")  # and everybody who is due for the new model
    weigh()
    (published,) = lists_of(harness, "nobody")
    record = published.list.record
    assert record.user_id == "nobody"
    assert (record.model.newcomers, record.items[0].strategy) == ("sequence", "cold_start")
    assert [item.item_id for item in record.items] == order
    assert all(item.score == item.parts["sequence"] for item in record.items)
    assert harness.metrics.registry.get_sample_value("penchant_newcomer_list", {"expert": "sequence"}) == 1
    harness.catalogue(order[0], available=False)
    allowed, index = harness.tracker.knowledge.catalog.recommendable, harness.tracker.knowledge.index
    left = serving.sequences.expected_of_newcomers(int(now_ms[0]), index, allowed, None)
    assert left.tolist() == [index.lookup(np.array([item_hash(each)], np.uint64))[0] for each in order[1:]]
    harness.tracker.use_sequence(None, 0.0)
    serving.weigh_strategies()  # nobody needs to say anything new for that
    assert lists_of(harness, "nobody")[0].list.record.model.newcomers == "popularity"


def test_first_engagements_are_the_newest_in_order_and_fit(harness):
    harness.events(
        *(("ann", "click", f"i{n}") for n in (3, 1, 3, 2, 0)), ("ann", "dislike", "i5"), ("bob", "view", "i4")
    )
    rows = harness.users.overlay.rows([b"ann", b"bob", b"nobody"])
    found = first_engagements(harness.users.overlay.states, rows, 3)
    names = harness.tracker.knowledge.names
    assert [[names.id_of(h) for h in row if h] for row in found.items.tolist()] == [["i1", "i2", "i0"], ["i4"], []]
    assert found.lengths.tolist() == [3, 1, 0]
    assert (np.diff(found.times_ms, axis=1) >= 0).all()


def test_a_published_model_is_loaded_and_one_that_is_not_that_one_is_refused_and_counted(tmp_path):
    refused = []
    exported(tmp_path / "model", text=False)
    version = sequence_version(tmp_path / "model", 5)
    assert load_version(version, lambda: refused.append(1)).model_version == version.version
    exported(tmp_path / "model", text=False, seed=3)
    assert load_version(version, lambda: refused.append(1)) is None
    (tmp_path / "model" / "manifest.json").unlink()
    assert load_version(version, lambda: refused.append(1)) is None
    assert len(refused) == 2
    with pytest.raises(ModelUnusableError):
        sequence_version(tmp_path / "nowhere", 5)


def test_what_people_engage_with_is_counted_as_a_hit_of_the_list_they_had(harness):
    harness.events(("ann", "click", "i0"))
    assert harness.count("prequential_questions", outcome="hit") == 0  # there was no list yet
    shown = [item.item_id for item in fresh(harness)[0]["ann"].list.record.items]
    harness.events(("ann", "click", shown[0]))
    harness.events(("ann", "click", "never-listed"), ("ann", "click", shown[0]))
    assert harness.count("prequential_questions", outcome="hit") == 1
    assert harness.count("prequential_questions", outcome="miss") == 1


def test_a_model_that_does_not_work_is_used_no_more_and_costs_nobody_a_list(harness, tmp_path, monkeypatch):
    exported(tmp_path / "model", text=False)
    harness.tracker.use_sequence(open_sequence(tmp_path / "model"), 0.0)
    harness.events(("ann", "click", "i0"), ("bob", "click", "i1"))

    def broken(*_):
        raise RuntimeError("no kernel")

    monkeypatch.setattr("stream.refresh.sequence.expectation", broken)
    made, _ = fresh(harness)
    assert {user: p.list.record.model.sequence for user, p in made.items()} == {"ann": None, "bob": None}
    assert harness.count("models_refused") == 1
    assert harness.count("quarantined", cause="list") == 0
