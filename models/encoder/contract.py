"""What every encoder does: prepared texts in, one unit vector per text out, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Role = Literal["passage", "query"]
"""What a text is for: some models (e5, bge) were trained with another prompt for queries than for passages."""

BATCH_TOLERANCE = 2e-5
"""Largest difference of any component between a text encoded alone and in any batch, fp32; 2e-3 for fp16."""


class Prepared(NamedTuple):
    """One text ready to be encoded."""

    text: str
    """Clean (see `models.encoder.text`), with the prompt of its role."""
    ids: NDArray[np.int32]
    """(tokens,) int32 with the special tokens, cut to the model's maximum; empty where somebody else tokenises."""
    tokens: int
    """What it costs: `ids.size`, or an estimate."""


class Encoder(Protocol):
    """Turns texts into vectors. `encode` is called from one thread at a time; `prepare` may run beside it."""

    model_version: str
    """Names model, revision and everything else that changes a vector. Vectors of two versions are never compared."""
    dims: int
    max_tokens: int
    provider: str
    """Where it really runs: `cpu`, `cuda`, `tensorrt`, `remote`, `hashing`."""

    def prepare(self, texts: Sequence[str], role: Role) -> list[Prepared]:
        """Tokenise clean texts; as many as there are texts, in their order."""
        ...

    def encode(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """(n, dims) float32 rows of length 1.

        Raises:
            OutOfMemoryError: the batch was too large for the device.
            Exception: anything else that a runtime raises; the caller finds out whether a text is to blame.
        """
        ...

    def close(self) -> None:
        """Give memory and connections back; nothing is called afterwards."""
        ...
