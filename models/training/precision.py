"""In what numbers a network is trained."""

from __future__ import annotations

from typing import Any, Literal

from models.encoder.errors import ModelError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def half_precision(precision: Precision, device: Any) -> Any:
    """The half-precision type to compute in, None for fp32; `auto` is half precision on a GPU.

    Raises:
        ModelError: fp16 without a GPU.
    """
    import torch

    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if precision == "fp16" and device.type != "cuda":
        raise ModelError("fp16 trains on a GPU only.", "--precision auto, fp32 or bf16")
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def precision_name(half: Any) -> str:
    """How a report calls what `half_precision` returned."""
    return "fp32" if half is None else str(half).removeprefix("torch.")
