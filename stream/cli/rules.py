"""`penchant rules`: what a shop wants of its lists, given to all workers while they run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import UNSET

from models.items.catalog import Catalog
from models.items.index import ItemIndex
from stream.analysis.data import read_catalogue_topic
from stream.analysis.person.lookup import open_lookup, read_behaviours, read_topics
from stream.analysis.simulation.price import price_of, show_prices
from stream.analysis.simulation.replay import Candidate
from stream.analysis.simulation.run import rules_in, simulate_all
from stream.analysis.simulation.screen import show_proof
from stream.cli import options
from stream.cli.apps import group_app
from stream.cli.connection import connected
from stream.cli.outputs import Report
from stream.cli.placements import checked_placement
from stream.display.terminal import Cell, Style, say, say_json, show_table, stderr, stdout
from stream.errors import UsageError
from stream.params import decode_limits
from stream.refresh.publish import Published
from stream.refresh.sequence import open_sequence
from stream.rules.book import PLACEMENT, RULE, RuleBook
from stream.rules.files import Wanted, read_wanted
from stream.rules.lint import Finding, lint
from stream.rules.rule import Rule
from stream.rules.topic import publish_changes, read_book
from stream.settings import Settings
from stream.settings.placements import HOME, PlacementSettings
from stream.wire.records import Recommendation

app = group_app("Rules of the lists: filter, deny, boost, pin, cap, promote. Workers take a change up while they run.")

_APPLY_HELP = """\
Give the rules of a file to all workers. Rules with the same ids are replaced; others stay, unless --prune.

\b
Examples:
  penchant rules apply rules.toml
  penchant rules apply rules.toml --prune

Next: `penchant rules list`, and `penchant watch` to see lists follow. How to write rules: deploy/docs/rules.md."""

_LIST_HELP = """\
The rules on the topic, in the order in which they count.

\b
Examples:
  penchant rules list
  penchant rules list --json

Next: `penchant rules lint`, to see how many items each means."""

_REMOVE_HELP = """\
Take rules away from all workers.

\b
Examples:
  penchant rules remove christmas
  penchant rules remove christmas new-year

Next: `penchant rules list`."""

_LINT_HELP = """\
Say how many items of the catalogue each rule means, and what is wrong with the rules together: those that mean nothing, that
leave too few items, two pins for one place, promotions of what is forbidden. Exit code 1 if something is.

\b
Examples:
  penchant rules lint                # those on the topic
  penchant rules lint rules.toml     # a file, before it is applied

Next: `penchant rules apply rules.toml`."""

_TEST_HELP = """\
Show what a person would be shown with the rules of a file beside what they are shown now, and what moved each place. Nothing is
published. Texts are not read: the part `interest` is left out of both.

\b
Examples:
  penchant rules test rules.toml --user 17850
  penchant rules test rules.toml --user 17850 --only

Next: `penchant rules apply rules.toml`."""

_PRICE_HELP = """\
Say what each rule cost on a recorded day: all lists are made again as they were, and without each of the rules. Positive is
what people were given less of, by what the ranking expects of them, and by what they clicked.

\b
Examples:
  penchant rules price journal/1767225600000.journal
  penchant rules price journal/1767225600000.journal --rule christmas --first 5

Next: deploy/docs/simulate.md says how to record a journal. What rules' places were clicked: `penchant report outcomes`."""

RULES_PRICED_MAX = 20
"""At once: for each of them all lists are made, and a worker's memory is needed."""

_FILE = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of rules.")]


