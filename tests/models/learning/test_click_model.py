"""models/learning/click_model.py: it starts from the prior, finds what clicks are made of; the same bits however it is fed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GOLDEN

from models.evaluation.calibration import expected_calibration_error, log_loss, reliability
from models.learning.click_model import ALPHA_BIAS, ALPHA_PART, ALPHA_SLOT, BETA, L2, PART_LIMIT, SLOTS, ClickModel
from models.ranking.features import PARTS
from models.ranking.weights import Calibration

PRIOR = Calibration(0.25, -7.0)
TRUE_PARTS = np.array([0.3, 0.5, 0.1, 0.4, 0.2, -0.3, 0.1])
TRUE_INTERCEPT = -2.5
P = len(PARTS)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def simulated(n, seed=0):
    """`(parts, slot, clicked, p)`: parts of the sizes that scores have, slots that are worth less the later they are."""
    rng = np.random.default_rng(seed)
    parts = np.abs(rng.normal(size=(n, P))) * np.array([4.0, 1.0, 0.5, 0.3, 2.0, 1.5, 1.0])
    parts[:, 6] *= -1
    slot = rng.integers(1, 11, n)
    p = sigmoid(TRUE_INTERCEPT + parts @ TRUE_PARTS - 0.15 * (slot - 1))
    return parts, slot, rng.random(n) < p, p


def prequential(model, parts, slot, clicked, batch=100):
    """p of every example before it is learned."""
    stated = []
    for at in range(0, len(slot), batch):
        rows = slice(at, at + batch)
        stated.append(model.predict(parts[rows], slot[rows]))
        model = model.learn(parts[rows], slot[rows], clicked[rows])
    return model, np.concatenate(stated)


def test_before_any_example_it_states_what_the_prior_states():
    parts, slot, _, _ = simulated(50)

    stated = ClickModel.start(PRIOR).predict(parts, slot)

    np.testing.assert_allclose(stated, sigmoid(0.25 * parts.sum(axis=1) - 7.0), rtol=1e-12)


def test_one_example_moves_it_by_the_closed_form():
    x = np.array([[2.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]])

    model = ClickModel.start(PRIOR).learn(x, np.array([3]), np.array([True]))

    g = sigmoid(0.25 * 1.0 - 7.0) - 1.0
    weights = np.zeros(1 + P + SLOTS)
    weights[0] = -g / ((BETA + abs(g)) / ALPHA_BIAS)
    weights[1] = -2 * g / ((BETA + abs(2 * g)) / ALPHA_PART + L2)
    weights[7] = g / ((BETA + abs(g)) / ALPHA_PART + L2)
    weights[1 + P + 3] = -g / ((BETA + abs(g)) / ALPHA_SLOT + L2)
    np.testing.assert_allclose(model.weights(), weights, rtol=1e-12)


def test_it_is_the_algorithm_of_the_paper():
    """Algorithm 1 of McMahan et al. in plain Python, lambda_1 = 0."""
    parts, slot, clicked, _ = simulated(300)
    alpha = np.concatenate([[ALPHA_BIAS], np.full(P, ALPHA_PART), np.full(SLOTS, ALPHA_SLOT)])
    l2 = np.concatenate([[0.0], np.full(P + SLOTS, L2)])
    z, n = np.zeros(len(alpha)), np.zeros(len(alpha))
    for r in range(300):
        x = np.concatenate([[1.0], parts[r], np.eye(SLOTS)[slot[r]]])
        w = -z / ((BETA + np.sqrt(n)) / alpha + l2)
        g = (sigmoid(PRIOR.slope * parts[r].sum() + PRIOR.intercept + w @ x) - clicked[r]) * x
        z += g - (np.sqrt(n + g * g) - np.sqrt(n)) / alpha * w
        n += g * g

    model = ClickModel.start(PRIOR).learn(parts, slot, clicked)

    np.testing.assert_allclose(model.z, z, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.squares, n, rtol=1e-9, atol=1e-12)


def test_it_finds_the_coefficients_that_the_clicks_were_made_of():
    parts, slot, clicked, _ = simulated(200_000)

    learned = ClickModel.start(PRIOR).learn(parts, slot, clicked).weights()

    np.testing.assert_allclose(PRIOR.slope + learned[1 : 1 + P], TRUE_PARTS, atol=0.12)
    slots = learned[1 + P + 1 : 1 + P + 11]
    np.testing.assert_allclose(slots - slots.mean(), -0.15 * (np.arange(10) - 4.5), atol=0.12)


def test_what_it_states_is_calibrated_and_nearly_as_good_as_the_truth():
    parts, slot, clicked, p = simulated(60_000)

    _, stated = prequential(ClickModel.start(PRIOR), parts, slot, clicked)

    later = slice(20_000, None)
    assert expected_calibration_error(reliability(stated[later], clicked[later])) < 0.01
    assert log_loss(stated[later], clicked[later]) < log_loss(p[later], clicked[later]) + 0.002


@pytest.mark.parametrize("clicks_needed", [1, 10, 100])
def test_giving_way_gradually_beats_switching_from_the_prior(clicks_needed):
    """Also where the prior is right, gradual costs next to nothing: see the next test."""
    parts, slot, clicked, _ = simulated(3000)

    _, gradual = prequential(ClickModel.start(PRIOR), parts, slot, clicked, batch=10)

    prior = ClickModel.start(PRIOR).predict(parts, slot)
    before = np.concatenate([[0], np.cumsum(clicked)[:-1]])
    switched = np.where(before < clicks_needed, prior, gradual)
    assert log_loss(gradual, clicked) <= log_loss(switched, clicked)


def test_where_the_prior_is_true_few_examples_hardly_move_it():
    rng = np.random.default_rng(0)
    parts, slot, _, _ = simulated(2000)
    prior = Calibration(0.5, -5.0)
    p = ClickModel.start(prior).predict(parts, slot)
    clicked = rng.random(2000) < p

    _, stated = prequential(ClickModel.start(prior), parts, slot, clicked, batch=10)

    assert log_loss(stated, clicked) < log_loss(p, clicked) + 0.015


def test_a_later_place_is_stated_less_where_it_is_clicked_less():
    parts, slot, clicked, _ = simulated(50_000)
    model = ClickModel.start(PRIOR).learn(parts, slot, clicked)

    stated = model.predict(np.tile(parts[:1], (10, 1)), np.arange(1, 11))

    assert (np.diff(stated) < 0).all()


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), seed=st.integers(0, 5))
def test_how_examples_are_cut_into_batches_does_not_change_a_bit(cuts, seed):
    parts, slot, clicked, _ = simulated(200, seed)
    whole = ClickModel.start(PRIOR).learn(parts, slot, clicked)

    model = ClickModel.start(PRIOR)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 200], strict=True):
        model = model.learn(parts[start:stop], slot[start:stop], clicked[start:stop])

    assert model.to_bytes() == whole.to_bytes()
    assert (model.n_examples, model.n_clicks) == (200, int(clicked.sum()))


def test_what_is_stated_of_an_item_does_not_depend_on_the_others():
    parts, slot, clicked, _ = simulated(200)
    model = ClickModel.start(PRIOR).learn(parts, slot, clicked)
    order = np.random.default_rng(1).permutation(200)

    together = model.predict(parts, slot)

    np.testing.assert_array_equal(model.predict(parts[order], slot[order]), together[order])
    np.testing.assert_array_equal(np.concatenate([model.predict(parts[r : r + 1], slot[r : r + 1]) for r in range(200)]),
                                  together)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    z=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1 + P + SLOTS, max_size=1 + P + SLOTS),
    counts=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
)
def test_bytes_bring_the_state_back(z, counts):
    model = ClickModel(PRIOR, np.array(z), np.abs(np.array(z)), *counts)

    again = ClickModel.from_bytes(model.to_bytes())

    assert again.to_bytes() == model.to_bytes()
    assert (again.prior, again.n_examples, again.n_clicks) == (PRIOR, *counts)
    np.testing.assert_array_equal(again.z, model.z)


def test_the_bytes_are_those_of_the_golden_file():
    n = 1 + P + SLOTS
    model = ClickModel(PRIOR, np.arange(n) / 8 - 1, np.arange(n) / 4.0, 1000, 40)

    assert model.to_bytes().hex() == (GOLDEN / "click_model_v1.hex").read_text().strip()
    assert len(model.to_bytes()) == 504


def test_what_was_learned_goes_on_from_bytes_as_if_never_stored():
    parts, slot, clicked, _ = simulated(400)
    half = ClickModel.start(PRIOR).learn(parts[:200], slot[:200], clicked[:200])

    stored = ClickModel.from_bytes(half.to_bytes()).learn(parts[200:], slot[200:], clicked[200:])

    assert stored.to_bytes() == ClickModel.start(PRIOR).learn(parts, slot, clicked).to_bytes()


@pytest.mark.parametrize("at", [0, 1, 30, 300, 503])
def test_a_changed_byte_is_noticed(at):
    value = bytearray(ClickModel.start(PRIOR).to_bytes())
    value[at] ^= 1

    with pytest.raises(ValueError, match="damaged"):
        ClickModel.from_bytes(bytes(value))


def test_a_state_of_other_parts_is_not_taken_for_ours():
    with pytest.raises(ValueError, match="3 parts"):
        ClickModel.from_bytes(ClickModel.start(PRIOR, parts=3).to_bytes())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_parts_that_are_not_finite_are_refused_and_nothing_is_learned(wrong):
    model, parts = ClickModel.start(PRIOR), np.zeros((2, P))
    parts[1, 3] = wrong

    for call in (
        lambda: model.predict(parts, np.ones(2, np.int64)),
        lambda: model.learn(parts, np.ones(2, np.int64), np.ones(2, bool)),
    ):
        with pytest.raises(ValueError, match="finite"):
            call()
    assert not model.z.any()


@pytest.mark.parametrize(
    ("parts", "slot", "clicked"),
    [((2, P - 1), 2, 2), ((2, P), 3, 2), ((2, P), 2, 1)],
    ids=["parts", "slots", "outcomes"],
)
def test_shapes_that_do_not_fit_are_refused(parts, slot, clicked):
    with pytest.raises(ValueError, match=r"shape"):
        ClickModel.start(PRIOR).learn(np.zeros(parts), np.zeros(slot, np.int64), np.zeros(clicked, bool))


def test_a_negative_slot_is_refused():
    with pytest.raises(ValueError, match="slots are counted from 1"):
        ClickModel.start(PRIOR).predict(np.zeros((1, P)), np.array([-1]))


def test_a_prior_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        ClickModel.start(Calibration(np.nan, 0.0))


def test_one_absurd_example_does_not_undo_what_many_taught():
    parts, slot, clicked, _ = simulated(20_000)
    model = ClickModel.start(PRIOR).learn(parts, slot, clicked)

    absurd = model.learn(np.full((1, P), 1e300), np.array([1]), np.array([False]))

    assert np.isfinite(absurd.z).all()
    assert np.abs(absurd.predict(parts, slot) - model.predict(parts, slot)).max() < 0.1
    capped = model.weights()[1 : 1 + P] * PART_LIMIT
    assert np.isfinite(capped).all()


def test_without_a_single_click_it_states_ever_less_and_never_zero():
    parts, slot, _, _ = simulated(5000)
    nothing = np.zeros(5000, bool)
    once = ClickModel.start(Calibration(0.25, -3.0)).learn(parts, slot, nothing)
    twice = once.learn(parts, slot, nothing)

    assert 0 < twice.predict(parts, slot).mean() < once.predict(parts, slot).mean() < 0.02


def test_places_beyond_the_last_known_one_are_like_it():
    model = ClickModel.start(PRIOR).learn(np.zeros((1, P)), np.array([300]), np.array([True]))

    assert model.predict(np.zeros((1, P)), np.array([20])) == model.predict(np.zeros((1, P)), np.array([99]))
    assert model.predict(np.zeros((1, P)), np.array([20])) > model.predict(np.zeros((1, P)), np.array([19]))
