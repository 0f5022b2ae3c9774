"""Token ids by the model's own fast tokenizer, and batches of them as padded arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Prepared, Role
from models.encoder.errors import ModelError


class Tokeniser:
    """Clean texts to token ids, with the prompt of their role, cut to the model's maximum."""

    def __init__(self, tokenizer_json: str, prompts: Mapping[str, str]) -> None:
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415  (optional; an encoder that needs it says so)
        except ImportError:
            raise ModelError("the package tokenizers is not installed.", "install the extra encoder-cpu") from None
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._prompts = prompts

    def prepare(self, texts: Sequence[str], role: Role) -> list[Prepared]:
        """See `Encoder.prepare`."""
        prompt = self._prompts.get(role, "")
        prompted = [prompt + text for text in texts] if prompt else list(texts)
        encodings = self._tokenizer.encode_batch_fast(prompted)
        ids = [np.array(encoding.ids, np.int32) for encoding in encodings]
        return [Prepared(text, row, row.size) for text, row in zip(prompted, ids, strict=True)]


def padded(batch: Sequence[Prepared]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`(n, longest) int32` ids, 0 after each row's end, and `(n,) int32` lengths."""
    lengths = np.fromiter((len(each.ids) for each in batch), np.int32, len(batch))
    ids = np.zeros((len(batch), int(lengths.max())), np.int32)
    # One assignment for all rows: a Python loop over rows is a fifth of a GPU's time for the batch.
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = np.concatenate([each.ids for each in batch])
    return ids, lengths


def estimated_tokens(text: str, max_tokens: int) -> int:
    """What a text costs where somebody else tokenises: about 4 characters a token, 1 for scripts without spaces."""
    wide = sum(map(_is_wide, chain(text[: 4 * max_tokens])))
    return min(max_tokens, 2 + wide + (len(text) - wide) // 4) if len(text) < 4 * max_tokens else max_tokens


def _is_wide(character: str) -> bool:
    return character > "\u2e80"
