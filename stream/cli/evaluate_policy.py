"""`penchant evaluate policy`: what another rate of exploration would have earned."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from pydantic import ValidationError

from stream.analysis.policy.figures import candidate_rate, figures
from stream.analysis.policy.logged import collect, read_lists
from stream.analysis.policy.screen import show_report
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import input_files
from stream.cli.outputs import Report
from stream.display.terminal import stdout
from stream.errors import UsageError
from stream.files.reading import read_events
from stream.files.toml_tables import read_toml
from stream.params import decode_limits
from stream.settings import load_settings
from stream.settings.faults import first_fault
from stream.settings.placements import HOME, PlacementSettings

_HELP: Final = """\
Say what another `explore.rate` would have been clicked, from logged lists and what people did with them.

\b
Examples:
  penchant evaluate policy lists.jsonl events.jsonl --candidate candidate.toml
  penchant evaluate policy reasons.jsonl.gz events.csv --candidate candidate.toml \\
      --action purchase --json policy.json

Next: deploy/docs/placements.md says what the log can tell of, and of what it cannot.

CANDIDATE has a table [placements.home] as in penchant.toml, with another `explore.rate`, or without places that explore, and
the rest as it is."""

app = command_app()


@app.command("policy", help=_HELP)
def policy(
    lists: Annotated[
        Path,
        typer.Argument(
            metavar="LISTS", help="Records of the topic of lists, or of reasons, as JSON lines, also compressed."
        ),
    ],
    events: options.Events,
    candidate: Annotated[
        Path, typer.Option("--candidate", metavar="FILE", help="The placement that is judged, in TOML.")
    ],
    action: Annotated[
        Literal["click", "cart", "purchase"], options.option("What a place is worth showing for.", options.RUN)
    ] = "click",
    map_: options.EventMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    json_: options.Json = None,
) -> None:
    settings = load_settings()
    configured = settings.placements.get(HOME, PlacementSettings.model_validate({}))
    rate = candidate_rate(_placement_in(candidate), configured)
    report = Report(json_, None)
    files = input_files(events, None, map_, "", timezone, time_unit, time_pattern)
    known, counts = read_lists(lists)
    rows = read_events(
        files.events,
        files.columns,
        limits=decode_limits(settings),
        now_ms=time.time_ns() // 1_000_000,
        **files.reading,
    )
    found = figures(collect(known, counts, rows, action), rate) | {"action": action}
    report.write(found)
    show_report(stdout(), found)


def _placement_in(path: Path) -> PlacementSettings:
    tables = read_toml(path).get("placements", {})
    if not isinstance(tables, dict) or HOME not in tables:
        raise UsageError(f"{path} has no table [placements.{HOME}].", "give one, as in penchant.toml")
    try:
        return PlacementSettings.model_validate(tables[HOME])
    except ValidationError as error:
        where, reason = first_fault(error)
        raise UsageError(f"`placements.{HOME}.{where}` in {path}: {reason}.", "see deploy/docs/placements.md") from None
