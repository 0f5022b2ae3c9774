"""The command `penchant`. Each command imports what it needs when it runs, so that `--help` is there at once.

A `PenchantError` becomes one line on stderr: exit code 2 for what the person can mend, 1 for the rest. Ctrl-C is 130.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from stream import __version__
from stream.cli import options
from stream.cli.encoder import encoder
from stream.cli.evaluate import HELP as EVALUATE_HELP
from stream.cli.evaluate import OTHERS, EvaluateCommand, evaluate
from stream.cli.evaluate_clicks import clicks
from stream.cli.evaluate_reasons import attribution
from stream.cli.explain import HELP as EXPLAIN_HELP
from stream.cli.explain import explain
from stream.cli.models import models
from stream.cli.report import report
from stream.cli.train import train
from stream.errors import EXIT_FAILED, EXIT_USAGE, PenchantError, UsageError

if TYPE_CHECKING:
    from stream.settings import Settings

EXIT_INTERRUPTED = 130

SETTINGS_NOTE = (
    'Every other setting comes from the environment (PENCHANT_GROUP_ID=…) or from penchant.toml (group_id = "…"); '
    "a flag wins over the environment, the environment over the file. deploy/docs/settings.md lists them all."
)


class _Commands(TyperGroup):
    """Turns what a command raises into a line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PenchantError as error:
            line = " ".join(str(error).split())
            typer.echo(f"penchant: {line}", err=True)
            raise typer.Exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED) from None
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _teach(summary: str, *examples: str, then: str, note: str = "") -> str:
    """A command's help: what it does, examples to copy, what to do next. `\\b` keeps the lines as they are."""
    shown = "\n".join(["\b", "Examples:", *(f"  {example.replace('[', chr(92) + '[')}" for example in examples)])
    return "\n\n".join(part for part in (summary, shown, f"Next: {then}", note) if part)


def _group(**options_: Any) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode="rich", **options_)


app = _group(
    name="penchant",
    cls=_Commands,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_teach(
        "Fresh recommendations and their true reasons, on Kafka topics.",
        "penchant demo                 # everything on this machine, no Kafka needed",
        "penchant topics create        # with a Kafka of your own: 1. topics",
        "penchant items load items.csv #   2. the catalogue",
        "penchant worker               #   3. the worker, in a terminal of its own",
        "penchant replay events.csv    #   4. behaviours",
        "penchant watch                #   5. lists as they arrive, with reasons",
        then="`penchant COMMAND --help`; `penchant doctor` when something does not work.",
        note=SETTINGS_NOTE,
    ),
)
topics = _group(help="The topics that Penchant reads and writes: create them, list them.")
items = _group(help="The catalogue: what can be recommended.")
app.add_typer(topics, name="topics")
app.add_typer(items, name="items")
app.add_typer(encoder, name="encoder")
app.add_typer(models, name="models")
app.command("evaluate", cls=EvaluateCommand, help=EVALUATE_HELP)(evaluate)
OTHERS["attribution"] = attribution
OTHERS["clicks"] = clicks
app.command("explain", help=EXPLAIN_HELP)(explain)
app.add_typer(report, name="report")
app.add_typer(train, name="train")


def main() -> NoReturn:
    """The console entry point."""
    try:
        app(prog_name="penchant")
    except KeyboardInterrupt:  # before or after the command itself
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"penchant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del version


@app.command(
    help=_teach(
        "See it work: a Kafka broker inside this process, a worker, and a year of a real shop replayed through them.",
        "penchant demo",
        "penchant demo --serve         # stay up, and print what to try against it",
        then="`penchant demo --serve`, then send it events of your own.",
    )
)
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Keep everything up afterwards, until Ctrl-C.")] = False,
    seconds: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="End after about this long. Default: when the sample ends.", show_default=False
        ),
    ] = None,
    lang: options.Language = "en",
    data_dir: options.DataDir = None,
) -> None:
    settings = _settings(data_dir=data_dir)
    from stream.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(settings, serve=serve, seconds=seconds, lang=lang))


@app.command(
    help=_teach(
        "Read events, keep every user's interests, publish lists and reasons. Runs until SIGTERM or Ctrl-C, then commits.",
        "penchant worker",
        "penchant worker --bootstrap-servers kafka-1:9092,kafka-2:9092 \\\n"
        "    --data-dir /var/lib/penchant --log-level warning",
        then="in another terminal `penchant watch`, or curl http://127.0.0.1:9464/metrics. More workers with the same "
        "--group-id and a --data-dir of their own share the partitions.",
        note=SETTINGS_NOTE,
    )
)
def worker(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    data_dir: options.DataDir = None,
    commit_interval_s: options.CommitIntervalS = None,
    standby_replicas: options.StandbyReplicas = None,
    metrics_host: options.MetricsHost = None,
    metrics_port: options.MetricsPort = None,
    log_level: options.LogLevel = None,
    top_k: options.TopK = None,
    repeat_purchases: options.RepeatPurchases = None,
) -> None:
    settings = _connected(
        bootstrap_servers=bootstrap_servers,
        group_id=group_id,
        data_dir=data_dir,
        commit_interval_s=commit_interval_s,
        standby_replicas=standby_replicas,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_level=log_level,
        top_k=top_k,
        repeat_purchases=repeat_purchases,
    )
    from stream.worker.app import run_worker  # noqa: PLC0415

    run_worker(settings)


