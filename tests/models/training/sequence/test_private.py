"""Private training: gradients are each person's own, bounded, noised as planned, accounted for; nothing else tells."""

from __future__ import annotations

import numpy as np
import pytest

from models.encoder.errors import ModelError
from models.training.engagements import engagements
from models.training.sequence.histories import histories, people, stretches
from models.training.sequence.settings import SequenceSettings

torch = pytest.importorskip("torch", reason="the extra train-private is not there")
pytest.importorskip("opacus", reason="the extra train-private is not there")

from models.training.sequence.private import PrivateTrainer, check, spending  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

ITEMS, PEOPLE = 12, 20
TINY = SequenceSettings(
    layers=1, heads=2, dims=8, hidden=8, length=4, batch=5, epochs=2, dropout=0.0, event_dropout=0.0, id_dropout=0.0,
    private_epsilon=8.0, private_delta=1e-4, learning_rate=0.01,
)  # fmt: skip


def walks(n=PEOPLE, seed=1):
    rng = np.random.default_rng(seed)
    rows = [
        (user, item, 1000 * step)
        for user in range(n)
        for step, item in enumerate(rng.permutation(ITEMS)[: 2 + user % 6])
    ]
    user, item, second = np.array(rows).T
    return histories(engagements(user.astype(np.int32), item.astype(np.int32), second.astype(np.int64)))


def trainer(settings=TINY, events=None, texts=None, secret=3):
    return PrivateTrainer(
        walks() if events is None else events, ITEMS + 1, texts, settings, torch.device("cpu"), secret=secret
    )


def flat(gradients, of):
    return torch.cat([each[of].reshape(-1) for each in gradients.values()])


