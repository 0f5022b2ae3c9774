"""stream/analysis/replayed.py, stream/analysis/weights.py and the contender: what is judged is what serves"""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_streams import make_known, make_stream, random_stream
from kafka_records import NOW_MS
from tracker_harness import opened

from models.evaluation.contract import Setup, UnavailableError
from models.evaluation.protocol import run
from models.evaluation.questions import questions, warm_up_end
from models.ranking.few_items import is_judge
from models.ranking.weights import default_weights, named
from stream.analysis.rankings import penchant as contender_module
from stream.analysis.rankings import sequence as sequence_module
from stream.analysis.rankings.contenders import factory
from stream.analysis.rankings.penchant import Penchant
from stream.analysis.replayed import ChoiceSampler, ReplayedWorker, evenly
from stream.analysis.weights import TooFewError, train_strengths, train_weights
from stream.settings import Settings

CLICK, PURCHASE = 1, 5
SETTINGS = Settings(neighbours_max=100)


def topical(users=60, each=8, topics=4, items_each=6, seed=0):
    """Users who stay with one of some topics: what comes next is learnable."""
    rng = np.random.default_rng(seed)
    user, item = [], []
    for u in range(users):
        for k in rng.permutation(items_each)[: min(each, items_each)].tolist():
            user.append(u)
            item.append((u % topics) * items_each + k)
    stream = make_stream(user, item)
    return stream._replace(action=np.full(len(user), CLICK, np.uint8))


def test_it_ranks_what_the_worker_ranks(tmp_path):
    events = [("ann", "a"), ("bob", "a"), ("bob", "b"), ("cat", "b"), ("cat", "c"), ("ann", "d"), ("dan", "a")]
    names = {"u": list(dict.fromkeys(u for u, _ in events)), "i": list(dict.fromkeys(i for _, i in events))}
    stream = make_stream(
        [names["u"].index(u) for u, _ in events], [names["i"].index(i) for _, i in events], [NOW_MS] * len(events)
    )
    stream = stream._replace(action=np.full(len(events), CLICK, np.uint8))
    known = make_known(stream)._replace(user_ids=names["u"], item_ids=names["i"])
    with opened(tmp_path, repeat_purchases=True) as harness:
        harness.catalogue(*names["i"])
        harness.events(*((u, "click", i) for u, i in events))
        harness.share_statistics()
        harness.tracker.queue.next_batch(4000)
        for u in names["u"]:
            harness.tracker.queue.add(0, u.encode(), "refresh", 0.0)
        published = harness.tracker.refresh(0, harness.tracker.queue.next_batch(9).due, NOW_MS + 5000, 0.0)
    replayed = ReplayedWorker(Settings(), stream, known)
    replayed.advance(len(events))
    for each in published:
        user = names["u"].index(each.list.record.user_id)
        scores = replayed.scores(replayed.inputs(user, NOW_MS), default_weights())
        told = {item.item_id: item.score for item in each.list.record.items}
        assert told == pytest.approx({i: scores[n] for n, i in enumerate(names["i"])}, rel=1e-9)


def test_how_events_are_cut_into_chunks_does_not_matter():
    stream = random_stream(3)
    known = make_known(stream)
    whole, cut = ReplayedWorker(SETTINGS, stream, known), ReplayedWorker(SETTINGS, stream, known)
    whole.advance(200)
    for to in (1, 2, 50, 51, 200):
        cut.advance(to)
    for user in range(known.n_users):
        now_ms = int(stream.time_ms[200])
        one, other = (each.scores(each.inputs(user, now_ms), default_weights()) for each in (whole, cut))
        assert one == pytest.approx(other, rel=1e-9)


