"""`penchant encoder show`: what an exported encoder is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.encoder.manifest import Manifest, read_manifest
from stream.cli.apps import command_app, teach
from stream.cli.making import mendable

app = command_app()


@app.command(
    "show",
    help=teach(
        "What an exported encoder is: model, size, prompts, and how near each graph is to the original.",
        "penchant encoder show encoders/e5",
        then="encoder_model = DIRECTORY in penchant.toml.",
    ),
)
def show(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="A directory that `encoder export` wrote.")],
) -> None:
    with mendable():
        manifest = read_manifest(directory)
    say_manifest(manifest, directory)


def say_manifest(manifest: Manifest, directory: Path) -> None:
    """A line for the model, one a prompt and one a graph."""
    typer.echo(
        f"{directory}: {manifest.name}@{manifest.revision}, {manifest.architecture}, {manifest.layers} layers, "
        f"{manifest.dims} dimensions, {manifest.pooling} pooling, at most {manifest.max_tokens} tokens"
    )
    for role, prompt in manifest.prompts.items():
        typer.echo(f"prompt of a {role}: {prompt!r}")
    for precision, graph in manifest.graphs.items():
        parity = graph.parity
        typer.echo(
            f"{precision}: max abs error {parity.max_abs_error:.2g}, min cosine {parity.min_cosine:.7f}, "
            f"alone or in a batch {parity.batch_error:.2g}; {parity.texts} texts against {parity.reference}"
        )
