"""A run as a picture: loss and the validation window's metrics by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

_SMOOTH_STEPS: Final = 20


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of a report of `models.training.finetune`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = np.array(report["losses"])
    steps = np.arange(1, len(losses) + 1)
    left.plot(steps, losses, color="0.8", linewidth=0.8, label="each step")
    width = min(_SMOOTH_STEPS, len(losses))
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    left.plot(steps[width - 1 :], smooth, color="C0", label=f"mean of {width}")
    left.set(title="Training loss", xlabel="step")
    left.legend(frameon=False)
    looks = [look["step"] for look in report["looks"]]
    for name, colour in (("mrr", "C0"), ("recall", "C1")):
        right.plot(
            looks, [look[name] for look in report["looks"]], color=colour, marker="o", label=f"{name}, validation"
        )
        for when, style in (("before", ":"), ("after", "--")):
            right.axhline(report["test"][when][name], color=colour, linestyle=style, label=f"{name}, test, {when}")
    right.set(title="Next co-engaged item, by text", xlabel="step")
    right.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120, format="png")
