"""`penchant encoder export`: a published sentence encoder as a worker serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from models.encoder.export import export as export_encoder
from models.encoder.manifest import Precision
from models.encoder.source import find_source
from models.training.encoder.reference import transformers_vectors
from stream.cli import options
from stream.cli.apps import command_app
from stream.cli.encoder_show import say_manifest
from stream.cli.making import mendable

_HELP: Final = """\
Turn a BERT-family sentence encoder into what a worker serves: ONNX graphs with pooling inside, tokenizer, manifest.

\b
Examples:
  penchant encoder export ./multilingual-e5-small --out encoders/e5
  penchant encoder export BAAI/bge-small-zh-v1.5 --out encoders/bge-zh --fp16

Next: encoder_model = "encoders/e5" in penchant.toml, then `penchant worker`.

Every graph is compared with transformers (the extra train) and refused if its vectors differ, or depend on their neighbours."""

app = command_app()


@app.command("export", help=_HELP)
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_DIR_OR_HUB_ID", help="A model directory, or the id of a model on the Hugging Face hub."
        ),
    ],
    out: Annotated[Path, options.optional("Where the export goes.", None, "DIRECTORY")],
    fp16: options.Fp16 = False,
    int8: Annotated[bool, options.flag("--int8", "Also an int8 graph, if it is near enough.")] = False,
    portable: Annotated[
        bool,
        options.flag("--portable", "Standard ONNX nodes only, for TensorRT; slower on CPU and CUDA."),
    ] = False,
    name: Annotated[str | None, options.optional("Name in the manifest. Default: the model's.", None, "NAME")] = None,
    pooling: Annotated[
        Literal["mean", "cls", "max"] | None,
        options.optional("How token vectors become one. Default: as the model says."),
    ] = None,
    max_tokens: Annotated[
        int | None, options.optional("Longer texts are cut. Default: as the model says.", None, "N")
    ] = None,
    query_prompt: Annotated[
        str | None, options.optional('Before every query, such as "query: ".', None, "TEXT")
    ] = None,
    passage_prompt: Annotated[
        str | None, options.optional('Before every item, such as "passage: ".', None, "TEXT")
    ] = None,
) -> None:
    given = {"query": query_prompt, "passage": passage_prompt}
    prompts = (
        {role: text for role, text in given.items() if text} if any(x is not None for x in given.values()) else None
    )
    wanted: dict[Precision, bool] = {"fp32": True, "fp16": fp16, "int8": int8}
    with mendable():
        source = find_source(model, name=name, pooling=pooling, max_tokens=max_tokens, prompts=prompts)
        manifest = export_encoder(
            source,
            out,
            precisions=tuple(precision for precision, is_wanted in wanted.items() if is_wanted),
            attention="portable" if portable else "fused",
            reference=transformers_vectors,
            progress=lambda doing: typer.echo(doing, err=True),
        )
    say_manifest(manifest, out)
