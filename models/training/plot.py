"""A run as a picture: its loss by step, and beside it what its validation window said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

_SMOOTH_STEPS: Final = 20


def draw_run(path: Path, losses: list[float], loss_title: str, draw_metrics: Callable[[Any], None]) -> None:
    """Write a PNG.

    Args:
        path: of the picture.
        losses: one a step.
        loss_title: above their curve.
        draw_metrics: draws on the right half, matplotlib Axes; their legend is added.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    loss = np.array(losses)
    steps = np.arange(1, len(loss) + 1)
    left.plot(steps, loss, color="0.8", linewidth=0.8, label="each step")
    width = min(_SMOOTH_STEPS, len(loss))
    smooth = np.convolve(loss, np.ones(width) / width, mode="valid")
    left.plot(steps[width - 1 :], smooth, color="C0", label=f"mean of {width}")
    left.set(title=loss_title, xlabel="step")
    left.legend(frameon=False)
    draw_metrics(right)
    right.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120, format="png")
