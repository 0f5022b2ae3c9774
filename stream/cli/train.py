"""`penchant train ...`: what the ranking learns from behaviour. Added to the command line by `stream.cli.main`."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from stream.cli import options
from stream.cli.train_weights import HELP as WEIGHTS_HELP
from stream.cli.train_weights import weights
from stream.errors import EXIT_FAILED, InputFileError, ModelUnusableError

if TYPE_CHECKING:
    from models.training.result import TrainingResult
    from models.training.sequence.run import Corpus, Look
    from stream.settings import Settings

train = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Train what the ranking learns from behaviour.")


_HELP: Final = """\
Train the sequence model: what a user will want next, from the order and the times of what they had.

\b
Examples:
  penchant train sequence events.jsonl --items items.jsonl --out models/sequence
  penchant train sequence --from-topic --out models/sequence-2 --champion models/sequence

Next: `penchant models publish models/sequence`, or sequence_model in penchant.toml.

The last tenth of the events decides: the model is kept only if it ranks what came next better than --champion, or without one
better than counting (exit code 1, and nothing written, if not). The tenth before it says when to stop. Interrupted? The same
command goes on where it was. Needs the extra train."""

train.command("weights", help=WEIGHTS_HELP)(weights)

_NEEDED: Final = ("torch", "matplotlib", "onnx", "onnxruntime")
_DATA, _SHAPE, _TRAINING = "Data", "Model", "Training"


def _option(help_: str, panel: str, metavar: str | None = None, **limits: Any) -> Any:
    return typer.Option(help=help_, rich_help_panel=panel, metavar=metavar, **limits)


@train.command("sequence", help=_HELP)
def sequence(
    out: Annotated[Path, typer.Option("--out", metavar="DIRECTORY", help="Where the model goes.", show_default=False)],
    events: Annotated[
        Path | None,
        typer.Argument(metavar="[EVENTS]", help="An event file, as for `penchant replay`.", show_default=False),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option("--items", metavar="ITEMS", help="The catalogue, as for `items load`.", show_default=False),
    ] = None,
    from_topic: Annotated[
        bool, typer.Option("--from-topic", help="Instead of files: the events and items topics, as they are now.")
    ] = False,
    champion: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="The model that serves: this one has to be better.", show_default=False),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="default|none|DIRECTORY",
            help="Whose text vectors place items that are new. Default: the setting encoder_model.",
            show_default=False,
        ),
    ] = None,
    map_: options.EventMap = "",
    items_map: Annotated[
        str, _option("Which column of ITEMS is which field.", _DATA, "FIELD=COLUMN,…", show_default=False)
    ] = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
    validation_share: Annotated[float, _option("Of the events: says when to stop.", _DATA, min=0.001, max=0.5)] = 0.1,
    test_share: Annotated[float, _option("Of the events, the last: decides.", _DATA, min=0.001, max=0.5)] = 0.1,
    layers: Annotated[int, _option("Of the network.", _SHAPE, "N", min=1)] = 2,
    heads: Annotated[int, _option("Of attention; a divisor of --dims.", _SHAPE, "N", min=1)] = 2,
    dims: Annotated[int, _option("Of an item's vector.", _SHAPE, "N", min=1)] = 64,
    hidden: Annotated[int, _option("Of the feed-forward part.", _SHAPE, "N", min=1)] = 128,
    length: Annotated[int, _option("Newest items of a history that count.", _SHAPE, "N", min=1, max=512)] = 64,
    calendar: Annotated[bool, _option("Hour and weekday (UTC) count too.", _SHAPE)] = False,
    dropout: Annotated[float, _option("Of the network.", _TRAINING, min=0, max=0.9)] = 0.2,
    event_dropout: Annotated[float, _option("Share of events left out.", _TRAINING, min=0, max=0.9)] = 0.1,
    id_dropout: Annotated[float, _option("Share of items that are only text.", _TRAINING, min=0, max=0.9)] = 0.1,
    loss: Annotated[
        Literal["auto", "full", "sampled", "gbce"],
        _option("auto: full softmax up to 20,000 items, else sampled.", _TRAINING),
    ] = "auto",
    negatives: Annotated[int, _option("Sampled per step.", _TRAINING, "N", min=1)] = 1000,
    calibration: Annotated[float, _option("t of gBCE.", _TRAINING, min=0, max=1)] = 0.75,
    epochs: Annotated[int, _option("At most.", _TRAINING, "N", min=1)] = 20,
    batch: Annotated[int, _option("Segments of histories per step.", _TRAINING, "N", min=1)] = 16,
    learning_rate: Annotated[float, _option("AdamW's.", _TRAINING, min=0)] = 1e-3,
    warmup_steps: Annotated[int, _option("With a rising rate.", _TRAINING, "N", min=0)] = 50,
    weight_decay: Annotated[float, _option("AdamW's.", _TRAINING, min=0)] = 0.01,
    max_grad_norm: Annotated[float, _option("Longer gradients are cut.", _TRAINING, min=0)] = 1.0,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], _option("auto: half on a GPU, fp32 on a CPU.", _TRAINING)
    ] = "auto",
    seed: Annotated[int, _option("The same seed gives the same model.", _TRAINING, "N", min=0)] = 0,
    patience: Annotated[int, _option("Epochs without a rise until the end.", _TRAINING, "N", min=1)] = 3,
    checkpoint_steps: Annotated[int, _option("Steps between checkpoints.", _TRAINING, "N", min=1)] = 100,
    max_questions: Annotated[int, _option("Asked of the validation window.", _TRAINING, "N", min=1)] = 5000,
    min_gain: Annotated[float, _option("How much NDCG at 10 has to rise.", _TRAINING)] = 0.0,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The JSON report, kept or not; beside it the plot.", show_default=False),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the checkpoint of an interrupted run.")] = False,
) -> None:
    given = locals()
    _refuse_missing()
    if (events is None) == (not from_topic):
        raise InputFileError("What to learn from?", "name an event file, or give --from-topic, and not both")
    if from_topic and items is not None:
        raise InputFileError("--items is for files; --from-topic reads the items topic.", "leave one of them out")
    if dims % heads:
        raise ModelUnusableError(f"--heads {heads} does not divide --dims {dims}.", "give a divisor of it")
    from models.encoder.errors import ModelError  # noqa: PLC0415
    from models.training.sequence import run  # noqa: PLC0415
    from models.training.sequence.settings import SequenceSettings  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings(encoder_model=encoder, bootstrap_servers=bootstrap_servers)
    training = SequenceSettings(**{name: given[name] for name in SequenceSettings._fields})
    try:
        corpus = _corpus(given, settings)
        with _Screen() as screen:
            outcome = run.train(
                corpus, training, out, champion_directory=champion, restart=restart, on_step=screen.step
            )
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None
    if report is not None:
        _write(outcome, report)
    raise typer.Exit(_say(outcome, out))


def _refuse_missing() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModelUnusableError(
            f"training needs {', '.join(missing)}, not installed here.", "pip install 'penchant[train,encoder-cpu]'"
        )


def _corpus(given: dict[str, Any], settings: Settings) -> Corpus:
    from models.training.sequence.run import Corpus  # noqa: PLC0415
    from stream.analysis import sequence_data as data  # noqa: PLC0415
    from stream.display.terminal import count, say, stderr  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.files.replay import limits_of  # noqa: PLC0415
    from stream.kafka.reach import reach  # noqa: PLC0415
    from stream.wire.records import ACTIONS  # noqa: PLC0415

    limits = limits_of(settings)
    catalogue = {}
    if given["from_topic"]:
        reach(settings)
        read, where = data.events_of_topic(settings, limits), settings.topic_events
        catalogue = data.items_of_topic(settings, limits)
    else:
        common: dict[str, Any] = {"limits": limits, "now_ms": time.time_ns() // 1_000_000}
        common["reading"] = {name: given[name] for name in ("timezone", "time_unit", "time_pattern")}
        strengths: dict[str, float] = dict(zip(ACTIONS, settings.strengths(), strict=True))
        where = str(given["events"])
        if given["items"] is not None:
            catalogue = data.items_of_file(given["items"], parse_mapping(given["items_map"], "item"), **common)
        read = data.events_of_file(given["events"], parse_mapping(given["map_"]), strengths, **common)
    say(
        stderr(),
        f"{where}: {count(read.rows, 'row')}, {count(read.events.item.size, 'first engagement')} with "
        f"{count(len(read.ids), 'item')}, {read.refused:,} refused",
    )
    texts, text_model = _texts(read.ids, catalogue, settings)
    return Corpus(read.ids, read.events, texts, text_model)


def _texts(ids: list[str], catalogue: Any, settings: Settings) -> tuple[Any, str | None]:
    """`(vectors, version of the encoder)`, or none of both."""
    from stream.analysis import sequence_data as data  # noqa: PLC0415
    from stream.display.terminal import say, stderr  # noqa: PLC0415
    from stream.texts.options import batch_tokens, encoder_choice, open_encoder_of  # noqa: PLC0415

    choice = encoder_choice(settings)
    known = sum(item in catalogue for item in ids)
    if choice is None or not known:
        why = "encoder_model is `none`" if choice is None else "there is no catalogue"
        say(stderr(), f"without text ({why}): an item that is new has no place in the model until it is trained again")
        return None, None
    opened = open_encoder_of(choice)
    try:
        vectors = data.text_vectors(
            ids,
            catalogue,
            opened,
            settings.encoder_batch_tokens or batch_tokens(opened.provider),
            lambda done, of: say(stderr(), f"texts: {done:,} of {of:,} encoded"),
        )
        return vectors, None if vectors is None else opened.model_version
    finally:
        opened.close()


class _Screen:
    """A line per epoch; on a terminal also a bar in it."""

    def __init__(self) -> None:
        from stream.display.terminal import stderr  # noqa: PLC0415

        self._console = stderr()
        self._status: Any = self._console.status("training")  # draws nothing where stderr is not a terminal

    def __enter__(self) -> _Screen:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def step(self, look: Look) -> None:
        """See `models.training.sequence.run.OnStep`."""
        from stream.display.terminal import say  # noqa: PLC0415

        phase = "" if look.phase == "choosing" else "on all events, "
        if look.metric is not None:
            say(
                self._console,
                f"{phase}epoch {look.epoch} of at most {look.epochs}: validation NDCG@10 {look.metric:.4f}",
            )
        self._status.update(f"training: {phase}step {look.step}, loss {look.loss:.4f}")


def _say(outcome: TrainingResult, out: Path) -> int:
    """What came of it, and the exit code."""
    report = outcome.report
    challenger, incumbent = report["test"]["challenger"], report["test"]["incumbent"]
    told = (
        f"NDCG@10 {incumbent['ndcg']:.4f} ({report['incumbent']}) -> {challenger['ndcg']:.4f} "
        f"(± {report['standard_error']:.4f}), HR@10 {incumbent['hr']:.4f} -> {challenger['hr']:.4f}, "
        f"{challenger['questions']:,} questions"
    )
    if outcome.kept:
        typer.echo(f"{out}: {told}; {report['model_version']}")
        return 0
    typer.echo(f"penchant: not better on the test window: {told}: not kept.", err=True)
    return EXIT_FAILED


def _write(outcome: TrainingResult, path: Path) -> None:
    from models.training.result import write_report  # noqa: PLC0415
    from models.training.sequence.plot import draw  # noqa: PLC0415

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_report(outcome.report, path)
        draw(outcome.report, path.with_suffix(".png"))
    except OSError as error:
        raise ModelUnusableError(f"{path} cannot be written: {error.strerror}.", "choose another --report") from None
