"""`penchant evaluate clicks`: how true stated probabilities of a click are."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from stream.analysis.clicks.judge import find_exposures, replay, report_of
from stream.analysis.clicks.page import clicks_page
from stream.analysis.clicks.screen import show_report
from stream.analysis.rankings.plots import reliability_plot
from stream.analysis.texts import with_text
from stream.analysis.weights import weights_in
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import input_files, say_what_was_read
from stream.cli.outputs import Report, work_directory
from stream.display.bars import Bars
from stream.display.terminal import stderr, stdout
from stream.settings import load_settings

_HELP: Final = """\
Judge stated click probabilities on events with impressions: what is shown is scored and stated, then learned.

\b
Examples:
  penchant evaluate clicks events.csv --items items.csv --json clicks.json
  penchant evaluate clicks log.csv --warm-up 0.3 --html clicks.html \\
      --map user_id=visitor,item_id=sku,action=kind,slot=position

Next: deploy/docs/clicks.md says what each figure and each model is.

Beside Penchant's own stand overall and slot rates, the score alone, and a batch model on texts."""

app = command_app()


@app.command("clicks", help=_HELP)
def clicks(
    events: options.Events,
    items: options.Items = None,
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    warm_up: Annotated[
        float,
        options.option("Share of the exposures that is learned from but not judged.", options.RUN, min=0.0, max=0.99),
    ] = 0.6,
    window_minutes: Annotated[
        float, options.option("How long a click may take to come.", options.RUN, "N", min=0.1)
    ] = 30.0,
    exposures: Annotated[
        int | None, options.optional("Only the first N. Default: all.", options.RUN, "N", min=1)
    ] = None,
    weights: options.Weights = None,
    seed: Annotated[int, options.seed("Of the batch model and of intervals.")] = 0,
    work_dir: options.WorkDir = None,
    json_: options.Json = None,
    html: options.Html = None,
) -> None:
    settings = load_settings()
    ranked_with = weights_in(weights)
    files = input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    report = Report(json_, html)
    data = files.read(settings)
    say_what_was_read(events, data)
    window_ms = int(60_000 * window_minutes)
    shown = find_exposures(data.stream, window_ms, exposures)
    started = time.monotonic()
    with Bars(stderr()) as bars:
        known, encoder = with_text(settings, data.known, directory, bars.step)
        stated = replay(
            settings, data.stream, known, shown, ranked_with, window_ms, lambda n, total: bars.step("lists", n, total)
        )
    figures = report_of(stated, data.stream, known, int(warm_up * len(shown.at)), seed) | {
        "window_minutes": window_minutes,
        "warm_up": warm_up,
        "weights": ranked_with.version,
        "encoder": encoder,
        "seconds": time.monotonic() - started,
        "data": data.counts | {"sha256": data.sha256},
    }
    report.write(figures, _page)
    show_report(stdout(), figures)


def _page(report: dict[str, Any]) -> str:
    return clicks_page(report, reliability_plot(report))
