"""models/learning/choices.py, models/learning/weight_fit.py and models/ranking/weights.py: learning from what was chosen"""

import numpy as np
import pytest

from models.learning import weight_fit
from models.learning.choices import AT_RANDOM, BEST_BY_EACH, ChoiceLog, Choices, sample_candidates, together
from models.learning.weight_fit import FEW, FitOptions, calibrate, fit, learn, loss, ndcg, newcomer_weights, plan_of
from models.ranking.features import FEATURES, FOR_NEWCOMERS, PART_OF, PARTS, POPULARITY
from models.ranking.weights import GATES, default_weights, named

FAST, NEW, TEXT, TREND = (FEATURES.index(name) for name in ("co_fast", "new", "text_points", "trend_day"))


def made_choices(weights_of, n=800, candidates=12, seed=0, history=25, idle_s=0.0):
    """Choices drawn from the softmax of the features with `weights_of` (feature -> weight)."""
    rng = np.random.default_rng(seed)
    features = np.zeros((n, candidates, len(FEATURES)), np.float32)
    for f in {FAST, TEXT, POPULARITY, TREND, *weights_of}:
        features[:, :, f] = rng.normal(size=(n, candidates))
    scores = sum(weight * features[:, :, f] for f, weight in weights_of.items()) + rng.gumbel(size=(n, candidates))
    chosen = scores.argmax(axis=1)
    for row, c in enumerate(chosen.tolist()):
        features[row, [0, c]] = features[row, [c, 0]]
    real = np.ones((n, candidates), bool)
    return Choices(features, real, np.full(n, history), np.full(n, idle_s))


START = named({}, {"popularity": 1.0})


def test_weights_that_made_the_choices_are_found_in_direction_and_rank_as_well():
    true = {FAST: 2.0, TEXT: -1.0}
    learned = fit(made_choices(true), START)
    row = learned.table[0]
    assert row[FAST] > 1.0 > abs(row[TREND])
    assert row[TEXT] < -0.4
    later = made_choices(true, seed=1)
    best = named({"always": {"co_fast": 2.0, "text_points": -1.0}}, {})
    assert ndcg(later, learned).mean() == pytest.approx(ndcg(later, best).mean(), abs=0.02)
    assert loss(later, learned) < loss(later, START)


def test_a_gate_learns_what_holds_only_where_it_is_open():
    within, starting = made_choices({FAST: 2.0}), made_choices({TEXT: 2.0}, seed=1, idle_s=4000.0)
    learned = fit(together([within, starting]), START)
    always, idle = learned.table[0], learned.table[GATES.index("idle_30_min")]
    assert always[FAST] > 1.0
    assert (always + idle)[TEXT] > 1.0 > abs((always + idle)[FAST])


def test_parts_that_are_not_wanted_and_features_that_never_vary_get_no_weight():
    learned = learn(made_choices({FAST: 1.0, TEXT: 1.0}), default_weights(), parts=("interest",))
    assert np.flatnonzero(learned.table.any(axis=0)).tolist() == [TEXT]


@pytest.mark.parametrize("name", FOR_NEWCOMERS)
def test_what_orders_lists_of_newcomers_gets_no_weight_for_others_however_much_it_explains(name):
    f = FEATURES.index(name)
    learned = learn(made_choices({FAST: 1.0, f: 3.0}), default_weights())
    assert not learned.table[:, f].any()


HOUR_OF_DAY = FEATURES.index("hour")


def with_hours(choices, seed=9):
    """The same, with a feature that has nothing to do with what was chosen."""
    features = choices.features.copy()
    features[:, :, HOUR_OF_DAY] = np.random.default_rng(seed).normal(size=choices.real.shape)
    return choices._replace(features=features)


def built_in(part):
    of_part = [f for f in range(len(FEATURES)) if PARTS[PART_OF[f]] == part]
    return of_part, default_weights().table[:, of_part]


