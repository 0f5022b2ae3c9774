"""`penchant encoder finetune`: reads files, trains in `models.training`, shows progress, says what came of it."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import typer

from stream.cli import options
from stream.errors import EXIT_FAILED, ModelUnusableError

if TYPE_CHECKING:
    from models.training.encoder.finetune import Look
    from models.training.result import TrainingResult

HELP: Final = """\
Tune a sentence encoder on what users engage with together, and keep it only if a later time window is served better.

\b
Examples:
  penchant encoder finetune events.jsonl --items items.jsonl --out encoders/shop
  penchant encoder finetune 2026-w2.jsonl --items items.jsonl --model encoders/shop \\
      --out encoders/shop-2 --replay 2026-w1.jsonl --anchor 0.1

Next: encoder_model = "encoders/shop" in penchant.toml, then `penchant worker`.

The last tenth of the events decides, the tenth before it says when to stop, the rest is trained on. Exit code 1, and nothing
written: the metric did not rise. Interrupted? The same command goes on where it was. Several GPUs:
`torchrun --nproc-per-node 4 -m stream encoder finetune …`. Needs the extra train."""

_NEEDED: Final = ("torch", "transformers", "peft", "matplotlib")
_TRAINING, _DATA, _FORGETTING = "Training", "Data", "Against forgetting"


def _option(help_: str, panel: str, metavar: str | None = None, **limits: Any) -> Any:
    return typer.Option(help=help_, rich_help_panel=panel, metavar=metavar, **limits)


def finetune(
    events: Annotated[Path, typer.Argument(metavar="EVENTS", help="An event file, as for `penchant replay`.")],
    items: Annotated[Path, typer.Option("--items", metavar="ITEMS", help="The catalogue, as for `items load`.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIRECTORY", help="Where the tuned encoder goes.")],
    model: Annotated[
        str,
        typer.Option(metavar="default|MODEL", help="What to start from: a directory, a hub id, an earlier --out."),
    ] = "default",
    map_: options.EventMap = "",
    items_map: Annotated[
        str, _option("Which column of ITEMS is which field.", _DATA, "FIELD=COLUMN,…", show_default=False)
    ] = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    within_days: Annotated[float, _option("Two items further apart are no pair.", _DATA, "DAYS", min=0)] = 30.0,
    places: Annotated[int, _option("Nor are items further apart in a user's history.", _DATA, "N", min=1)] = 10,
    validation_share: Annotated[float, _option("Of the events: says when to stop.", _DATA, min=0.001, max=0.5)] = 0.1,
    test_share: Annotated[float, _option("Of the events, the last: decides.", _DATA, min=0.001, max=0.5)] = 0.1,
    epochs: Annotated[float, _option("Draws of as many pairs as there are.", _TRAINING, min=0)] = 1.0,
    batch: Annotated[int, _option("Pairs contrasted with each other, per GPU.", _TRAINING, "N", min=2)] = 64,
    accumulate: Annotated[int, _option("Batches per optimizer step.", _TRAINING, "N", min=1)] = 1,
    learning_rate: Annotated[float, _option("AdamW's, at its highest.", _TRAINING, min=0)] = 2e-4,
    warmup_share: Annotated[float, _option("Of the steps, with a rising rate.", _TRAINING, min=0, max=1)] = 0.1,
    weight_decay: Annotated[float, _option("AdamW's.", _TRAINING, min=0)] = 0.01,
    max_grad_norm: Annotated[float, _option("Longer gradients are cut.", _TRAINING, min=0)] = 1.0,
    temperature: Annotated[float, _option("Cosines are divided by it.", _TRAINING, min=0.001)] = 0.05,
    dropout: Annotated[
        float | None, _option("Default: the model's own.", _TRAINING, min=0, max=0.9, show_default=False)
    ] = None,
    lora_rank: Annotated[int, _option("Of the adapters.", _TRAINING, "N", min=1)] = 16,
    lora_alpha: Annotated[float, _option("Adapters count alpha / rank times.", _TRAINING, min=0)] = 32.0,
    lora_dropout: Annotated[float, _option("Before the adapters.", _TRAINING, min=0, max=0.9)] = 0.05,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], _option("auto: half on a GPU, fp32 on a CPU.", _TRAINING)
    ] = "auto",
    seed: Annotated[int, _option("The same seed gives the same model.", _TRAINING, "N", min=0)] = 0,
    evaluate_steps: Annotated[int, _option("Steps between looks; 0 = ten in a run.", _TRAINING, "N", min=0)] = 0,
    patience: Annotated[int, _option("Looks without a rise until the end.", _TRAINING, "N", min=1)] = 3,
    checkpoint_steps: Annotated[int, _option("Steps between checkpoints.", _TRAINING, "N", min=1)] = 100,
    metric: Annotated[Literal["mrr", "recall"], _option("What decides; recall at 10.", _TRAINING)] = "mrr",
    min_gain: Annotated[float, _option("How much it has to rise.", _TRAINING)] = 0.0,
    max_queries: Annotated[int, _option("Questions asked of a window.", _TRAINING, "N", min=1)] = 5000,
    max_candidates: Annotated[int, _option("Texts ranked for each.", _TRAINING, "N", min=2)] = 20_000,
    replay: Annotated[
        Path | None,
        _option("Old events, read like EVENTS: mixed in, and measured.", _FORGETTING, "OLD_EVENTS", show_default=False),
    ] = None,
    replay_share: Annotated[float, _option("Of each batch; 0 = only measure.", _FORGETTING, min=0, max=0.9)] = 0.25,
    anchor: Annotated[float, _option("Weight of 1 - cosine to the old vectors.", _FORGETTING, min=0)] = 0.0,
    fp16: Annotated[bool, typer.Option("--fp16", help="Also a half-precision graph, for GPUs.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The JSON report, kept or not; beside it the plot.", show_default=False),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the checkpoint of an interrupted run.")] = False,
) -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModelUnusableError(
            f"fine-tuning needs {', '.join(missing)}, not installed here.", "pip install 'penchant[train]'"
        )
    from models.training.encoder.pairs import Neighbourhood  # noqa: PLC0415
    from models.training.encoder.settings import FinetuneSettings  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    given = locals()
    training = FinetuneSettings(**{name: given[name] for name in FinetuneSettings._fields})
    near = Neighbourhood(places, round(within_days * 86_400_000), settings.pair_decay)
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern}
    files = {"events": events, "items": items, "old": replay, "map": map_, "items_map": items_map}
    outcome = _mendable(model, settings, files, reading, near, training, out, fp16=fp16, restart=restart)
    if not _leads():
        return
    if report is not None:
        _write(outcome, report)
    raise typer.Exit(_say(outcome, out))


def _mendable(
    model: str,
    settings: Any,
    files: dict[str, Any],
    reading: dict[str, Any],
    near: Any,
    training: Any,
    out: Path,
    *,
    fp16: bool,
    restart: bool,
) -> TrainingResult:
    """The run; what a person can mend as one line."""
    from models.encoder.errors import ModelError  # noqa: PLC0415
    from models.training.encoder import finetune as training_loop  # noqa: PLC0415
    from models.training.encoder.keeping import find_trainable  # noqa: PLC0415

    try:
        source = find_trainable(model)
        corpus = _corpus(files, source.max_tokens, settings, reading)
        with _Screen() as screen:
            return training_loop.finetune(
                source,
                corpus,
                near,
                training,
                out,
                precisions=("fp32", "fp16") if fp16 else ("fp32",),
                restart=restart,
                on_step=screen.step,
                progress=screen.say,
            )
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None


def _corpus(files: dict[str, Any], max_tokens: int, settings: Any, reading: dict[str, Any]) -> Any:
    from models.training.encoder.plan import Corpus  # noqa: PLC0415
    from stream.analysis.finetune_data import read_engagements, read_texts  # noqa: PLC0415
    from stream.display.terminal import count, say, stderr  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.files.replay import limits_of  # noqa: PLC0415
    from stream.wire.records import ACTIONS  # noqa: PLC0415

    now_ms = time.time_ns() // 1_000_000
    common: dict[str, Any] = {"limits": limits_of(settings), "now_ms": now_ms, "reading": reading}
    columns = parse_mapping(files["map"])
    texts = read_texts(files["items"], parse_mapping(files["items_map"], "item"), max_tokens, **common)
    strengths = dict(zip(ACTIONS, settings.strengths(), strict=True))
    found = []
    for path in filter(None, (files["events"], files["old"])):
        read = read_engagements(path, columns, texts, strengths, **common)
        if _leads():
            told = (
                f"{path}: {count(read.rows, 'row')}, {count(read.engagements.item.size, 'first engagement')}, "
                f"{read.refused:,} refused, {read.unknown:,} with items that have no text"
            )
            say(stderr(), told)
        found.append(read.engagements)
    return Corpus(texts.texts, *found)


class _Screen:
    """A bar on a terminal, a line per look elsewhere; nothing from any process but the first."""

    def __init__(self) -> None:
        from stream.display.terminal import stderr  # noqa: PLC0415

        self._console = stderr()
        self._bar: Any = None
        self._task: Any = None
        self._metric = ""

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        if _leads() and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("training"), BarColumn(bar_width=None), MofNCompleteColumn(),
                TextColumn("{task.fields[told]}"), TimeRemainingColumn(), console=self._console, expand=True,
            )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, look: Look) -> None:
        """See `models.training.encoder.finetune.OnStep`."""
        if look.metric is not None:
            self._metric = f", validation {look.metric:.4f}"
        told = f"loss {look.loss:.4f}{self._metric}"
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("training", total=look.steps, told=told)
            self._bar.update(self._task, completed=look.step, told=told)
        elif look.metric is not None:
            self.say(f"step {look.step} of {look.steps}: {told}")

    def say(self, text: str) -> None:
        """One line."""
        from stream.display.terminal import say  # noqa: PLC0415

        if _leads():
            say(self._console, text)


def _say(outcome: TrainingResult, out: Path) -> int:
    """What came of it, and the exit code."""
    report = outcome.report
    name, test, old = report["metric"], report["test"], report["old"]
    if old is not None:
        typer.echo(f"old task: {_moved(name, old)}", err=not outcome.kept)
    if outcome.kept:
        typer.echo(f"{out}: {_moved(name, test)} on the test window")
        return 0
    fell = f"fell by {-report['gain']:.4f}" if report["gain"] < 0 else f"rose by only {report['gain']:.4f}"
    typer.echo(f"penchant: {name} {fell} on the test window ({_moved(name, test)}): not kept.", err=True)
    return EXIT_FAILED


def _moved(name: str, task: dict[str, Any]) -> str:
    before, after = task["before"], task["after"]
    other = "recall" if name == "mrr" else "mrr"
    return (
        f"{name} {before[name]:.4f} -> {after[name]:.4f} (± {task['standard_error']:.4f}), "
        f"{other} {before[other]:.4f} -> {after[other]:.4f}, {before['queries']:,} questions"
    )


def _write(outcome: TrainingResult, path: Path) -> None:
    from models.training.encoder.plot import draw  # noqa: PLC0415
    from models.training.result import write_report  # noqa: PLC0415

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_report(outcome.report, path)
        draw(outcome.report, path.with_suffix(".png"))
    except OSError as error:
        raise ModelUnusableError(f"{path} cannot be written: {error.strerror}.", "choose another --report") from None


def _leads() -> bool:
    return os.environ.get("RANK", "0") == "0"
