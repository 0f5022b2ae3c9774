"""`penchant doctor`: is everything there that a worker needs?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stream import __version__
from stream.cli import broker_checks, checks, options
from stream.cli.apps import command_app, teach
from stream.cli.checks import Check, skipped
from stream.display.terminal import Cell, say, say_json, show_table, stdout
from stream.errors import SettingsError
from stream.settings import load_settings

app = command_app()


@app.command(
    "doctor",
    help=teach(
        "Check settings, broker, topics, versions, data directory, ports and accelerator, and say the fix for each problem.",
        "penchant doctor",
        "penchant doctor --json | jq '.checks[] | select(.status == \"fail\")'",
        then="do what the lines marked fail say; exit code 1 means that there are some.",
    ),
)
def doctor(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    shadow: options.Shadow = None,
    data_dir: options.DataDir = None,
    metrics_host: options.MetricsHost = None,
    metrics_port: options.MetricsPort = None,
    json_: Annotated[bool, options.flag("--json", "One JSON object.")] = False,
) -> None:
    found = examine(
        {
            "bootstrap_servers": bootstrap_servers,
            "group_id": group_id,
            "shadow": shadow,
            "data_dir": data_dir,
            "metrics_host": metrics_host,
            "metrics_port": metrics_port,
        }
    )
    raise typer.Exit(show_checks(found, as_json=json_))


def examine(flags: dict[str, Any]) -> list[Check]:
    """Every check, in the order in which problems should be mended. Never raises a PenchantError."""
    try:
        settings = load_settings(**flags)
    except SettingsError as error:
        return [
            Check("settings", "fail", error.message, error.fix),
            *_of_this_machine(),
            skipped("encoder"),
            skipped("broker"),
        ]
    found = [checks.check_sources(settings, flags), *_of_this_machine(), checks.check_encoder(settings)]
    broker, topics = broker_checks.check_broker(settings)
    found.append(broker)
    partitions = settings.partitions
    if topics is None:
        found.append(skipped("topics"))
    else:
        found += [
            broker_checks.check_topics(settings, topics),
            broker_checks.check_policies(settings, topics),
            broker_checks.check_keys(settings, topics),
            broker_checks.check_clocks(settings, topics),
            broker_checks.check_group(settings),
        ]
        events = topics.get(settings.topic_events)
        partitions = partitions if events is None else events.partitions
    return [
        *found,
        checks.check_data_dir(settings.data_dir),
        checks.check_disk(settings.data_dir, settings.write_buffer_bytes),
        checks.check_open_files(partitions),
        checks.check_metrics_port(settings.metrics_host, settings.metrics_port),
    ]


def show_checks(found: list[Check], *, as_json: bool) -> int:
    """Print the findings; the exit code: 1 if one failed."""
    console = stdout()
    failed = sum(check.status == "fail" for check in found)
    if as_json:
        say_json(console, {"version": __version__, "failed": failed, "checks": [check._asdict() for check in found]})
    elif console.is_terminal:
        rows = []
        for check in found:
            rows.append((Cell(check.status, check.status), Cell(check.name), Cell(check.detail)))
            if check.fix:
                rows.append((Cell(""), Cell(""), Cell(f"→ {check.fix}", check.status)))
        show_table(console, ("", "what", "found"), rows)
    else:
        show_table(
            console,
            ("status", "what", "found", "fix"),
            [tuple(Cell(text) for text in (c.status, c.name, c.detail, c.fix)) for c in found],
        )
    if not as_json:
        warned = sum(check.status == "warn" for check in found)
        verdict = (
            f"{failed} to mend, {warned} to look at." if failed or warned else "Everything a worker needs is there."
        )
        say(console, verdict, "bold red" if failed else "bold")
    return 1 if failed else 0


def _of_this_machine() -> list[Check]:
    return [checks.check_versions(), checks.check_codecs(), checks.check_accelerator()]
