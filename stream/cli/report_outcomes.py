"""`penchant report outcomes`: what recommendations earned."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal

from stream.analysis.outcomes.figures import figures
from stream.analysis.outcomes.page import page
from stream.analysis.outcomes.plots import plots
from stream.analysis.outcomes.read import read_found
from stream.analysis.outcomes.screen import show_report
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.moments import parse_range, parse_span_ms, said_range
from stream.cli.outputs import Report
from stream.display.terminal import stdout
from stream.settings import load_settings

_HELP: Final = """\
Say what recommendations earned: outcomes and their credits under every rule, click rates of strategies, position bias.

\b
Examples:
  penchant report outcomes --from 7d
  penchant report outcomes --from 2026-01-01 --to 2026-02-01 \\
      --rule markov --json report.json --html report.html

Next: deploy/docs/outcomes-report.md says what each number means, and its limits.

Times are those of the events. Nothing is written to Kafka. Impressions and clicks count if they name a recommendation_id."""

_CREDITS, _RANGE = "Credits", "Range"

Rule = Literal["recorded", "last_touch", "first_touch", "linear", "position_based", "time_decay", "markov", "shapley"]
OutcomeAction = Literal["purchase", "cart", "click"]

app = command_app()


@app.command("outcomes", help=_HELP)
def outcomes(
    from_: Annotated[
        str | None,
        options.optional(
            "From then on: 7d ago, a date, or RFC 3339. Default: from the beginning.", _RANGE, "TIME", "--from"
        ),
    ] = None,
    to: Annotated[str | None, options.optional("Before then. Default: until now.", _RANGE, "TIME")] = None,
    deadline: Annotated[int, options.option("Reading may take so long.", _RANGE, "SECONDS", min=1)] = 600,
    action: Annotated[
        OutcomeAction, options.option("Whose credits are shown; refunds subtract.", _CREDITS)
    ] = "purchase",
    rule: Annotated[Rule, options.option("How they are divided.", _CREDITS)] = "recorded",
    half_life: Annotated[
        str | None,
        options.optional("Of the rule time_decay. Default: the setting outcome_half_life_h.", _CREDITS, "SPAN"),
    ] = None,
    json_: options.Json = None,
    html: options.Html = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    now_ms = time.time_ns() // 1_000_000
    asked = parse_range(from_, to, now_ms)
    half_life_ms = (
        round(3_600_000 * settings.outcome_half_life_h)
        if half_life is None
        else parse_span_ms("--half-life", half_life)
    )
    report = Report(json_, html)
    reach(settings)
    found = {
        **said_range(asked, now_ms),
        "action": action,
        "rule": rule,
        **figures(read_found(settings, asked, deadline), half_life_ms),
    }
    report.write(found, _page)
    show_report(stdout(), found)


def _page(report: dict[str, Any]) -> str:
    return page(report, plots(report))
