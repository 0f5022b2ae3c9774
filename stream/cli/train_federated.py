"""`penchant train federated`: ranking weights of several shops that keep their events to themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from models.arrays import F8
from models.ranking.weights import default_weights, to_json
from models.strict_json import strict_json
from stream.analysis.federated.aggregation import How
from stream.analysis.federated.app import report_of
from stream.analysis.federated.flower_app import write_app
from stream.analysis.federated.grid import local_grid
from stream.analysis.federated.learning import Learned, learn_together
from stream.analysis.federated.run import FederationError, FederationOptions
from stream.analysis.federated.weights import STEPS, ClientOptions, WeightsClient
from stream.analysis.weights import TooFewError
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import input_files
from stream.cli.making import refuse_missing
from stream.cli.options import TRAINING, option, optional
from stream.cli.outputs import check_writable, write
from stream.display.terminal import Cell, count, say, show_table, stderr, stdout
from stream.errors import EXIT_FAILED, InputFileError, UsageError
from stream.settings import Settings, load_settings

_HELP: Final = """\
Learn ranking weights over several shops or regions, none of which shows its events to another.

\b
Examples:
  penchant train federated leeds.csv york.csv hull.csv --items items.csv --out weights.json
  penchant train federated --app federation --clients 3 --out weights.json

Next: deploy/docs/federated.md says how places are connected; `penchant models publish weights.json`.

With event files every shop is a client in this process. With --app a Flower app is written instead: `flwr run` starts it
over places that Flower connects. The last tenth of each shop's first engagements decides: the weights are kept only if they
rank what came next better than those that Penchant comes with (exit code 1, and nothing written, if not). Needs the extra
federated."""

_FEDERATION: Final = "Federation"

app = command_app()


@app.command("federated", help=_HELP)
def federated(
    out: Annotated[Path, optional("Where the weights go.", None, "FILE")],
    shops: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[EVENTS]...", help="An event file a shop, as for `penchant replay`.", show_default=False
        ),
    ] = None,
    items: options.Items = None,
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    rounds: Annotated[int, option("Times that weights go to the shops and back.", _FEDERATION, "N", min=1)] = 10,
    how: Annotated[
        How,
        option(
            "mean: federated averaging, by choices; median, trimmed_mean: withstand a shop that lies, and count all alike.",
            _FEDERATION,
        ),
    ] = "mean",
    norm_max: Annotated[
        float | None,
        optional(
            "Longest update of a round; a longer one is shortened. Default: 3 times the median.",
            _FEDERATION,
            "LENGTH",
            min=1e-9,
        ),
    ] = None,
    app_: Annotated[
        Path | None, optional("Write a Flower app there, for shops in other places.", _FEDERATION, "DIRECTORY", "--app")
    ] = None,
    clients: Annotated[int, option("Of --app: places that have to be there.", _FEDERATION, "N", min=2)] = 2,
    steps: Annotated[int, option("Of each shop, a round.", TRAINING, "N", min=1)] = STEPS,
    choices: Annotated[
        int, option("A shop learns from, within sessions and at starts.", TRAINING, "N", min=20)
    ] = 2_000,
    questions: Annotated[int, option("Asked of a shop's last tenth.", TRAINING, "N", min=20)] = 1_000,
    min_gain: Annotated[float, option("How much NDCG at 10 has to rise.", TRAINING)] = 0.0,
    seed: Annotated[int, options.seed("Of the sampling.", TRAINING)] = 0,
    report: Annotated[Path | None, optional("The JSON report, kept or not.", None, "FILE")] = None,
) -> None:
    check_writable(out)
    check_writable(report)
    asked = FederationOptions(rounds, how, norm_max, {"steps": steps}, clients)
    if app_ is not None:
        if shops:
            raise UsageError("--app is for shops in other places, EVENTS for those here.", "give one of them")
        write_app(app_, out, asked)
        typer.echo(f"{app_}: flwr run {app_} starts it; see deploy/docs/federated.md")
        return
    files = list(shops or [])
    _refuse_odd_shops(files)
    refuse_missing("federated training", ("flwr",), "federated")
    settings = load_settings()
    read = {
        path.stem: _client(
            path,
            settings,
            ClientOptions(choices, questions, seed),
            (items, map_, items_map, timezone, time_unit, time_pattern),
        )
        for path in files
    }
    try:
        found = learn_together(local_grid(read), asked._replace(clients_min=len(read)))
    except FederationError as error:
        raise UsageError(f"The federation ended: {error}.", "see deploy/docs/federated.md") from None
    raise typer.Exit(_keep(found, read, out, report, min_gain))


def _refuse_odd_shops(files: Sequence[Path]) -> None:
    if len(files) < 2:
        raise UsageError("A federation has two shops at least.", "name an event file of each, or give --app")
    names = [path.stem for path in files]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two files are called {name!r}, as their shops would be.", "rename one of them")


def _client(path: Path, settings: Settings, how: ClientOptions, reading: tuple[Any, ...]) -> WeightsClient:
    data = input_files(path, *reading).read(settings)
    try:
        client = WeightsClient(settings, data, how)
    except TooFewError as error:
        raise InputFileError(f"There is too little to learn from in {path}: {error}.", "leave that shop out") from None
    say(stderr(), f"{path.stem}: {count(len(client.choices.real), 'choice')}", "dim")
    return client


def _keep(learned: Learned, shops: dict[str, WeightsClient], out: Path, report: Path | None, min_gain: float) -> int:
    """Judge, say, keep or not; the exit code."""
    weights, found = learned.weights, learned.federated
    judged: dict[str, list[F8]] = {name: client.judge(default_weights(), weights) for name, client in shops.items()}
    before, after = (np.concatenate([each[at] for each in judged.values()]) for at in (0, 1))
    kept = bool((after - before).mean() > min_gain)
    _show(learned, shops, judged)
    if report is not None:
        figures = report_of(learned) | {
            "kept": kept,
            "shops": {name: _figures(shops[name], *each) for name, each in judged.items()},
            "all": {"questions": len(after), "ndcg_before": float(before.mean()), "ndcg": float(after.mean())},
        }
        write(report, strict_json(figures, indent=1) + "\n")
    told = (
        f"NDCG@10 {before.mean():.4f} -> {after.mean():.4f}, {len(after):,} questions, {found.bytes:,} bytes of weights"
    )
    if not kept:
        typer.echo(f"penchant: not better on the newest events: {told}: not kept.", err=True)
        return EXIT_FAILED
    write(out, to_json(weights) + b"\n")
    typer.echo(f"{out}: {told}; {weights.version}")
    return 0


def _show(learned: Learned, shops: dict[str, WeightsClient], judged: dict[str, list[F8]]) -> None:
    refused = learned.federated.refused()
    rows = [
        [
            Cell(name),
            Cell(f"{len(shops[name].choices.real):,}"),
            Cell(f"{before.mean():.4f}"),
            Cell(f"{after.mean():.4f}"),
            Cell(refused.get(name, ""), "warn"),
        ]
        for name, (before, after) in judged.items()
    ]
    show_table(stdout(), ("shop", "choices", "NDCG@10 before", "after", "its updates"), rows)


def _figures(client: WeightsClient, before: F8, after: F8) -> dict[str, Any]:
    return {
        "choices": len(client.choices.real),
        "questions": len(after),
        "ndcg_before": float(before.mean()),
        "ndcg": float(after.mean()),
    }
