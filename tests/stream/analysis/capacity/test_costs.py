"""The table of costs that is shipped, and tables that are none."""

from __future__ import annotations

import json

import msgspec
import pytest

from stream.analysis.capacity.costs import Costs, read, shipped
from stream.errors import UsageError


def test_what_is_shipped_was_measured_and_is_plausible():
    costs = shipped()
    assert all(value > 0 for value in msgspec.to_builtins(costs).values() if isinstance(value, float))
    assert 1e-6 < costs.cpu_s_per_event < 1e-3
    assert costs.cpu_s_per_event < costs.cpu_s_per_list < 0.1


def test_a_table_that_is_read_is_as_it_was_written():
    costs = shipped()
    assert read(msgspec.json.encode(costs), "x") == costs


@pytest.mark.parametrize("change", [{"cpu_s_per_event": "much"}, {"unknown": 1.0}, {"commit": None}])
def test_a_table_that_is_none_is_refused_in_a_line(change: dict[str, object]):
    content = json.dumps(msgspec.to_builtins(shipped()) | change).encode()
    with pytest.raises(
        UsageError, match=r"mine.json is no table of costs: .*Fix: make one with `make bench NAME=costs`"
    ):
        read(content, "mine.json")
    with pytest.raises(UsageError):
        read(b"\xff", "mine.json")
    assert Costs.__struct_fields__[0] == "version"
