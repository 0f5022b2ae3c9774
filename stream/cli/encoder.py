"""`penchant encoder ...`: export a model, tune one, look at one. Added to the command line by `stream.cli.main`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stream.cli.encoder_finetune import HELP as FINETUNE_HELP
from stream.cli.encoder_finetune import finetune
from stream.errors import ModelUnusableError

encoder = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The language model that turns texts into vectors: export one, tune one, look at one.",
)

_EXPORT_HELP = """\
Turn a BERT-family sentence encoder into what a worker serves: ONNX graphs with pooling inside, tokenizer, manifest.

\b
Examples:
  penchant encoder export ./multilingual-e5-small --out encoders/e5
  penchant encoder export BAAI/bge-small-zh-v1.5 --out encoders/bge-zh --fp16

Next: encoder_model = "encoders/e5" in penchant.toml, then `penchant worker`.

Every graph is compared with transformers (the extra train) and refused if its vectors differ, or depend on their neighbours."""

Source = Annotated[
    str,
    typer.Argument(
        metavar="MODEL_DIR_OR_HUB_ID", help="A model directory, or the id of a model on the Hugging Face hub."
    ),
]


@encoder.command("export", help=_EXPORT_HELP)
def encoder_export(
    model: Source,
    out: Annotated[Path, typer.Option("--out", metavar="DIRECTORY", help="Where the export goes.", show_default=False)],
    fp16: Annotated[bool, typer.Option("--fp16", help="Also a half-precision graph, for GPUs.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Also an int8 graph, if it is near enough.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="Standard ONNX nodes only, for TensorRT; slower on CPU and CUDA.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name in the manifest. Default: the model's.", show_default=False)
    ] = None,
    pooling: Annotated[
        Literal["mean", "cls", "max"] | None,
        typer.Option(help="How token vectors become one. Default: as the model says.", show_default=False),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Longer texts are cut. Default: as the model says.", show_default=False),
    ] = None,
    query_prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help='Before every query, such as "query: ".', show_default=False),
    ] = None,
    passage_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help='Before every item, such as "passage: ".', show_default=False)
    ] = None,
) -> None:
    from models.encoder.export import export  # noqa: PLC0415
    from models.encoder.source import find_source  # noqa: PLC0415
    from models.training.encoder.reference import transformers_vectors  # noqa: PLC0415

    given = {"query": query_prompt, "passage": passage_prompt}
    prompts = (
        {role: text for role, text in given.items() if text} if any(x is not None for x in given.values()) else None
    )
    precisions: tuple[Any, ...] = ("fp32", *(["fp16"] if fp16 else []), *(["int8"] if int8 else []))

    def work() -> Any:
        source = find_source(model, name=name, pooling=pooling, max_tokens=max_tokens, prompts=prompts)
        return export(
            source,
            out,
            precisions=precisions,
            attention="portable" if portable else "fused",
            reference=transformers_vectors,
            progress=lambda doing: typer.echo(doing, err=True),
        )

    _show(_mendable(work), out)


@encoder.command(
    "show",
    help="What an exported encoder is: model, size, prompts, and how near each graph is to the original.\n\n"
    "\b\nExamples:\n  penchant encoder show encoders/e5\n\nNext: encoder_model = DIRECTORY in penchant.toml.",
)
def encoder_show(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="A directory that `encoder export` wrote.")],
) -> None:
    from models.encoder.manifest import read_manifest  # noqa: PLC0415

    _show(_mendable(lambda: read_manifest(directory)), directory)


encoder.command("finetune", help=FINETUNE_HELP)(finetune)


def _show(manifest: Any, directory: Path) -> None:
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


def _mendable(work: Callable[[], Any]) -> Any:
    """What `work` returns; its ModelError as one line with exit code 2."""
    from models.encoder.errors import ModelError  # noqa: PLC0415

    try:
        return work()
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None
