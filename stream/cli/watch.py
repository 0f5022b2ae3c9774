"""`penchant watch`: recommendations as they arrive."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from stream.cli import options
from stream.cli.apps import command_app, teach
from stream.cli.connection import connected
from stream.cli.options import flag, option, optional
from stream.cli.placements import topic_of
from stream.cli.watch_lists import lists
from stream.cli.watch_screen import Wanted, show
from stream.display.terminal import count, say, stderr, stdout
from stream.settings import Settings
from stream.settings.placements import HOME
from stream.wire.join import Joiner

app = command_app()


@app.command(
    "watch",
    help=teach(
        "Show recommendations as they arrive: for whom, how fresh, which items, and the reason for each.",
        "penchant watch --user 17850",
        "penchant watch --from-beginning --limit 100 --json | jq .items[0].title",
        then="Ctrl-C ends it and says how many lists it saw. Nothing arrives? `penchant doctor`, `penchant worker`.",
        note="Fresh means: from the moment the newest event in a list entered Kafka to the moment the list was made.",
    ),
)
def watch(
    user: Annotated[str | None, optional("Only this user.", None, "ID")] = None,
    from_beginning: Annotated[bool, flag("--from-beginning", "First the lists that are on the topic already.")] = False,
    limit: Annotated[int | None, optional("End after this many lists.", None, "N", min=1)] = None,
    top: Annotated[int, option("Items shown of each list.", None, "N", min=1, max=200)] = 3,
    lang: options.Language = "en",
    placement: options.Placement = HOME,
    json_: Annotated[bool, flag("--json", "One JSON object per list and line.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
    shadow: options.Shadow = None,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers, shadow=shadow)
    if placement != HOME:
        settings = settings.model_copy(update={"topic_recommendations": topic_of(settings, placement)})
    raise typer.Exit(_run(settings, Wanted(user, from_beginning, limit, top, lang, json_)))


def _run(settings: Settings, wanted: Wanted) -> int:
    """Show lists until the limit or Ctrl-C; the exit code."""
    out, notes = stdout(), stderr()
    joiner = Joiner(wanted.top)
    shown = 0
    try:
        with closing(lists(settings, wanted, joiner, notes)) as found:
            for joined in found:
                show(out, joined, joiner.title, wanted)
                shown += 1
                if shown == wanted.limit:
                    break
    except KeyboardInterrupt:
        say(notes, f"{count(shown, 'list')} shown.", "dim")
        return 130
    say(notes, f"{count(shown, 'list')} shown.", "dim")
    return 0
