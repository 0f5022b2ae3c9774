"""What the benchmark of a large installation makes, and what it reads from its worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.large_world import changelog, descriptions, statistics
from benchmarks.loop_steps import READ_ENDS, Step, longest, moment, read_steps
from benchmarks.scale import Size, bucket_counts, sizes_of
from models.hashing import item_hash
from models.items.index import ItemIndex
from models.items.record import unpack_records
from models.items.stats import ItemStatistics


def test_the_statistics_made_are_records_of_the_product_whose_neighbours_are_other_known_items() -> None:
    made = dict(statistics(40, seed=3))
    records = unpack_records(list(made.values()))
    known = np.array([item_hash(f"i{i}") for i in range(40)], np.uint64)
    assert list(made) == [f"i{i}".encode() for i in range(40)]
    assert dict(statistics(40, seed=3)) == made
    assert np.isin(records.neighbours, known).all()
    for i, own in enumerate(known):
        begin, end = records.neighbour_start[i : i + 2]
        near = records.neighbours[begin:end]
        assert (np.diff(near.astype(object)) > 0).all(), "ascending, each once"
        assert own not in near
    assert len(records.fence_offset) == 0, "what a worker hears of an item afterwards is counted"


def test_they_fill_a_workers_replica() -> None:
    stats, index = ItemStatistics(ItemIndex(), 300), [item_hash(f"i{i}") for i in range(700)]
    stats.put(stats._index.intern(np.array(index, np.uint64)), [value for _, value in statistics(700)])
    assert stats.size == 700
    assert stats.count.min() >= 1


def test_a_changed_catalogue_has_the_same_items() -> None:
    before, after = dict(descriptions(3)), dict(descriptions(3, changed=True))
    assert before.keys() == after.keys()
    assert all(before[item] != after[item] for item in before)


def test_more_users_than_states_have_the_same_ones_again() -> None:
    assert list(changelog([b"a", b"b"], 3)) == [(b"u0", b"a"), (b"u1", b"b"), (b"u2", b"a")]


def test_sizes_have_names() -> None:
    sizes = sizes_of(["small", "tenth", "large", "small_again"], users=10_000_000, items=1_000_000)
    assert list(sizes) == ["small", "tenth", "large", "small_again"]
    assert sizes["small"] == sizes["small_again"] == Size(100_000, 10_000)
    assert (sizes["tenth"].users, sizes["large"].known) == (1_000_000, 300_000)
    with pytest.raises(ValueError, match="no size 'huge'"):
        sizes_of(["huge"], 1, 1)


def test_steps_are_read_while_the_next_line_is_being_written(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "steps") == []
    (tmp_path / "steps").write_text(
        '{"at":1.0,"what":"a","wall_ms":9.0,"cpu_ms":7.0}\n{"at":2.0,"what":"read ends"}\n'
        '{"at":3.0,"what":"b","wall_ms":8.0,"cpu_ms":8.0}\n{"at":4.0,"wh'
    )
    steps = read_steps(tmp_path / "steps")
    assert [step.what for step in steps] == ["a", READ_ENDS, "b"]
    assert read_steps(tmp_path / "steps", since=2.5) == [Step(3.0, "b", 8.0, 8.0)]
    assert moment(steps, READ_ENDS) == 2.0
    assert moment(steps, "read begins") is None
    assert [step.what for step in longest(steps, 0.0, 3.0)] == ["b", "a"]
    assert longest(steps, 1.5, 2.5) == []


def test_buckets_of_a_histogram_are_in_order() -> None:
    samples = {'a_bucket{le="0.5"}': 3.0, 'a_bucket{le="+Inf"}': 4.0, 'a_bucket{le="0.25"}': 1.0, "a_count": 4.0}
    assert list(bucket_counts(samples, "a").items()) == [(0.25, 1.0), (0.5, 3.0), (float("inf"), 4.0)]
