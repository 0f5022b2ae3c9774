"""`penchant train sequence`: reads events, trains in `models.training.sequence`, shows progress, says what came of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from models.training.result import TrainingResult
from models.training.sequence import private, run
from models.training.sequence.plot import draw
from models.training.sequence.run import Corpus, Look
from models.training.sequence.settings import SequenceSettings
from models.vocabulary import ACTIONS
from stream.analysis import sequence_data as data
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.inputs import InputFiles, input_files
from stream.cli.making import mendable, refuse_missing, refuse_unclear_source, write_result
from stream.cli.options import TRAINING, option, optional
from stream.display.terminal import count, say, stderr
from stream.errors import EXIT_FAILED, InputFileError, ModelUnusableError
from stream.params import decode_limits
from stream.settings import Settings, load_settings

_HELP: Final = """\
Train the sequence model: what a user will want next, from the order and the times of what they had.

\b
Examples:
  penchant train sequence events.jsonl --items items.jsonl --out models/sequence
  penchant train sequence --from-topic --out models/sequence-2 --champion models/sequence
  penchant train sequence events.jsonl --items items.jsonl --out models/private --dp-epsilon 8 --batch 128

Next: `penchant models publish models/sequence`, or sequence_model in penchant.toml.

The last tenth of the events decides: the model is kept only if it ranks what came next better than --champion, or without one
better than counting (exit code 1, and nothing written, if not). The tenth before it says when to stop. Interrupted? The same
command goes on where it was. Needs the extra train; with --dp-epsilon train-private, and all epochs are made."""

_NEEDED: Final = ("torch", "matplotlib", "onnx", "onnxruntime")
_PRIVATE: Final = ("opacus",)
_PRIVATE_EXTRAS: Final = "train-private,encoder-cpu"
_SHAPE: Final = "Model"

app = command_app()


@app.command("sequence", help=_HELP)
def sequence(
    out: Annotated[Path, optional("Where the model goes.", None, "DIRECTORY")],
    events: options.EventsIfAny = None,
    items: options.Items = None,
    from_topic: options.FromTopic = False,
    champion: Annotated[
        Path | None, optional("The model that serves: this one has to be better.", None, "DIRECTORY")
    ] = None,
    encoder: Annotated[
        str | None,
        optional(
            "Whose text vectors place items that are new. Default: the setting encoder_model.",
            None,
            "default|none|DIRECTORY",
        ),
    ] = None,
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
    validation_share: options.ValidationShare = 0.1,
    test_share: options.TestShare = 0.1,
    architecture: Annotated[
        Literal["sasrec", "hstu", "lru"],
        option("sasrec: attention; hstu: pointwise attention, with the time between any two; lru: recurrence.", _SHAPE),
    ] = "sasrec",
    layers: Annotated[int, option("Of the network.", _SHAPE, "N", min=1)] = 2,
    heads: Annotated[int, option("Of attention; a divisor of --dims.", _SHAPE, "N", min=1)] = 2,
    dims: Annotated[int, option("Of an item's vector.", _SHAPE, "N", min=1)] = 64,
    hidden: Annotated[int, option("Of the feed-forward part.", _SHAPE, "N", min=1)] = 128,
    length: Annotated[int, option("Newest items of a history that count.", _SHAPE, "N", min=1, max=512)] = 64,
    calendar: Annotated[bool, option("Hour and weekday (UTC) count too.", _SHAPE)] = False,
    dropout: Annotated[float, option("Of the network.", TRAINING, min=0, max=0.9)] = 0.2,
    event_dropout: Annotated[float, option("Share of events left out.", TRAINING, min=0, max=0.9)] = 0.1,
    id_dropout: Annotated[float, option("Share of items that are only text.", TRAINING, min=0, max=0.9)] = 0.1,
    loss: Annotated[
        Literal["auto", "full", "sampled", "gbce"],
        option("auto: full softmax up to 20,000 items, else sampled.", TRAINING),
    ] = "auto",
    negatives: Annotated[int, option("Sampled per step.", TRAINING, "N", min=1)] = 1000,
    calibration: Annotated[float, option("t of gBCE.", TRAINING, min=0, max=1)] = 0.75,
    epochs: Annotated[int, option("At most.", TRAINING, "N", min=1)] = 20,
    batch: Annotated[int, option("Segments of histories per step.", TRAINING, "N", min=1)] = 16,
    learning_rate: Annotated[float, option("AdamW's.", TRAINING, min=0)] = 1e-3,
    warmup_steps: Annotated[int, option("With a rising rate.", TRAINING, "N", min=0)] = 50,
    weight_decay: options.WeightDecay = 0.01,
    max_grad_norm: options.MaxGradNorm = 1.0,
    private_epsilon: Annotated[
        float | None,
        optional(
            "Differential privacy of every person (DP-SGD): 1 is strong, 8 weak. Without it training is not private.",
            TRAINING,
            "E",
            "--dp-epsilon",
        ),
    ] = None,
    private_delta: Annotated[
        float, option("Chance that this does not hold: far below 1 / people.", TRAINING, "D", "--dp-delta")
    ] = 1e-6,
    precision: options.Precision = "auto",
    seed: options.ModelSeed = 0,
    patience: Annotated[int, option("Epochs without a rise until the end.", TRAINING, "N", min=1)] = 3,
    checkpoint_steps: options.CheckpointSteps = 100,
    max_questions: Annotated[int, option("Asked of the validation window.", TRAINING, "N", min=1)] = 5000,
    min_gain: Annotated[float, option("How much NDCG at 10 has to rise.", TRAINING)] = 0.0,
    report: options.TrainingReport = None,
    restart: options.Restart = False,
) -> None:
    given = locals()
    refuse_missing("training", _NEEDED, "train,encoder-cpu")
    refuse_unclear_source(events, items, from_topic=from_topic)
    training = SequenceSettings(**{name: given[name] for name in SequenceSettings._fields})
    if private_epsilon is not None:
        _refuse_unprivate(training, items, from_topic=from_topic)
    if dims % heads:
        raise ModelUnusableError(f"--heads {heads} does not divide --dims {dims}.", "give a divisor of it")
    settings = load_settings(encoder_model=encoder, bootstrap_servers=bootstrap_servers)
    with mendable():
        files = (
            None if events is None else input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
        )
        read, catalogue = _from_topics(settings) if files is None else _from_files(files, settings)
        if private_epsilon is not None:
            read = _of_catalogue(read, catalogue)
        corpus = _with_texts(read, catalogue, settings)
        with _Screen() as screen:
            result = run.train(corpus, training, out, champion_directory=champion, restart=restart, on_step=screen.step)
    write_result(result, report, draw)
    raise typer.Exit(_say(result, out))


def _refuse_unprivate(training: SequenceSettings, items: Path | None, *, from_topic: bool) -> None:
    """Raises: ModelUnusableError, InputFileError: it cannot be trained so that the promise holds."""
    with mendable():
        private.check(training, 0)
    if items is None and not from_topic:
        raise InputFileError("--dp-epsilon learns of items that a catalogue names only.", "give --items")
    refuse_missing("private training", _PRIVATE, _PRIVATE_EXTRAS)


def _of_catalogue(read: data.Read, catalogue: data.Catalogue) -> data.Read:
    kept = data.of_catalogue(read, catalogue)
    left_out = read.events.item.size - kept.events.item.size
    say(stderr(), f"catalogue: {count(len(kept.ids), 'item')}; {count(left_out, 'engagement')} with others left out")
    return kept


def _from_topics(settings: Settings) -> tuple[data.Read, data.Catalogue]:
    reach(settings)
    limits = decode_limits(settings)
    read = data.events_of_topic(settings, limits)
    catalogue = data.items_of_topic(settings, limits)
    _say_read(settings.topic_events, read)
    return read, catalogue


def _from_files(files: InputFiles, settings: Settings) -> tuple[data.Read, data.Catalogue]:
    common: dict[str, Any] = {
        "limits": decode_limits(settings), "now_ms": time.time_ns() // 1_000_000, "reading": files.reading
    }  # fmt: skip
    catalogue = {} if files.items is None else data.items_of_file(files.items, files.item_columns, **common)
    strengths: dict[str, float] = dict(zip(ACTIONS, settings.strengths(), strict=True))
    read = data.events_of_file(files.events, files.columns, strengths, **common)
    _say_read(str(files.events), read)
    return read, catalogue


def _say_read(where: str, read: data.Read) -> None:
    say(
        stderr(),
        f"{where}: {count(read.rows, 'row')}, {count(read.events.item.size, 'first engagement')} with "
        f"{count(len(read.ids), 'item')}, {read.refused:,} refused",
    )


def _with_texts(read: data.Read, catalogue: data.Catalogue, settings: Settings) -> Corpus:
    texts = data.texts_of(
        read.ids, catalogue, settings, lambda done, of: say(stderr(), f"texts: {done:,} of {of:,} encoded")
    )
    if texts.why_none:
        why = (
            f"without text ({texts.why_none}): an item that is new has no place in the model until it is trained again"
        )
        say(stderr(), why)
    return Corpus(read.ids, read.events, texts.vectors, texts.model)


class _Screen:
    """A line per epoch; on a terminal also a bar in it."""

    def __init__(self) -> None:
        self._console = stderr()
        self._status: Any = self._console.status("training")  # draws nothing where stderr is not a terminal

    def __enter__(self) -> _Screen:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def step(self, look: Look) -> None:
        """See `models.training.sequence.run.OnStep`."""
        phase = "" if look.phase == "choosing" else "on all events, "
        if look.metric is not None:
            say(
                self._console,
                f"{phase}epoch {look.epoch} of at most {look.epochs}: validation NDCG@10 {look.metric:.4f}",
            )
        self._status.update(f"training: {phase}step {look.step}, loss {look.loss:.4f}")


def _say(result: TrainingResult, out: Path) -> int:
    """What came of it, and the exit code."""
    report = result.report
    challenger, incumbent = report["test"]["challenger"], report["test"]["incumbent"]
    told = (
        f"NDCG@10 {incumbent['ndcg']:.4f} ({report['incumbent']}) -> {challenger['ndcg']:.4f} "
        f"(± {report['standard_error']:.4f}), HR@10 {incumbent['hr']:.4f} -> {challenger['hr']:.4f}, "
        f"{challenger['questions']:,} questions"
    )
    if "privacy" in report:
        spent = report["privacy"]
        told += f"; epsilon {spent['epsilon']:.3g} at delta {spent['delta']:g} a person"
    if result.kept:
        typer.echo(f"{out}: {told}; {report['model_version']}")
        return 0
    typer.echo(f"penchant: not better on the test window: {told}: not kept.", err=True)
    return EXIT_FAILED
