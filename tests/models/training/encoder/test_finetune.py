"""Fine-tuning a tiny random BERT: it learns, it resumes to the bit, it keeps only what is better, it tells what it forgot."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT, TESTS
from shop_of_topics import DAY_MS, START_MS, write_shop
from typer.testing import CliRunner

from stream.cli.main import app

MODULES = ("torch", "transformers", "peft", "onnx", "onnxruntime")
needs_train = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, MODULES)), reason="the extra train is not installed"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's, transformers' and peft's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
FAST = [
    *("--epochs", "8", "--batch", "16", "--learning-rate", "0.005", "--lora-rank", "4"),
    *("--dropout", "0", "--evaluate-steps", "10"),
]


@pytest.fixture
def model(tmp_path):
    from tiny_models import tiny_model

    return tiny_model(tmp_path / "model", "bert")


def command(*args, **environment):
    result = CliRunner().invoke(app, ["encoder", "finetune", *map(str, args)], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def process(*args, prefix=(), code=None, **environment):
    """The command in a process of its own."""
    run = ["-c", code, *map(str, args)] if code else ["-m", "stream", "encoder", "finetune", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS / 'support'}", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, *prefix, *run], env=environment, capture_output=True, text=True, timeout=150, check=False
    )


@needs_train
def test_a_better_model_is_kept_served_and_can_be_tuned_further(tmp_path, model):
    from models.encoder.onnx_encoder import OnnxEncoder

    items, events = write_shop(tmp_path)
    out = tmp_path / "out"
    result = command(events, "--items", items, "--model", model, "--out", out, *FAST)
    assert result.exit_code == 0, result.stderr
    report = json.loads((out / "finetune.json").read_text())
    assert report["test"]["after"]["mrr"] > report["test"]["before"]["mrr"] + 0.05
    assert report["losses"][-1] < report["losses"][0]
    assert (out / "finetune.png").read_bytes().startswith(b"\x89PNG")
    encoder = OnnxEncoder(out, provider="cpu")
    assert encoder.model_version == report["model_version"]
    assert not list(tmp_path.glob("*.checkpoint"))
    again = command(events, "--items", items, "--model", out, "--out", tmp_path / "second", *FAST, "--min-gain", "-1")
    assert again.exit_code == 0, again.stderr
    second = OnnxEncoder(tmp_path / "second", provider="cpu")
    assert second.model_version != encoder.model_version
    start = json.loads((tmp_path / "second" / "finetune.json").read_text())["test"]["before"]["mrr"]
    assert start == pytest.approx(report["test"]["after"]["mrr"], abs=1e-3)


@needs_train
def test_a_model_that_got_worse_on_the_later_window_is_not_kept(tmp_path, model):
    first, out, told = tmp_path / "first", tmp_path / "out", tmp_path / "told.json"
    items, events = write_shop(tmp_path)
    assert command(events, "--items", items, "--model", model, "--out", first, *FAST).exit_code == 0
    items, events = write_shop(tmp_path, contrary_until=0.8)
    result = command(events, "--items", items, "--model", first, "--out", out, *FAST, "--report", told)
    assert result.exit_code == 1
    assert not out.exists()
    assert not list(tmp_path.glob("*.checkpoint"))
    line = result.stderr.strip().splitlines()[-1]
    report = json.loads(told.read_text())
    assert report["gain"] < 0
    assert f"mrr fell by {-report['gain']:.4f} on the test window" in line
    assert told.with_suffix(".png").is_file()


@needs_train
def test_what_is_forgotten_is_told_and_replay_and_anchor_keep_it(tmp_path, model):
    """Tuned to one task, then to another over the same items, with and without what holds on to the first."""
    first = tmp_path / "first"
    items, old = write_shop(tmp_path, name="old")
    assert command(old, "--items", items, "--model", model, "--out", first, *FAST).exit_code == 0
    _, new = write_shop(tmp_path, seed=1, shift=1, start_ms=START_MS + 40 * DAY_MS)
    after = {}
    for name, extra in {
        "nothing": ["--replay-share", "0"],
        "replay": ["--replay-share", "0.5"],
        "anchor": ["--replay-share", "0", "--anchor", "5"],
    }.items():
        told = tmp_path / f"{name}.json"
        result = command(
            new, "--items", items, "--model", first, "--out", tmp_path / name, *FAST, "--replay", old,
            "--report", told, *extra,
        )  # fmt: skip
        assert result.exit_code in {0, 1}, result.output
        assert "old task: mrr" in result.output
        before, after[name] = (json.loads(told.read_text())["old"][when]["mrr"] for when in ("before", "after"))
        assert before > after[name] or name != "nothing"
    assert after["replay"] > after["nothing"]
    assert after["anchor"] > after["nothing"]


KILLED = """
import os, signal, sys
from models.training.encoder import finetune
from stream.cli.main import app
plain = finetune.finetune
def until_killed(*args, on_step, **options):
    def step(look):
        if look.step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        on_step(look)
    return plain(*args, on_step=step, **options)
