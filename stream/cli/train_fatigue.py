"""`penchant train fatigue`: how much what was seen and not taken should count."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from stream.analysis.fatigue.exposures import SeenJourneys
from stream.analysis.fatigue.figures import figures, placement_of
from stream.analysis.fatigue.screen import show_report
from stream.analysis.outcomes.journeys import Range
from stream.analysis.outcomes.read import Reading, read_into
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.moments import parse_moment_ms
from stream.cli.outputs import Report
from stream.display.terminal import say, stdout
from stream.errors import EXIT_FAILED, UsageError
from stream.rules.book import PLACEMENT
from stream.rules.live_placement import refusal_by
from stream.rules.topic import publish_changes, read_book
from stream.settings import load_settings
from stream.settings.experiments import changed_by
from stream.settings.placements import HOME, PlacementSettings

_HELP: Final = """\
Learn how much an item that was seen and not taken should fall, from impressions and clicks on the topics.

\b
Examples:
  penchant train fatigue --from 30d
  penchant train fatigue --from 30d --publish        # to all workers, while they run
  penchant train fatigue --placement cart --publish

Next: `penchant rules list` shows what was published; deploy/docs/placements.md says what fatigue is.

Impressions and clicks count if they name a recommendation_id, and if the list's reasons are on the topic. Exit code 1,
and nothing published, if too few were seen to say anything or the weight is not surely above 0."""

app = command_app()


@app.command("fatigue", help=_HELP)
def fatigue(
    from_: Annotated[
        str | None,
        options.optional(
            "From then on: 7d ago, a date, or RFC 3339. Default: from the beginning.", None, "TIME", "--from"
        ),
    ] = None,
    placement: Annotated[str, options.option("Whose setting is to be published.", None, "NAME")] = HOME,
    publish: Annotated[bool, options.flag("--publish", "Give it to all workers.")] = False,
    half_lives: Annotated[
        str, options.option("Hours that are tried; the one that explains clicks best counts.", None, "H,H,…")
    ] = "6,24,72,168",
    deadline: Annotated[int, options.option("Reading may take so long.", None, "SECONDS", min=1)] = 600,
    json_: options.Json = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    hours = _hours(half_lives)
    from_ms = None if from_ is None else parse_moment_ms("--from", from_, time.time_ns() // 1_000_000)
    report = Report(json_, None)
    reach(settings)
    asked = Range(from_ms, None)
    journeys = read_into(SeenJourneys(asked), settings, asked, Reading(settings, deadline))
    found = figures(journeys.seen_before(), hours)
    report.write(found)
    show_report(stdout(), found)
    given = placement_of(found)
    if given is None:
        raise typer.Exit(EXIT_FAILED)
    if publish:
        changed = PlacementSettings.model_validate(given)
        before = read_book(settings).placements.get(placement)
        live = changed if before is None else changed_by(before, changed)
        if (why := refusal_by(settings)(placement, live)) is not None:
            raise UsageError(f"{why}.", "see deploy/docs/placements.md")
        publish_changes(settings, {f"{PLACEMENT}{placement}": live})
        say(stdout(), f"Workers make lists of {placement} with it now.")


def _hours(text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0.0 < each < 1e6 for each in found):
        raise UsageError(f"--half-lives {text[:64]!r} are no hours.", "write numbers above 0, such as 6,24,72")
    return found
