"""`penchant simulate`: a recorded day with something changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stream.analysis.simulation.candidate import read_candidate
from stream.analysis.simulation.run import simulate as run_simulation
from stream.analysis.simulation.screen import show_comparison, show_proof
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.outputs import Report
from stream.display.terminal import stderr, stdout
from stream.refresh.sequence import open_sequence

_HELP: Final = """\
Say what people would have been shown with other placements, rules or weights, from a journal.

\b
Examples:
  penchant simulate journal/1767225600000.journal
  penchant simulate journal/1767225600000.journal --candidate candidate.toml --json difference.json
  penchant simulate journal/1767225600000.journal --weights weights.json

Next: deploy/docs/simulate.md says how to record a journal, and what the figures mean.

A journal holds whatever lists were made of. Every list is first made again as it was. Only if all are byte for byte what went
out, anything else is compared; exit code 1 if not. Nothing is read from Kafka, nothing written to it."""

app = command_app()


@app.command("simulate", help=_HELP)
def simulate(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A file that a worker with `journal_dir` wrote.")],
    candidate: Annotated[
        Path | None,
        options.optional("Settings that count instead, and tables [rules.ID], in TOML.", None, "FILE"),
    ] = None,
    weights: Annotated[Path | None, options.optional("Ranking weights that serve instead.", None, "FILE")] = None,
    sequence: Annotated[
        Path | None, options.optional("The sequence model that served, where one did.", None, "DIRECTORY")
    ] = None,
    first: Annotated[int, options.option("Places of a list that count.", None, "N", min=1, max=200)] = 10,
    json_: options.Json = None,
) -> None:
    asked = read_candidate(candidate, weights)
    report = Report(json_, None)
    model = None if sequence is None else open_sequence(sequence)
    console = stderr()
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,} lists"), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("")
        proof, found = run_simulation(
            journal, asked, model, first, lambda lists: progress.update(task, completed=lists)
        )
    show_proof(stdout(), proof)
    is_proved = proof.first_difference is None
    proved = {"lists": proof.lists, "same": proof.same, "release": proof.release}
    report.write({"proof": proved} | ({} if found is None or not is_proved else {"comparison": found}))
    if not is_proved:
        raise typer.Exit(1)
    if found is not None:
        show_comparison(stdout(), found)
