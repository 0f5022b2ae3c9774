"""`penchant train weights`: how much each part of a score counts, and how strong each action is, learned from behaviour."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from models.ranking.features import PARTS
from models.ranking.weights import to_json
from models.strict_json import strict_json
from stream.analysis.data import Data, read_topics
from stream.analysis.texts import with_text
from stream.analysis.weights import (
    FitResult,
    StrengthResult,
    TooFewError,
    serving_weights,
    train_strengths,
    train_weights,
    weights_in,
)
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.connection import reach
from stream.cli.inputs import InputFiles, input_files
from stream.cli.making import refuse_unclear_source
from stream.cli.options import TRAINING, flag, option, optional
from stream.cli.outputs import check_writable, write
from stream.display.terminal import say, stderr
from stream.errors import EXIT_FAILED, InputFileError, UsageError
from stream.params import decode_limits
from stream.refresh.sequence import open_sequence
from stream.refresh.versions import publish_model, ranker_model
from stream.settings import Settings, load_settings

_HELP: Final = """\
Learn how much each part of a score counts, from what people chose next; needs neither torch nor a GPU.

\b
Examples:
  penchant train weights events.jsonl --items items.jsonl --out weights.json
  penchant train weights --from-topic --out weights.json --publish --every 24

Next: `penchant models publish weights.json`, or ranking_weights in penchant.toml.

