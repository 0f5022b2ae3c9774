"""Where things lie in the checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
GOLDEN = TESTS / "golden"
DOCS = ROOT / "deploy" / "docs"


def shared(path: str) -> Path | None:
    """A file or folder of the data beside the checkout, such as `shared/data/obd-small`; None where it is missing."""
    return next((parent / path for parent in ROOT.parents if (parent / path).exists()), None)
