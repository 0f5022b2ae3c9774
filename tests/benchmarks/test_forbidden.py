"""No list holds what a rule forbids while rules and catalogue change; and the check would see it."""

from __future__ import annotations

import pytest

from benchmarks.forbidden import run
from stream.rules.active import ActiveRules


@pytest.mark.parametrize("seed", [1, 2])
def test_no_forbidden_item_and_sums_are_exact(seed: int) -> None:
    figures = run(1_200, seed)

    assert (figures["forbidden"], figures["unequal_sums"]) == (0, 0)
    assert figures["changes"] > 5


def test_the_check_sees_what_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActiveRules, "_allowed", lambda *_: (None, ()))

    assert run(2_000, 1)["forbidden"] > 0
