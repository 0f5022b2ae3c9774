"""`penchant evaluate`: reads files, judges contenders in `models.evaluation`, shows and writes what came of it."""

from __future__ import annotations

import json
import sys
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand
from typer.main import get_command

from stream.cli import options
from stream.errors import UsageError

if TYPE_CHECKING:
    from models.evaluation.questions import Questions
    from stream.analysis.data import Data
    from stream.settings import Settings

HELP: Final = """\
Judge rankings on a file of events as it would have been live: every first engagement after the warm-up is ranked, then learned.

\b
Examples:
  penchant evaluate events.csv --items items.csv --json report.json
  penchant evaluate sales.csv --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date \\
      --models popularity,co_occurrence_tuned --shuffle-minutes 1 --html report.html

Next: deploy/docs/evaluation.md says what each figure means and how each model was tuned.

Everything known so far is ranked, never a sample. Interrupted? The same command goes on where it was."""

OTHERS: Final[dict[str, typer.Typer]] = {}
"""`penchant evaluate NAME ...`: other things to judge, each an app of one command. A file of that name is `./NAME`."""

DATA, RUN, OUT = "Data", "Run", "Output"


class EvaluateCommand(TyperCommand):
    """The judge of rankings, unless the first word names one of `OTHERS`."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        other = OTHERS.get(args[0]) if args else None
        if other is None:
            return super().make_context(info_name, args, parent, **extra)
        return get_command(other).make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


def evaluate(
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
            min=0.0, max=0.999, help="Share of the first engagements that is not asked about.", rich_help_panel=RUN
        ),
    ] = 0.8,
    models: Annotated[
        str, typer.Option(metavar="A,B,…", help="Only these. Default: all.", rich_help_panel=RUN, show_default=False)
    ] = "",
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
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of models and intervals.", rich_help_panel=RUN)] = 0,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Models at a time.", rich_help_panel=RUN)] = 1,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where finished models are kept. Default: evaluation in data_dir.",
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
    from stream.analysis.rankings.contenders import parse_names  # noqa: PLC0415
    from stream.analysis.rankings.screen import show_report  # noqa: PLC0415
    from stream.display.terminal import stdout  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings, names = load_settings(), parse_names(models)
    columns = {"events": parse_mapping(map_), "items": parse_mapping(items_map, "item")}
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern}
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    for path in (json_, html):
        check_writable(path)
    if html is not None and find_spec("matplotlib") is None:
        raise UsageError("--html needs matplotlib, not installed here.", "pip install 'penchant[evaluate]'")
    data = read(settings, {"events": events, "items": items}, columns, reading, shuffle_minutes)
    report = _judge(settings, data, names, directory, warm_up=warm_up, seed=seed, jobs=jobs)
    if json_ is not None:
        write(json_, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if html is not None:
        _write_page(html, report)
    show_report(stdout(), report)


def read(
    settings: Settings, files: dict[str, Any], columns: dict[str, Any], reading: dict[str, Any], shuffle: int | None
) -> Data:
    from stream.analysis.data import read_data  # noqa: PLC0415
    from stream.display.terminal import count, say, stderr  # noqa: PLC0415
    from stream.params import decode_limits  # noqa: PLC0415

    data = read_data(
        files["events"],
        columns["events"],
        files["items"],
        columns["items"],
        strengths=settings.strengths(),
        limits=decode_limits(settings),
        now_ms=time.time_ns() // 1_000_000,
        reading=reading,
        shuffle_seed=shuffle,
    )
    told = data.counts
    refused = ", ".join(f"{number:,} {reason}" for reason, number in data.refused.items())
    say(
        stderr(),
        f"{files['events']}: {count(told['rows'], 'row')}, {count(told['first_engagements'], 'first engagement')} of "
        f"{count(told['users'], 'user')} with {count(told['items_in_events'], 'item')}"
        f"{f'; refused: {refused}' if refused else ''}",
    )
    return data


def _judge(
    settings: Settings, data: Data, names: tuple[str, ...], work_dir: Path, *, warm_up: float, seed: int, jobs: int
) -> dict[str, Any]:
    from models.evaluation.questions import questions, warm_up_end  # noqa: PLC0415
    from models.evaluation.report import Result, make_report  # noqa: PLC0415
    from stream.analysis.rankings.run import Task, fingerprint, judge  # noqa: PLC0415
    from stream.analysis.rankings.screen import Bars  # noqa: PLC0415
    from stream.analysis.texts import with_text  # noqa: PLC0415
    from stream.display.terminal import stderr  # noqa: PLC0415

    stream = data.stream
    end = warm_up_end(stream, warm_up)
    asked = questions(stream, data.known, end)
    if not asked.at.size:
        raise UsageError("No first engagement is left to ask about.", "give more events, or a smaller --warm-up")
    with Bars(stderr()) as bars:
        known, why_no_text = with_text(settings, data.known, work_dir, bars.step)
        mark = fingerprint(
            data=data.sha256,
            columns=[sha256(column.tobytes()).hexdigest() for column in stream],
            text=why_no_text,
            end=end,
            seed=seed,
            settings=settings.model_dump(mode="json"),
        )
        task = Task(stream, known, asked, end, seed, settings, work_dir, mark)
        results = judge(names, task, jobs, bars.step)
    done = {name: each for name, each in results.items() if isinstance(each, Result)}
    skipped = {name: each.why for name, each in results.items() if not isinstance(each, Result)}
    if not done:
        raise UsageError(f"No model could take part: {'; '.join(skipped.values())}.", "choose other --models")
    report = make_report(done, stream, known, asked, end, seed)
    return {**report, "skipped": skipped, "data": _described(data, asked, end), "command": " ".join(sys.argv)}


def _described(data: Data, asked: Questions, end: int) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415

    return {
        **data.counts,
        "refused_by_reason": data.refused,
        "warm_up_events": end,
        "questions": int(asked.at.size),
        "asked_users": int(np.unique(asked.user).size),
        "sha256": data.sha256,
    }


def work_directory(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}.", "choose another --work-dir") from None
    return path


def _write_page(path: Path, report: dict[str, Any]) -> None:
    from stream.analysis.rankings.page import page  # noqa: PLC0415
    from stream.analysis.rankings.plots import plots  # noqa: PLC0415

    write(path, page(report, plots(report)))


def check_writable(path: Path | None) -> None:
    """Before hours of work rather than after."""
    if path is not None and not path.parent.is_dir():
        raise UsageError(
            f"{path} cannot be written: there is no directory {path.parent}.", "make it, or choose another"
        )


def write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "choose another file") from None
