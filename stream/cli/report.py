"""`penchant report`: what came of recommendations. Added by `stream.cli.main`."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from stream.cli import options
from stream.cli.evaluate import OUT, check_writable, write

_HELP: Final = """\
Say what recommendations earned: outcomes and their credits under every rule, click rates of strategies, position bias.

\b
Examples:
  penchant report attribution --from 7d
  penchant report attribution --from 2026-01-01 --to 2026-02-01 \\
      --rule markov --json report.json --html report.html

Next: deploy/docs/outcomes-report.md says what each number means, and its limits.

Times are those of the events. Nothing is written to Kafka. Impressions and clicks count if they name a recommendation_id."""

_CREDITS, _RANGE = "Credits", "Range"

Rule = Literal["recorded", "last_touch", "first_touch", "linear", "position_based", "time_decay", "markov", "shapley"]
OutcomeAction = Literal["purchase", "cart", "click"]

report = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="What came of recommendations, from the topics."
)


@report.callback()
def _group() -> None:
    """Keeps `attribution` a word of its own though it is the only one."""


@report.command("attribution", help=_HELP)
def report_attribution(
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="From then on: 7d ago, a date, or RFC 3339. Default: from the beginning.",
            rich_help_panel=_RANGE,
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Before then. Default: until now.", rich_help_panel=_RANGE, show_default=False
        ),
    ] = None,
    deadline: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="Reading may take so long.", rich_help_panel=_RANGE)
    ] = 600,
    action: Annotated[
        OutcomeAction, typer.Option(help="Whose credits are shown; refunds subtract.", rich_help_panel=_CREDITS)
    ] = "purchase",
    rule: Annotated[Rule, typer.Option(help="How they are divided.", rich_help_panel=_CREDITS)] = "recorded",
    half_life: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN",
            help="Of the rule time_decay. Default: the setting outcome_half_life_h.",
            rich_help_panel=_CREDITS,
            show_default=False,
        ),
    ] = None,
    json_: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Every figure.", rich_help_panel=OUT, show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A page with plots.", rich_help_panel=OUT, show_default=False),
    ] = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    from stream.analysis.outcomes.figures import figures  # noqa: PLC0415
    from stream.analysis.outcomes.journeys import Range  # noqa: PLC0415
    from stream.analysis.outcomes.read import read_found  # noqa: PLC0415
    from stream.analysis.outcomes.screen import show_report  # noqa: PLC0415
    from stream.cli.moments import parse_moment_ms, parse_span_ms  # noqa: PLC0415
    from stream.display.terminal import stdout  # noqa: PLC0415
    from stream.errors import UsageError  # noqa: PLC0415
    from stream.kafka.reach import reach  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings(bootstrap_servers=bootstrap_servers)
    now_ms = time.time_ns() // 1_000_000
    asked = Range(
        None if from_ is None else parse_moment_ms("--from", from_, now_ms),
        None if to is None else parse_moment_ms("--to", to, now_ms),
    )
    if asked.from_ms is not None and asked.from_ms >= (now_ms if asked.to_ms is None else asked.to_ms):
        raise UsageError(f"--from {from_} is not before {'now' if to is None else f'--to {to}'}.", "exchange them")
    half_life_ms = (
        round(3_600_000 * settings.outcome_half_life_h)
        if half_life is None
        else parse_span_ms("--half-life", half_life)
    )
    for path in (json_, html):
        check_writable(path)
    if html is not None and find_spec("matplotlib") is None:
        raise UsageError("--html needs matplotlib, not installed here.", "pip install 'penchant[evaluate]'")
    reach(settings)
    found = {
        "from": "the beginning" if asked.from_ms is None else _told(asked.from_ms),
        "to": _told(now_ms if asked.to_ms is None else asked.to_ms),
        "action": action,
        "rule": rule,
        "command": " ".join(sys.argv),
        **figures(read_found(settings, asked, deadline), half_life_ms),
    }
    if json_ is not None:
        write(json_, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if html is not None:
        _write_page(html, found)
    show_report(stdout(), found)


def _told(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def _write_page(path: Path, found: dict[str, Any]) -> None:
    from stream.analysis.outcomes.page import page  # noqa: PLC0415
    from stream.analysis.outcomes.plots import plots  # noqa: PLC0415

    write(path, page(found, plots(found)))
