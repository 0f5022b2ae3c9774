"""What transformers says a sentence encoder's vectors are: the measure of every export."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.encoder.parity import TEXTS
from models.encoder.source import Source


def transformers_vectors(source: Source) -> tuple[str, NDArray[np.float32]] | None:
    """`(who, (parity texts, dims) float32)`; None where torch or transformers is not installed."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        return None
    import torch
    import transformers

    who = f"transformers {transformers.__version__} (torch {torch.__version__})"
    return who, reference_vectors(source, TEXTS)


def reference_vectors(source: Source, texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, dims) float32 unit vectors by transformers, with its own tokenizer, one text at a time: no padding at all.

    Raises:
        ModelError: transformers cannot load the directory.
    """
    import torch

    model, tokenizer = load_model(source)
    rows = []
    with torch.inference_mode():
        for text in texts:
            tokens = tokenizer(text, truncation=True, max_length=source.max_tokens, return_tensors="pt")
            hidden = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
            pooled = pool(hidden, tokens["attention_mask"], source.shape.pooling)
            rows.append(torch.nn.functional.normalize(pooled, dim=1).numpy()[0])
    return np.array(rows, np.float32)


def load_model(source: Source) -> tuple[Any, Any]:
    """The model in evaluation mode, fp32, and its tokenizer; nothing is fetched from a hub.

    Raises:
        ModelError: transformers cannot load the directory.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        model = transformers.AutoModel.from_pretrained(source.directory, local_files_only=True, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.directory, local_files_only=True)
    except Exception as error:  # noqa: BLE001  (the library's edge: it raises whatever its many loaders raise)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"transformers cannot load {source.directory}: {reason}.", "see that the model is complete"
        ) from None
    return model.eval(), tokenizer


def pool(hidden: Any, mask: Any, pooling: str) -> Any:
    """(n, hidden) from (n, s, hidden) and the attention mask (n, s), as sentence-transformers does it."""
    if pooling == "cls":
        return hidden[:, 0]
    wide = mask.unsqueeze(-1).to(hidden.dtype)
    if pooling == "max":
        return hidden.masked_fill(wide == 0, float("-inf")).amax(dim=1)
    return (hidden * wide).sum(dim=1) / wide.sum(dim=1).clamp(min=1e-9)