@pytest.mark.parametrize("seed", range(4))
def test_with_few_choices_a_part_of_mere_noise_keeps_the_weights_that_are_built_in(seed):
    choices = with_hours(made_choices({FAST: 3.0}, n=200, seed=seed))
    assert "context" not in plan_of(choices).parts
    of_part, expected = built_in("context")
    learned = learn(choices, START)
    assert learned.table[:, of_part].tolist() == expected.tolist()
    assert np.abs(learned.table[:, FAST] - default_weights().table[:, FAST]).max() > 0.1


def test_with_few_choices_a_part_that_says_something_is_learned():
    assert "trend" in plan_of(made_choices({FAST: 1.0, TREND: -2.0}, n=300)).parts


STRONGEST = weight_fit._NEAR_BUILT_IN[-1]


@pytest.mark.parametrize(("gain", "near"), [(0.0, False), (0.01, False), (0.1, True), (-0.1, False)])
def test_the_pull_is_towards_the_built_in_weights_where_that_ranks_clearly_better_what_was_held_out(
    monkeypatch, gain, near
):
    noise = np.tile((-0.3, 0.3), 50)  # a standard error of .03

    def held_out(choices, parts, options, *, are_few):
        assert are_few
        if not options.near_built_in:
            return weight_fit._HeldOut(0.0 * noise, ("age",))
        is_best = options.l2 == STRONGEST.l2
        return weight_fit._HeldOut(noise + gain - (not is_best) * 0.01, ("trend",) if is_best else ("context",))

    monkeypatch.setattr(weight_fit, "_held_out", held_out)
    plan = plan_of(made_choices({FAST: 1.0}, n=100), options=FitOptions(steps=7))
    assert (plan.options.near_built_in, plan.options.l2) == ((True, STRONGEST.l2) if near else (False, FitOptions().l2))
    assert plan.options.steps == 7
    assert plan.parts == (("trend",) if near else ("age",))


def test_a_strong_pull_leaves_the_built_in_weights_nearly_as_they_are():
    choices, varying = made_choices({FAST: -3.0}, n=100), [FAST, TEXT, POPULARITY, TREND]
    options = FitOptions(l2=100.0, gate_l2=100.0, near_built_in=True)
    near = fit(choices, default_weights(), options=options).table[:, varying]
    assert near == pytest.approx(default_weights().table[:, varying], abs=0.05)
    to_nothing = fit(choices, default_weights(), options=options._replace(near_built_in=False)).table[:, varying]
    assert to_nothing == pytest.approx(0.0, abs=0.05)


def test_what_is_not_learned_counts_as_it_is_built_in_while_the_rest_is_learned():
    held = np.zeros((len(GATES), len(FEATURES)))
    held[0, TREND] = 2.0
    only = np.arange(len(FEATURES)) == FAST
    learned = fit(made_choices({FAST: 1.0, TREND: 2.0}), START, only, not_learned=held)
    assert learned.table[0, TREND] == pytest.approx(2.0, rel=1e-12)
    without = fit(made_choices({FAST: 1.0, TREND: 2.0}), START, only)
    assert without.table[0, TREND] == 0.0 < without.table[0, FAST] < learned.table[0, FAST]


@pytest.mark.parametrize(("share", "near"), [(0.05, True), (1.0, False)])
def test_many_choices_are_learned_from_near_the_built_in_weights_where_they_say_little_else(share, near):
    rng = np.random.default_rng(2)
    choices = made_choices({}, n=FEW, candidates=40)
    features = rng.normal(size=choices.features.shape).astype(np.float32)
    scores = features @ (default_weights().table[0] * share) + rng.gumbel(size=choices.real.shape)
    for row, c in enumerate(scores.argmax(axis=1).tolist()):
        features[row, [0, c]] = features[row, [c, 0]]
    plan = plan_of(choices._replace(features=features))
    assert (plan.parts, plan.options.near_built_in) == (PARTS, near)


def test_with_many_choices_all_parts_are_learned_and_of_too_few_none():
    choices = with_hours(made_choices({FAST: 1.0}, n=FEW, candidates=3))
    assert plan_of(choices) == (PARTS, FitOptions())
    assert plan_of(choices.take(np.arange(4))).parts == ()


