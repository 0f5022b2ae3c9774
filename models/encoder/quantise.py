"""int8 with fixed scales: weights per channel, activations by ranges seen on calibration texts.

Dynamic int8 takes the range of each batch, so that a text's vector depends on its neighbours; it is not offered. Whether the
fixed ranges are good enough is measured like for every graph (`parity.BOUNDS`), and refused if not.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from models.encoder.parity import TEXTS
from models.encoder.tokens import Tokeniser, padded

_LEFT_OUT: Final = (".output.dense", "ffn.lin2")


def quantise(model: Any, tokenizer_json: str, path: Path) -> None:
    """Write `model` (portable, fp32) to `path` with its matrix products in int8."""
    import onnx  # noqa: PLC0415  (only an export needs it)
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static  # noqa: PLC0415

    class Reader:
        """Calibration batches, in the shape that ONNX Runtime asks for."""

        def __init__(self) -> None:
            self._batches = _batches(tokenizer_json)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

        def set_range(self, start_index: int, end_index: int) -> None:
            del start_index, end_index

    constants = {constant.name for constant in model.graph.initializer}
    # The second matrix of the feed-forward part sees a few huge activations: in int8 it alone costs 0.1 of cosine.
    products = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants and not _is_left_out(node.input[1])
    ]
    with tempfile.TemporaryDirectory() as scratch, _silent():
        whole = Path(scratch) / "model.onnx"
        onnx.save(model, str(whole))
        quantize_static(
            str(whole),
            str(path),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # without VNNI the sum of two products of int8 overflows int16
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=products,
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Without the advice that ONNX Runtime's quantiser logs to the root logger on every call."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _is_left_out(matrix: str) -> bool:
    return matrix.endswith(_LEFT_OUT) and not matrix.endswith("attention.output.dense")


def _batches(tokenizer_json: str) -> Iterator[dict[str, Any]]:
    tokeniser = Tokeniser(tokenizer_json, {})
    sentences = [part.strip() for text in TEXTS for part in text.replace(";", ".").split(".") if part.strip()]
    texts = [*TEXTS, *dict.fromkeys(sentences), *(f"{a} {b}" for a, b in pairwise(TEXTS[:-1]))]
    for each in tokeniser.prepare(texts, "passage"):
        ids, lengths = padded([each])
        yield {"input_ids": ids, "lengths": lengths}
