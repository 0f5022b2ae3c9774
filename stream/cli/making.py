"""What the commands have in common that make a model: what is missing here, what a person can mend, where a report goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.encoder.errors import ModelError
from models.training.result import TrainingResult, write_report
from stream.errors import InputFileError, ModelUnusableError


def refuse_missing(doing: str, needed: Sequence[str], extras: str) -> None:
    """Raises: ModelUnusableError: a package is not installed that `doing` needs."""
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ModelUnusableError(
            f"{doing} needs {', '.join(missing)}, not installed here.", f"pip install 'penchant[{extras}]'"
        )


def refuse_unclear_source(events: Path | None, items: Path | None, *, from_topic: bool) -> None:
    """Raises: InputFileError: neither files nor topics are named to learn from, or both."""
    if (events is None) == (not from_topic):
        raise InputFileError("What to learn from?", "name an event file, or give --from-topic, and not both")
    if from_topic and items is not None:
        raise InputFileError("--items is for files; --from-topic reads the items topic.", "leave one of them out")


@contextmanager
def mendable() -> Iterator[None]:
    """A ModelError inside is one that a person can mend: one line, exit code 2."""
    try:
        yield
    except ModelError as error:
        raise ModelUnusableError(error.message, error.fix) from None


def write_result(result: TrainingResult, path: Path | None, draw: Callable[[dict[str, Any], Path], None]) -> None:
    """Report and, beside it, picture of a run; nothing without a path.

    Raises:
        ModelUnusableError: they cannot be written.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_report(result.report, path)
        draw(result.report, path.with_suffix(".png"))
    except OSError as error:
        raise ModelUnusableError(f"{path} cannot be written: {error.strerror}.", "choose another --report") from None
