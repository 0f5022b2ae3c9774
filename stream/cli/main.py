"""The command `penchant`: which commands there are, and what becomes of their errors.

A `PenchantError` becomes one line on stderr: exit code 2 for what the person can mend, 1 for the rest. Ctrl-C is 130.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, ClassVar, Final, NoReturn

import typer

from stream import __version__
from stream.cli.apps import SETTINGS_NOTE, teach
from stream.cli.lazy import Lazy, LazyGroup
from stream.errors import EXIT_FAILED, EXIT_USAGE, PenchantError, UsageError

EXIT_INTERRUPTED: Final = 130


class Commands(LazyGroup):
    """Turns what a command raises into a line and an exit code."""

    table: ClassVar = {
        "demo": Lazy(
            "stream.cli.demo",
            "See it work: a Kafka broker inside this process, a worker, and a year of a real shop replayed through them.",
        ),
        "topics": Lazy("stream.cli.topics", "The topics that Penchant reads and writes: create them, list them."),
        "items": Lazy("stream.cli.items", "The catalogue: what can be recommended."),
        "worker": Lazy(
            "stream.cli.worker",
            "Read events, keep every user's interests, publish lists and reasons. Runs until SIGTERM or Ctrl-C, "
            "then commits.",
        ),
        "serve": Lazy(
            "stream.cli.serve",
            "Answer over HTTP: lists, their reasons, what they would be if; and the pages that show it. Runs until "
            "SIGTERM or Ctrl-C.",
        ),
        "replay": Lazy(
            "stream.cli.replay",
            "Send the behaviours in a file to the events topic, in file order, as fast as Kafka takes them or at "
            "their pace.",
        ),
        "watch": Lazy(
            "stream.cli.watch",
            "Show recommendations as they arrive: for whom, how fresh, which items, and the reason for each.",
        ),
        "explain": Lazy(
            "stream.cli.explain",
            "Say why a person sees what they see: their list made anew from the topics, the parts of each score, the "
            "behaviours behind it.",
        ),
        "erase": Lazy(
            "stream.cli.erase",
            "Forget people, as if they had never been there: states, lists, what is stored anywhere, and what they have added "
            "to the statistics of items and strategies. Workers do it, each person at its place among their events, and give "
            "a receipt.",
        ),
        "person": Lazy(
            "stream.cli.person",
            "What people may ask for: a copy of what is held, no use of it, no profile, a correction.",
        ),
        "keys": Lazy("stream.cli.keys", "Keys: of signed requests and receipts, and of pseudonyms."),
        "doctor": Lazy(
            "stream.cli.doctor",
            "Check settings, broker, topics, versions, data directory, ports and accelerator, and say the fix for each "
            "problem.",
        ),
        "plan": Lazy(
            "stream.cli.plan",
            "Say how many partitions, workers, brokers and how much memory and disk it takes, from what this release was "
            "measured to cost.",
        ),
        "dead-letter": Lazy(
            "stream.cli.dead_letter",
            "What workers refused: look at it, send it again once it can be read, delete it.",
        ),
        "backup": Lazy(
            "stream.cli.backup",
            "Copy everything that Penchant knows to files, while workers go on: states, statistics, lists, rules, models, the "
            "catalogue, and how far they go in the events topic.",
        ),
        "restore": Lazy(
            "stream.cli.restore",
            "Put a backup back into the topics that the settings name, on any cluster: workers that start afterwards know "
            "what those of before knew, and go on where those stopped. Every file is checked before anything is written.",
        ),
        "repartition": Lazy(
            "stream.cli.repartition",
            "Change the number of partitions: people's states, from a backup, into new topics, each person where the "
            "producers' partitioner will put their events. The settings name the new topics and a new group.",
        ),
        "report": Lazy("stream.cli.report", "What came of recommendations, from the topics."),
        "evaluate": Lazy(
            "stream.cli.evaluate",
            "Judge rankings, reasons, click probabilities, next items or exploration on files of your own.",
        ),
        "train": Lazy("stream.cli.train", "Train what the ranking learns from behaviour."),
        "models": Lazy(
            "stream.cli.models",
            "What ranks: list its versions, publish another one to all workers, go back to the one before.",
        ),
        "rules": Lazy(
            "stream.cli.rules",
            "Rules of the lists: filter, deny, boost, pin, cap, promote. Workers take a change up while they run.",
        ),
        "simulate": Lazy(
            "stream.cli.simulate",
            "Say what people would have been shown with other placements, rules or weights, from a journal.",
        ),
        "encoder": Lazy(
            "stream.cli.encoder",
            "The language model that turns texts into vectors: export one, tune one, look at one.",
        ),
    }

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PenchantError as error:
            line = " ".join(str(error).split())
            typer.echo(f"penchant: {line}", err=True)
            raise typer.Exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED) from None
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="penchant",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=teach(
        "Fresh recommendations and their true reasons, on Kafka topics.",
        "penchant demo                 # everything on this machine, no Kafka needed",
        "penchant topics create        # with a Kafka of your own: 1. topics",
        "penchant items load items.csv #   2. the catalogue",
        "penchant worker               #   3. the worker, in a terminal of its own",
        "penchant replay events.csv    #   4. behaviours",
        "penchant watch                #   5. lists as they arrive, with reasons",
        then="`penchant COMMAND --help`; `penchant doctor` when something does not work.",
        note=SETTINGS_NOTE,
    ),
)


def main() -> NoReturn:
    """The console entry point."""
    try:
        app(prog_name="penchant")
    except KeyboardInterrupt:  # before or after the command itself
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"penchant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del version
