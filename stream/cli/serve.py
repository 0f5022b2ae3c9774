"""`penchant serve`: a process that answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, command_app, teach
from stream.cli.connection import connected, refuse_releases
from stream.serve.app import run_serve

app = command_app()


@app.command(
    "serve",
    help=teach(
        "Answer over HTTP: lists, their reasons, what they would be if; and the pages that show it. Runs until "
        "SIGTERM or Ctrl-C.",
        "penchant serve",
        "penchant serve --port 0 --data-dir /var/lib/penchant-serve",
        then="open http://127.0.0.1:8780/ in a browser, or curl http://127.0.0.1:8780/v1/users/mei/recommendations; "
        "deploy/docs/serve.md has every question. As many processes as you like, each with a --data-dir of its own.",
        note=SETTINGS_NOTE,
    ),
)
def serve(
    bootstrap_servers: options.BootstrapServers = None,
    group_id: options.GroupId = None,
    serve_host: Annotated[
        str | None, options.optional("Address to listen on. Default 127.0.0.1.", None, "HOST", "--host")
    ] = None,
    serve_port: Annotated[
        int | None,
        options.optional("Port to listen on; 0: a free one. Default 8780.", None, "PORT", "--port", min=0, max=65535),
    ] = None,
    serve_data_dir: Annotated[
        Path | None,
        options.optional("Where it keeps what it followed. Default .penchant-serve.", None, "DIRECTORY", "--data-dir"),
    ] = None,
    log_level: options.LogLevel = None,
) -> None:
    settings = connected(
        bootstrap_servers=bootstrap_servers,
        group_id=group_id,
        serve_host=serve_host,
        serve_port=serve_port,
        serve_data_dir=serve_data_dir,
        log_level=log_level,
    )
    refuse_releases(settings)
    run_serve(settings)
