"""Who is in which arm: always the same, in the meant shares, and independently of other experiments."""

from __future__ import annotations

import numpy as np
import pytest

from models.experiments.assignment import HOLDOUT, Experiment, arm_of, assigned

PEOPLE = [f"user-{n}".encode() for n in range(20_000)]
HALVES = Experiment("diverse", "s1", 1.0, (("control", 0.5), ("treatment", 0.5)), "control")


def arms(experiment):
    return [arm_of(experiment, each) for each in PEOPLE]


def test_assignment_is_stored_nowhere_so_it_never_changes_between_releases():
    assert [arm_of(HALVES, each) for each in (b"ann", b"bob", b"cat", b"dan", b"eve", "zoë".encode())] == [
        "treatment",
        "control",
        "treatment",
        "control",
        "control",
        "treatment",
    ]


@pytest.mark.parametrize(
    "experiment",
    [
        HALVES,
        HALVES._replace(arms=(("a", 0.2), ("b", 0.3), ("c", 0.5)), control="a"),
        HALVES._replace(holdout=0.1),
        HALVES._replace(salt="another"),
    ],
)
def test_arms_have_the_shares_that_were_meant(experiment):
    names, counts = np.unique(arms(experiment), return_counts=True)

    assert dict(zip(names.tolist(), counts / len(PEOPLE), strict=True)) == pytest.approx(experiment.shares, abs=0.011)


def test_a_larger_share_takes_people_in_and_moves_nobody():
    some, more = arms(HALVES._replace(share=0.2)), arms(HALVES._replace(share=0.6))

    assert np.mean([each is not None for each in some]) == pytest.approx(0.2, abs=0.01)
    assert all(before in {None, after} for before, after in zip(some, more, strict=True))
    assert np.mean([each == "control" for each in more if each]) == pytest.approx(0.5, abs=0.015)


def test_salts_divide_people_independently():
    first, second = arms(HALVES), arms(HALVES._replace(salt="s2"))

    both = np.mean([a == b for a, b in zip(first, second, strict=True)])
    assert both == pytest.approx(0.5, abs=0.015)


def test_of_two_experiments_the_first_one_has_a_person_and_the_second_one_divides_the_rest_fairly():
    a = HALVES._replace(name="a", salt="a", share=0.5)
    b = HALVES._replace(name="b", salt="b")
    found = [assigned((a, b), each) for each in PEOPLE]

    assert {name for name, _ in found} == {"a", "b"}
    assert all(each == ("a", arm_of(a, user)) for each, user in zip(found, PEOPLE, strict=True) if arm_of(a, user))
    of_b = [arm for name, arm in found if name == "b"]
    assert len(of_b) / len(PEOPLE) == pytest.approx(0.5, abs=0.011)
    assert np.mean([arm == "control" for arm in of_b]) == pytest.approx(0.5, abs=0.015)
    assert assigned((), b"ann") is None


def test_who_is_held_out_is_in_no_arm():
    found = arms(HALVES._replace(holdout=0.25))

    assert found.count(HOLDOUT) / len(PEOPLE) == pytest.approx(0.25, abs=0.011)
    assert HOLDOUT not in arms(HALVES)
