"""Where a run stands, on disk: whole or not at all, so that it can be killed at any moment and go on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final

from models.encoder.errors import ModelError

FILE: Final = "checkpoint.pt"


def checkpoint_of(out: Path) -> Path:
    """Where a run that is to write `out` keeps its checkpoint."""
    return out.parent / f"{out.name}.checkpoint"


def fingerprint(*parts: Any) -> str:
    """Names a run: a checkpoint of another one would give neither run's result. Arrays count by their bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if hasattr(part, "tobytes") else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def save(directory: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint by this one.

    Raises:
        ModelError: the directory cannot be written.
    """
    import torch

    partial = directory / f"{FILE}.partial"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(directory / FILE)
    except (OSError, RuntimeError) as error:  # torch says RuntimeError for a full disk
        raise ModelError(
            f"the checkpoint {directory} cannot be written: {error}.", "make room, or name another --out"
        ) from None


def load(directory: Path, wanted: str) -> dict[str, Any] | None:
    """The checkpoint of the run `wanted`; None if there is none.

    Raises:
        ModelError: it is another run's, or damaged.
    """
    import torch

    path = directory / FILE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  (a damaged file raises whatever pickle and zip raise)
        raise ModelError(f"{path} cannot be read: {type(error).__name__}.", "start over with --restart") from None
    if state.get("fingerprint") != wanted:
        raise ModelError(
            f"{path} is of a run with other options, events, items or another model.",
            "give the same ones to go on, or start over with --restart",
        )
    return state


def remove(directory: Path) -> None:
    """Forget the run; the directory goes too if nothing else is in it."""
    for name in (FILE, f"{FILE}.partial"):
        (directory / name).unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
