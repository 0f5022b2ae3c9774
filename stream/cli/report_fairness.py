"""`penchant report fairness`: whose items are shown, and whom lists serve well."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from stream.analysis.fairness.figures import ReportOptions, figures
from stream.analysis.fairness.item_groups import patterns_without_category
from stream.analysis.fairness.page import page
from stream.analysis.fairness.plots import plots
from stream.analysis.fairness.read import read_found
from stream.analysis.fairness.screen import show_report
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.moments import parse_range, said_range
from stream.cli.outputs import Report
from stream.cli.placements import topic_of
from stream.display.terminal import stdout
from stream.errors import UsageError
from stream.settings import load_settings
from stream.settings.placements import HOME

_HELP: Final = """\
Say whose items lists show beside what people take, and which people lists serve well.

\b
Examples:
  penchant report fairness --from 30d
  penchant report fairness --supplier brand --json fair.json --html fair.html
  penchant report fairness --placement cart --categories 'wine*,books'

Next: deploy/docs/fairness.md says what each number means, how to bound one by a rule, and what that costs.

Lists are those that the topic still has, by the time of the newest event that each knows. Nothing is written to Kafka."""

_RANGE, _GROUPS = "Range", "Groups"

app = command_app()


@app.command("fairness", help=_HELP)
def fairness(
    from_: Annotated[
        str | None,
        options.optional(
            "Lists from then on: 7d ago, a date, or RFC 3339. Default: from the beginning.", _RANGE, "TIME", "--from"
        ),
    ] = None,
    to: Annotated[str | None, options.optional("Before then. Default: until now.", _RANGE, "TIME")] = None,
    deadline: Annotated[int, options.option("Reading may take so long.", _RANGE, "SECONDS", min=1)] = 600,
    placement: options.Placement = HOME,
    patience: Annotated[
        float,
        options.option(
            "Probability that who looks at a place looks at the next one, too.", _GROUPS, min=0.01, max=0.99
        ),
    ] = 0.85,
    new_days: Annotated[
        float, options.option("An item is new for so long after `published_at`.", _GROUPS, "DAYS", min=0.01)
    ] = 30.0,
    supplier: Annotated[
        str | None,
        options.optional(
            "Attribute that says whose an item is. Default: supplier, seller, brand, publisher, shop, author or artist, "
            "the first that items have.",
            _GROUPS,
            "NAME",
        ),
    ] = None,
    categories: Annotated[
        str,
        options.optional("Those to tell apart, * for anything. Default: the 12 largest.", _GROUPS, "PATTERN,…"),
    ] = "",
    json_: options.Json = None,
    html: options.Html = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    now_ms = time.time_ns() // 1_000_000
    asked = parse_range(from_, to, now_ms)
    topic = topic_of(settings, placement)
    report = Report(json_, html)
    reach(settings)
    span = said_range(asked, now_ms)
    read = read_found(settings, topic, asked, deadline)
    if not read.collected.lists:
        raise UsageError(
            f"Topic {topic} has no list from {span['from']} to {span['to']}.",
            "give a wider range, or see `penchant doctor` why there are no lists",
        )
    patterns = tuple(each.strip() for each in categories.split(",") if each.strip())
    found = {
        "placement": placement,
        **span,
        "read": {
            "records": read.records,
            "unreadable": read.unreadable,
            "people_share": read.collected.share,
        },
        "sensitive_without_category": patterns_without_category(
            read.collected.items.values(), settings.sensitive_categories
        ),
        **figures(read.collected, ReportOptions(patience, new_days, supplier, patterns)),
    }
    report.write(found, _page)
    show_report(stdout(), found)


def _page(report: dict[str, Any]) -> str:
    return page(report, plots(report))
