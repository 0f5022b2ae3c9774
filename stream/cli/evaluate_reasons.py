"""`penchant evaluate reasons`: how faithful the reasons are."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from stream.analysis.reasons.audit import Audit
from stream.analysis.reasons.figures import report_of
from stream.analysis.reasons.judge import judge_questions, place_by_text, sample
from stream.analysis.reasons.page import page
from stream.analysis.reasons.plots import plots
from stream.analysis.reasons.screen import show_report
from stream.analysis.texts import with_text
from stream.analysis.weights import weights_in
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import input_files, say_what_was_read
from stream.cli.outputs import Report, work_directory
from stream.display.bars import Bars
from stream.display.terminal import stderr, stdout
from stream.refresh.sequence import open_sequence
from stream.settings import load_settings

_HELP: Final = """\
Judge how faithful the reasons are: what becomes of a score without what an explanation names, or with nothing else.

\b
Examples:
  penchant evaluate reasons events.csv --json faithfulness.json
  penchant evaluate reasons sales.csv --questions 100 \\
      --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date
  penchant evaluate reasons events.csv --audit shapley --samples 50 \\
      --questions 50 --html faithfulness.html

Next: deploy/docs/explanations.md says what each figure means.

Beside Penchant's own shares stand leave-one-out, chance, recency and popularity, judged by the same scores."""


class AuditMethod(StrEnum):
    """Values of `--audit`; `stream.analysis.reasons.audit` says what each is."""

    SHAPLEY = "shapley"
    INTEGRATED_GRADIENTS = "integrated_gradients"


app = command_app()


@app.command("reasons", help=_HELP)
def reasons(
    events: options.Events,
    items: options.Items = None,
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    shuffle_minutes: options.ShuffleMinutes = None,
    warm_up: options.WarmUp = 0.8,
    questions: Annotated[int, options.option("Questions drawn from the others.", options.RUN, "N", min=1)] = 300,
    weights: options.Weights = None,
    sequence_model: Annotated[
        Path | None,
        options.optional(
            "A sequence model that takes part, made by `penchant train sequence` from earlier events.",
            options.RUN,
            "DIR",
        ),
    ] = None,
    audit: Annotated[
        list[AuditMethod] | None,
        options.optional("Compare contributions with those of a slow method, too. Repeatable.", options.RUN),
    ] = None,
    samples: Annotated[int, options.option("Orders per question of --audit shapley.", options.RUN, "N", min=2)] = 20,
    seed: Annotated[int, options.seed("Of the draw, of chance and of intervals.")] = 0,
    work_dir: options.WorkDir = None,
    json_: options.Json = None,
    html: options.Html = None,
) -> None:
    settings = load_settings()
    ranked_with = weights_in(weights)
    files = input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    report = Report(json_, html)
    model = None if sequence_model is None else open_sequence(sequence_model)
    chosen = Audit(tuple(each.value for each in audit or ()), samples)
    data = files.read(settings, shuffle_minutes)
    say_what_was_read(events, data)
    at = sample(data.stream, data.known, warm_up, questions, seed)
    started = time.monotonic()
    with Bars(stderr()) as bars:
        known, encoder = with_text(settings, data.known, directory, bars.step)
        if model is not None:
            place_by_text(model, known, encoder)
        judged = judge_questions(
            settings,
            data.stream,
            known,
            at,
            ranked_with,
            seed,
            lambda done, total: bars.step("questions", done, total),
            model,
            chosen,
        )
    figures = report_of(judged, seed, chosen) | {
        "asked": len(at),
        "weights": ranked_with.version,
        "encoder": encoder,
        "sequence_model": None if model is None else model.model_version,
        "seconds": time.monotonic() - started,
        "data": data.counts | {"sha256": data.sha256},
    }
    report.write(figures, _page)
    show_report(stdout(), figures)


def _page(report: dict[str, Any]) -> str:
    return page(report, plots(report))
