"""`penchant train weights`: how much each part of a score counts, and how strong each action is, learned from behaviour."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stream.cli import options
from stream.errors import EXIT_FAILED, InputFileError, UsageError

if TYPE_CHECKING:
    from models.ranking.weights import RankingWeights
    from stream.analysis.data import Data
    from stream.analysis.weights import FitResult, StrengthResult
    from stream.settings import Settings

HELP: Final = """\
Learn how much each part of a score counts, from what people chose next; needs neither torch nor a GPU.

\\b
Examples:
  penchant train weights events.jsonl --items items.jsonl --out weights.json
  penchant train weights --from-topic --out weights.json --publish --every 24

Next: `penchant models publish weights.json`, or ranking_weights in penchant.toml.

The last tenth of the first engagements decides: the weights are kept only if they rank what came next better than --champion
(exit code 1, and nothing written or published, if not). --strengths also tries each action at half and twice its strength.
"""

_DATA, _TRAINING = "Data", "Training"


def weights(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the weights go.", show_default=False)],
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
        typer.Option(
            metavar="FILE",
            help="What serves: these have to be better. Default: with --from-topic the current ones, else the built-in.",
            show_default=False,
        ),
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Give them to all workers, if they are kept.")] = False,
    strengths: Annotated[bool, typer.Option("--strengths", help="Also try other strengths of actions.")] = False,
    newcomers: Annotated[
        bool, typer.Option("--newcomers", help="Learn for users without history too; they get counts otherwise.")
    ] = False,
    parts: Annotated[
        str,
        typer.Option(
            metavar="A,B,…", help="Only these parts. Default: all.", rich_help_panel=_TRAINING, show_default=False
        ),
    ] = "",
    map_: options.EventMap = "",
    items_map: Annotated[
        str,
        typer.Option(
            metavar="FIELD=COLUMN,…",
            help="Which column of ITEMS is which field.",
            rich_help_panel=_DATA,
            show_default=False,
        ),
    ] = "",
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
    choices: Annotated[
        int,
        typer.Option(
            min=20, metavar="N", help="Learned from, within sessions and at starts.", rich_help_panel=_TRAINING
        ),
    ] = 5_000,
    questions: Annotated[
        int, typer.Option(min=20, metavar="N", help="Asked of the last tenth.", rich_help_panel=_TRAINING)
    ] = 2_000,
    min_gain: Annotated[float, typer.Option(help="How much NDCG at 10 has to rise.", rich_help_panel=_TRAINING)] = 0.0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the sampling.", rich_help_panel=_TRAINING)] = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The JSON report, kept or not.", show_default=False)
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="HOURS", help="Again and again, with --from-topic, until Ctrl-C.", show_default=False
        ),
    ] = None,
) -> None:
    given = locals()
    if (events is None) == (not from_topic):
        raise InputFileError("What to learn from?", "name an event file, or give --from-topic, and not both")
    if from_topic and items is not None:
        raise InputFileError("--items is for files; --from-topic reads the items topic.", "leave one of them out")
    from models.ranking.features import PARTS  # noqa: PLC0415

    wanted = tuple(part.strip() for part in parts.split(",") if part.strip()) or PARTS
    for unknown in sorted(set(wanted) - set(PARTS)):
        raise UsageError(f"--parts: there is no part {unknown[:40]!r}.", f"choose from {', '.join(PARTS)}")
    if not out.parent.is_dir():
        raise UsageError(f"{out} cannot be written: there is no directory {out.parent}.", "make it, or choose another")
    if every is not None and not from_topic:
        raise UsageError("--every is for --from-topic: a file says the same every time.", "leave it out")
    code = _once(given, wanted)
    while every is not None:
        time.sleep(3600.0 * every)
        code = _once(given, wanted)
    raise typer.Exit(code)


def _once(given: dict[str, Any], wanted: tuple[str, ...]) -> int:
    """Learn, judge, keep or not; the exit code."""
    from stream.analysis.weights import TooFewError, train_strengths, train_weights  # noqa: PLC0415
    from stream.settings import load_settings  # noqa: PLC0415

    settings = load_settings(bootstrap_servers=given["bootstrap_servers"])
    data = _data(given, settings)
    before = _champion(given, settings)
    sequence = _sequence(settings)
    tried: StrengthResult | None = None
    try:
        outcome = train_weights(
            settings,
            data.stream,
            data.known,
            before,
            sequence=sequence,
            parts=wanted,
            newcomers=given["newcomers"],
            choices=given["choices"],
            questions=given["questions"],
            seed=given["seed"],
            on_step=_Bar("weights"),
        )
        if given["strengths"]:
            tried = train_strengths(settings, data.stream, data.known, outcome.challenger, on_step=_Bar("strengths"))
    except TooFewError as error:
        raise InputFileError(f"There is too little to learn from: {error}.", "give more events") from None
    kept = outcome.gain > given["min_gain"]
    if given["report"] is not None:
        _write(given["report"], json.dumps(_report(outcome, kept, tried), indent=1).encode() + b"\n")
    return _keep(outcome, kept, tried, given["out"], settings, publish=given["publish"])


class _Bar:
    """A line now and then; nothing where nobody looks."""

    def __init__(self, what: str) -> None:
        self._what, self._said_at = what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        from stream.display.terminal import say, stderr  # noqa: PLC0415

        if time.monotonic() - self._said_at > 10.0:
            self._said_at = time.monotonic()
            say(stderr(), f"{self._what}: {done:,} of {total:,}", "dim")


def _data(given: dict[str, Any], settings: Settings) -> Data:
    from stream.analysis.data import read_data, read_topics  # noqa: PLC0415
    from stream.analysis.texts import with_text  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.files.replay import limits_of  # noqa: PLC0415
    from stream.kafka.reach import reach  # noqa: PLC0415

    limits = limits_of(settings)
    if given["from_topic"]:
        reach(settings)
        data = read_topics(settings, limits)
    else:
        data = read_data(
            given["events"],
            parse_mapping(given["map_"]),
            given["items"],
            parse_mapping(given["items_map"], "item"),
            strengths=settings.strengths(),
            limits=limits,
            now_ms=time.time_ns() // 1_000_000,
            reading={name: given[name] for name in ("timezone", "time_unit", "time_pattern")},
        )
    directory = settings.data_dir / "evaluation"
    directory.mkdir(parents=True, exist_ok=True)
    return data._replace(known=with_text(settings, data.known, directory)[0])


def _champion(given: dict[str, Any], settings: Settings) -> RankingWeights:
    from models.ranking.weights import default_weights  # noqa: PLC0415
    from stream.refresh.versions import RankerModel, read_versions, read_weights, weights_of  # noqa: PLC0415

    if given["champion"] is not None:
        return read_weights(given["champion"])
    if given["from_topic"]:
        now = read_versions(settings)["ranker"].current
        if isinstance(now, RankerModel):
            return weights_of(now)
    return default_weights() if settings.ranking_weights is None else read_weights(settings.ranking_weights)


def _sequence(settings: Settings) -> Any:
    from stream.refresh.sequence import open_sequence  # noqa: PLC0415

    return None if settings.sequence_model is None else open_sequence(settings.sequence_model)


def _report(outcome: FitResult, kept: bool, tried: StrengthResult | None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "kept": kept,
        "version": outcome.challenger.version,
        "choices": outcome.choices,
        "questions": len(outcome.champion_score.hit),
        "trained_until_ms": outcome.trained_until_ms,
        "gain": outcome.gain,
        "standard_error": outcome.standard_error,
        **{
            name: {"ndcg@10": float(score.ndcg.mean()), "hr@10": float(score.hit.mean())}
            for name, score in (("champion", outcome.champion_score), ("challenger", outcome.challenger_score))
        },
    }
    if tried is not None:
        report["strengths"] = tried._asdict()
    return report


def _keep(
    outcome: FitResult, kept: bool, tried: StrengthResult | None, out: Path, settings: Settings, *, publish: bool
) -> int:
    from models.ranking.weights import to_json  # noqa: PLC0415
    from stream.refresh.versions import publish_model, ranker_model  # noqa: PLC0415

    before, after = outcome.champion_score, outcome.challenger_score
    told = (
        f"NDCG@10 {before.ndcg.mean():.4f} -> {after.ndcg.mean():.4f} (± {outcome.standard_error:.4f}), "
        f"HR@10 {before.hit.mean():.4f} -> {after.hit.mean():.4f}, {len(before.hit):,} questions"
    )
    if tried is not None:
        changed = {
            action: strength
            for action, strength in tried.strengths.items()
            if strength != dict(zip(_actions(), settings.strengths(), strict=True))[action]
        }
        for action, strength in changed.items():
            typer.echo(f"strength_{action} = {strength:g}")
        if not changed:
            typer.echo("no other strength of an action is clearly better")
    if not kept:
        typer.echo(f"penchant: not better on the newest events: {told}: not kept.", err=True)
        return EXIT_FAILED
    _write(out, to_json(outcome.challenger) + b"\n")
    typer.echo(f"{out}: {told}; {outcome.challenger.version}")
    if publish:
        metrics = {"ndcg@10": float(after.ndcg.mean()), "hr@10": float(after.hit.mean())}
        now_ms = time.time_ns() // 1_000_000
        publish_model(
            settings,
            ranker_model(outcome.challenger, now_ms, trained_until=outcome.trained_until_ms, metrics=metrics),
        )
        typer.echo(f"published to {settings.topic_models}")
    return 0


def _actions() -> tuple[str, ...]:
    from stream.wire.records import ACTIONS  # noqa: PLC0415

    return ACTIONS


def _write(path: Path, value: bytes) -> None:
    try:
        path.write_bytes(value)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "choose another file") from None
