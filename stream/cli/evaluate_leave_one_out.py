"""`penchant evaluate leave-one-out`: each user's last item asked for, as papers on sequence models do."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from models.training.sequence.settings import SequenceSettings
from stream.analysis.last_items.judge import cut_of, judge_last_items, parse_models
from stream.analysis.last_items.screen import show_report
from stream.analysis.texts import with_text
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import input_files, say_what_was_read
from stream.cli.options import TRAINING, option
from stream.cli.outputs import Report, work_directory
from stream.display.bars import Bars
from stream.display.terminal import stderr, stdout
from stream.settings import load_settings

_HELP: Final = """\
Judge models of what comes next by each user's last item, as published figures are: full ranking, query time known and not.

\b
Examples:
  penchant evaluate leave-one-out ratings.csv --json report.json \\
      --map user_id=userId,item_id=movieId,action=:like,event_time=timestamp
  penchant evaluate leave-one-out events.csv --ties item-id \\
      --models popularity,item_cf,sasrec

Next: deploy/docs/evaluation.md says how it is done, and why `penchant evaluate rankings` should decide.

Nothing is written but the report. Without the extra train the sequence model is skipped."""

app = command_app()


@app.command("leave-one-out", help=_HELP)
def leave_one_out(
    events: options.Events,
    items: options.Items = None,
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    ties: Annotated[
        Literal["file", "item-id"],
        option("What orders a user's events of one time: the file, or item ids (numbers by value).", options.DATA),
    ] = "file",
    models: Annotated[
        str,
        options.optional("Only these. Default: popularity,co_occurrence_tuned,sasrec,hstu,lru.", options.RUN, "A,B,…"),
    ] = "",
    loss: Annotated[
        Literal["auto", "full", "sampled", "gbce"],
        option("auto: full softmax up to 20,000 items, else sampled.", TRAINING),
    ] = "auto",
    length: Annotated[int, option("Newest items of a history that count.", TRAINING, "N", min=1, max=512)] = 64,
    epochs: Annotated[int, option("At most.", TRAINING, "N", min=1)] = 20,
    patience: Annotated[int, option("Epochs without a rise until the end.", TRAINING, "N", min=1)] = 3,
    seed: Annotated[int, options.seed("Of models and intervals.")] = 0,
    work_dir: options.WorkDir = None,
    json_: options.Json = None,
) -> None:
    settings, names = load_settings(), parse_models(models)
    files = input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
    directory = work_directory(work_dir or settings.data_dir / "evaluation")
    report = Report(json_, None)
    data = files.read(settings)
    say_what_was_read(events, data)
    cut = cut_of(data, ties)
    training = SequenceSettings(loss=loss, length=length, epochs=epochs, patience=patience, seed=seed)
    with Bars(stderr()) as bars:
        known, encoder = with_text(settings, cut.known, directory, bars.step)
        found = judge_last_items(cut._replace(known=known), names, training, seed, bars.step)
    told = found | {
        "ties": ties,
        "encoder": encoder,
        "training": training._asdict(),
        "data": data.counts | {"refused_by_reason": data.refused, "sha256": data.sha256},
    }
    report.write(told)
    show_report(stdout(), told)
