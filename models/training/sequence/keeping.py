"""From a trained network to the directory that a worker serves, with the report and a picture beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.sequence.export import Trained, export
from models.sequence.features import times_of
from models.sequence.graph import Shape
from models.sequence.items import ItemFile
from models.sequence.parity import Questions
from models.training.result import write_report
from models.training.sequence.histories import Batch
from models.training.sequence.plot import draw
from models.training.sequence.settings import SequenceSettings
from models.training.sequence.texts import Scaling
from models.training.sequence.trainer import Trainer

REPORT_FILE, PLOT_FILE = "train.json", "train.png"


def keep(
    trainer: Trainer,
    ids: list[str],
    texts: Scaling | None,
    text_model: str | None,
    trained_until_ms: int,
    settings: SequenceSettings,
    report: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Export, and the report with the version of what was exported.

    Raises:
        ModelError: the export is refused, or the disk is in the way.
    """
    import torch

    weights = {name: value.numpy() for name, value in trainer.weights().items()}
    # An item that no event was about has no learned part: a worker places it by its text, if it is in the catalogue.
    numbers = np.flatnonzero(trainer.trained)
    trained = Trained(
        Shape(settings.layers, settings.heads, settings.dims, settings.length, settings.architecture),
        weights,
        _items(trainer, ids, numbers, weights, texts),
        text_model if texts is not None else None,
        trained_until_ms,
        {"test": report["test"], "gain": report["gain"], "incumbent": report["incumbent"]},
        report.get("privacy"),
    )

    def reference(asked: Questions) -> NDArray[np.float32]:
        valid = np.arange(asked.rows.shape[1]) < asked.lengths[:, None]
        history = np.where(valid, numbers[asked.rows], -1)
        return trainer.queries(Batch(history, times_of(asked.times_ms, asked.lengths, asked.now_ms), asked.lengths))

    def beside(directory: Path, model_version: str) -> None:
        write_report(report | {"model_version": model_version}, directory / REPORT_FILE)
        draw(report, directory / PLOT_FILE)

    manifest = export(trained, out, (f"torch {torch.__version__}", reference), beside=beside)
    return report | {"model_version": manifest.model_version}


def _items(
    trainer: Trainer, ids: list[str], numbers: NDArray[np.int64], weights: dict[str, Any], texts: Scaling | None
) -> ItemFile:
    vectors, biases = trainer.items()
    unknown = weights["unknown"]
    project, project_bias = np.zeros((0, unknown.size), np.float32), unknown
    if texts is not None:
        # The network reads (text - mean) * scale; folded into the matrix, a worker gives it the encoder's vector as it is.
        project = (weights["project.weight"].T * np.float32(texts.scale)).astype(np.float32)
        project_bias = unknown - texts.mean @ project
    return ItemFile(
        ids=[ids[number] for number in numbers.tolist()],
        vectors=vectors[numbers],
        biases=biases[numbers],
        project=np.ascontiguousarray(project),
        project_bias=project_bias,
        unknown=unknown,
        cold_bias=float(weights["unknown_popularity"]),
    )
