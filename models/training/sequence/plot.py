"""A run as a picture: loss by step, and NDCG of the validation window by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.plot import draw_run


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of a report of `models.training.sequence.run`."""

    def metrics(axes: Any) -> None:
        epochs = [look["epoch"] for look in report["looks"]]
        for name, colour in (("ndcg", "C0"), ("hr", "C1")):
            values = [look[name] for look in report["looks"]]
            axes.plot(epochs, values, color=colour, marker="o", label=f"{name}@10, validation")
            for who, style in (("incumbent", ":"), ("challenger", "--")):
                axes.axhline(report["test"][who][name], color=colour, linestyle=style, label=f"{name}@10, test, {who}")
        axes.set(title="Next item, ranked among all", xlabel="epoch")

    draw_run(path, report["losses"], f"Training loss ({report['loss']})", metrics)
