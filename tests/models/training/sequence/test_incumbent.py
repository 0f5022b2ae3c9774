"""A champion of any architecture answers a training run's questions as it answers a worker's."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_models import IDS, SHAPE, exported

from models.sequence.graph import KINDS
from models.sequence.model import SequenceModel
from models.training.engagements import engagements
from models.training.sequence.histories import before, histories
from models.training.sequence.incumbent import champion

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

START_MS = 1_700_000_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_champion_answers_in_training_as_it_serves(tmp_path, kind):
    exported(tmp_path / "m", shape=SHAPE._replace(kind=kind))
    model = SequenceModel.open(tmp_path / "m")
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(9), 8).astype(np.int32), rng.integers(0, len(IDS), 72).astype(np.int32)
    events = histories(engagements(user, item, START_MS + np.cumsum(rng.integers(0, 10**8, 72))))
    rows = np.arange(events.item.size)
    asked = before(events, rows, SHAPE.length)

    found = champion(tmp_path / "m", IDS, None, None).queries(asked)

    for n, row in enumerate(rows.tolist()):
        past = np.arange(max(events.start[row], row - SHAPE.length), row)
        served = model.queries(
            model.items.rows([IDS[i] for i in events.item[past]])[None],
            events.time_ms[None, past], np.array([past.size]), events.time_ms[row : row + 1],
        )  # fmt: skip
        np.testing.assert_allclose(found[n], served[0], atol=2e-5)
