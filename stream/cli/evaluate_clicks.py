"""`penchant evaluate clicks`: how true stated probabilities of a click are."""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stream.cli import options
from stream.cli.evaluate import DATA, OUT, RUN, check_writable, read, work_directory, write
from stream.errors import UsageError

_HELP: Final = """\
Judge stated click probabilities on events with impressions: what is shown is scored and stated, then learned.

\b
Examples:
  penchant evaluate clicks events.csv --items items.csv --json clicks.json
  penchant evaluate clicks log.csv --warm-up 0.3 --html clicks.html \\
      --map user_id=visitor,item_id=sku,action=kind,slot=position

Next: deploy/docs/clicks.md says what each figure and each model is.

Beside Penchant's own stand overall and slot rates, the score alone, and a batch model on texts."""

clicks = typer.Typer(rich_markup_mode="rich", add_completion=False)


@clicks.command("clicks", help=_HELP)
def judge_clicks(
    events: Annotated[Path, typer.Argument(metavar="EVENTS", help="An event file, as for `penchant replay`.")],
    items: Annotated[
        Path | None, typer.Option(metavar="ITEMS", help="The catalogue, as for `items load`.", show_default=False)
    ] = None,
    map_: options.EventMap = "",
    items_map: Annotated[
        str,
        typer.Option(
            metavar="FIELD=COLUMN,…",
            help="Which column of ITEMS is which field.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    warm_up: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.99,
            help="Share of the exposures that is learned from but not judged.",
            rich_help_panel=RUN,
        ),
    ] = 0.6,
    window_minutes: Annotated[
        float, typer.Option(min=0.1, metavar="N", help="How long a click may take to come.", rich_help_panel=RUN)
    ] = 30.0,
    exposures: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Only the first N. Default: all.", rich_help_panel=RUN, show_default=False
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ranking weights made by `penchant train weights`. Default: those that Penchant comes with.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the batch model and of intervals.", rich_help_panel=RUN)
    ] = 0,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where vectors of texts are kept. Default: evaluation in data_dir.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    json_: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Every figure.", rich_help_panel=OUT, show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A page with a plot.", rich_help_panel=OUT, show_default=False),
    ] = None,
) -> None:
    from models.ranking.weights import default_weights  # noqa: PLC0415
    from stream.analysis.clicks.judge import find_exposures, replay, report_of  # noqa: PLC0415
    from stream.analysis.rankings.screen import Bars  # noqa: PLC0415
    from stream.analysis.texts import with_text  # noqa: PLC0415
    from stream.display.terminal import stderr, stdout  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.refresh.versions import read_weights  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    ranked_with = default_weights() if weights is None else read_weights(weights)
    columns = {"events": parse_mapping(map_), "items": parse_mapping(items_map, "item")}
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern}
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    for path in (json_, html):
        check_writable(path)
    if html is not None and find_spec("matplotlib") is None:
        raise UsageError("--html needs matplotlib, not installed here.", "pip install 'penchant[evaluate]'")
    data = read(settings, {"events": events, "items": items}, columns, reading, None)
    window_ms = int(60_000 * window_minutes)
    shown = find_exposures(data.stream, window_ms, exposures)
    started = time.monotonic()
    with Bars(stderr()) as bars:
        known, text = with_text(settings, data.known, directory, bars.step)
        stated = replay(
            settings, data.stream, known, shown, ranked_with, window_ms, lambda n, total: bars.step("lists", n, total)
        )
    train = int(warm_up * len(shown.at))
    report = report_of(stated, data.stream, known, train, seed) | {
        "window_minutes": window_minutes,
        "warm_up": warm_up,
        "weights": ranked_with.version,
        "encoder": text,
        "seconds": time.monotonic() - started,
        "data": data.counts | {"sha256": data.sha256},
        "command": " ".join(sys.argv),
    }
    if json_ is not None:
        write(json_, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if html is not None:
        from stream.analysis.clicks.page import clicks_page  # noqa: PLC0415
        from stream.analysis.rankings.plots import reliability_plot  # noqa: PLC0415

        write(html, clicks_page(report, reliability_plot(report)))
    _show(stdout(), report)


def _show(console: Any, report: dict[str, Any]) -> None:
    from models.evaluation.click_figures import MEASURES  # noqa: PLC0415
    from stream.display.terminal import Cell, count, say, show_table  # noqa: PLC0415

    shown, text = report["exposures"], report["text"]
    say(
        console,
        f"{count(shown['judged'], 'exposure')} of {count(report['users'], 'user')} after {shown['all'] - shown['judged']:,} "
        f"of warm-up, {report['clicks']['judged']:,} clicked.",
        "bold",
    )
    say(
        console,
        f"Texts ({report['encoder']}): of {text['items']:.1%} of the items shown, {text['both']:.1%} with users.",
    )
    rows = []
    for name, each in report["models"].items():
        figures, difference = each["probability"], report["log_loss_minus"].get(name)
        cells = [Cell(name)]
        for measure in MEASURES:
            low, high = ("–" if value is None else f"{value:.4f}" for value in figures["intervals"][measure])
            cells.append(Cell(f"{figures[measure]:.4f} [{low}, {high}]"))
        rows.append([*cells, _difference(difference)])
    show_table(console, ("model", "auc ↑", "log loss ↓", "ece ↓", "ours minus it, log loss"), rows)
    for name, why in report["skipped"].items():
        say(console, f"skipped {name}: {why}", "yellow")


def _difference(found: dict[str, Any] | None) -> Any:
    from stream.display.terminal import Cell  # noqa: PLC0415

    if found is None:
        return Cell("–")
    low, high = found["interval"]
    text = f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"
    return Cell(text, "ok" if high < 0 else "fail" if low > 0 else "plain")  # of log loss, less is better