@pytest.mark.parametrize("architecture", ["sasrec", "hstu", "lru"])
@pytest.mark.parametrize("texts", [False, True])
def test_gradients_of_several_people_are_those_of_each_alone_and_those_of_plain_backward(architecture, texts):
    vectors = np.random.default_rng(0).normal(size=(ITEMS + 1, 3)).astype(np.float32) if texts else None
    one = trainer(TINY._replace(architecture=architecture, calendar=texts, length=9), texts=vectors)
    one.module.double()
    some = one._people[:7]
    together, losses = one.gradients(some, np.random.default_rng(0))
    for number in range(len(some)):
        alone, loss = one.gradients(some[number : number + 1], np.random.default_rng(0))
        torch.testing.assert_close(losses[number], loss[0])
        torch.testing.assert_close(flat(together, number), flat(alone, 0))
    # The trainer that is not private, on one whole history: the same mean loss, by plain backward.
    one.module.float().zero_grad()
    one._loss(some[6:7]).backward()
    for name, parameter in one.module.named_parameters():
        torch.testing.assert_close(together[name][6].float(), parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_nobody_moves_the_sum_by_more_than_the_bound_and_short_gradients_stay_as_they_are():
    for bound in (0.01, 1e6):
        one = trainer(TINY._replace(max_grad_norm=bound))
        some = one._people[:6]
        gradients, _ = one.gradients(some, np.random.default_rng(0))
        sums = []
        for count in (6, 5):
            for name, parameter in one.module.named_parameters():
                parameter.grad_sample, parameter.summed_grad = gradients[name][:count].clone(), None
            one._private.clip_and_accumulate()
            sums.append(torch.cat([p.summed_grad.reshape(-1) for p in one.module.parameters()]))
        part, own = (sums[0] - sums[1]).norm().item(), flat(gradients, 5).norm().item()
        assert own > 0.02
        assert part == pytest.approx(min(bound, own), rel=1e-3)


def test_a_step_is_the_bounded_sum_and_noise_over_the_people_expected(monkeypatch):
    one = trainer(TINY._replace(max_grad_norm=0.5, batch=10_000))  # everybody is in every step, in two parts
    assert one.spending.sample_rate == 1.0
    seen = []
    monkeypatch.setattr(
        one._optimizer, "step", lambda: seen.append(torch.cat([p.grad.reshape(-1) for p in one.module.parameters()]))
    )
    one._private.noise_multiplier = 0.0
    one.train_step()
    rng = np.random.default_rng([3, 5, 0])
    rng.random(PEOPLE)  # who is in the step
    parts = [one.gradients(one._people[at : at + 16], rng)[0] for at in (0, 16)]
    rows = torch.cat([torch.cat([g.reshape(len(g), -1) for g in part.values()], dim=1) for part in parts])
    bounded = rows * (0.5 / rows.norm(dim=1)).clamp(max=1.0)[:, None]
    torch.testing.assert_close(seen[0], bounded.sum(dim=0) / PEOPLE, rtol=1e-4, atol=1e-7)
    one._private.noise_multiplier = 30.0
    one._place, one.step = 0, 0
    one.train_step()
    noise = (seen[1] - seen[0]) * PEOPLE
    assert noise.std().item() == pytest.approx(30.0 * 0.5, rel=0.15)
    assert abs(noise.mean().item()) < 3


def test_a_step_that_nobody_is_in_is_noise_alone_and_counts():
    one = trainer()
    one._people = one._people[:0]
    before = one.weights()
    one.train_step()
    after = one.weights()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert one.account()["steps"] == 1


def test_people_are_drawn_by_a_coin_each_not_in_turns():
    one, sizes = trainer(TINY._replace(epochs=40)), []
    nothing, _ = one.gradients(one._people[:0], np.random.default_rng(0))

    def counted(some, rng):
        sizes.append(len(some))
        return {name: each.clone() for name, each in nothing.items()}, torch.ones(len(some))

    one.gradients = counted
    for _ in range(120):
        one.train_step()
    assert np.mean(sizes) == pytest.approx(5, abs=0.8)  # the variance of 20 coins of a quarter is 3.75
    assert np.var(sizes) == pytest.approx(3.75, rel=0.5)


def test_the_accountant_is_asked_for_the_steps_the_rate_and_the_promise_and_confirms_what_was_spent():
    from opacus.accountants import PRVAccountant, RDPAccountant

    one = trainer()
    assert (one.spending.sample_rate, one.spending.steps_per_epoch, one.spending.steps) == (0.25, 4, 8)
    while one.step < one.spending.steps:
        one.train_step()
    assert one.epoch == 2
    told = one.account()
    same, tighter = RDPAccountant(), PRVAccountant()
    for accountant in (same, tighter):
        accountant.history = [(one.spending.noise_multiplier, 5 / 20, 2 * 4)]
    assert told["epsilon"] == pytest.approx(same.get_epsilon(delta=1e-4))
    assert 7.9 < told["epsilon"] <= 8.0
    assert 6.5 < tighter.get_epsilon(delta=1e-4) < told["epsilon"]  # another way of accounting agrees
    assert (told["delta"], told["steps"], told["max_grad_norm"]) == (1e-4, 8, 1.0)
    with pytest.raises(ModelError, match="all planned steps"):
        one.train_step()


def test_a_run_that_goes_on_counts_the_steps_before_and_draws_other_noise():
    one = trainer(secret=None)
    for _ in range(3):
        one.train_step()
    state = one.state()
    assert one._drawn not in state.values()
    other = trainer(secret=None)
    other.restore(state)
    assert other.account()["epsilon"] == pytest.approx(one.account()["epsilon"])
    assert other.account()["steps"] == 3
    one.train_step()
    other.train_step()
    assert not torch.equal(one.weights()["learned"], other.weights()["learned"])


def test_the_seed_does_not_give_the_noise_away():
    first, second = trainer(secret=None), trainer(secret=None)
    assert torch.equal(first.weights()["learned"], second.weights()["learned"])
    first.train_step()
    second.train_step()
    assert not torch.equal(first.weights()["learned"], second.weights()["learned"])


def test_what_is_ranked_and_how_it_begins_say_nothing_of_who_had_what():
    with_all, with_few = trainer(), trainer(events=walks(n=3))
    assert with_all.trained.all()
    assert with_few.trained.all()
    for name, value in with_all.weights().items():
        assert torch.equal(value, with_few.weights()[name]), name


def test_a_stretch_is_inside_one_history_at_most_a_place_longer_than_the_length_and_everywhere_in_it():
    events = walks()
    whole, rng, begun = people(events), np.random.default_rng(0), set()
    assert (np.diff(whole) >= 2).all()
    assert whole[0, 0] == 0
    assert whole[:-1, 1].tolist() == whole[1:, 0].tolist()
    for _ in range(60):
        found = stretches(whole, 4, rng)
        assert (found[:, 0] >= whole[:, 0]).all()
        assert (found[:, 1] <= whole[:, 1]).all()
        assert (np.diff(found)[:, 0] == np.minimum(np.diff(whole)[:, 0], 5)).all()
        begun.add(int(found[5, 0] - whole[5, 0]))  # a history of 7, stretches of 5
    assert begun == {0, 1, 2}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"private_epsilon": 0.0}, "epsilon is 0"),
        ({"private_epsilon": -1.0}, "epsilon is -1"),
        ({"private_epsilon": float("nan")}, "epsilon is nan"),
        ({"private_delta": 0.0}, "delta is 0"),
        ({"private_delta": 1.0}, "delta is 1"),
        ({"max_grad_norm": 0.0}, "--max-grad-norm 0"),
        ({"max_grad_norm": float("inf")}, "--max-grad-norm inf"),
        ({"loss": "sampled"}, "softmax over all items"),
        ({"precision": "bf16"}, "fp32"),
    ],
)
def test_a_promise_that_means_nothing_is_refused(wrong, said):
    with pytest.raises(ModelError, match=said):
        check(TINY._replace(**wrong), ITEMS)


def test_a_delta_of_one_person_in_all_is_refused_and_a_smaller_epsilon_takes_more_noise():
    with pytest.raises(ModelError, match="away whole"):
        spending(TINY._replace(private_delta=0.05), 20)
    noise = [spending(TINY._replace(private_epsilon=epsilon), 20).noise_multiplier for epsilon in (1.0, 4.0)]
    assert noise[0] > 2 * noise[1]
