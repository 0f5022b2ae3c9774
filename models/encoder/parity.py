"""Is an exported graph the model it was made from? Measured on texts that are hard for tokenizers and for padding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.encoder.manifest import Parity, Precision
from models.encoder.tokens import Tokeniser, padded

TEXTS: Final = (
    "Wireless noise-cancelling headphones with 30 hours of battery",
    "red",
    "WHITE HANGING HEART T-LIGHT HOLDER",
    "The committee met on Tuesday; its report (42 pages) is due in 2031. Nobody has read it yet, or so they say.",
    "无线降噪耳机，续航三十小时",
    "Ein Märchen aus tausendundeiner Nacht – für Kinder ab 6 Jahren",
    "ノイズキャンセリング ヘッドホン",
    "سماعات لاسلكية",
    "C++ vs. C#: pointers & templates <std::vector<int>>",
    "naïve café déjà-vu 🎧🎵",
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    " ".join(["a long description that will be cut at the model's maximum length, whatever that is;"] * 60),
)


class Bounds(NamedTuple):
    """Beyond any of these an export is refused."""

    max_abs_error: float
    min_cosine: float
    batch_error: float


BOUNDS: Final[dict[Precision, Bounds]] = {
    "fp32": Bounds(1e-4, 0.99999, 2e-5),
    "fp16": Bounds(1e-2, 0.999, 2e-3),
    "int8": Bounds(5e-2, 0.98, 1e-3),
}

GOLDEN: Final = Path(__file__).parent / "golden"


def golden_vectors(weights_sha256: str, max_tokens: int) -> tuple[str, NDArray[np.float32]] | None:
    """`(who computed them, (texts, dims) float32)` for the weights of the default model; None for all others.

    Computed once with transformers (the test of export compares), so that the default model's export is checked
    where torch is not installed.
    """
    path = GOLDEN / f"{weights_sha256[:12]}-{max_tokens}.npz"
    if not path.is_file():
        return None
    with np.load(path) as file:
        return str(file["reference"]), file["vectors"]


def measure(
    session: Any, tokeniser: Tokeniser, reference: tuple[str, NDArray[np.float32]], texts: Sequence[str] = TEXTS
) -> Parity:
    """Compare a session's vectors with the reference's, alone and in one mixed batch."""
    who, expected = reference
    batch = tokeniser.prepare(texts, "passage")

    def run(rows: Sequence[int]) -> NDArray[np.float32]:
        ids, lengths = padded([batch[row] for row in rows])
        vectors: NDArray[np.float32] = session.run(["vectors"], {"input_ids": ids, "lengths": lengths})[0]
        return vectors

    alone = np.concatenate([run([row]) for row in range(len(texts))])
    mixed = run(range(len(texts)))
    return Parity(
        reference=who,
        texts=len(texts),
        max_abs_error=float(np.abs(alone - expected).max()),
        min_cosine=float((alone * expected).sum(axis=1).min()),
        batch_error=float(np.abs(alone - mixed).max()),
    )


def check(parity: Parity, precision: Precision) -> None:
    """Refuse a graph that is not the model, or whose vectors depend on their neighbours.

    Raises:
        ModelError: with what was measured and the bound.
    """
    bounds = BOUNDS[precision]
    for name, value, bound, good in (
        ("max abs error", parity.max_abs_error, bounds.max_abs_error, parity.max_abs_error <= bounds.max_abs_error),
        ("min cosine", parity.min_cosine, bounds.min_cosine, parity.min_cosine >= bounds.min_cosine),
        ("batch error", parity.batch_error, bounds.batch_error, parity.batch_error <= bounds.batch_error),
    ):
        if not good:  # also for NaN
            raise ModelError(
                f"the {precision} graph differs from {parity.reference}: {name} {value:.2g}, allowed {bound:g}.",
                "leave this precision out, or choose another model",
            )