def test_newcomers_get_counts_until_enough_of_them_show_something_better():
    counts = START.cold
    trendy = made_choices({TREND: 3.0}, history=0)
    assert newcomer_weights(trendy.take(np.arange(100)), counts).tolist() == counts.tolist()
    better = newcomer_weights(trendy, counts)
    assert better[TREND] > 0
    assert better[[FAST, TEXT]].tolist() == [0.0, 0.0]  # nothing personal, whatever varies
    popular = newcomer_weights(made_choices({POPULARITY: 3.0}, history=0), counts)
    assert popular.tolist() == counts.tolist()


def test_the_same_choices_give_the_same_weights():
    choices = made_choices({FAST: 1.0}, n=200)
    assert learn(choices, START).version == learn(choices, START).version


def test_calibrated_probabilities_mean_what_they_say():
    true = {FAST: 2.0}
    learned = learn(made_choices(true, n=3000), START)
    later = made_choices(true, n=3000, seed=5)
    scores = later.features @ learned.table[0]
    slope, intercept = calibrate(later, learned)
    said = 1 / (1 + np.exp(-(slope * scores + intercept)))
    assert said.mean() == pytest.approx(1 / 12, rel=0.02)  # one of twelve is chosen
    sure = said > 0.3
    assert said[sure].mean() == pytest.approx((np.arange(12) == 0)[None, :].repeat(3000, 0)[sure].mean(), abs=0.05)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_scores_that_tell_the_chosen_from_all_others_have_a_probability_too(size):
    choices = made_choices({FAST: 1.0}, n=5, seed=1)
    choices.features[:, :, FAST] = size * np.abs(choices.features[:, :, FAST])
    choices.features[:, 0, FAST] += size * 3  # whole steps of Newton's method go further and further away
    slope, intercept = calibrate(choices, named({"always": {"co_fast": 1.0}}, {}))
    assert slope * size == pytest.approx(0.83, abs=0.01)
    assert intercept == pytest.approx(-2.29, abs=0.01)


def test_no_choices_leave_everything_as_it_is():
    nothing = ChoiceLog(5).choices()
    assert learn(nothing, START).version == START.version


def test_learning_starts_from_what_serves():
    still = FitOptions(steps=0)
    weights = default_weights()
    kept = fit(made_choices({FAST: 1.0}, n=50), weights, options=still)
    varying = [FAST, TEXT, POPULARITY, TREND]
    assert kept.table[:, varying] == pytest.approx(weights.table[:, varying])


def test_a_sample_holds_the_chosen_item_first_the_best_by_each_feature_and_some_others():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2000, len(FEATURES)))
    best = int(x[:, FAST].argmax())
    rows = sample_candidates(x, best, rng)
    assert rows[0] == best
    assert len(set(rows.tolist())) == len(rows)
    for f in (FAST, TEXT, POPULARITY):
        assert set(np.argsort(-x[:, f])[:BEST_BY_EACH].tolist()) <= set(rows.tolist())
    assert len(rows) <= BEST_BY_EACH * len(FEATURES) + AT_RANDOM


def test_a_choice_that_no_feature_proposed_teaches_nothing():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2000, len(FEATURES)))
    x[7] = -9.0
    assert sample_candidates(x, 7, rng) is None
    x[:, FAST] = 0.0
    x[11, FAST] = 1.0  # the only one that is near: the rest of a sparse feature is not "best"
    assert sample_candidates(x, 11, rng) is not None


def test_a_log_keeps_the_newest_and_pads():
    log = ChoiceLog(2)
    for n in (3, 1, 2):
        log.add(np.full((n, len(FEATURES)), n, np.float32), n, float(n))
    choices = log.choices()
    assert (len(log), choices.history.tolist()) == (2, [1, 2])
    assert choices.real.tolist() == [[True, False], [True, True]]
    both = together([choices, log.choices().take(np.array([0]))])
    assert both.real.tolist() == [[True, False], [True, True], [True, False]]
    assert both.features[:, 0, NEW].tolist() == [1.0, 2.0, 1.0]
