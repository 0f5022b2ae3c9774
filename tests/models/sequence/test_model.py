"""The sequence model where it serves: the graph is the network, answers do not depend on neighbours, cold items have one."""

from __future__ import annotations

import datetime
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sequence_models import IDS, SHAPE, TEXT_DIMS, exported, network_alone, random_items, random_weights, reference

from models.encoder.errors import ModelError
from models.hashing import NO_ITEM, item_hash
from models.sequence import top_k as module
from models.sequence.export import Trained, export
from models.sequence.features import GAP_BUCKETS, NO_GAP, START_PAIR, gap_buckets, pair_buckets, times_of
from models.sequence.graph import KINDS
from models.sequence.items import SequenceItems, read_items, write_items
from models.sequence.model import BATCH_TOLERANCE, SequenceModel
from models.sequence.top_k import top_k

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000


@pytest.fixture(scope="module", params=KINDS)
def directory(tmp_path_factory, request):
    out = tmp_path_factory.mktemp("models") / "sequence"
    exported(out, shape=SHAPE._replace(kind=request.param))
    return out


@pytest.fixture
def model(directory):
    return SequenceModel.open(directory)


def histories(seed=0, users=30):
    """Of every length, with places beyond it that mean nothing."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, len(IDS), (users, SHAPE.length)).astype(np.int32)
    times = NOW_MS + np.cumsum(rng.integers(0, 10**7, rows.shape), axis=1)
    lengths = np.arange(users) % (SHAPE.length + 1)
    return rows, times, lengths, np.full(users, NOW_MS + 10**9)


# --- time ---


def test_the_gap_of_an_item_is_to_what_came_after_it_and_of_the_newest_to_now():
    seconds = np.array([[0, 1, 17, 9999]]) * 1000  # the last place is beyond the length
    times = times_of(NOW_MS + seconds, np.array([3]), np.array([NOW_MS + 17_000 + 1_024_000]))
    # none; 1 s in [1, 4); 16 s in [16, 64); 1024 s in [1024, 4096); beyond: nothing
    assert times.gap.tolist() == [[NO_GAP, 1, 3, 6, NO_GAP]]


def test_hour_and_weekday_are_those_of_what_came_after():
    def at(text):
        return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)

    first, second, now = at("2023-11-13T08:00+00:00"), at("2023-11-14T09:30+00:00"), at("2023-11-19T23:59+00:00")
    times = times_of(np.array([[first, second]]), np.array([2]), np.array([now]))
    assert times.hour.tolist() == [[8, 9, 23]]
    assert times.weekday.tolist() == [[0, 1, 6]]


def test_a_pair_of_places_is_told_how_long_the_one_lay_back_when_what_followed_the_other_was_had():
    seconds = np.array([[0, 1, 7]]) * 1000
    times = times_of(NOW_MS + seconds, np.array([3]), np.array([NOW_MS + 10_000]))
    found = pair_buckets(times)[0]
    assert found.shape == (4, 4)
    assert found[:, 0].tolist() == [START_PAIR] * 4
    assert found[1, 1] == 1  # 1 s in [1, 3)
    assert found[2, 1:3].tolist() == [3, 2]  # 7 s in [7, 15), 6 s in [3, 7)
    assert found[3, 1:].tolist() == [3, 3, 2]  # 10 s, 9 s, 3 s


@given(st.lists(st.integers(-(10**12), 10**13), min_size=1, max_size=20))
def test_a_longer_gap_is_never_in_a_lower_bucket(gaps):
    buckets = gap_buckets(np.sort(np.array(gaps, np.int64)))
    assert (np.diff(buckets) >= 0).all()
    assert buckets.min() >= 0
    assert buckets.max() < GAP_BUCKETS


# --- the graph ---


@pytest.mark.parametrize("calendar", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_computes_what_the_network_does_in_plain_numpy(tmp_path, calendar, kind):
    shape = SHAPE._replace(kind=kind)
    exported(tmp_path / "m", calendar=calendar, shape=shape)
    model, weights, items = SequenceModel.open(tmp_path / "m"), random_weights(shape, calendar=calendar), random_items()
    rows, times, lengths, now = histories()
    found = model.queries(rows, times, lengths, now)
    for i, n in enumerate(lengths.tolist()):
        vectors = np.array([items.vectors[row] if row >= 0 else items.unknown for row in rows[i, :n]])
        expected = network_alone(weights, shape, vectors.reshape(n, SHAPE.dims), times[i, :n], now[i])
        np.testing.assert_allclose(found[i], expected, atol=2e-5)


def test_a_users_query_is_the_same_alone_and_in_any_batch(model):
    rows, times, lengths, now = histories()
    together = model.queries(rows, times, lengths, now)
    for i in range(len(rows)):
        one = slice(i, i + 1)
        alone = model.queries(rows[one], times[one], lengths[one], now[one])
        assert np.abs(alone[0] - together[i]).max() <= BATCH_TOLERANCE


def test_what_stands_beyond_a_histories_length_does_not_matter(model):
    rows, times, lengths, now = histories()
    beyond = np.arange(SHAPE.length) >= lengths[:, None]
    other = model.queries(np.where(beyond, 0, rows), np.where(beyond, 0, times), lengths, now)
    np.testing.assert_allclose(other, model.queries(rows, times, lengths, now), atol=BATCH_TOLERANCE)


def test_order_and_time_both_count(model):
    rows = np.array([[1, 2, 3], [3, 2, 1], [1, 2, 3]], np.int32)
    times = NOW_MS + np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2]]) * MINUTE_MS
    now = NOW_MS + np.array([3, 3, 30_000]) * MINUTE_MS
    found = model.queries(rows, times, np.array([3, 3, 3]), now)
    assert np.abs(found[0] - found[1]).max() > 0.01
    assert np.abs(found[0] - found[2]).max() > 0.01


def test_nobody_is_an_empty_batch_and_too_long_a_history_is_refused(model):
    none = model.queries(np.zeros((0, 0), np.int32), np.zeros((0, 0), np.int64), np.zeros(0, int), np.zeros(0, int))
    assert none.shape == (0, SHAPE.dims)
    rows = np.zeros((1, SHAPE.length + 1), np.int32)
    with pytest.raises(ValueError, match="7 items"):
        model.queries(rows, rows.astype(np.int64), np.array([7]), np.array([0]))


# --- export ---


def test_an_export_that_is_not_the_network_is_refused_and_leaves_nothing(tmp_path):
    weights, items = random_weights(), random_items()
    trained = Trained(SHAPE, weights, items, None, 0, {})
    other = random_weights(seed=5)
    with pytest.raises(ModelError, match="differs from numpy: max abs error"):
        export(trained, tmp_path / "m", ("numpy", reference(other, SHAPE, items.vectors)))
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_a_kind_that_is_not_known_is_refused(directory, tmp_path):
    other = tmp_path / "m"
    shutil.copytree(directory, other)
    told = json.loads((other / "manifest.json").read_text()) | {"kind": "mamba"}
    (other / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match="'mamba' that is not known"):
        SequenceModel.open(other)


def test_the_manifest_says_what_is_needed_and_the_version_follows_the_files(tmp_path, directory):
    manifest = json.loads((directory / "manifest.json").read_text())
    shape = SHAPE._replace(kind=manifest["kind"])
    same, other = exported(tmp_path / "same", shape=shape), exported(tmp_path / "other", seed=3, shape=shape)
    assert manifest["text_model"] == "texts@1"
    assert manifest["parity"]["max_abs_error"] < 1e-4
    assert SequenceModel.open(directory).model_version == same.model_version != other.model_version


def test_an_older_model_is_replaced_and_nothing_else_is(tmp_path):
    exported(tmp_path / "m")
    newer = exported(tmp_path / "m", seed=3)
    assert SequenceModel.open(tmp_path / "m").model_version == newer.model_version
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "manifest.json").write_text('{"name": "an encoder"}')
    for name in ("other", "encoder"):
        with pytest.raises(ModelError, match="is not a sequence model"):
            exported(tmp_path / name)
    assert (tmp_path / "other" / "letter.txt").read_text() == "dear"


def test_a_missing_a_damaged_and_a_foreign_directory_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"no manifest\.json"):
        SequenceModel.open(tmp_path)
    exported(tmp_path / "m")
    items = tmp_path / "m" / "items.npz"
    items.write_bytes(items.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"items\.npz is missing or not what the manifest says"):
        SequenceModel.open(tmp_path / "m")
    (tmp_path / "m" / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be understood"):
        SequenceModel.open(tmp_path / "m")


# --- items ---


def test_what_is_written_of_items_is_what_is_read(tmp_path):
    items = random_items()._replace(ids=["", "a\nb", "商品", *IDS[3:]])
    write_items(tmp_path / "items.npz", items)
    write_items(tmp_path / "again.npz", items)
    found = read_items(tmp_path / "items.npz")
    assert found.ids == items.ids
    for name in ("vectors", "biases", "project", "project_bias", "unknown"):
        np.testing.assert_array_equal(getattr(found, name), getattr(items, name))
    assert (tmp_path / "items.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_a_cold_item_gets_the_place_of_its_text_and_a_trained_one_keeps_its_own():
    file = random_items()
    items = SequenceItems(file)
    texts = np.eye(TEXT_DIMS, dtype=np.float32)[:3]
    hashes = np.array([item_hash(i) for i in ("new", IDS[4], "textless")], np.uint64)
    texts[2] = 0
    assert items.put(hashes, texts) == 1
    rows = items.rows(["new", IDS[4], "textless", "never"])
    assert rows.tolist() == [len(IDS), 4, -1, -1]
    np.testing.assert_allclose(items.table.vectors[rows[0]], file.project[0] + file.project_bias, rtol=1e-6)
    assert items.table.biases[rows[0]] == file.cold_bias
    np.testing.assert_array_equal(items.table.vectors[4], file.vectors[4])
    np.testing.assert_array_equal(items.gathered(items.table, np.array([-1], np.int32))[0], file.unknown)


def test_whoever_holds_a_state_of_the_items_never_sees_it_change():
    items = SequenceItems(random_items())
    held = []
    rng = np.random.default_rng(0)
    for n in range(40):
        names = [f"new{rng.integers(0, n + 1)}" for _ in range(3)]
        items.put(
            np.array([item_hash(i) for i in names], np.uint64), rng.normal(size=(3, TEXT_DIMS)).astype(np.float32)
        )
        held.append((items.table, items.table.vectors.copy(), items.table.biases.copy()))
    for table, vectors, biases in held:
        np.testing.assert_array_equal(table.vectors, vectors)
        np.testing.assert_array_equal(table.biases, biases)
    assert len(held[-1][1]) == len(items)


def test_a_model_without_text_places_nothing(tmp_path):
    exported(tmp_path / "m", text=False)
    model = SequenceModel.open(tmp_path / "m")
    assert model.text_model is None
    with pytest.raises(ValueError, match="text vectors of 5 dimensions for a model of 0"):
        model.items.put(np.array([7], np.uint64), np.ones((1, TEXT_DIMS), np.float32))


def test_a_cold_item_can_be_in_a_history_and_in_an_answer(model):
    text = np.ones((1, TEXT_DIMS), np.float32)
    hashes = np.array([item_hash("new")], np.uint64)
    model.items.put(hashes, text)
    row = model.items.rows(["new"])
    times, one = np.array([[NOW_MS]]), np.array([1])
    known, unknown = (
        model.queries(np.array([[each]], np.int32), times, one, np.array([NOW_MS])) for each in (int(row[0]), -1)
    )
    assert np.abs(known - unknown).max() > 0.01
    allowed = np.zeros(len(model.items), bool)
    allowed[row] = True
    found = model.top_k(known, 2, allowed)
    assert model.items.hashes(found.items).tolist() == [[int(hashes[0]), NO_ITEM]]


# --- the answer ---


def test_the_likeliest_items_are_those_of_a_softmax_over_all():
    queries, vectors = np.array([[1.0, 0.0]], np.float32), np.array([[0, 1], [1, 0], [2, 5], [1, 9]], np.float32)
    biases = np.array([3, 0, 0, 0], np.float32)  # scores 3, 1, 2, 1
    allowed = np.array([False, True, True, True])
    found = top_k(queries, vectors, biases, 3, allowed)
    total = np.exp([3.0, 1.0, 2.0, 1.0]).sum()
    assert found.items.tolist() == [[2, 1, 3]]
    np.testing.assert_allclose(np.exp(found.log_probability[0]), np.exp([2.0, 1.0, 1.0]) / total, rtol=1e-5)
    np.testing.assert_allclose(np.exp(found.log_normaliser), total, rtol=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(0, 40), st.integers(1, 7))
def test_answers_do_not_depend_on_how_the_items_are_cut_into_blocks(seed, k, n, block):
    rng = np.random.default_rng(seed)
    queries, vectors = rng.integers(-2, 3, (3, 2)).astype(np.float32), rng.integers(-2, 3, (n, 2)).astype(np.float32)
    biases, allowed = np.zeros(n, np.float32), rng.random(max(0, n - 1)) < 0.7
    scores = queries @ vectors.T
    before, module._BLOCK = module._BLOCK, block
    try:
        found = top_k(queries, vectors, biases, k, allowed)
    finally:
        module._BLOCK = before
    for user in range(3):
        usable = [i for i in range(n) if i < allowed.size and allowed[i]]
        best = sorted(usable, key=lambda i: (-scores[user, i], i))[:k]
        assert found.items[user].tolist() == best + [-1] * (k - len(best))
        if n:
            log_all = np.log(np.exp(scores[user].astype(float)).sum())
            np.testing.assert_allclose(
                found.log_probability[user, : len(best)], scores[user, best] - log_all, atol=1e-4
            )


def test_the_probabilities_of_all_items_add_up_to_one(model):
    rows, times, lengths, now = histories(users=4)
    queries = model.queries(rows, times, lengths, now)
    found, everything = model.top_k(queries, 5), model.top_k(queries, len(IDS))
    np.testing.assert_allclose(found.log_probability, everything.log_probability[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.exp(everything.log_probability).sum(axis=1), 1.0, rtol=1e-5)