@app.command("apply", help=_APPLY_HELP)
def apply(
    file: _FILE,
    prune: Annotated[bool, options.flag("--prune", "Remove all rules that are not in the file.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers)
    wanted, book = _by_key(*read_wanted(file, settings)), read_book(settings)
    there = _on_topic(book)
    changes: dict[str, Rule | PlacementSettings | None] = {
        key: each for key, each in wanted.items() if there.get(key) != each
    }
    changed = len(changes)
    if prune:
        changes |= dict.fromkeys(sorted((set(there) | book.refused_keys) - set(wanted)))
    publish_changes(settings, changes)
    say(
        stdout(),
        f"{changed:,} changed, {len(changes) - changed:,} removed, {len(wanted) - changed:,} as before.",
    )


def _by_key(rules: Mapping[str, Rule], placements: Mapping[str, PlacementSettings]) -> dict[str, Any]:
    return {f"{RULE}{rule_id}": rule for rule_id, rule in rules.items()} | {
        f"{PLACEMENT}{name}": each for name, each in placements.items()
    }


def _on_topic(book: RuleBook) -> dict[str, Any]:
    return _by_key(book.rules, book.placements)


@app.command("list", help=_LIST_HELP)
def list_rules(
    bootstrap_servers: options.BootstrapServers = None,
    json_: Annotated[bool, options.flag("--json", "One JSON object per rule or placement and line.")] = False,
) -> None:
    book = read_book(connected(bootstrap_servers=bootstrap_servers))
    for why in book.refused:
        say(stderr(), f"not used: {why}", "bold red")
    if json_:
        for rule_id, rule in sorted(book.rules.items()):
            say_json(stdout(), {"rule_id": rule_id} | rule.model_dump(exclude_defaults=True))
        for name, changed in sorted(book.placements.items()):
            say_json(stdout(), {"placement": name} | changed.model_dump(exclude_unset=True))
        return
    if not book.rules and not book.placements:
        say(stdout(), "There are no rules.")
        return
    now_ms = time.time_ns() // 1_000_000
    rows = [
        (
            Cell(rule_id),
            Cell(rule.kind),
            Cell("now", "ok") if rule.is_valid_at(now_ms) else Cell("not now", "skip"),
            Cell(_said(rule.model_dump(exclude_defaults=True, exclude={"kind"}))),
        )
        for rule_id, rule in sorted(book.rules.items())
    ]
    rows += [
        (
            Cell(f"{PLACEMENT}{name}"),
            Cell("placement"),
            Cell("now", "ok"),
            Cell(_said(changed.model_dump(exclude_unset=True))),
        )
        for name, changed in sorted(book.placements.items())
    ]
    show_table(stdout(), ("rule", "kind", "", "says"), rows)


@app.command("remove", help=_REMOVE_HELP)
def remove(
    rules: Annotated[
        list[str], typer.Argument(metavar="RULES", help="Ids of rules on the topic; `placement/NAME` of a placement.")
    ],
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers)
    book = read_book(settings)
    there = {*_on_topic(book), *book.refused_keys}
    keys = [each if each.startswith(PLACEMENT) else f"{RULE}{each}" for each in rules]
    for name, key in zip(rules, keys, strict=True):
        if key not in there:
            raise UsageError(f"there is no rule {name[:64]!r}.", "see `penchant rules list`")
    publish_changes(settings, dict.fromkeys(keys))
    say(stdout(), f"{len(keys):,} removed.")


@app.command("test", help=_TEST_HELP)
def try_rules(
    file: _FILE,
    user: Annotated[str, options.option("Whose list.", None, "USER")],
    only: Annotated[
        bool, options.flag("--only", "Without the rules on the topic that the file does not have.")
    ] = False,
    top: Annotated[int, options.option("Places shown.", None, "N", min=1, max=200)] = 20,
    placement: options.Placement = HOME,
    bootstrap_servers: options.BootstrapServers = None,
    json_: Annotated[bool, options.flag("--json", "One JSON object per place and line.")] = False,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers)
    checked_placement(settings, placement)
    wanted = _by_key(*read_wanted(file, settings))
    behaviours = read_behaviours(settings, user)
    there = {} if only else _on_topic(read_book(settings))
    with open_lookup(settings, read_topics(settings)) as lookup:
        before = _list_of(lookup.listing(user, behaviours, 0).published, placement)
        lookup.use_rules(there | wanted)
        after = _list_of(lookup.listing(user, behaviours, 0).published, placement)
    rows = []
    for rank in range(1, min(top, max(len(before.items), len(after.items))) + 1):
        was, now = _place(before, rank), _place(after, rank)
        if json_:
            say_json(stdout(), {"rank": rank, "before": was[0], "after": now[0], "moved_by": now[1]})
        changed: Style = "plain" if was[0] == now[0] else "warn"
        rows.append((Cell(str(rank)), Cell(was[0] or ""), Cell(now[0] or "", changed), Cell(now[1] or "", "skip")))
    if json_:
        return
    show_table(stdout(), ("", "now", f"with {file.name}", "moved by"), rows)
    if after.relaxed is not UNSET:
        say(stdout(), f"left out, since with them there would be too few items: {', '.join(after.relaxed)}", "bold red")


def _list_of(made: Published, placement: str) -> Recommendation:
    other = next((each for each in made.others if each.placement == placement), None)
    return made.list.record if other is None else other.list.record


def _place(record: Recommendation, rank: int) -> tuple[str | None, str | None]:
    """Item and what moved it, at a place from 1."""
    if rank > len(record.items):
        return None, None
    item = record.items[rank - 1]
    return item.item_id, None if item.moved_by is UNSET else item.moved_by


@app.command("price", help=_PRICE_HELP)
def price(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A file that a worker with `journal_dir` wrote.")],
    rule: Annotated[list[str] | None, options.optional("Only this one; may be repeated.", None, "ID")] = None,
    first: Annotated[int, options.option("Places of a list that count.", None, "N", min=1, max=200)] = 10,
    sequence: Annotated[
        Path | None, options.optional("The sequence model that served, where one did.", None, "DIRECTORY")
    ] = None,
    json_: options.Json = None,
) -> None:
    followed = rules_in(journal)
    asked = followed if rule is None else rule
    for rule_id in asked:
        if rule_id not in followed:
            raise UsageError(
                f"no rule {rule_id[:64]!r} is in {journal}.", f"there are: {', '.join(followed) or 'none'}"
            )
    if not asked:
        say(stdout(), f"No rules were followed in {journal}.")
        return
    if len(asked) > RULES_PRICED_MAX:
        raise UsageError(f"{journal} has {len(asked)} rules.", f"name {RULES_PRICED_MAX} of them at most with --rule")
    report = Report(json_, None)
    model = None if sequence is None else open_sequence(sequence)
    candidates = {rule_id: Candidate(without_rules=frozenset((rule_id,))) for rule_id in asked}
    proof, found = simulate_all(journal, candidates, model, first)
    show_proof(stdout(), proof)
    if proof.first_difference is not None:
        raise typer.Exit(1)
    prices = [price_of(rule_id, each) for rule_id, each in found.items()]
    report.write({"lists": proof.lists, "first": first, "rules": prices})
    show_prices(stdout(), prices, first)


@app.command("lint", help=_LINT_HELP)
def lint_rules(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: the rules on the topic.")] = None,
    bootstrap_servers: options.BootstrapServers = None,
    json_: options.Json = None,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers)
    rules, live = read_wanted(file, settings) if file is not None else _of_book(read_book(settings))
    if not rules:
        say(stdout(), "There are no rules.")
        return
    found = lint(rules, _catalogue(settings), _slots(settings, live), time.time_ns() // 1_000_000, settings.arms())
    wrong: dict[str, list[Finding]] = {}
    for each in found.findings:
        wrong.setdefault(each.rule_id, []).append(each)
    rows = [
        (Cell(rule_id), Cell(rules[rule_id].kind), Cell(f"{means:,}"), _judged(wrong.get(rule_id, [])))
        for rule_id, means in found.means.items()
    ]
    show_table(stdout(), ("rule", "kind", "means", ""), rows)
    for rule_id in sorted(set(wrong) - set(found.means)):
        say(stdout(), f"{rule_id}: {wrong[rule_id][0].says}", "bold red")
    if json_ is not None:
        _write(json_, found.means, found.findings)
    if any(each.severity == "error" for each in found.findings):
        raise typer.Exit(1)


def _write(path: Path, means: dict[str, int], findings: list[Finding]) -> None:
    path.write_text(json.dumps({"means": means, "findings": [each._asdict() for each in findings]}), encoding="utf-8")


def _judged(findings: list[Finding]) -> Cell:
    if not findings:
        return Cell("ok", "ok")
    worst = any(each.severity == "error" for each in findings)
    return Cell("; ".join(each.says for each in findings), "fail" if worst else "warn")


def _of_book(book: RuleBook) -> Wanted:
    return Wanted(book.rules, book.placements)


def _said(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _slots(settings: Settings, live: Mapping[str, PlacementSettings]) -> dict[str, int]:
    """By placement."""
    nothing = PlacementSettings.model_validate({})
    found = {}
    for name in sorted({HOME, *settings.placements}):
        of_settings, changed = settings.placements.get(name, nothing), live.get(name, nothing)
        found[name] = changed.slots or of_settings.slots or settings.top_k
    return found


def _catalogue(settings: Settings) -> Catalog:
    return Catalog.empty(ItemIndex()).apply(dict(read_catalogue_topic(settings, decode_limits(settings))))
