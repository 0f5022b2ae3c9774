"""`penchant dead-letter`: what workers refused, for the people who mend it."""

from __future__ import annotations

import re
import sys
import time
from typing import Annotated, Final, Literal

import typer

from stream.cli import options
from stream.cli.apps import group_app, teach
from stream.cli.connection import connected
from stream.cli.moments import parse_moment_ms
from stream.dead_letters.letter import Place
from stream.dead_letters.listing import Totals, line_of, lines, newest
from stream.dead_letters.newer import NewerItems
from stream.dead_letters.purge import delete, plan_purge, refuse_embedded
from stream.dead_letters.replay import Chooser, Pacer, ReplayReport, replay
from stream.dead_letters.returned import SentRecords, wait_for_returned
from stream.dead_letters.screen import (
    ReplayProgress,
    json_of,
    show_letter,
    show_lines,
    show_plan,
    show_replay,
    show_returned,
    summary_of,
)
from stream.dead_letters.selection import Selection
from stream.dead_letters.topic import Spans, letter_at, log_spans, read_letters, survey
from stream.dead_letters.writer import ReplayWriter
from stream.display.terminal import say, say_json, stderr, stdout
from stream.errors import UsageError
from stream.files.stopping import StopRequest, stop_signals
from stream.kafka.topics import list_topics
from stream.settings import Settings
from stream.wire.decode import LETTER_REASONS

app = group_app("What workers refused: look at it, send it again once it can be read, delete it.")

SHOWN_LETTERS: Final = 100

_PLACE: Final = re.compile(r"([0-9]{1,10}):([0-9]{1,19})")

Reason = Annotated[
    list[str] | None, options.optional("Only those refused for this reason; may be repeated.", None, "REASON")
]
SourceTopic = Annotated[
    list[str] | None, options.optional("Only records that were read from this topic; may be repeated.", None, "TOPIC")
]
Key = Annotated[list[str] | None, options.optional("Only records with this key; may be repeated.", None, "KEY")]
Since = Annotated[
    str | None, options.optional("Only those refused since then: 7d, 12h, 2026-01-31, or RFC 3339.", None, "TIME")
]
Until = Annotated[str | None, options.optional("Only those refused before then, said in the same way.", None, "TIME")]


