"""`penchant evaluate rankings`: contenders judged on a file of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from stream.analysis.rankings.contenders import parse_amounts, parse_names
from stream.analysis.rankings.judge import judge_rankings
from stream.analysis.rankings.page import page
from stream.analysis.rankings.plots import plots
from stream.analysis.rankings.screen import show_report
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import input_files, say_what_was_read
from stream.cli.outputs import Report, work_directory
from stream.display.bars import Bars
from stream.display.terminal import stderr, stdout
from stream.settings import load_settings

_HELP: Final = """\
Judge rankings on a file of events as it would have been live: every first engagement after the warm-up is ranked, then learned.

\b
Examples:
  penchant evaluate rankings events.csv --items items.csv --json report.json
  penchant evaluate rankings events.csv --max-questions 2000
  penchant evaluate rankings sales.csv --shuffle-minutes 1 \\
      --models popularity,co_occurrence_tuned --html report.html \\
      --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date

Next: deploy/docs/evaluation.md says what each figure means and how each model was tuned.

Everything known so far is ranked, never a sample. Interrupted? The same command goes on where it was."""

app = command_app()


@app.command("rankings", help=_HELP)
def rankings(
    events: options.Events,
    items: options.Items = None,
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    warm_up: options.WarmUp = 0.8,
    models: Annotated[str, options.optional("Only these. Default: all.", options.RUN, "A,B,…")] = "",
    max_questions: Annotated[
        int | None,
        options.optional(
            "Asked at most, evenly spread; every event is learned all the same. Default: all.",
            options.RUN,
            "N",
            min=1,
        ),
    ] = None,
    reach: Annotated[
        str,
        options.optional(
            "Judge Penchant also with these amounts of popularity taken off its scores: what more reach would cost.",
            options.RUN,
            "A,B,…",
        ),
    ] = "",
    shuffle_minutes: options.ShuffleMinutes = None,
    seed: Annotated[int, options.seed("Of models and intervals.")] = 0,
    jobs: Annotated[int, options.option("Models at a time.", options.RUN, "N", min=1)] = 1,
    work_dir: Annotated[
        Path | None,
        options.optional("Where finished models are kept. Default: evaluation in data_dir.", options.RUN, "DIR"),
    ] = None,
    json_: options.Json = None,
    html: options.Html = None,
) -> None:
    settings, names = load_settings(), parse_names(models)
    amounts = parse_amounts(reach, names)
    files = input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    report = Report(json_, html)
    data = files.read(settings, shuffle_minutes)
    say_what_was_read(events, data)
    with Bars(stderr()) as bars:
        judged = judge_rankings(
            settings,
            data,
            names,
            directory,
            warm_up=warm_up,
            seed=seed,
            jobs=jobs,
            max_questions=max_questions,
            reach=amounts,
            on_step=bars.step,
        )
    report.write(judged, _page)
    show_report(stdout(), judged)


def _page(report: dict[str, Any]) -> str:
    return page(report, plots(report))
