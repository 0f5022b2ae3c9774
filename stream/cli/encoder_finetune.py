"""`penchant encoder finetune`: reads files, trains in `models.training.encoder`, shows progress, says what came of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from models.calendar import DAY_MS
from models.training.encoder.finetune import Look
from models.training.encoder.finetune import finetune as run_finetune
from models.training.encoder.keeping import find_trainable
from models.training.encoder.pairs import Neighbourhood
from models.training.encoder.plan import Corpus
from models.training.encoder.plot import draw
from models.training.encoder.settings import FinetuneSettings
from models.training.result import TrainingResult
from models.vocabulary import ACTIONS
from stream.analysis.finetune_data import read_engagements, read_texts
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.inputs import InputFiles, input_files
from stream.cli.making import mendable, refuse_missing, write_result
from stream.cli.options import DATA, TRAINING, option, optional
from stream.display.bars import OnTerminal
from stream.display.terminal import count, say, stderr
from stream.errors import EXIT_FAILED
from stream.params import decode_limits
from stream.settings import Settings, load_settings

_HELP: Final = """\
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
_FORGETTING: Final = "Against forgetting"

app = command_app()


@app.command("finetune", help=_HELP)
def finetune(
    events: options.Events,
    items: Annotated[Path, typer.Option("--items", metavar="ITEMS", help="The catalogue, as for `items load`.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIRECTORY", help="Where the tuned encoder goes.")],
    model: Annotated[
        str,
        typer.Option(metavar="default|MODEL", help="What to start from: a directory, a hub id, an earlier --out."),
    ] = "default",
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    within_days: Annotated[float, option("Two items further apart are no pair.", DATA, "DAYS", min=0)] = 30.0,
    places: Annotated[int, option("Nor are items further apart in a user's history.", DATA, "N", min=1)] = 10,
    validation_share: options.ValidationShare = 0.1,
    test_share: options.TestShare = 0.1,
    epochs: Annotated[float, option("Draws of as many pairs as there are.", TRAINING, min=0)] = 1.0,
    batch: Annotated[int, option("Pairs contrasted with each other, per GPU.", TRAINING, "N", min=2)] = 64,
    accumulate: Annotated[int, option("Batches per optimizer step.", TRAINING, "N", min=1)] = 1,
    learning_rate: Annotated[float, option("AdamW's, at its highest.", TRAINING, min=0)] = 2e-4,
    warmup_share: Annotated[float, option("Of the steps, with a rising rate.", TRAINING, min=0, max=1)] = 0.1,
    weight_decay: options.WeightDecay = 0.01,
    max_grad_norm: options.MaxGradNorm = 1.0,
    temperature: Annotated[float, option("Cosines are divided by it.", TRAINING, min=0.001)] = 0.05,
    dropout: Annotated[float | None, optional("Default: the model's own.", TRAINING, min=0, max=0.9)] = None,
    lora_rank: Annotated[int, option("Of the adapters.", TRAINING, "N", min=1)] = 16,
    lora_alpha: Annotated[float, option("Adapters count alpha / rank times.", TRAINING, min=0)] = 32.0,
    lora_dropout: Annotated[float, option("Before the adapters.", TRAINING, min=0, max=0.9)] = 0.05,
    precision: options.Precision = "auto",
    seed: options.ModelSeed = 0,
    evaluate_steps: Annotated[int, option("Steps between looks; 0 = ten in a run.", TRAINING, "N", min=0)] = 0,
    patience: Annotated[int, option("Looks without a rise until the end.", TRAINING, "N", min=1)] = 3,
    checkpoint_steps: options.CheckpointSteps = 100,
    metric: Annotated[Literal["mrr", "recall"], option("What decides; recall at 10.", TRAINING)] = "mrr",
    min_gain: Annotated[float, option("How much it has to rise.", TRAINING)] = 0.0,
    max_queries: Annotated[int, option("Questions asked of a window.", TRAINING, "N", min=1)] = 5000,
    max_candidates: Annotated[int, option("Texts ranked for each.", TRAINING, "N", min=2)] = 20_000,
    replay: Annotated[
        Path | None,
        optional("Old events, read like EVENTS: mixed in, and measured.", _FORGETTING, "OLD_EVENTS"),
    ] = None,
    replay_share: Annotated[float, option("Of each batch; 0 = only measure.", _FORGETTING, min=0, max=0.9)] = 0.25,
    anchor: Annotated[float, option("Weight of 1 - cosine to the old vectors.", _FORGETTING, min=0)] = 0.0,
    fp16: options.Fp16 = False,
    report: options.TrainingReport = None,
    restart: options.Restart = False,
) -> None:
    given = locals()
    refuse_missing("fine-tuning", _NEEDED, "train")
    settings = load_settings()
    training = FinetuneSettings(**{name: given[name] for name in FinetuneSettings._fields})
    near = Neighbourhood(places, round(within_days * DAY_MS), settings.pair_decay)
    files = input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
    with mendable():
        source = find_trainable(model)
        corpus = _read(files, items, replay, source.max_tokens, settings)
        with _Screen() as screen:
            result = run_finetune(
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
    if not _leads():
        return
    write_result(result, report, draw)
    raise typer.Exit(_say(result, out))


def _read(files: InputFiles, items: Path, old: Path | None, max_tokens: int, settings: Settings) -> Corpus:
    common: dict[str, Any] = {
        "limits": decode_limits(settings), "now_ms": time.time_ns() // 1_000_000, "reading": files.reading
    }  # fmt: skip
    texts = read_texts(items, files.item_columns, max_tokens, **common)
    strengths: dict[str, float] = dict(zip(ACTIONS, settings.strengths(), strict=True))
    found = []
    for path in filter(None, (files.events, old)):
        read = read_engagements(path, files.columns, texts, strengths, **common)
        if _leads():
            told = (
                f"{path}: {count(read.rows, 'row')}, {count(read.engagements.item.size, 'first engagement')}, "
                f"{read.refused:,} refused, {read.unknown:,} with items that have no text"
            )
            say(stderr(), told)
        found.append(read.engagements)
    return Corpus(texts.texts, *found)


class _Screen(OnTerminal):
    """A bar on a terminal, a line per look elsewhere; nothing from any process but the first."""

    def __init__(self) -> None:
        super().__init__(
            stderr(),
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        if not _leads():
            self.bar = None
        self._task: TaskID | None = None
        self._metric = ""

    def step(self, look: Look) -> None:
        """See `models.training.encoder.finetune.OnStep`."""
        if look.metric is not None:
            self._metric = f", validation {look.metric:.4f}"
        told = f"loss {look.loss:.4f}{self._metric}"
        if self.bar is not None:
            if self._task is None:
                self._task = self.bar.add_task("training", total=look.steps, told=told)
            self.bar.update(self._task, completed=look.step, told=told)
        elif look.metric is not None:
            self.say(f"step {look.step} of {look.steps}: {told}")

    def say(self, text: str) -> None:
        """One line."""
        if _leads():
            say(self.console, text)


def _say(result: TrainingResult, out: Path) -> int:
    """What came of it, and the exit code."""
    report = result.report
    name, test, old = report["metric"], report["test"], report["old"]
    if old is not None:
        typer.echo(f"old task: {_moved(name, old)}", err=not result.kept)
    if result.kept:
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


def _leads() -> bool:
    return os.environ.get("RANK", "0") == "0"