finetune.finetune = until_killed
app(["encoder", "finetune", *sys.argv[1:]])
"""


@needs_train
def test_a_run_killed_in_the_middle_goes_on_to_the_same_weights(tmp_path, model):
    from safetensors.numpy import load_file

    items, events = write_shop(tmp_path)
    same = ["--items", items, "--model", model, *FAST, "--accumulate", "2", "--anchor", "0.1"]
    same += ["--evaluate-steps", "5", "--checkpoint-steps", "3", "--dropout", "0.1"]
    whole = process(events, *same, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    killed = process(events, *same, "--out", tmp_path / "killed", code=KILLED)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (tmp_path / "killed.checkpoint" / "checkpoint.pt").is_file()
    other = process(events, *same, "--out", tmp_path / "killed", "--seed", "1")
    assert (other.returncode, "other options" in other.stderr) == (2, True), other.stderr
    resumed = process(events, *same, "--out", tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "step 5 of" not in resumed.stderr  # it went on; it did not begin again
    expected, found = (load_file(tmp_path / name / "source" / "model.safetensors") for name in ("whole", "killed"))
    assert expected.keys() == found.keys()
    for name, weights in expected.items():
        np.testing.assert_array_equal(weights, found[name], err_msg=name)
    reports = [json.loads((tmp_path / name / "finetune.json").read_text()) for name in ("whole", "killed")]
    assert reports[0] == reports[1]


@needs_train
def test_a_damaged_checkpoint_is_named_and_can_be_given_up(tmp_path, model):
    items, events = write_shop(tmp_path)
    damaged = tmp_path / "out.checkpoint" / "checkpoint.pt"
    damaged.parent.mkdir()
    damaged.write_bytes(b"half of it")
    args = [events, "--items", items, "--model", model, "--out", tmp_path / "out", *FAST, "--precision", "bf16"]
    result = command(*args)
    assert result.exit_code == 2
    assert f"{damaged} cannot be read" in result.stderr
    assert "--restart" in result.stderr
    assert command(*args, "--restart").exit_code == 0
    assert not damaged.parent.exists()
    assert json.loads((tmp_path / "out" / "finetune.json").read_text())["precision"] == "bfloat16"


@needs_train
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path, model):
    """Negatives are gathered with their gradients: without that the losses part at the second step."""
    items, events = write_shop(tmp_path)
    same = [events, "--items", items, "--model", model, "--dropout", "0", "--lora-dropout", "0", "--epochs", "2"]
    same += ["--learning-rate", "0.003", "--lora-rank", "4", "--min-gain", "-1"]
    one = process(*same, "--batch", "16", "--out", tmp_path / "one")
    assert one.returncode == 0, one.stderr
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two = process("--batch", "8", *same, "--out", tmp_path / "two", prefix=torchrun)
    assert two.returncode == 0, two.stderr[-3000:]
    one, two = (json.loads((tmp_path / name / "finetune.json").read_text()) for name in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(one["losses"]) == 8
    assert one["losses"] == pytest.approx(two["losses"], abs=1e-4)


@needs_train
def test_a_text_or_a_known_partner_is_never_a_negative_and_the_loss_is_right_by_hand():
    import torch

    from models.training.encoder.losses import Known, info_nce

    queries = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), dim=1)
    documents = torch.nn.functional.normalize(torch.tensor([[1.0, 1.0], [1.0, 2.0], [3.0, 1.0], [1.0, 0.0]]), dim=1)
    scores = (queries @ documents.T / 0.5).exp().numpy()
    # Documents 0 and 2 read the same; document 3 reads like query 0, and is known to go with query 1.
    known = Known(torch.tensor([3 * 10 + 4, 3 * 10 + 7]), 10)
    found = info_nce(queries, documents, torch.tensor([3, 4]), torch.tensor([7, 8, 7, 3]), 0, 0.5, known)
    first = -np.log(scores[0, 0] / scores[0, [0, 1]].sum())
    second = -np.log(scores[1, 1] / scores[1, :3].sum())
    assert found.item() == pytest.approx((first + second) / 2, rel=1e-6)


@needs_train
def test_the_anchor_costs_nothing_where_nothing_moved():
    import torch

    from models.training.encoder.losses import anchor_loss

    start = torch.nn.functional.normalize(torch.tensor([[1.0, 2.0], [0.5, -1.0]]), dim=1)
    assert anchor_loss(start, start).item() == pytest.approx(0, abs=1e-6)
    assert anchor_loss(-start, start).item() == pytest.approx(2)


@needs_train
@pytest.mark.parametrize("family", ["distilbert", "xlm-roberta", "electra"])
def test_other_families_have_adapters_in_every_layer(tmp_path, family):
    from tiny_models import tiny_model

    from models.encoder.source import find_source
    from models.training.encoder.tuned_model import adapted

    source = find_source(str(tiny_model(tmp_path / "model", family)))
    adapted_names = {
        name.split(".lora_A")[0] for name, p in adapted(source, 2, 4, 0, None, 0).named_parameters() if p.requires_grad
    }
    layers = 2 if family == "distilbert" else 3
    assert len({name.split(".lora_B")[0] for name in adapted_names}) == 6 * layers


@needs_train
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model", "MODEL", "--out", "MODEL"], "is not an exported encoder"),
        (["--model", "nowhere/at all", "--out", "out"], "is not a directory"),
        (["--model", "MODEL", "--out", "out", "--precision", "fp16"], "fp16 trains on a GPU only"),
        (["--model", "MODEL", "--out", "out", "--learning-rate", "1e30"], "the loss is not finite"),
    ],
)
def test_what_a_person_can_mend_is_one_line(tmp_path, model, args, said):
    items, events = write_shop(tmp_path)
    args = [str(model) if each == "MODEL" else str(tmp_path / each) if each == "out" else each for each in args]
    result = command(events, "--items", items, *FAST, *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Fix: " in result.stderr.strip().splitlines()[-1]


def test_without_the_extra_it_says_which_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("stream.cli.making.find_spec", lambda name: None if name == "peft" else object())
    items, events = write_shop(tmp_path)
    result = command(events, "--items", items, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "needs peft" in result.stderr
    assert "penchant[train]" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
