"""Rounds over clients in this process, by Flower's strategies."""

from __future__ import annotations

import numpy as np
import pytest
from federated_shops import Adding, Failing

pytest.importorskip("flwr", reason="needs the extra federated: make federated")

from stream.analysis.federated.run import FederationError, FederationOptions, federate_here

START = {"table": np.zeros((2, 2))}


def middle(clients, **options):
    found = federate_here(clients, START, FederationOptions(rounds=1, **options))
    assert np.ptp(found.arrays["table"]) == 0.0
    return float(found.arrays["table"][0, 0]), found


def test_the_mean_is_weighted_by_examples_and_rounds_go_on_from_it():
    value, found = middle({"a": Adding(1.0, 10), "b": Adding(2.0, 30)})
    assert value == pytest.approx(1.75)
    assert found.bytes == 4 * 4 * 8
    assert found.refused() == {}

    three = federate_here({"a": Adding(1.0), "b": Adding(2.0)}, START, FederationOptions(rounds=3))
    assert float(three.arrays["table"][1, 1]) == pytest.approx(4.5)
    assert [len(verdicts) for verdicts in three.verdicts] == [2, 2, 2]


def test_who_sends_what_is_no_number_or_fails_is_named_and_does_not_count():
    clients = {"a": Adding(1.0), "broken": Adding(np.nan), "b": Adding(2.0), "lost": Failing()}

    value, found = middle(clients)

    assert value == pytest.approx(1.5)
    refused = found.refused()
    assert "table has numbers that are not finite" in refused["broken"]
    assert "lost: ValueError: the disk" in refused["node 4"]
    assert set(refused) == {"broken", "node 4"}


@pytest.mark.parametrize("how", ["mean", "median", "trimmed_mean"])
def test_a_client_that_lies_moves_little_and_is_named(how: str):
    honest = {f"shop {n}": Adding(1.0 + 0.01 * n) for n in range(5)}
    alone, _ = middle(honest, how=how)

    value, found = middle(honest | {"liar": Adding(-1e9, 1e12)}, how=how)

    assert "shortened to" in found.refused()["liar"]
    # The mean: ten times the median's say, at three times the median's length, in the wrong direction.
    bound = {"mean": 3.0, "median": 0.02, "trimmed_mean": 0.02}[how]
    assert abs(value - alone) <= bound
    if how == "mean":
        assert value < alone - 1.0  # so where somebody may lie, the mean is the wrong choice


def test_a_round_that_nobody_answers_ends_the_federation_and_says_why():
    with pytest.raises(FederationError, match=r"round 1 \(a: table has numbers that are not finite; node 2: it failed"):
        federate_here({"a": Adding(np.nan), "b": Failing()}, START, FederationOptions())