The last tenth of the first engagements decides: the weights are kept only if they rank what came next better than --champion
(exit code 1, and nothing written or published, if not). --strengths also tries each action at half and twice its strength.
"""


LINE_EVERY_S: Final = 10.0

app = command_app()


@app.command("weights", help=_HELP)
def weights(
    out: Annotated[Path, optional("Where the weights go.", None, "FILE")],
    events: options.EventsIfAny = None,
    items: options.Items = None,
    from_topic: options.FromTopic = False,
    champion: Annotated[
        Path | None,
        optional(
            "What serves: these have to be better. Default: with --from-topic the current ones, else the built-in.",
            None,
            "FILE",
        ),
    ] = None,
    publish: Annotated[bool, flag("--publish", "Give them to all workers, if they are kept.")] = False,
    strengths: Annotated[bool, flag("--strengths", "Also try other strengths of actions.")] = False,
    newcomers: Annotated[
        bool, flag("--newcomers", "Learn for users without history too; they get counts otherwise.")
    ] = False,
    parts: Annotated[str, optional("Only these parts. Default: all.", TRAINING, "A,B,…")] = "",
    map_: options.EventMap = "",
    items_map: options.ItemsMap = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
    choices: Annotated[int, option("Learned from, within sessions and at starts.", TRAINING, "N", min=20)] = 5_000,
    questions: Annotated[int, option("Asked of the last tenth.", TRAINING, "N", min=20)] = 2_000,
    min_gain: Annotated[float, option("How much NDCG at 10 has to rise.", TRAINING)] = 0.0,
    seed: Annotated[int, options.seed("Of the sampling.", TRAINING)] = 0,
    report: Annotated[Path | None, optional("The JSON report, kept or not.", None, "FILE")] = None,
    every: Annotated[
        float | None, optional("Again and again, with --from-topic, until Ctrl-C.", None, "HOURS", min=0.001)
    ] = None,
) -> None:
    refuse_unclear_source(events, items, from_topic=from_topic)
    wanted = _parse_parts(parts)
    check_writable(out)
    if every is not None and not from_topic:
        raise UsageError("--every is for --from-topic: a file says the same every time.", "leave it out")
    files = None if events is None else input_files(events, items, map_, items_map, timezone, time_unit, time_pattern)
    how = _How(wanted, newcomers, choices, questions, seed, min_gain)
    asked = _Asked(files, champion, how, strengths, out, report, publish, bootstrap_servers)
    code = _once(asked)
    while every is not None:
        time.sleep(3600.0 * every)
        code = _once(asked)
    raise typer.Exit(code)


class _How(NamedTuple):
    """Arguments of `train_weights`."""

    parts: tuple[str, ...]
    newcomers: bool
    choices: int
    questions: int
    seed: int
    min_gain: float


class _Asked(NamedTuple):
    """What a round of learning needs."""

    files: InputFiles | None
    """None: the topics."""
    champion: Path | None
    how: _How
    strengths: bool
    out: Path
    report: Path | None
    publish: bool
    bootstrap_servers: str | None


class _Lines:
    """A line now and then; nothing where nobody waits."""

    def __init__(self, what: str) -> None:
        self._what, self._said_at = what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._said_at > LINE_EVERY_S:
            self._said_at = time.monotonic()
            say(stderr(), f"{self._what}: {done:,} of {total:,}", "dim")


def _parse_parts(text: str) -> tuple[str, ...]:
    wanted = tuple(part.strip() for part in text.split(",") if part.strip()) or PARTS
    for unknown in sorted(set(wanted) - set(PARTS)):
        raise UsageError(f"--parts: there is no part {unknown[:40]!r}.", f"choose from {', '.join(PARTS)}")
    return wanted


def _once(asked: _Asked) -> int:
    """Learn, judge, keep or not; the exit code."""
    settings = load_settings(bootstrap_servers=asked.bootstrap_servers)
    data = _read(asked.files, settings)
    champion = (
        serving_weights(settings, from_topic=asked.files is None)
        if asked.champion is None
        else weights_in(asked.champion)
    )
    sequence = None if settings.sequence_model is None else open_sequence(settings.sequence_model)
    tried: StrengthResult | None = None
    try:
        result = train_weights(
            settings,
            data.stream,
            data.known,
            champion,
            sequence=sequence,
            on_step=_Lines("weights"),
            **asked.how._asdict(),
        )
        if asked.strengths:
            tried = train_strengths(settings, data.stream, data.known, result.challenger, on_step=_Lines("strengths"))
    except TooFewError as error:
        raise InputFileError(f"There is too little to learn from: {error}.", "give more events") from None
    if asked.report is not None:
        report = result.report() | ({} if tried is None else {"strengths": tried._asdict()})
        write(asked.report, strict_json(report, indent=1) + "\n")
    if tried is not None:
        _say_strengths(tried.changed(settings))
    return _keep(result, asked, settings)


def _read(files: InputFiles | None, settings: Settings) -> Data:
    if files is None:
        reach(settings)
        data = read_topics(settings, decode_limits(settings))
    else:
        data = files.read(settings)
    directory = settings.data_dir / "evaluation"
    directory.mkdir(parents=True, exist_ok=True)
    return data._replace(known=with_text(settings, data.known, directory)[0])


def _say_strengths(changed: dict[str, float]) -> None:
    for action, strength in changed.items():
        typer.echo(f"strength_{action} = {strength:g}")
    if not changed:
        typer.echo("no other strength of an action is clearly better")


def _keep(result: FitResult, asked: _Asked, settings: Settings) -> int:
    before, after = result.champion_score, result.challenger_score
    told = (
        f"NDCG@10 {before.ndcg.mean():.4f} -> {after.ndcg.mean():.4f} (± {result.standard_error:.4f}), "
        f"HR@10 {before.hit.mean():.4f} -> {after.hit.mean():.4f}, {len(before.hit):,} questions"
    )
    if not result.kept:
        typer.echo(f"penchant: not better on the newest events: {told}: not kept.", err=True)
        return EXIT_FAILED
    write(asked.out, to_json(result.challenger) + b"\n")
    typer.echo(f"{asked.out}: {told}; {result.challenger.version}")
    if asked.publish:
        now_ms = time.time_ns() // 1_000_000
        model = ranker_model(result.challenger, now_ms, trained_until=result.trained_until_ms, metrics=result.metrics)
        publish_model(settings, model)
        typer.echo(f"published to {settings.topic_models}")
    return 0
