"""`penchant report experiment`: what an experiment's arms changed."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from models.experiments.assignment import Experiment
from stream.analysis.experiments.figures import PEOPLE_MIN, figures
from stream.analysis.experiments.read import read_found
from stream.analysis.experiments.screen import show_report
from stream.analysis.outcomes.journeys import Range
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.moments import parse_moment_ms, parse_span_ms, said
from stream.cli.outputs import Report
from stream.display.terminal import stdout
from stream.errors import UsageError
from stream.settings import Settings, load_settings

_HELP: Final = """\
Say what the arms of an experiment changed, with intervals that hold however often one looks.

\b
Examples:
  penchant report experiment diverse --from 2026-01-01
  penchant report experiment diverse --from 14d --before 28d --json report.json

Next: deploy/docs/experiments.md says what each number means, and its limits.

Times are those of the events. Nothing is written to Kafka. Who is in which arm is computed from the settings."""

_RANGE: Final = "Range"
_NONE: Final = "none"

app = command_app()


@app.command("experiment", help=_HELP)
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in the settings.")],
    from_: Annotated[
        str | None,
        options.optional("When the experiment began: 7d ago, a date, or RFC 3339. Needed.", _RANGE, "TIME", "--from"),
    ] = None,
    to: Annotated[str | None, options.optional("Before then. Default: until now.", _RANGE, "TIME")] = None,
    before: Annotated[
        str,
        options.option("What people did so long before it began narrows the intervals (CUPED); none: no.", _RANGE),
    ] = "14d",
    deadline: Annotated[int, options.option("Reading may take so long.", _RANGE, "SECONDS", min=1)] = 600,
    json_: options.Json = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    asked = _experiment(settings, name)
    now_ms = time.time_ns() // 1_000_000
    if from_ is None:
        raise UsageError("When did the experiment begin?", "say it with --from")
    from_ms = parse_moment_ms("--from", from_, now_ms)
    to_ms = None if to is None else parse_moment_ms("--to", to, now_ms)
    if from_ms >= (now_ms if to_ms is None else to_ms):
        raise UsageError(f"--from {from_} is not before {'now' if to is None else f'--to {to}'}.", "exchange them")
    before_ms = 0 if before == _NONE else parse_span_ms("--before", before)
    report = Report(json_, None)
    reach(settings)
    read = read_found(settings, asked, Range(from_ms - before_ms, to_ms), deadline)
    found: dict[str, Any] = {
        "experiment": name,
        "from": said(from_ms),
        "to": said(now_ms if to_ms is None else to_ms),
        "before_ms": before_ms,
        "read": {
            "records": read.records,
            "unreadable": read.unreadable,
            "people_share": read.people_share,
            "moved": read.moved,
        },
        **figures(asked, read.lists, read.people, read.categories, from_ms),
    }
    _refuse_too_few(name, found)
    report.write(found)
    show_report(stdout(), found)


def _experiment(settings: Settings, name: str) -> Experiment:
    for each in settings.experiments_in_order():
        if each.name == name:
            return each
    there_are = ", ".join(sorted(settings.experiments)) or "none"
    raise UsageError(f"There is no experiment {name!r} in the settings; there are: {there_are}.", "name one of them")


def _refuse_too_few(name: str, found: dict[str, Any]) -> None:
    people = {arm["arm"]: arm["people"] for arm in found["arms"]}
    if all(row["too_few"] == "people" for row in found["lifts"]):
        told = ", ".join(f"{n:,} in {arm}" for arm, n in people.items())
        moved = found["read"]["moved"]
        left = f" {moved:,} more have a list of another arm than the settings say now." if moved else ""
        raise UsageError(
            f"Experiment {name!r} has too few people to say anything: {told}; {PEOPLE_MIN} in each of two are needed.{left}",
            "wait until more people have had a list, or give the experiment a larger share",
        )
