"""Training the sequence model: what is taught and asked, that it learns, resumes to the bit, is kept only if better."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from models.encoder.hashing_encoder import HashingEncoder
from models.items.catalog import CatalogItem
from models.sequence.features import NO_GAP
from models.training.engagements import engagements
from models.training.sequence.evaluation import ItemScores, first_seen, gains, metrics, questions, ranks, slices
from models.training.sequence.histories import before, histories, lesson, segments
from models.training.sequence.texts import scaled, scaling
from stream.analysis.sequence_data import events_of_file, events_of_topic, items_of_topic, text_vectors
from stream.cli import train_sequence as train_cli
from stream.cli.main import app
from stream.files.mapping import EVENTS_AS_NAMED
from stream.params import decode_limits
from stream.settings import Settings

MODULES = ("torch", "onnx", "onnxruntime", "matplotlib")
needs_train = pytest.mark.skipif(not all(map(importlib.util.find_spec, MODULES)), reason="the extra train is not there")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

START_MS, MINUTE_MS = 1_700_000_000_000, 60_000
RING = 20
FAST = [
    *("--dims", "16", "--hidden", "16", "--length", "8", "--epochs", "6", "--learning-rate", "0.01", "--batch", "8"),
    *("--warmup-steps", "1", "--encoder", "hashing"),
]


def write_ring(directory, *, users=70, each=8, start_ms=START_MS, reverse=False, name="events"):
    """Everybody walks around a ring of items from somewhere; each user a while after the one before."""
    rng = np.random.default_rng(3)
    events, items = directory / f"{name}.jsonl", directory / "items.jsonl"
    rows = []
    for user in range(users):
        first = int(rng.integers(RING))
        for step in range(each):
            item = (first + (-step if reverse else step)) % RING
            at = start_ms + user * 3 * MINUTE_MS + step * MINUTE_MS
            rows.append({"user_id": f"u{user}", "action": "click", "item_id": f"i{item}", "event_time": at})
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = ({"item_id": f"i{n}", "title": f"word{n} thing"} for n in range(RING + 1))  # the last one nobody had
    items.write_text("".join(json.dumps(row) + "\n" for row in texts))
    return events, items


def command(*args, **environment):
    result = CliRunner().invoke(app, ["train", "sequence", *map(str, args)], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def of_users(*users):
    """Histories of `(item, second)` lists, one per user."""
    user = np.concatenate([np.full(len(rows), n) for n, rows in enumerate(users)]).astype(np.int32)
    item = np.array([item for rows in users for item, _ in rows], np.int32)
    return histories(engagements(user, item, np.array([START_MS + 1000 * s for rows in users for _, s in rows])))


# --- what is taught ---


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
def test_no_event_is_in_two_segments_and_only_a_single_one_in_the_middle_is_in_none(sizes, length, seed):
    events = of_users(*([(n, n) for n in range(size)] for size in sizes))
    found = segments(events, length, np.random.default_rng(seed))
    times_met = np.zeros(sum(sizes), int)
    for start, end in found.tolist():
        assert 1 <= end - start <= length + 1
        assert events.start[start] == events.start[end - 1]
        assert end - start > 1 or start == events.start[start]
        times_met[start:end] += 1
    assert times_met.max() == 1
    starts = {0, *np.cumsum(sizes)[:-1].tolist()}
    for left_out in np.flatnonzero(times_met == 0).tolist():
        assert left_out not in starts
        assert left_out + 1 == len(times_met) or times_met[left_out + 1] or left_out + 1 in starts


def test_each_place_of_a_lesson_is_taught_what_came_next_by_hand():
    events = of_users([(4, 0), (5, 2), (6, 62)], [(7, 0), (8, 1), (9, 5)])
    taught = lesson(events, np.array([[0, 3], [4, 6]]), 0.0, np.random.default_rng(0))
    assert taught.history.items.tolist() == [[4, 5], [8, -1]]
    # The second segment begins in the middle of a history: that nothing is known there would be a lie.
    assert taught.targets.tolist() == [[4, 5, 6], [-1, 9, -1]]
    assert taught.history.times.gap.tolist() == [[NO_GAP, 1, 3], [NO_GAP, 2, NO_GAP]]
    assert taught.history.lengths.tolist() == [2, 1]


def test_an_event_left_out_leaves_the_gap_between_those_that_remain():
    events = of_users([(n, 100 * n) for n in range(12)])
    for seed in range(20):
        taught = lesson(events, np.array([[0, 12]]), 0.4, np.random.default_rng(seed))
        told = [int(t) for t in taught.targets[0] if t >= 0]
        assert told == sorted(told)
        history = [int(i) for i in taught.history.items[0] if i >= 0]
        assert history == told[:-1]
        # 100 s is in bucket 4 ([64, 256) s), 300 s and more in 5 ([256, 1024) s).
        gaps = taught.history.times.gap[0, 1 : len(history) + 1].tolist()
        assert gaps == [4 if b - a < 3 else 5 for a, b in pairwise(told)]


def test_a_history_is_what_the_same_user_had_before_the_newest_of_it():
    events = of_users([(1, 0), (2, 1), (3, 2), (4, 3)], [(5, 0), (6, 9)])
    found = before(events, np.array([0, 3, 4, 5]), 2)
    assert found.lengths.tolist() == [0, 2, 0, 1]
    assert found.items.tolist() == [[-1, -1], [2, 3], [-1, -1], [5, -1]]
    assert found.times.gap[3].tolist() == [NO_GAP, 2, NO_GAP]  # 9 s later is when is asked


# --- what is asked ---


@given(st.integers(0, 10_000))
def test_ranks_are_those_of_plain_counting(seed):
    rng = np.random.default_rng(seed)
    n_items, users = 7, 5
    rows = [
        [(int(i), int(rng.integers(0, 50))) for i in rng.permutation(n_items)[: rng.integers(1, 6)]]
        for _ in range(users)
    ]
    rows = [sorted(row, key=lambda pair: pair[1]) for row in rows]
    events = of_users(*rows)
    items = ItemScores(rng.integers(0, 3, (n_items, 2)).astype(np.float32), np.zeros(n_items, np.float32))
    seen = first_seen(events, n_items)
    asked = questions(events, START_MS + 10_000, START_MS + 45_000, None, 0)
    found = ranks(events, asked, seen, lambda batch: np.ones((len(batch.lengths), 2), np.float32), items, 3)
    for row, rank in zip(asked.tolist(), found.tolist(), strict=True):
        at, target = events.time_ms[row], events.item[row]
        had = set(events.item[events.start[row] : row].tolist())
        ranked = [i for i in range(n_items) if seen[i] < at and i not in had]
        scores = items.vectors.sum(axis=1)
        if target not in ranked:
            assert rank == np.inf
            continue
        above = sum(scores[i] > scores[target] for i in ranked)
        equal = sum(scores[i] == scores[target] for i in ranked) - 1
        assert rank == 1 + above + equal / 2


def test_metrics_by_hand():
    found = metrics(np.array([1.0, 3.0, 10.0, 10.5, 20.0, np.inf]))
    assert found.hr == pytest.approx(3 / 6)
    assert found.hr20 == pytest.approx(5 / 6)
    assert found.ndcg == pytest.approx((1 + 1 / 2 + 1 / np.log2(11)) / 6)
    assert found.mrr == pytest.approx((1 + 1 / 3 + 1 / 10 + 1 / 10.5 + 1 / 20) / 6)
    assert gains(np.array([2.0, np.inf])).tolist() == pytest.approx([1 / np.log2(3), 0.0])


def test_slices_by_hand():
    events = of_users([(0, 0), (1, 10), (2, 10 + 1800), (3, 4000)])
    found = slices(events, np.arange(4), np.array([True, True, False, True]))
    assert found["newcomers"].tolist() == [True, False, False, False]
    assert found["session_starts"].tolist() == [False, False, True, True]
    assert found["untrained_items"].tolist() == [False, False, True, False]


def test_texts_are_centred_and_an_item_without_one_stays_at_zero():
    texts = np.array([[1, 2], [3, 6], [0, 0]], np.float32)
    found = scaled(texts, scaling(texts))
    np.testing.assert_allclose(found[:2].mean(axis=0), 0, atol=1e-6)
    assert found[2].tolist() == [0, 0]
    assert np.isfinite(scaled(texts[2:], scaling(texts[2:]))).all()


# --- losses ---


@needs_train
def test_sampling_estimates_the_softmax_over_all():
    import torch

    from models.training.sequence.losses import full_softmax, sampled_softmax

    torch.manual_seed(0)
    queries, vectors, biases = torch.randn(5, 4), torch.randn(30, 4) / 2, torch.randn(30)
    targets, counts = torch.arange(5), torch.arange(1.0, 31.0)
    exact = full_softmax(queries, targets, vectors, biases)
    by_hand = -(queries @ vectors.T + biases).log_softmax(dim=1)[torch.arange(5), targets].mean()
    assert exact.item() == pytest.approx(by_hand.item(), rel=1e-6)
    estimate = sampled_softmax(queries, targets, vectors, biases, counts, 200_000)
    assert estimate.item() == pytest.approx(exact.item(), abs=0.05)
    uncorrected = sampled_softmax(queries, targets, vectors, biases, torch.ones(30), 20).item()
    assert uncorrected != pytest.approx(exact.item(), abs=0.05)


@needs_train
def test_gbce_without_calibration_over_all_items_is_binary_cross_entropy():
    import torch

    from models.training.sequence.losses import gbce

    torch.manual_seed(0)
    queries, vectors, biases, targets = torch.randn(3, 4), torch.randn(2, 4), torch.zeros(2), torch.tensor([0, 1, 0])
    negatives = 4000  # as many items and more: alpha is 1
    found = gbce(queries, targets, vectors, biases, negatives, 0.75).item()
    scores = queries @ vectors.T
    positive = torch.nn.functional.softplus(-scores[torch.arange(3), targets])
    negative = torch.nn.functional.softplus(scores[torch.arange(3), 1 - targets]) * negatives / 2
    assert found == pytest.approx((positive + negative).mean().item(), rel=0.1)


# --- the command ---


@needs_train
def test_a_model_that_learned_the_order_is_kept_served_and_says_what_comes_next(tmp_path):
    from models.hashing import item_hash
    from models.sequence.model import SequenceModel

    events, items = write_ring(tmp_path)
    out = tmp_path / "out"
    result = command(events, "--items", items, "--out", out, *FAST, "--report", tmp_path / "told.json")
    assert result.exit_code == 0, result.stderr
    report = json.loads((out / "train.json").read_text())
    assert report["test"]["challenger"]["ndcg"] > report["test"]["incumbent"]["ndcg"] + 0.3
    assert report["incumbent"] == "popularity"
    assert (out / "train.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "told.png").is_file()
    assert not list(tmp_path.glob("*.checkpoint"))
    model = SequenceModel.open(out)
    assert model.model_version == report["model_version"]
    assert model.model_version in result.stdout
    assert model.text_model == HashingEncoder().model_version
    rows = model.items.rows(["i4", "i5", "i6"])[None]
    times = START_MS + np.arange(3)[None] * MINUTE_MS
    found = model.top_k(model.queries(rows, times, np.array([3]), times[:, 2] + MINUTE_MS), 1)
    assert model.items.hashes(found.items)[0, 0] == item_hash("i7")
    assert model.items.rows([f"i{RING}"])[0] == -1
    assert model.items.put(np.array([item_hash(f"i{RING}")], np.uint64), np.ones((1, model.items.text_dims))) == 1


@needs_train
def test_a_champion_stays_unless_later_events_are_ranked_better(tmp_path):
    first, out, told = tmp_path / "first", tmp_path / "out", tmp_path / "told.json"
    events, items = write_ring(tmp_path)
    assert command(events, "--items", items, "--out", first, *FAST).exit_code == 0
    # The same walk goes on, later: the champion knows it already.
    later, _ = write_ring(tmp_path, start_ms=START_MS + 10**8, name="later")
    given = [later, "--items", items, "--champion", first, *FAST, "--report", told]
    same = command(*given, "--out", out, "--min-gain", "0.2")
    assert same.exit_code == 1, same.stderr
    assert not out.exists()
    assert "not kept" in same.stderr
    report = json.loads(told.read_text())
    assert report["incumbent"] == json.loads((first / "train.json").read_text())["model_version"]
    assert report["test"]["incumbent"]["ndcg"] > 0.5
    # Of a window that begins before the champion was made, only what came afterwards is asked.
    both = tmp_path / "both.jsonl"
    newest = later.read_text().splitlines(keepends=True)[:24]
    both.write_text(events.read_text() + "".join(newest).replace(': "u', ': "new'))
    half = command(
        both, "--items", items, "--champion", first, "--out", out, *FAST, "--min-gain", "1", "--report", told
    )
    assert half.exit_code == 1, half.stderr
    assert json.loads(told.read_text())["test"]["incumbent"]["questions"] == len(newest)
    # Now everybody walks the other way.
    other, _ = write_ring(tmp_path, start_ms=START_MS + 10**8, name="other", reverse=True)
    better = command(other, "--items", items, "--champion", first, "--out", out, *FAST)
    assert better.exit_code == 0, better.stderr
    unfair = command(events, "--items", items, "--champion", first, "--out", tmp_path / "x", *FAST)
    assert unfair.exit_code == 2
    assert "has seen all of these events" in unfair.stderr


@needs_train
@pytest.mark.parametrize("stop", [("choosing", 13), ("final", 8)])
def test_an_interrupted_run_goes_on_to_the_same_model(tmp_path, monkeypatch, stop):
    from models.training.sequence import run

    events, items = write_ring(tmp_path)
    same = [events, "--items", items, *FAST, "--checkpoint-steps", "3", "--epochs", "3"]
    assert command(*same, "--out", tmp_path / "whole").exit_code == 0
    plain = run.train

    def until_stopped(*args, on_step, **options):
        def step(look):
            on_step(look)
            if (look.phase, look.step) == stop:
                raise KeyboardInterrupt

        return plain(*args, on_step=step, **options)

    monkeypatch.setattr(run, "train", until_stopped)
    assert command(*same, "--out", tmp_path / "cut").exit_code == 130
    monkeypatch.setattr(run, "train", plain)
    assert (tmp_path / "cut.checkpoint" / "checkpoint.pt").is_file()
    assert not (tmp_path / "cut").exists()
    other = command(*same, "--out", tmp_path / "cut", "--seed", "1")
    assert (other.exit_code, "other options" in other.stderr) == (2, True)
    assert command(*same, "--out", tmp_path / "cut").exit_code == 0
    for name in ("model.onnx", "items.npz", "train.json", "manifest.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


@needs_train
def test_without_text_and_with_every_loss_and_half_precision_it_learns_too(tmp_path):
    events, _ = write_ring(tmp_path)
    for extra in (["--loss", "sampled", "--negatives", "15"], ["--loss", "gbce", "--negatives", "10"],
                  ["--precision", "bf16", "--calendar"], ["--architecture", "hstu"], ["--architecture", "lru"]):  # fmt: skip
        out = tmp_path / extra[1]
        result = command(events, "--out", out, *FAST, *extra, "--encoder", "none")
        assert result.exit_code == 0, result.stderr
        assert "without text" in result.stderr
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["text_model"] is None
        assert manifest["kind"] == (extra[1] if extra[0] == "--architecture" else "sasrec")


@needs_train
@pytest.mark.skipif(importlib.util.find_spec("opacus") is None, reason="the extra train-private is not there")
def test_a_private_model_says_what_it_spent_makes_all_epochs_and_knows_the_catalogue_only(tmp_path):
    events, items = write_ring(tmp_path)
    with events.open("a") as file:
        row = {"user_id": "u1", "action": "click", "item_id": "secret", "event_time": START_MS + 1}
        file.write(json.dumps(row) + "\n")
    out = tmp_path / "out"
    private = [
        "--dp-epsilon",
        "4",
        "--dp-delta",
        "1e-3",
        "--max-grad-norm",
        "0.5",
        "--patience",
        "1",
        "--min-gain",
        "-1",
    ]
    result = command(events, "--items", items, "--out", out, *FAST, *private)
    assert result.exit_code == 0, result.stderr
    assert "1 engagement with others left out" in result.stderr
    assert "a person" in result.stdout
    report, manifest = (json.loads((out / name).read_text()) for name in ("train.json", "manifest.json"))
    spent = manifest["privacy"]
    assert report["privacy"] == spent
    assert 3.9 < spent["epsilon"] <= 4.0
    assert (spent["delta"], spent["max_grad_norm"], spent["sampling"], spent["unit"]) == (
        1e-3,
        0.5,
        "poisson",
        "person",
    )
    # 70 people, 8 of whom are expected in a step; 6 epochs of 9 steps, of the model that is served.
    assert (spent["sample_rate"], spent["steps"]) == (pytest.approx(8 / 70), 54)
    assert report["epochs"] == len(report["looks"]) == 6
    assert manifest["items"] == RING + 1  # nobody had the last one, and it is there
    with np.load(out / "items.npz", allow_pickle=False) as stored:
        assert b"secret" not in b"".join(stored[name].tobytes() for name in stored.files)


@needs_train
def test_events_of_one_moment_and_a_directory_of_something_else_are_named(tmp_path):
    events = tmp_path / "events.jsonl"
    row = {"user_id": "u", "action": "click", "event_time": START_MS}
    events.write_text("".join(json.dumps(row | {"item_id": f"i{n}"}) + "\n" for n in range(9)))
    result = command(events, "--out", tmp_path / "out", *FAST)
    assert (result.exit_code, "cannot be split" in result.stderr) == (2, True)
    events, _ = write_ring(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = command(events, "--out", tmp_path / "mine", *FAST)
    assert (result.exit_code, "is not a sequence model" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "name an event file, or give --from-topic"),
        (("events.jsonl", "--from-topic"), "name an event file, or give --from-topic"),
        (("--from-topic", "--items", "items.jsonl"), "--from-topic reads the items topic"),
        (("events.jsonl", "--heads", "3"), "--heads 3 does not divide --dims 64"),
        (("none.jsonl",), "none.jsonl"),
        (("events.jsonl", "--dp-epsilon", "0"), "epsilon is 0"),
        (("events.jsonl", "--dp-epsilon", "-2"), "epsilon is -2"),
        (("events.jsonl", "--dp-epsilon", "1", "--dp-delta", "1"), "delta is 1"),
        (("events.jsonl", "--dp-epsilon", "1", "--max-grad-norm", "0"), "--max-grad-norm 0"),
        (("events.jsonl", "--dp-epsilon", "1"), "a catalogue names only. Fix: give --items"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_exit_code_2(tmp_path, monkeypatch, args, said):
    monkeypatch.setattr(train_cli, "_NEEDED", ())
    monkeypatch.chdir(tmp_path)
    result = command(*args, "--out", tmp_path / "out")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


def test_what_is_not_installed_is_named_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(train_cli, "_NEEDED", ("json", "no_such_module"))
    result = command("events.jsonl", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "training needs no_such_module" in result.stderr
    assert "penchant[train" in result.stderr


def test_without_opacus_the_extra_of_private_training_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(train_cli, "_NEEDED", ())
    monkeypatch.setattr(train_cli, "_PRIVATE", ("no_such_module",))
    result = command("events.jsonl", "--items", "items.jsonl", "--out", tmp_path / "out", "--dp-epsilon", "8")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "private training needs no_such_module" in result.stderr
    assert "penchant[train-private" in result.stderr


# --- data ---


def test_the_topics_say_what_the_files_say(tmp_path, embedded):
    events, _ = write_ring(tmp_path, users=9)
    broker = embedded({"interest.events": 3, "interest.items": 1})
    settings = Settings(bootstrap_servers=broker.bootstrap_servers)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    lines = [line.encode() for line in events.read_text().splitlines()]
    extra = [
        {"user_id": "u0", "action": "impression", "item_id": "shown"},
        {"user_id": "u0", "action": "query", "text": "asked"},
    ]
    for line in [*lines, *(json.dumps(row).encode() for row in extra), b"not json"]:
        producer.produce("interest.events", line, json.loads(line)["user_id"].encode() if line[:1] == b"{" else b"x")
    described = {"item_id": "i1", "title": "one"}
    for key, value in (
        (b"i1", json.dumps(described).encode()),
        (b"gone", b'{"item_id": "gone", "title": "x"}'),
        (b"gone", None),
    ):
        producer.produce("interest.items", value, key)
    assert producer.flush(20) == 0
    strengths = dict.fromkeys(("view", "click", "like", "dislike", "cart", "purchase", "impression", "query"), 0.0)
    reading = {"limits": decode_limits(settings), "now_ms": START_MS + 10**9, "reading": {}}
    of_file = events_of_file(events, EVENTS_AS_NAMED, strengths | {"click": 1.0}, **reading)
    of_topic = events_of_topic(settings, decode_limits(settings))
    assert (of_topic.rows, of_topic.refused) == (len(lines) + 3, 1)
    assert walks(of_topic) == walks(of_file)
    assert items_of_topic(settings, decode_limits(settings)) == {"i1": CatalogItem("i1", "one")}


def walks(read):
    """What each user did, whatever the users' and the items' numbers are."""
    found = defaultdict(list)
    for user, item, time_ms in zip(*read.events, strict=True):
        found[user].append((read.ids[item], int(time_ms)))
    return sorted(found.values())


def test_an_items_vector_is_its_texts_whatever_the_batches_are():
    encoder = HashingEncoder()
    catalogue = {i: CatalogItem(i, f"title {i}" * (n % 5 + 1)) for n, i in enumerate("abcdefg")}
    catalogue["h"] = CatalogItem("h", catalogue["a"].title)
    found = text_vectors([*"abcdefgh", "unknown"], catalogue, encoder, 7)
    one_by_one = [text_vectors([i], catalogue, encoder, 1000)[0] for i in "abcdefgh"]
    np.testing.assert_array_equal(found[:8], one_by_one)
    assert not found[8].any()
    assert text_vectors(["unknown"], catalogue, encoder, 7) is None


# --- the evaluation ---


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="the extra encoder-cpu is not there")
def test_the_contender_asks_with_what_the_user_had_before_and_the_moment_of_the_question(tmp_path, monkeypatch):
    from sequence_models import IDS, exported

    from models.evaluation.contract import Known, Setup, Stream
    from models.sequence.model import SequenceModel
    from stream.analysis.rankings import sequence as evaluation_sequence

    exported(tmp_path / "m")
    model = SequenceModel.open(tmp_path / "m")
    monkeypatch.setattr(evaluation_sequence, "can_train", lambda: True)
    monkeypatch.setattr(evaluation_sequence, "trained", lambda *_: model)
    user, item = np.array([0, 1, 0, 0, 1, 0, 1], np.int32), np.array([2, 0, 1, 1, 3, 4, 12], np.int32)
    first = np.array([1, 1, 1, 0, 1, 1, 1], bool)
    time = START_MS + np.arange(7) * MINUTE_MS
    nothing = [np.zeros(7, kind) for kind in (np.uint8, np.int64, np.uint8, np.uint32, np.uint8)]
    stream = Stream(user, item, time, *nothing, np.full(7, -1, np.int32), np.ones(7, bool), first)
    ids = [*IDS, "no place"]
    known = Known(["a", "b"], ids, [None] * len(ids), np.zeros(len(ids), np.int64), [])
    contender = evaluation_sequence.SequenceAlone(Setup())
    contender.warm_up(stream, known, 2)
    vectors, biases = model.items.table
    expected = {2: ([2], [0]), 4: ([0], [1]), 5: ([2, 1], [0, 2]), 6: ([0, 3], [1, 4])}
    for at in range(2, 7):
        if first[at]:
            rows, events = (np.array(each)[None] for each in expected[at])
            query = model.queries(rows.astype(np.int32), time[events], np.array([rows.shape[1]]), time[at : at + 1])
            scores = contender.ask(at).scores
            np.testing.assert_allclose(scores[: len(IDS)], vectors @ query[0] + biases, rtol=1e-5)
            assert scores[-1] < scores[: len(IDS)].min()
        contender.learn(at)
