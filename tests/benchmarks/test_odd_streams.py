"""No slice collapses on streams of one user, one item, first visits, falling times, a bot, or a season that begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.odd_streams import STREAMS, judge, main, write

EVENTS = 2_000
ENOUGH_QUESTIONS = 60
COLLAPSED = 0.5
"""Of the best baseline's NDCG@10; below it something is broken, not unlucky."""


@pytest.mark.parametrize("name", STREAMS)
def test_no_slice_collapses(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENCHANT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")
    path = Path(f"{name}.csv")
    write(STREAMS[name](EVENTS, 0), path)

    verdict = judge(path, Path("work"))["verdict"]

    rows = [row for row in verdict["rows"] if row["questions"] >= ENOUGH_QUESTIONS]
    assert [row["slice"] for row in rows if row["mark"] == "behind"] == []
    assert [row for row in rows if row["value"] < COLLAPSED * row["best_value"]] == []


def test_streams_are_what_they_are_called(tmp_path: Path) -> None:
    made = {name: make(EVENTS, 1) for name, make in STREAMS.items()}

    assert len(np.unique(made["one_user"].user)) == 1
    assert len(np.unique(made["one_item"].item)) == 1
    assert len(np.unique(made["first_visits"].user)) == EVENTS
    assert (np.diff(made["backwards"].time_s) <= 0).all()
    assert 0.89 <= np.mean(made["bot"].user == -1) <= 0.91
    assert all((np.diff(made[name].time_s) >= 0).all() for name in ("one_user", "first_visits", "bot", "season"))
    before, after = np.split(made["season"].item, [int(0.8 * EVENTS) - 50])
    assert len(np.setdiff1d(after, before)) > 20

    assert main([str(tmp_path), "--events", "200"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.csv" for name in STREAMS)