@topics.command(
    "create",
    help=_teach(
        "Create the topics that are missing, with the right partitions and compaction. Existing ones stay as they are.",
        "penchant topics create",
        "penchant topics create --partitions 12 --replication-factor 3",
        then="`penchant items load FILE`, then `penchant worker`.",
        note=SETTINGS_NOTE,
    ),
)
def topics_create(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    partitions: options.Partitions = None,
    replication_factor: options.ReplicationFactor = None,
) -> None:
    settings = _connected(
        bootstrap_servers=bootstrap_servers,
        group_id=group_id,
        partitions=partitions,
        replication_factor=replication_factor,
    )
    from stream.cli.topics import create  # noqa: PLC0415

    create(settings)


@topics.command(
    "list",
    help=_teach(
        "Show every topic that Penchant needs: its partitions, replicas, clean-up policy and what it holds.",
        "penchant topics list",
        "penchant topics list --bootstrap-servers kafka:9092",
        then="`penchant topics create` if one is missing.",
    ),
)
def topics_list(bootstrap_servers: options.BootstrapServers = None, group_id: options.GroupId = None) -> None:
    settings = _connected(bootstrap_servers=bootstrap_servers, group_id=group_id)
    from stream.cli.topics import show  # noqa: PLC0415

    show(settings)


@items.command(
    "load",
    help=_teach(
        "Put the items of a file into the catalogue. An item that is there already is replaced; none is removed.",
        "penchant items load items.jsonl",
        "penchant items load goods.csv.gz --map item_id=Code,title=Name,price=Price",
        then="`penchant replay FILE` for behaviours; a running worker uses the new items within a second.",
        note="A row needs item_id and title. Rows that the worker would refuse are not sent; their lines are listed.",
    ),
)
def items_load(
    file: options.File,
    map_: options.ItemMap = "",
    format_: options.Format = None,
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = _settings(bootstrap_servers=bootstrap_servers)
    from stream.cli.progress import send_file  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415
    from stream.files.replay import load_items  # noqa: PLC0415

    mapping = parse_mapping(map_, "item")
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern, "format": format_}
    code = send_file(load_items, "item", settings.topic_items, file, mapping, settings=settings, **reading)
    raise typer.Exit(code)


@app.command(
    help=_teach(
        "Send the behaviours in a file to the events topic, in file order, as fast as Kafka takes them or at their pace.",
        "penchant replay events.jsonl.gz",
        "penchant replay retail.csv --timezone Europe/London --speed 3600 \\\n"
        "    --map user_id=Customer,item_id=Code,action=:purchase,event_time=Date",
        then="`penchant watch` shows the lists that follow from them.",
        note="A row needs user_id, action and item_id; event_time should be there. Actions: view click like dislike cart "
        "purchase impression query. Rows that the worker would refuse are not sent; their lines are listed.",
    )
)
def replay(
    file: options.File,
    speed: options.Speed = "max",
    map_: options.EventMap = "",
    format_: options.Format = None,
    timezone: options.Timezone = "UTC",
    time_unit: options.TimeUnit = "auto",
    time_pattern: options.TimePattern = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = _settings(bootstrap_servers=bootstrap_servers)
    from stream.cli.progress import parse_speed, send_file  # noqa: PLC0415
    from stream.files import replay as replaying  # noqa: PLC0415
    from stream.files.mapping import parse_mapping  # noqa: PLC0415

    factor = parse_speed(speed)
    mapping = parse_mapping(map_)
    reading = {"timezone": timezone, "time_unit": time_unit, "time_pattern": time_pattern, "format": format_}
    code = send_file(
        replaying.replay, "event", settings.topic_events, file, mapping, settings=settings, speed=factor, **reading
    )
    raise typer.Exit(code)


@app.command(
    help=_teach(
        "Show recommendations as they arrive: for whom, how fresh, which items, and the reason for each.",
        "penchant watch --user 17850",
        "penchant watch --from-beginning --limit 100 --json | jq .items[0].title",
        then="Ctrl-C ends it and says how many lists it saw. Nothing arrives? `penchant doctor`, `penchant worker`.",
        note="Fresh means: from the moment the newest event in a list entered Kafka to the moment the list was made.",
    )
)
def watch(
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only this user.", show_default=False)] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="First the lists that are on the topic already.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after this many lists.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=200, metavar="N", help="Items shown of each list.")] = 3,
    lang: options.Language = "en",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per list and line.")] = False,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    settings = _connected(bootstrap_servers=bootstrap_servers)
    from stream.cli.watch import Wanted, run_watch  # noqa: PLC0415

    raise typer.Exit(run_watch(settings, Wanted(user, from_beginning, limit, top, lang, json_)))


@app.command(
    help=_teach(
        "Check settings, broker, topics, versions, data directory, ports and accelerator, and say the fix for each problem.",
        "penchant doctor",
        "penchant doctor --json | jq '.checks[] | select(.status == \"fail\")'",
        then="do what the lines marked fail say; exit code 1 means that there are some.",
    )
)
def doctor(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    data_dir: options.DataDir = None,
    metrics_host: options.MetricsHost = None,
    metrics_port: options.MetricsPort = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    from stream.cli.doctor import examine, show_checks  # noqa: PLC0415

    checks = examine(
        {
            "bootstrap_servers": bootstrap_servers,
            "group_id": group_id,
            "data_dir": data_dir,
            "metrics_host": metrics_host,
            "metrics_port": metrics_port,
        }
    )
    raise typer.Exit(show_checks(checks, as_json=json_))


def _settings(**flags: Any) -> Settings:
    from stream.settings import load_settings  # noqa: PLC0415

    return load_settings(**flags)


def _connected(**flags: Any) -> Settings:
    """Settings whose broker accepts connections."""
    settings = _settings(**flags)
    from stream.kafka.reach import reach  # noqa: PLC0415

    reach(settings)
    return settings
