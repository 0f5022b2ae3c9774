"""What the demo says at its end, and what it says while it keeps serving."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from stream.demo.hit_rate import HitRate
from stream.demo.tally import Figures
from stream.demo.view import duration
from stream.files.feed import ReplayReport
from stream.kafka.embedded import LIMITS
from stream.kafka.specs import topic_specs
from stream.settings import Settings


def problems_of(figures: Figures, lost: Mapping[str, int], lost_inside: float | None) -> list[str]:
    """Everything that makes the figures incomplete, one sentence each; none when all is well.

    `lost_inside` is the worker's own count of records it never got; None: it could not be asked.
    """
    problems = [f"{n:,} records of {topic} were dropped before the demo read them" for topic, n in sorted(lost.items())]
    if lost_inside is None:
        problems.append("the worker's metrics endpoint did not say whether it lost records")
    elif lost_inside:
        problems.append(f"the worker missed {lost_inside:,.0f} records that the broker had dropped")
    owed = (
        (figures.waiting_users, "users have no list that reflects their newest event"),
        (figures.missing_reasons, "recommended items have no reason"),
        (figures.missing_refusals, "refused records have no dead letter"),
        (figures.missing_outcomes, "purchases were neither credited to a list nor found to be nobody's"),
    )
    return problems + [f"{n:,} {what}" for n, what in owed if n]


def print_summary(
    console: Console, figures: Figures, report: ReplayReport, elapsed_s: float, problems: list[str]
) -> None:
    """The table, what went wrong, and what to do next."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False, title="Read from the published topics")
    table.title_justify = "left"
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in _rows(figures, report, elapsed_s, problems):
        table.add_row(name, value)
    console.print(table)
    if problems:
        console.print("[bold red]The figures are not complete[/]: see what is missing.")
    console.print(
        "Next:\n"
        "  [bold]penchant demo --serve[/]    keep this running and send events of your own\n"
        "  [bold]penchant worker --help[/]   run it on your Apache Kafka\n"
        "  [bold]penchant replay --help[/]   and feed it your own data"
    )


def print_serving(
    console: Console,
    settings: Settings,
    metrics_url: str,
    serve_url: str,
    partitions: int,
    user_id: str,
    titles: Mapping[str, str],
) -> None:
    """Addresses, limits and commands to try."""
    servers = settings.bootstrap_servers
    if serve_url:
        console.print(f"\nThe explorer: [bold]{serve_url}[/]  (why {user_id} sees what they see)", soft_wrap=True)
    console.print(f"\n[bold green]Serving.[/] Kafka protocol at [bold]{servers}[/], metrics at {metrics_url}")
    console.print(f"Topics, {partitions} partitions each:")
    for spec in topic_specs(settings):
        console.print(f"  {spec.name:<30} {spec.purpose}", markup=False)
    console.print("This broker is for trying out:")
    for limit in LIMITS:
        console.print(f"  - {limit}", markup=False)
    console.print("Try, in another terminal:")
    for what, command in _commands(settings, metrics_url, serve_url, user_id, titles):
        console.print(f"\n[dim]# {what}[/]")
        console.print(command, markup=False, soft_wrap=True)
    console.print("\nCtrl-C stops everything.")


def _rows(figures: Figures, report: ReplayReport, elapsed_s: float, problems: list[str]) -> list[tuple[str, str]]:
    refused = ", ".join(f"{n} {reason}" for reason, n in sorted(figures.refused.items()))
    rows = [
        ("events", f"{figures.events:,} ({report.rate:,.0f}/s), users {figures.users:,}"),
        ("recommendations", f"{figures.recommendations:,}, with {figures.reasons:,} reasons"),
        ("outcomes", f"{figures.outcomes:,} purchases, {figures.outcomes_attributed:,} credited to a list before them"),
        ("refused", f"{sum(figures.refused.values())} sent on purpose: {refused}"),
        ("freshness", _freshness(figures)),
    ]
    rows += [(f"hit rate @{rate.cutoff}", _hit_rate(rate)) for rate in figures.hit_rates]
    if figures.hit_rates:
        rows.append(("", _what_was_asked(figures.hit_rates)))
    return [
        *rows,
        ("lost", "; ".join(problems) or "nothing: every record followed the one before it"),
        ("duration", f"{elapsed_s:.0f} s, of which {report.duration_s:.0f} s replay"),
    ]


def _hit_rate(rate: HitRate) -> str:
    return (
        f"[bold]{rate.of_lists:.2%}[/] ({rate.list_hits:,}), popularity {rate.of_popularity:.2%} "
        f"({rate.popularity_hits_with_list:,}); of all: {rate.of_lists_all:.2%}, popularity {rate.of_popularity_all:.2%}"
    )


def _what_was_asked(rates: tuple[HitRate, ...]) -> str:
    questions, with_list = rates[0].questions, rates[0].with_list
    return (
        f"[dim]of {with_list:,} new purchases of users with a list: was it in the last list published before? "
        f"'of all' adds {questions - with_list:,} made before a first list, as misses. The source has one minute for all "
        "lines of an order: they come at once, so a list is judged by the next order; popularity has no delay.[/]"
    )


def _freshness(figures: Figures) -> str:
    if figures.freshness_p50_ms is None or figures.freshness_p99_ms is None:
        return "no list reflected an event"
    return (
        f"p50 {duration(figures.freshness_p50_ms)}, p99 {duration(figures.freshness_p99_ms)} from an event to the list "
        "that reflects it, by their Kafka timestamps"
    )


def _commands(
    settings: Settings, metrics_url: str, serve_url: str, user_id: str, titles: Mapping[str, str]
) -> list[tuple[str, str]]:
    servers, item_id = settings.bootstrap_servers, next(iter(titles), "85123A")
    options = f"-K '|' -X topic.partitioner={settings.partitioner}"
    event = f'{{"user_id":"{user_id}","item_id":"{item_id}","action":"purchase"}}'
    asking = [
        ("ask for that shopper's list", f"curl -s '{serve_url}v1/users/{user_id}/recommendations?n=3&explain=true'"),
        (
            "a shop whose list follows every click",
            f"python deploy/examples/shop/shop.py --penchant {serve_url}",
        ),
    ]
    return [
        *(asking if serve_url else []),
        (
            "somebody buys something (Penchant expects Java's partitioner; kcat has another by default)",
            f"echo '{user_id}|{event}' | kcat -P -b {servers} -t {settings.topic_events} {options}",
        ),
        (
            "and this is the newest list for that shopper",
            f"kcat -C -b {servers} -t {settings.topic_recommendations} -e -q -f '%k|%s\\n' | grep '^{user_id}|' | tail -1",
        ),
        ("lists as they come", f"penchant watch --bootstrap-servers {servers}"),
        ("how fresh, how far behind, how much", f"curl -s {metrics_url} | grep -E '^penchant_(lag_records|event_to)'"),
        ("what was refused, and why", f"kcat -C -b {servers} -t {settings.topic_dead_letter} -e -q -f '%h\\n  %s\\n'"),
    ]
