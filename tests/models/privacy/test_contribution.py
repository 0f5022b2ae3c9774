"""One person changes what is counted by no more than the bounds, however much they do, and changes nothing of others."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.privacy.bounds import Contribution
from models.privacy.contribution import Engagements, PublicPairs, counted

N_ITEMS, RELEASES = 8, 3
EVERY_PAIR = PublicPairs(*(side.astype(np.int64) for side in np.triu_indices(N_ITEMS, 1)))

histories = st.lists(
    st.lists(
        st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, RELEASES - 1)), max_size=12, unique_by=lambda e: e[0]
    ),
    min_size=1,
    max_size=6,
)
bounds = st.builds(Contribution, st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))


def engagements_of(histories, users=None):
    rows = [
        (user, item, release)
        for user, history in enumerate(histories)
        if users is None or user in users
        for item, release in sorted(history, key=lambda e: e[1])
    ]
    rows.sort(key=lambda row: row[2])
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return Engagements(columns[0] + 1000, columns[1], columns[2])


def tables(found, size):
    """(releases, n) of items and of pairs."""
    items = np.zeros((RELEASES, N_ITEMS), np.int64)
    pairs = np.zeros((RELEASES, size), np.int64)
    np.add.at(items, (found.items_release, found.items), 1)
    np.add.at(pairs, (found.pairs_release, found.pairs), 1)
    return items, pairs


@settings(derandomize=True, deadline=None, max_examples=200)
@given(histories, bounds)
def test_a_person_more_or_less_changes_the_counts_by_so_many_ones_and_each_series_once(people, most):
    size = len(EVERY_PAIR.first)
    everybody = tables(counted(engagements_of(people), EVERY_PAIR, N_ITEMS, most), size)
    others = tables(counted(engagements_of(people, set(range(1, len(people)))), EVERY_PAIR, N_ITEMS, most), size)
    for with_them, without, bound in zip(everybody, others, (most.items, most.pairs), strict=True):
        change = with_them - without
        assert change.min(initial=0) >= 0, "nobody else counts otherwise"
        assert change.sum() <= bound
        assert change.sum(axis=0).max(initial=0) <= 1, "each item and each pair of theirs once, in one release"


@settings(derandomize=True, deadline=None, max_examples=100)
@given(histories, bounds)
def test_a_release_does_not_depend_on_what_comes_after_it(people, most):
    size = len(EVERY_PAIR.first)
    early = [[(item, release) for item, release in history if release == 0] for history in people]
    whole = tables(counted(engagements_of(people), EVERY_PAIR, N_ITEMS, most), size)
    first = tables(counted(engagements_of(early), EVERY_PAIR, N_ITEMS, most), size)
    assert (whole[0][0] == first[0][0]).all()
    assert (whole[1][0] == first[1][0]).all()


def test_who_does_little_counts_in_full():
    people = [[(0, 0), (1, 0), (2, 1)]]
    found = counted(engagements_of(people), EVERY_PAIR, N_ITEMS, Contribution(20, 20, 16))
    assert sorted(found.items) == [0, 1, 2]
    assert Counter(zip(found.pairs.tolist(), found.pairs_release.tolist(), strict=True)) == {
        (0, 0): 1,
        (1, 1): 1,
        (7, 1): 1,
    }
    assert set(found.items_user) == set(found.pairs_user) == {1000}


def test_only_items_that_the_person_had_just_before_make_pairs():
    people = [[(0, 0), (1, 0), (2, 0)]]
    found = counted(engagements_of(people), EVERY_PAIR, N_ITEMS, Contribution(20, 20, 1))
    assert sorted(found.pairs) == [0, 7], "0 with 1, and 1 with 2"


def test_a_pair_that_nobody_thought_of_in_public_counts_for_nothing():
    only = PublicPairs(np.array([0]), np.array([2]))
    found = counted(engagements_of([[(0, 0), (1, 0), (2, 0)]]), only, N_ITEMS, Contribution(20, 20, 16))
    assert found.pairs.tolist() == [0]
    nothing = PublicPairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert not len(counted(engagements_of([[(0, 0), (1, 0)]]), nothing, N_ITEMS, Contribution(1, 1, 1)).pairs)


def test_which_ones_count_follows_from_the_key_and_nothing_else():
    people = [[(item, 0) for item in range(N_ITEMS)] for _ in range(20)]
    most = Contribution(2, 2, 5)
    once, again = (
        counted(engagements_of(people), EVERY_PAIR, N_ITEMS, most, key).items.tolist() for key in (b"a", b"a")
    )
    other = counted(engagements_of(people), EVERY_PAIR, N_ITEMS, most, b"b").items.tolist()
    assert once == again != other
    assert len(set(once)) > 2, "not the same two of everybody"
