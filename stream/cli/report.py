"""`penchant report`: what came of recommendations."""

from __future__ import annotations

from typing import ClassVar

from stream.cli.apps import group_app
from stream.cli.lazy import Lazy, LazyGroup


class Reports(LazyGroup):
    """A report a command."""

    table: ClassVar = {
        "outcomes": Lazy(
            "stream.cli.report_outcomes",
            "Say what recommendations earned: outcomes and their credits under every rule, click rates of strategies, "
            "position bias.",
        ),
        "experiment": Lazy(
            "stream.cli.report_experiment",
            "Say what the arms of an experiment changed, with intervals that hold however often one looks.",
        ),
        "fairness": Lazy(
            "stream.cli.report_fairness",
            "Say whose items lists show beside what people take, and which people lists serve well.",
        ),
    }
    renamed: ClassVar = {"attribution": "outcomes"}


app = group_app("What came of recommendations, from the topics.", Reports)
