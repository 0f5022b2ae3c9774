"""A published sentence encoder under training: frozen, with LoRA adapters (Hu et al. 2021) that are merged in at the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Prepared
from models.encoder.source import WEIGHTS_FILE, Source
from models.encoder.tokens import padded
from models.training.encoder.reference import load_model, pool

LINEAR: Final = r".*layer\.\d+\..*(query|key|value|dense|q_lin|k_lin|v_lin|out_lin|lin1|lin2)"
"""Every matrix of every layer, in the names of BERT's families and of DistilBERT."""

_KEPT: Final = ("*.json", "*.txt", "1_Pooling/*")
_EVALUATION_TEXTS: Final = 64


def adapted(source: Source, rank: int, alpha: float, lora_dropout: float, dropout: float | None, seed: int) -> Any:
    """The model with fresh adapters, which change nothing yet; only they will be trained."""
    import peft
    import torch

    model, _ = load_model(source)
    if dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=lora_dropout, target_modules=LINEAR)
    return peft.get_peft_model(model, config)


def adapter_state(model: Any) -> dict[str, Any]:
    """Copies of the trained weights by name, on the CPU."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}


def set_adapter_state(model: Any, state: dict[str, Any]) -> None:
    """Put them back."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state[name])


class Vectors:
    """A module for `DistributedDataParallel`: token ids in, unit vectors out; pooled and normalised in fp32."""

    def __new__(cls, model: Any, pooling: str) -> Any:
        """A `torch.nn.Module`; its class is made here because torch may not be imported before."""
        import torch

        class _Vectors(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, ids: Any, mask: Any) -> Any:
                hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
                return torch.nn.functional.normalize(pool(hidden, mask, pooling), dim=1)

        return _Vectors()


def as_tensors(batch: Sequence[Prepared], pad: int, device: Any) -> tuple[Any, Any]:
    """`(ids, mask)` int64 of a batch."""
    import torch

    ids, lengths = padded(batch)
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    ids = np.where(mask, ids, pad)  # RoBERTa numbers its positions by what is not padding
    return torch.from_numpy(ids.astype(np.int64)).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)


def all_vectors(module: Any, batch: Sequence[Prepared], pad: int, device: Any) -> NDArray[np.float32]:
    """(n, dims) float32 of any number of texts in evaluation mode, fp32; sorted by length, so that little is padding."""
    import torch

    order = sorted(range(len(batch)), key=lambda row: batch[row].tokens)
    was_training = module.training
    module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(order), _EVALUATION_TEXTS):
            rows = order[start : start + _EVALUATION_TEXTS]
            parts.append(module(*as_tensors([batch[row] for row in rows], pad, device)).cpu().numpy())
    module.train(was_training)
    vectors = np.concatenate(parts)
    out = np.empty_like(vectors)
    out[order] = vectors
    return out


def save_merged(model: Any, source: Source, directory: Path) -> None:
    """A model directory like the source's, with the adapters merged into its weights. The adapters are gone afterwards."""
    merged = model.merge_and_unload()
    merged.to("cpu").save_pretrained(directory, max_shard_size="100GB")  # the export reads one file
    for pattern in _KEPT:
        for path in source.directory.glob(pattern):
            copy = directory / path.relative_to(source.directory)
            if path.is_file() and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    assert (directory / WEIGHTS_FILE).is_file(), "save_pretrained writes safetensors in one file"
