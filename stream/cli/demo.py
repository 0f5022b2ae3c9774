"""`penchant demo`: everything on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from stream.cli import options
from stream.cli.apps import command_app, teach
from stream.demo import run_demo
from stream.settings import load_settings

app = command_app()

BEGAN: Final = "DEMO_BEGAN_S"
"""Set by `make demo`: when it began, in whole seconds of the wall clock, so that seconds count from there."""

LATE_END_S: Final = 5.0
LATE_END_SHARE: Final = 0.25
"""How much longer than `--seconds` a replay may take, before it ends wherever it is: so much, or this share."""


@app.command(
    "demo",
    help=teach(
        "See it work: a Kafka broker inside this process, a worker, and a year of a real shop replayed through them.",
        "penchant demo",
        "penchant demo --serve         # stay up, and print what to try against it",
        then="`penchant demo --serve`, then send it events of your own.",
    ),
)
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Keep everything up afterwards, until Ctrl-C.")] = False,
    seconds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="The replay takes about this long, and ends then on a slow machine, too. Default: as long as the year "
            "takes on this machine, a minute at least.",
            show_default=False,
        ),
    ] = None,
    lang: options.Language = "en",
    state_dir: Annotated[
        Path | None,
        options.optional(
            "Where the worker's state is while the demo lives. Default: among the temporary files.",
            None,
            "DIRECTORY",
            "--data-dir",
        ),
    ] = None,
) -> None:
    began = os.environ.get(BEGAN, "")
    raise typer.Exit(
        run_demo(
            load_settings(),
            serve=serve,
            seconds=seconds,
            lang=lang,
            began=float(began) if began.isdigit() else None,
            data_dir=state_dir,
            end_s=None if seconds is None else seconds + max(LATE_END_S, LATE_END_SHARE * seconds),
        )
    )
