"""The last list of each person of an experiment."""

from __future__ import annotations

from msgspec import UNSET

from models.experiments.assignment import Experiment, arm_of
from models.hashing import item_hash
from stream.analysis.experiments.lists import LastLists
from stream.wire.records import EventSource, ModelVersions, Recommendation, RecommendedItem

HALVES = Experiment("x", "x", 1.0, (("control", 0.5), ("treatment", 0.5)), "control")
EVERYBODY = 2**64


def listed(user, items, experiments=UNSET, trigger="event"):
    places = tuple(RecommendedItem(item, n + 1, 0.0, 0.5, "interest", 1.0, {}) for n, item in enumerate(items))
    return Recommendation(
        "r", user, 5000, 3000, EventSource("e", 0, 0), trigger, ModelVersions(None, None, "v"), places,
        experiments=experiments,
    )  # fmt: skip


def own(user, experiment=HALVES):
    return {"x": arm_of(experiment, user.encode())}


def test_the_last_list_counts_and_an_erased_person_does_not():
    lists = LastLists([HALVES], "x", EVERYBODY)
    lists.add("ann", listed("ann", ["a"], own("ann")))
    lists.add("ann", listed("ann", ["b"], own("ann"), "refresh"))
    lists.add("bob", listed("bob", ["c"], own("bob")))
    lists.add("cat", listed("cat", ["d"], own("cat")))
    lists.add("cat", None)

    assert set(lists.people) == {"ann", "bob"}
    assert lists.people["ann"].late_ms is None
    assert lists.people["bob"].late_ms == 2000
    assert sorted(lists.items().tolist()) == sorted([item_hash("b"), item_hash("c")])


def test_who_is_in_no_experiment_or_another_arm_than_now_is_left_out():
    lists = LastLists([HALVES], "x", EVERYBODY)
    other = {"control": "treatment", "treatment": "control"}[own("bob")["x"]]
    lists.add("ann", listed("ann", ["a"]))
    lists.add("bob", listed("bob", ["a"], {"x": other}))
    lists.add("cat", listed("cat", ["a"], {"y": "control"}))

    assert lists.people == {}
    assert lists.moved == 1


def test_of_overlapping_experiments_the_first_one_has_a_person():
    first = HALVES._replace(name="a", salt="a", share=0.5)
    lists = LastLists([first, HALVES], "x", EVERYBODY)
    people = [f"u{n}" for n in range(100)]
    for user in people:
        lists.add(user, listed(user, ["a"], own(user)))

    assert set(lists.people) == {user for user in people if arm_of(first, user.encode()) is None}


def test_memory_is_bounded_by_forgetting_half_of_the_people():
    lists = LastLists([HALVES], "x", EVERYBODY, people_max=100)
    people = [f"u{n}" for n in range(400)]
    for user in people:
        lists.add(user, listed(user, ["a"], own(user)))

    assert len(lists.people) <= 100
    assert set(lists.people) == {user for user in people if item_hash(user) < lists.below}
    assert lists.share in (0.25, 0.125)
