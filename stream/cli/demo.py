"""`penchant demo`: everything on this machine."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from stream.cli import options
from stream.cli.apps import command_app, teach
from stream.demo import run_demo
from stream.settings import load_settings

app = command_app()

BEGAN: Final = "DEMO_BEGAN_S"
"""Set by `make demo`: when it began, in whole seconds of the wall clock, so that seconds count from there."""


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
            min=1, metavar="N", help="End after about this long. Default: when the sample ends.", show_default=False
        ),
    ] = None,
    lang: options.Language = "en",
    data_dir: options.DataDir = None,
) -> None:
    settings = load_settings(data_dir=data_dir)
    began = os.environ.get(BEGAN, "")
    raise typer.Exit(
        run_demo(settings, serve=serve, seconds=seconds, lang=lang, began=float(began) if began.isdigit() else None)
    )
