"""`penchant evaluate attribution`: how faithful the reasons are. Added to `penchant evaluate` by `stream.cli`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stream import options
from stream.evaluate_cli import DATA, OUT, RUN, check_writable, read, work_directory, write

_HELP: Final = """\
Judge how faithful the reasons are: what becomes of a score without what an explanation names, or with nothing else.

\b
Examples:
  penchant evaluate attribution events.csv --json faithfulness.json
  penchant evaluate attribution sales.csv --questions 100 \\
      --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date

Next: deploy/docs/explanations.md says what each figure means.

Beside Penchant's own shares stand leave-one-out, chance, recency and popularity, judged by the same scores."""

attribution = typer.Typer(rich_markup_mode="rich", add_completion=False)


@attribution.command("attribution", help=_HELP)
def judge_attribution(
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
    shuffle_minutes: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SEED",
            help="Shuffle what a user did within a minute: for lines whose order no user chose, as in invoices.",
            rich_help_panel=DATA,
            show_default=False,
        ),
    ] = None,
    warm_up: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.999, help="Share of the first engagements that is not asked about.", rich_help_panel=RUN
        ),
    ] = 0.8,
    questions: Annotated[
        int, typer.Option(min=1, metavar="N", help="Questions drawn from the others.", rich_help_panel=RUN)
    ] = 300,
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
        int, typer.Option(min=0, metavar="N", help="Of the draw, of chance and of intervals.", rich_help_panel=RUN)
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
) -> None:
    from models.weights import default_weights  # noqa: PLC0415
    from stream.evaluation_attribution import judge_questions, report_of, sample  # noqa: PLC0415
    from stream.evaluation_screen import Bars  # noqa: PLC0415
    from stream.evaluation_texts import with_text  # noqa: PLC0415
    from stream.mapping import parse_mapping  # noqa: PLC0415
    from stream.model_topic import read_weights  # noqa: PLC0415
    from stream.screen import stderr, stdout  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    ranked_with = default_weights() if weights is None else read_weights(weights)
    columns = {"events": parse_mapping(map_), "items": parse_mapping(items_map, "item")}
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern}
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    check_writable(json_)
    data = read(settings, {"events": events, "items": items}, columns, reading, shuffle_minutes)
    at = sample(data.stream, data.known, warm_up, questions, seed)
    started = time.monotonic()
    with Bars(stderr()) as bars:
        known, text = with_text(settings, data.known, directory, bars.step)
        judged = judge_questions(
            settings, data.stream, known, at, ranked_with, seed, lambda done, total: bars.step("questions", done, total)
        )
    report = report_of(judged, seed) | {
        "asked": len(at),
        "weights": ranked_with.version,
        "encoder": text,
        "seconds": time.monotonic() - started,
        "data": data.counts | {"sha256": data.sha256},
        "command": " ".join(sys.argv),
    }
    if json_ is not None:
        write(json_, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _show(stdout(), report)


def _show(console: Any, report: dict[str, Any]) -> None:
    from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES  # noqa: PLC0415
    from stream.screen import Cell, count, say, show_table  # noqa: PLC0415

    found = report["counterfactual"]
    size = "none" if found["size_mean"] is None else f"{found['size_mean']:.2f} items on average"
    say(
        console,
        f"{count(report['questions'], 'question')} of {report['asked']} whose leader the past speaks for, "
        f"{report['history_mean']:.1f} items of history on average.",
        "bold",
    )
    say(
        console,
        f"Completeness gap: {report['completeness_gap_max']:.1e} at most. Made twice the same: {report['stable']:.1%}.",
    )
    say(console, f"Counterfactuals: found for {found['success']:.1%}, {size}.")
    rows = []
    for name, each in report["explainers"].items():
        cells = [Cell(name)]
        for measure in MEASURES:
            low, high = report["better_than"].get(name, {}).get(measure, (0.0, 0.0))
            # What Penchant is significantly better than is green, what it is significantly worse than red.
            cells.append(Cell(f"{each[measure]:.3f}", "ok" if low > 0 else "fail" if high < 0 else "plain"))
        after = each["replaces_leader_after"]
        cells += [Cell(f"{each['replaces_leader_within_10']:.1%}"), Cell("–" if after is None else f"{after:.2f}")]
        rows.append(cells)
    headings = [f"{name} {'↓' if name in LOWER_IS_BETTER else '↑'}" for name in MEASURES]
    show_table(console, ("explainer", *headings, "replaces leader within 10 ↑", "after ↓"), rows)
