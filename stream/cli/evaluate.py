"""`penchant evaluate`: what can be judged on a file of events."""

from __future__ import annotations

from typing import Any, ClassVar

from stream.cli.apps import group_app
from stream.cli.lazy import Lazy, LazyGroup, say_renamed


class Evaluations(LazyGroup):
    """For one release `penchant evaluate EVENTS …` still judges rankings. A file with a command's name is `./rankings`."""

    table: ClassVar = {
        "rankings": Lazy(
            "stream.cli.evaluate_rankings",
            "Judge rankings on a file of events as it would have been live: every first engagement after the warm-up is "
            "ranked, then learned.",
        ),
        "reasons": Lazy(
            "stream.cli.evaluate_reasons",
            "Judge how faithful the reasons are: what becomes of a score without what an explanation names, or with "
            "nothing else.",
        ),
        "clicks": Lazy(
            "stream.cli.evaluate_clicks",
            "Judge stated click probabilities on events with impressions: what is shown is scored and stated, then "
            "learned.",
        ),
        "leave-one-out": Lazy(
            "stream.cli.evaluate_leave_one_out",
            "Judge models of what comes next by each user's last item, as published figures are: full ranking, query "
            "time known and not.",
        ),
        "policy": Lazy(
            "stream.cli.evaluate_policy",
            "Say what another `explore.rate` would have been clicked, from logged lists and what people did with them.",
        ),
    }
    renamed: ClassVar = {"attribution": "reasons"}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            say_renamed(f"{ctx.command_path} EVENTS", f"{ctx.command_path} rankings EVENTS")
            args = ["rankings", *args]
        return super().parse_args(ctx, args)


app = group_app(
    "Judge rankings, reasons, click probabilities, next items or exploration on files of your own.", Evaluations
)
