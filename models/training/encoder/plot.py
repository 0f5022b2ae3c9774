"""A fine-tuning run as a picture: loss and the validation window's metrics by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.plot import draw_run


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of a report of `models.training.encoder.finetune`."""

    def metrics(axes: Any) -> None:
        steps = [look["step"] for look in report["looks"]]
        for name, colour in (("mrr", "C0"), ("recall", "C1")):
            values = [look[name] for look in report["looks"]]
            axes.plot(steps, values, color=colour, marker="o", label=f"{name}, validation")
            for when, style in (("before", ":"), ("after", "--")):
                axes.axhline(report["test"][when][name], color=colour, linestyle=style, label=f"{name}, test, {when}")
        axes.set(title="Next co-engaged item, by text", xlabel="step")

    draw_run(path, report["losses"], "Training loss", metrics)