@app.command(
    "list",
    help=teach(
        "List dead letters, the newest first, and count them by reason.",
        "penchant dead-letter list --since 24h",
        "penchant dead-letter list --reason schema --json | jq -r .key",
        then="`penchant dead-letter show PARTITION:OFFSET`.",
    ),
)
def list_letters(
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    source: SourceTopic = None,
    key: Key = None,
    limit: Annotated[
        int | None,
        options.optional("At most so many. Default 100; with --json all, as they lie.", None, "N", min=1, max=100_000),
    ] = None,
    json_: Annotated[bool, options.flag("--json", "One JSON object per letter and line.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    selection = _selection(reason, since, until, source, key)
    settings = connected(bootstrap_servers=bootstrap_servers)
    spans = log_spans(settings)
    # What was sent again is told behind a letter, so nothing about the selected ones is older than they are.
    replayed = survey(settings, spans, selection, selection.since_ms).replayed
    totals = Totals()
    found = lines(read_letters(settings, spans, selection.since_ms), selection, replayed, totals)
    if json_ and limit is None:
        for line in found:
            say_json(stdout(), json_of(line))
        say(stderr(), summary_of(totals, totals.letters))
        return
    shown = newest(found, limit or SHOWN_LETTERS)
    if json_:
        for line in shown:
            say_json(stdout(), json_of(line))
    elif shown:
        show_lines(stdout(), shown)
    say(stderr() if json_ else stdout(), summary_of(totals, len(shown)))


@app.command(
    "show",
    help=teach(
        "Show one dead letter: why it was refused, where it was read, its headers, and its bytes.",
        "penchant dead-letter show 0:17",
        "penchant dead-letter show 0:17 --raw | xxd",
        then="`penchant dead-letter replay 0:17`, once it can be read.",
    ),
)
def show(
    letter: Annotated[
        str, typer.Argument(metavar="PARTITION:OFFSET", help="Where it lies, as `list` says.", show_default=False)
    ],
    raw: Annotated[bool, options.flag("--raw", "The bytes of its value, and nothing else.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    place = _place(letter)
    settings = connected(bootstrap_servers=bootstrap_servers)
    found = letter_at(settings, place)
    if raw:
        sys.stdout.buffer.write(found.value or b"")
        if found.whole_bytes is not None:
            say(
                stderr(),
                f"penchant: only the first {len(found.value or b''):,} of {found.whole_bytes:,} bytes were kept.",
            )
        return
    spans = log_spans(settings)
    behind = {place.partition: (place.offset, spans[place.partition][1])}
    replayed = survey(settings, behind, Selection()).replayed
    show_letter(stdout(), line_of(found, found.identity in replayed), found)


@app.command(
    "replay",
    help=teach(
        "Send records of dead letters to their topics again, byte for byte, each once: what was sent before is passed over, "
        "and a replay that was killed goes on with the next.",
        "penchant dead-letter replay --reason schema --since 24h --dry-run",
        "penchant dead-letter replay --all --rate 500 --wait 60",
        "penchant dead-letter replay 0:17 3:4",
        then="`penchant dead-letter list --since 1h`: what is still refused is there again.",
        note="Exit code 1 where the broker did not take a record. How it works: deploy/docs/dead-letters.md.",
    ),
)
def replay_letters(
    letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LETTERS]", help="Only these: PARTITION:OFFSET, as `list` says.", show_default=False),
    ] = None,
    all_: Annotated[bool, options.flag("--all", "All of them.")] = False,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    source: SourceTopic = None,
    key: Key = None,
    dry_run: Annotated[bool, options.flag("--dry-run", "Say what would be sent, and send nothing.")] = False,
    rate: Annotated[
        float | None, options.optional("At most so many records a second.", None, "N", min=0.01, max=1e6)
    ] = None,
    timestamp: Annotated[
        Literal["original", "now"],
        options.option("Kafka timestamp of what is sent: the record's own, or the time now."),
    ] = "original",
    wait: Annotated[
        float | None,
        options.optional(
            "Wait until workers have read it, at most so long, and say how many came back.", None, "SECONDS", min=0
        ),
    ] = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    selection = _selection(reason, since, until, source, key, letters)
    if selection.is_all != all_:
        raise UsageError(
            "--all contradicts what else is given." if all_ else "nothing says which letters.",
            "give --all, or letters, --reason, --since, --until, --source or --key",
        )
    if dry_run and wait is not None:
        raise UsageError("--wait has nothing to wait for with --dry-run.", "leave one out")
    settings = connected(bootstrap_servers=bootstrap_servers)
    if settings.shadow is not None:
        raise UsageError("a shadow's letters are those of the workers that serve.", "replay without the setting shadow")
    topics = {settings.topic_events, settings.topic_items, settings.topic_item_deltas} & set(list_topics(settings))
    log_spans(settings)  # before anything is claimed: is there such a topic?
    with stop_signals() as stop:
        writer = None if dry_run else ReplayWriter(settings, timestamp)
        spans = log_spans(settings, readable=dry_run)
        with stderr().status("reading the dead letters"):
            known = survey(settings, spans, selection, check=stop.check)
        chooser = Chooser(selection, known.replayed, topics, timestamp, NewerItems(settings))
        report, sent = ReplayReport(), SentRecords()
        with ReplayProgress(stderr(), known.selected) as progress:
            try:
                replay(
                    read_letters(settings, spans, selection.since_ms),
                    chooser,
                    writer,
                    report,
                    pacer=Pacer(rate),
                    check=stop.check,
                    on_progress=progress.update,
                    on_landed=(lambda _: None) if wait is None else sent.add,
                )
            except KeyboardInterrupt:
                report.interrupted = True
        show_replay(stdout(), report, is_dry=dry_run)
        if wait is not None and len(sent) and not report.interrupted:
            _wait(settings, sent, spans, wait, stop)
    if report.interrupted:
        raise typer.Exit(130)
    if report.refused:
        raise typer.Exit(1)


def _wait(settings: Settings, sent: SentRecords, before: Spans, wait_s: float, stop: StopRequest) -> None:
    with stderr().status("waiting for workers"):
        returned = wait_for_returned(settings, sent, before, wait_s, check=stop.check)
    show_returned(stdout(), returned)


@app.command(
    "purge",
    help=teach(
        "Delete dead letters from the beginning of each partition, up to the first that is to be kept. Without --yes it says "
        "what would go, and asks, or where there is no terminal deletes nothing.",
        "penchant dead-letter purge --until 30d",
        "penchant dead-letter purge --replayed --yes",
        "penchant dead-letter purge --to 0:17 --to 1:4 --yes",
        then="`penchant dead-letter list`. Kafka deletes by itself what is older than the topic's retention.ms.",
    ),
)
def purge(
    all_: Annotated[bool, options.flag("--all", "All of them.")] = False,
    until: Until = None,
    to: Annotated[
        list[str] | None,
        options.optional(
            "Up to this letter and with it, and of other partitions nothing; one a partition.", None, "PARTITION:OFFSET"
        ),
    ] = None,
    replayed: Annotated[bool, options.flag("--replayed", "Only those that were sent again.")] = False,
    reason: Reason = None,
    source: SourceTopic = None,
    key: Key = None,
    yes: Annotated[bool, options.flag("--yes", "Delete without a question.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    selection = _selection(reason, None, until, source, key)
    up_to = _up_to(to or [])
    if (selection.is_all and not up_to and not replayed) != all_:
        raise UsageError(
            "--all contradicts what else is given." if all_ else "nothing says which letters.",
            "give --all, or --until, --to, --replayed, --reason, --source or --key",
        )
    settings = connected(bootstrap_servers=bootstrap_servers)
    refuse_embedded(settings)
    spans = log_spans(settings)
    for partition in up_to:
        if partition not in spans:
            raise UsageError(f"--to: {settings.topic_dead_letter} has no partition {partition}.", "see `list`")
    with stderr().status("reading the dead letters"):
        known = survey(settings, spans, selection)
        plan = plan_purge(
            read_letters(settings, spans), spans, selection, known.replayed, only_replayed=replayed, up_to=up_to
        )
    show_plan(stdout(), plan)
    if not plan.cuts:
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("Delete them for good?", err=True)):
        say(stdout(), "Nothing was deleted: say --yes.")
        return
    delete(settings, plan.cuts)
    say(stdout(), "Deleted.", "bold")


def _selection(
    reasons: list[str] | None,
    since: str | None,
    until: str | None,
    sources: list[str] | None,
    keys: list[str] | None,
    places: list[str] | None = None,
) -> Selection:
    """What the options say.

    Raises:
        UsageError: one cannot be.
    """
    for reason in reasons or ():
        if reason not in LETTER_REASONS:
            raise UsageError(f"--reason {reason[:64]!r} is none.", f"there are: {', '.join(LETTER_REASONS)}")
    now_ms = time.time_ns() // 1_000_000
    since_ms = None if since is None else parse_moment_ms("--since", since, now_ms)
    until_ms = None if until is None else parse_moment_ms("--until", until, now_ms)
    if since_ms is not None and until_ms is not None and until_ms <= since_ms:
        raise UsageError("--until is not after --since.", "exchange them")
    return Selection(
        frozenset(reasons or ()),
        frozenset(sources or ()),
        frozenset(key.encode(errors="surrogateescape") for key in keys or ()),
        since_ms,
        until_ms,
        frozenset(map(_place, places or ())),
    )


def _up_to(texts: list[str]) -> dict[int, int]:
    places = [_place(text, "--to ") for text in texts]
    found = {place.partition: place.offset for place in places}
    if len(found) != len(places):
        raise UsageError("--to names a partition twice.", "give one offset a partition")
    return found


def _place(text: str, option: str = "") -> Place:
    """`0:17`.

    Raises:
        UsageError: it is none.
    """
    found = _PLACE.fullmatch(text)
    if found is None or int(found[1]) >= 1 << 31 or int(found[2]) >= 1 << 63:
        raise UsageError(
            f"{option}{text[:64]!r} is no PARTITION:OFFSET.", "say 0:17, as `penchant dead-letter list` does"
        )
    return Place(int(found[1]), int(found[2]))
