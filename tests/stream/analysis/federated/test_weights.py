"""A shop's rounds: from everybody's weights, some steps by its own choices."""

from __future__ import annotations

import numpy as np
import pytest
from federated_shops import write_shop

from models.ranking.weights import default_weights
from stream.analysis.federated.app import _as_arrays, _as_choices, choices_of
from stream.analysis.federated.weights import CALIBRATION, TABLE, initial, train_round, weights_of
from stream.errors import InputFileError, UsageError
from stream.settings import load_settings

SETTINGS = {"encoder_model": "none"}


@pytest.fixture
def choices(tmp_path):
    events = write_shop(tmp_path / "leeds.csv", 1)
    return choices_of({"name": "leeds", "events": str(events)}, load_settings(**SETTINGS))


def test_a_federation_begins_with_the_weights_that_penchant_comes_with():
    assert weights_of(initial()).table.tolist() == default_weights().table.tolist()


def test_a_round_moves_the_weights_a_little_and_says_of_how_many_choices(choices):
    given = initial()

    one, examples = train_round(choices, given, {"steps": 5})
    more, _ = train_round(choices, one, {"steps": 5})

    assert examples == len(choices.real) >= 20
    assert 0.0 < np.abs(one[TABLE] - given[TABLE]).max() < 1e3
    assert not np.array_equal(more[TABLE], one[TABLE])
    assert one[CALIBRATION].shape == (2,)
    assert given[TABLE].tolist() == default_weights().table.tolist()


def test_the_same_choices_and_weights_give_the_same_update(choices):
    one, _ = train_round(choices, initial(), {"steps": 5})
    again, _ = train_round(_as_choices(_as_arrays(choices)), initial(), {"steps": 5})

    assert one[TABLE].tolist() == again[TABLE].tolist()


def test_a_place_that_is_not_configured_says_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match="node's configuration has no `events`"):
        choices_of({"name": "leeds"})
    with pytest.raises(InputFileError):
        choices_of({"name": "leeds", "events": str(tmp_path / "nothing.csv")}, load_settings(**SETTINGS))
