"""A run as a picture: loss by step, and NDCG of the validation window by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

_SMOOTH_STEPS: Final = 20


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of a report of `models.training.sequence.run`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = np.array(report["losses"])
    steps = np.arange(1, len(losses) + 1)
    left.plot(steps, losses, color="0.8", linewidth=0.8, label="each step")
    width = min(_SMOOTH_STEPS, len(losses))
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    left.plot(steps[width - 1 :], smooth, color="C0", label=f"mean of {width}")
    left.set(title=f"Training loss ({report['loss']})", xlabel="step")
    left.legend(frameon=False)
    epochs = [look["epoch"] for look in report["looks"]]
    for name, colour in (("ndcg", "C0"), ("hr", "C1")):
        values = [look[name] for look in report["looks"]]
        right.plot(epochs, values, color=colour, marker="o", label=f"{name}@10, validation")
        for who, style in (("incumbent", ":"), ("challenger", "--")):
            right.axhline(report["test"][who][name], color=colour, linestyle=style, label=f"{name}@10, test, {who}")
    right.set(title="Next item, ranked among all", xlabel="epoch")
    right.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120, format="png")
