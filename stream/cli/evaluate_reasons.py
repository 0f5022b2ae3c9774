"""`penchant evaluate attribution`: how faithful the reasons are. Added to `penchant evaluate` by `stream.cli.main`."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stream.cli import options
from stream.cli.evaluate import DATA, OUT, RUN, check_writable, read, work_directory, write
from stream.errors import UsageError

_HELP: Final = """\
Judge how faithful the reasons are: what becomes of a score without what an explanation names, or with nothing else.

\b
Examples:
  penchant evaluate attribution events.csv --json faithfulness.json
  penchant evaluate attribution sales.csv --questions 100 \\
      --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date
  penchant evaluate attribution events.csv --audit shapley --samples 50 \\
      --questions 50 --html faithfulness.html

Next: deploy/docs/explanations.md says what each figure means.

Beside Penchant's own shares stand leave-one-out, chance, recency and popularity, judged by the same scores."""


class AuditMethod(StrEnum):
    """Values of `--audit`; `stream.analysis.reasons.audit` says what each is."""

    SHAPLEY = "shapley"
    INTEGRATED_GRADIENTS = "integrated_gradients"


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
    sequence_model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A sequence model that takes part, made by `penchant train sequence` from earlier events.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    audit: Annotated[
        list[AuditMethod] | None,
        typer.Option(
            help="Compare contributions with those of a slow method, too. Repeatable.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(min=2, metavar="N", help="Orders per question of --audit shapley.", rich_help_panel=RUN),
    ] = 20,
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
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A page with plots.", rich_help_panel=OUT, show_default=False),
    ] = None,
) -> None:
    import numpy as np  # noqa: PLC0415

    from models.hashing import item_hash  # noqa: PLC0415
    from models.ranking.weights import default_weights  # noqa: PLC0415
    from stream.analysis.rankings.screen import Bars  # noqa: PLC0415
    from stream.analysis.reasons.audit import Audit  # noqa: PLC0415
    from stream.analysis.reasons.figures import report_of  # noqa: PLC0415
    from stream.analysis.reasons.judge import judge_questions, sample  # noqa: PLC0415
    from stream.analysis.texts import with_text  # noqa: PLC0415
    from stream.display.terminal import stderr, stdout  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.refresh.sequence import open_sequence  # noqa: PLC0415
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
    model = None if sequence_model is None else open_sequence(sequence_model)
    chosen = Audit(tuple(each.value for each in audit or ()), samples)
    data = read(settings, {"events": events, "items": items}, columns, reading, shuffle_minutes)
    at = sample(data.stream, data.known, warm_up, questions, seed)
    started = time.monotonic()
    with Bars(stderr()) as bars:
        known, text = with_text(settings, data.known, directory, bars.step)
        if model is not None and known.text_vectors is not None and model.text_model == text:
            model.items.put(np.array(list(map(item_hash, known.item_ids)), np.uint64), known.text_vectors)
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
    report = report_of(judged, seed, chosen) | {
        "asked": len(at),
        "weights": ranked_with.version,
        "encoder": text,
        "sequence_model": None if model is None else model.model_version,
        "seconds": time.monotonic() - started,
        "data": data.counts | {"sha256": data.sha256},
        "command": " ".join(sys.argv),
    }
    if json_ is not None:
        write(json_, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if html is not None:
        from stream.analysis.reasons.page import page  # noqa: PLC0415
        from stream.analysis.reasons.plots import plots  # noqa: PLC0415

        write(html, page(report, plots(report)))
    _show(stdout(), report)


def _show(console: Any, report: dict[str, Any]) -> None:
    from models.evaluation.faithfulness import LOWER_IS_BETTER, MEASURES  # noqa: PLC0415
    from stream.display.terminal import Cell, count, say, show_table  # noqa: PLC0415

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
    for line in _others(report):
        say(console, line)
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


def _others(report: dict[str, Any]) -> list[str]:
    """A line each for stability, the sequence model and audits."""
    from stream.analysis.reasons.page import audit_lines, stability_lines  # noqa: PLC0415

    lines = stability_lines(report["stability"])
    found = report["sequence"]
    if found is not None and found["questions"]:
        lines.append(
            f"Sequence model, {found['questions']} leaders: leaving events out one by one (does not add up) leaves over "
            f"{found['residual_mean']:.2f} of a change of {found['change_mean']:.2f}."
        )
    return lines + audit_lines(report["audits"])