def test_the_contender_learns_the_topics_and_beats_the_built_in_weights_or_equals_them():
    stream = topical(users=160)
    known = make_known(stream)
    end = warm_up_end(stream, 0.7)
    asked = questions(stream, known, end)
    answers = run(Penchant(SETTINGS, Setup(0)), stream, known, asked, end)
    after_first = asked.history > 0
    assert (answers.rank[after_first] <= 6).mean() > 0.9  # the user's own topic has six items
    told = answers.probability[answers.listed >= 0]
    assert ((told >= 0) & (told <= 1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_fewer_questions_have_the_answers_that_they_have_among_all(seed, monkeypatch):
    monkeypatch.setattr("stream.analysis.replayed.PRIORS_EVERY", 1)  # what leads as of the question, in both
    monkeypatch.setattr("stream.analysis.rankings.penchant.LEARNED_FROM", 40)
    stream = topical(users=80, seed=seed)
    known = make_known(stream)
    end = warm_up_end(stream, 0.7)
    asked = questions(stream, known, end)
    few = asked.evenly(9)
    every, some = (run(Penchant(SETTINGS, Setup(0)), stream, known, each, end) for each in (asked, few))
    chosen = np.isin(asked.at, few.at)
    assert some.rank.tolist() == every.rank[chosen].tolist()
    assert some.listed.tolist() == every.listed[chosen].tolist()
    assert some.probability == pytest.approx(every.probability[chosen], rel=1e-5, nan_ok=True)


def test_the_contender_cannot_see_the_future():
    stream = topical(users=80)
    known = make_known(stream)
    end = warm_up_end(stream, 0.8)
    asked = questions(stream, known, end)
    stop = int(asked.at[10])
    one = run(Penchant(SETTINGS, Setup(0)), stream, known, asked.take(np.arange(10)), end, stop)
    item = stream.item.copy()
    item[stop:] = item[stop:][::-1]
    changed = stream._replace(item=item)
    other = run(Penchant(SETTINGS, Setup(0)), changed, known, asked.take(np.arange(10)), end, stop)
    assert one.rank.tolist() == other.rank.tolist()


@pytest.mark.parametrize(
    ("name", "architectures"),
    [
        ("penchant", ["sasrec"] * 2),
        ("penchant_hstu", ["hstu"] * 2),
        ("penchant_lru", ["lru"] * 2),
        ("penchant_without_sequence", []),
        ("sequence", ["sasrec"]),
        ("sequence_hstu", ["hstu"]),
        ("sequence_lru", ["lru"]),
    ],
)
def test_a_contender_trains_the_architecture_that_its_name_says(monkeypatch, name, architectures):
    stream = topical()
    known = make_known(stream)
    end = warm_up_end(stream, 0.7)
    trained_now = []
    for module in (contender_module, sequence_module):
        monkeypatch.setattr(module, "can_train", lambda: True)
        monkeypatch.setattr(module, "trained", lambda *given: trained_now.append(given[-1]))
    contender = factory(name, SETTINGS)(Setup(0))
    try:
        contender.warm_up(stream, known, end)
    except UnavailableError:
        assert name.startswith("sequence")  # alone it is nothing where counting was better
    assert trained_now == architectures


def test_an_item_that_only_its_text_tells_about_is_found():
    stream = topical(users=80)
    vectors = np.zeros((25, 8), np.float32)
    for n in range(24):
        vectors[n, n // 6] = 1.0
    vectors[24, 2] = 1.0  # nobody has touched it; it reads like topic 2
    known = make_known(stream, more=1, listed_from_ms=[0] * 25, vectors=vectors)
    replayed = ReplayedWorker(SETTINGS, stream, known)
    replayed.advance(stream.n_events)
    weights = named({"always": {"text_recent": 1.0}}, {})
    by_user = [replayed.scores(replayed.inputs(u, 10**10), weights)[24] for u in range(8)]
    assert [int(score > 0.1) for score in by_user] == [0, 0, 1, 0, 0, 0, 1, 0]


def test_only_candidates_are_scored_where_that_is_asked_for():
    stream = topical(users=80)
    known = make_known(stream)
    replayed = ReplayedWorker(Settings(neighbours_scored=2), stream, known)
    replayed.advance(200)
    inputs = replayed.inputs(0, int(stream.time_ms[200]))
    few = replayed.scores(inputs, default_weights(), candidates_only=True)
    every = replayed.scores(inputs, default_weights())
    scored = np.isfinite(few)
    assert few[scored] == pytest.approx(every[scored])
    assert np.isfinite(every).all()


def test_training_beats_weights_that_are_wrong_and_says_by_how_much():
    stream = topical(users=200)
    wrong = named({"always": {"popularity": -1.0}}, {"popularity": 1.0})
    outcome = train_weights(SETTINGS, stream, make_known(stream), wrong, choices=300, questions=100)
    assert outcome.gain > 3 * outcome.standard_error > 0
    assert outcome.challenger_score.hit.mean() > 0.6 > outcome.champion_score.hit.mean()
    again = train_weights(SETTINGS, stream, make_known(stream), wrong, choices=300, questions=100)
    assert again.challenger.version == outcome.challenger.version


def test_too_few_events_are_said_to_be():
    stream = topical(users=3)
    with pytest.raises(TooFewError, match="must be 20"):
        train_weights(SETTINGS, stream, make_known(stream), default_weights())
    with pytest.raises(TooFewError, match="must be 20"):
        train_strengths(SETTINGS, stream, make_known(stream), default_weights())


def test_strengths_are_tried_per_action_and_changed_only_if_that_is_clearly_better():
    """Purchases stay within a topic; what is clicked says nothing."""
    rng = np.random.default_rng(4)
    user, item, action = [], [], []
    for u in range(250):
        for k in rng.permutation(6)[:5].tolist():
            user += [u, u]
            item += [(u % 4) * 6 + k, 24 + int(rng.integers(0, 40))]
            action += [PURCHASE, CLICK]
    stream = make_stream(user, item)._replace(action=np.array(action, np.uint8))
    weights = named({"always": {"co_fast": 1.0, "co_slow": 0.3}}, {"popularity": 1.0})
    outcome = train_strengths(SETTINGS, stream, make_known(stream), weights, questions=150)
    assert {action: set(tried) for action, tried in outcome.tried.items()} == {
        "click": {0.5, 2.0},
        "purchase": {2.0, 8.0},
    }
    best = max(outcome.before, *(value for tried in outcome.tried.values() for value in tried.values()))
    assert outcome.before <= outcome.after <= best
    assert outcome.strengths["view"] == SETTINGS.strength_view  # nobody viewed anything


def test_samples_are_even_and_take_starts_of_sessions_apart():
    assert evenly(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert evenly(np.arange(0), 4).tolist() == []
    stream = make_stream([0] * 100, list(range(100)), np.cumsum([60_000] * 50 + [3_600_000] + [60_000] * 49))
    stream = stream._replace(action=np.full(100, CLICK, np.uint8))
    known = make_known(stream)
    choosing = ChoiceSampler(ReplayedWorker(SETTINGS, stream, known), stream, known, 10, np.random.default_rng(0))
    sampled = choosing.sample(np.arange(100))
    assert {0, 50} <= set(sampled.tolist())  # the first event and the one after the hour
    assert len(sampled) <= 12


def visits(hot_share, seed=0, people=900, hours=240):
    """People with three items: what is hot in that hour with this probability (half of it for the first one), else something of
    a topic of theirs."""
    rng = np.random.default_rng(seed)
    user, item, time_ms = [], [], []
    for at in sorted(rng.integers(0, hours * 3600, people).tolist()):
        u, topic, hot = len(set(user)), int(rng.integers(12)), 1000 + at // 7200
        for k in range(3):
            own = topic * 20 + int(rng.integers(20))
            user.append(u)
            item.append(hot if rng.random() < hot_share / (1 if k else 2) else own)
            time_ms.append(NOW_MS + 1000 * at + 1000 * k)
    order = np.argsort(time_ms, kind="stable")
    numbers = {each: n for n, each in enumerate(dict.fromkeys(np.array(item)[order].tolist()))}
    people_ = {each: n for n, each in enumerate(dict.fromkeys(np.array(user)[order].tolist()))}
    stream = make_stream(
        [people_[user[n]] for n in order], [numbers[item[n]] for n in order], [time_ms[n] for n in order]
    )
    return stream._replace(action=np.full(len(user), CLICK, np.uint8))


@pytest.mark.parametrize(("hot_share", "is_added"), [(0.9, True), (0.0, False)])
def test_what_is_hot_is_added_for_people_with_few_items_where_they_take_it(hot_share, is_added):
    stream = visits(hot_share)
    known = make_known(stream)._replace(user_ids=[f"user-{n}" for n in range(900)])
    replayed = ReplayedWorker(SETTINGS, stream, known)
    replayed.weights = named({"always": {"co_slow": 1.0}}, {"popularity": 1.0})
    replayed.advance(stream.n_events)
    told = replayed.newcomers
    judges = [is_judge(user.encode()) for user in known.user_ids]
    assert told.few.evidence.n > (30 if is_added else 0)
    assert told.few.evidence.n <= 2 * sum(judges)
    served = replayed.with_choice(replayed.weights)
    assert (served.added > 0.0) == is_added
    cut = ReplayedWorker(SETTINGS, stream, known)
    cut.weights = replayed.weights
    for to in range(0, stream.n_events, 7):
        cut.advance(to)
    cut.advance(stream.n_events)
    # What leads may be some events older or newer, by where it was asked for; who judges is the same.
    assert cut.newcomers.lists.n == told.lists.n
    assert (cut.with_choice(replayed.weights).added > 0.0) == is_added
