"""`[experiments.NAME]`: what an arm's placement is, and which experiments there cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.experiments.assignment import Experiment
from stream.cli.main import app
from stream.settings import ENV_PREFIX, load_settings


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.upper().startswith(ENV_PREFIX):
            monkeypatch.delenv(variable)


def settings(text):
    Path("penchant.toml").write_text(text)
    return load_settings()


TWO = "arms = { control = 0.5, treatment = 0.5 }\n"


def test_an_arm_changes_single_settings_of_the_placement_and_of_tables_within():
    found = settings(
        "[placements.home]\nslots = 12\nfatigue = 0.5\nexplore = { slots = 1, rate = 0.5 }\n"
        f"[experiments.x]\n{TWO}"
        "changes.treatment.home = { fatigue = 0.0, diversity = 0.3, explore = { slots = 2 } }\n"
    )

    treated, control = found.placement_of("home", "x", "treatment"), found.placement_of("home", "x", "control")
    assert control == found.placement_of("home", "x", "holdout") == found.placements["home"]
    assert (treated.slots, treated.fatigue, treated.diversity) == (12, 0.0, 0.3)
    assert (treated.explore.slots, treated.explore.rate) == (2, 0.5)


def test_without_a_placement_arms_change_an_empty_one():
    found = settings(f"[experiments.x]\n{TWO}changes.treatment.home.diversity = 0.3\n")

    assert found.placement_of("home", "x", "treatment").diversity == 0.3
    assert found.placement_of("home", "x", "control").model_fields_set == set()


def test_experiments_are_in_the_order_of_their_names_and_salts_are_names_unless_said():
    found = settings(
        f"[experiments.b]\n{TWO}share = 0.5\n[experiments.a]\nsalt = 's'\nholdout = 0.1\narms = {{ old = 0.75, new = 0.25 }}\n"
        "control = 'old'\n"
    )

    assert found.experiments_in_order() == (
        Experiment("a", "s", 1.0, (("new", 0.25), ("old", 0.75)), "old", 0.1),
        Experiment("b", "b", 0.5, (("control", 0.5), ("treatment", 0.5)), "control"),
    )
    assert settings("[experiments.x]\narms = { v = 0.5, u = 0.5 }").experiments_in_order()[0].control == "u"
    assert settings("").experiments_in_order() == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[experiments.x]\narms = { a = 0.5, b = 0.4 }", "`experiments.x.arms` in penchant.toml: the weights of"),
        ("[experiments.x]\narms = { a = 1.5, b = -0.5 }", "`experiments.x.arms.a`"),
        ("[experiments.x]\narms = { a = 0.5, a = 0.5 }", "'a' (at line 2"),
        (f"[experiments.x]\n{TWO}[experiments.x]\n{TWO}", "penchant.toml is not valid TOML"),
        ("[experiments.x]\nshare = 0.5", "`experiments.x.arms` in penchant.toml: Field required"),
        ("[experiments.x]\narms = {}", "from 1 to 20 arms"),
        ("[experiments.x]\narms = { a = 1.0 }", "nothing to compare"),
        ("[experiments.x]\narms = { holdout = 0.5, b = 0.5 }", "'holdout'"),
        ("[experiments.X]\narms = { a = 0.5, b = 0.5 }", "`experiments.X"),
        (f"[experiments.x]\n{TWO}weight = 1", "`experiments.x.weight` in penchant.toml: no such setting"),
        (f"[experiments.x]\n{TWO}share = 0.0", "`experiments.x.share`"),
        (f"[experiments.x]\n{TWO}holdout = 1.0", "`experiments.x.holdout`"),
        (f"[experiments.x]\n{TWO}control = 'c'", "`control` names the arm 'c'"),
        (f"[experiments.x]\n{TWO}changes.c.home.diversity = 0.3", "names the arm 'c'"),
        (f"[experiments.x]\n{TWO}changes.control.cart.diversity = 0.3", "no placement 'cart'"),
        (f"[experiments.x]\n{TWO}changes.control.home.slots = 3", "`slots` is the same in all arms"),
        (f"[experiments.x]\n{TWO}changes.control.home.audience = 'minors'", "`audience` is the same in all arms"),
        (f"[experiments.x]\n{TWO}changes.control.home.diverse = 3", "`experiments.x.changes.control.home.diverse`"),
        (f"[experiments.x]\n{TWO}changes.control.home.diversity = 3", "`experiments.x.changes.control.home.diversity`"),
        (f"[experiments.x]\n{TWO}salt = 'y'\n[experiments.y]\n{TWO}", "experiments 'x' and 'y' have the same salt"),
    ],
)  # fmt: skip
def test_what_is_no_experiment_ends_a_command_with_one_line_and_exit_code_2(text, said):
    Path("penchant.toml").write_text(text)
    result = CliRunner().invoke(app, ["rules", "list"], prog_name="penchant")

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line
    assert "Fix: " in line
