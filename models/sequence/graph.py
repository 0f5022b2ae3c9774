"""The network as an ONNX graph, written from its weights: no torch, no tracer.

    inputs   items (b, t, d) float32, vectors of what each user had, oldest first, anything beyond a row's length
             gap, hour, weekday (b, t + 1) int64, of the start token and the items (models.sequence.features)
             lengths (b,) int64, 0 .. t
    output   queries (b, d) float32

Items come as vectors and not as numbers, so that one that was placed after training can be in a history. Of the last layer
only the newest place of each history is computed: that is where is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.graph import OPSET

Weights = Mapping[str, NDArray[np.float32]]
INPUTS = ("items", "gap", "hour", "weekday", "lengths")
_EPSILON = 1e-5
_NEVER = -1e30


class Shape(NamedTuple):
    """What the graph needs to know beside the weights."""

    layers: int
    heads: int
    dims: int
    length: int


def build_graph(weights: Weights, shape: Shape) -> Any:
    """The model, an `onnx.ModelProto`.

    Raises:
        KeyError: a weight is missing.
    """
    return _Builder(weights, shape).model()


class _Builder:
    def __init__(self, weights: Weights, shape: Shape) -> None:
        import onnx  # noqa: PLC0415  (only an export needs it)

        self._onnx, self._weights, self._shape = onnx, weights, shape
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> Any:
        onnx, helper, dims = self._onnx, self._onnx.helper, self._shape.dims
        hidden = self._embedded()
        for number in range(self._shape.layers):
            is_last = number == self._shape.layers - 1
            hidden = self._attended(hidden, f"blocks.{number}", is_last=is_last)
            hidden = self._op("Add", hidden, self._fed(hidden, f"feed.{number}"))
        queries = self._op("Squeeze", self._norm(hidden, "norm"), self._integers("axis1", [1]))
        self._nodes.append(helper.make_node("Identity", [queries], ["queries"]))
        integers = [
            helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["b", "t1"])
            for name in ("gap", "hour", "weekday")
        ]
        graph = helper.make_graph(
            self._nodes,
            "next_item",
            [
                helper.make_tensor_value_info("items", onnx.TensorProto.FLOAT, ["b", "t", dims]),
                *integers,
                helper.make_tensor_value_info("lengths", onnx.TensorProto.INT64, ["b"]),
            ],
            [helper.make_tensor_value_info("queries", onnx.TensorProto.FLOAT, ["b", dims])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="penchant")

    def _embedded(self) -> str:
        """(b, t + 1, d): the start token and the items, with place and time; also makes what the masks need."""
        batch = self._op("Shape", "lengths")
        rows = self._op("Concat", batch, self._integers("one_by_d", [1, self._shape.dims]), axis=0)
        start = self._op("Expand", self._constant("start", self._weights["start"].reshape(1, 1, -1)), rows)
        hidden = self._op("Concat", start, "items", axis=1)
        length = self._op("Gather", self._op("Shape", "gap"), self._integer("one", 1), axis=0)
        self._places = self._op("Range", self._integer("zero", 0), length, self._integer("one", 1))
        hidden = self._op("Add", hidden, self._op("Gather", self._weight("position"), self._places, axis=0))
        for name in ("gap", "hour", "weekday"):
            if name not in self._weights:  # trained without the calendar
                continue
            hidden = self._op("Add", hidden, self._op("Gather", self._weight(name), name, axis=0))
        return hidden

    def _attended(self, hidden: str, block: str, *, is_last: bool) -> str:
        heads, size = self._shape.heads, self._shape.dims // self._shape.heads
        normed = self._norm(hidden, f"{block}.norm")
        asking = normed
        if is_last:
            hidden, asking = self._newest(hidden), self._newest(normed)
        query, key, value = (
            self._heads(source, f"{block}.qkv", part, heads, size)
            for part, source in enumerate((asking, normed, normed))
        )
        scores = self._op("MatMul", query, self._op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self._op("Mul", scores, self._constant("scale", np.array(1 / math.sqrt(size))))
        scores = self._op("Add", scores, self._future(is_last=is_last))
        mixed = self._op("MatMul", self._op("Softmax", scores, axis=-1), value)
        joined = self._op("Transpose", mixed, perm=[0, 2, 1, 3])
        joined = self._op("Reshape", joined, self._integers("join", [0, -1, self._shape.dims]))
        return self._op("Add", hidden, self._linear(joined, f"{block}.out"))

    def _heads(self, hidden: str, name: str, part: int, heads: int, size: int) -> str:
        """(b, heads, t, size) of the query (0), key (1) or value (2)."""
        rows = slice(part * heads * size, (part + 1) * heads * size)
        matrix = self._constant(f"{name}.{part}", self._weights[f"{name}.weight"][rows].T)
        bias = self._constant(f"{name}.{part}.bias", self._weights[f"{name}.bias"][rows])
        flat = self._op("Add", self._op("MatMul", hidden, matrix), bias)
        split = self._op("Reshape", flat, self._integers("split", [0, -1, heads, size]))
        return self._op("Transpose", split, perm=[0, 2, 1, 3])

    def _newest(self, hidden: str) -> str:
        """(b, 1, d): at the last place of each history."""
        at = self._op("Unsqueeze", "lengths", self._integers("axes12", [1, 2]))
        return self._op("GatherND", hidden, at, batch_dims=1)

    def _future(self, *, is_last: bool) -> str:
        """What is added to a score: 0, or a very negative number where the place is later than the one that asks."""
        if is_last:
            asking = self._op("Unsqueeze", "lengths", self._integers("axes123", [1, 2, 3]))
        else:
            asking = self._op("Unsqueeze", self._places, self._integers("axis1", [1]))
        is_later = self._op("Greater", self._places, asking)
        return self._op("Where", is_later, self._constant("never", np.array(_NEVER)), self._constant("0", np.array(0)))

    def _fed(self, hidden: str, name: str) -> str:
        up = self._op("Gelu", self._linear(self._norm(hidden, f"{name}.norm"), f"{name}.up"))
        return self._linear(up, f"{name}.down")

    def _linear(self, value: str, name: str) -> str:
        matrix = self._constant(f"{name}.matrix", self._weights[f"{name}.weight"].T)  # torch keeps (out, in)
        return self._op("Add", self._op("MatMul", value, matrix), self._weight(f"{name}.bias"))

    def _norm(self, value: str, name: str) -> str:
        gamma, beta = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", value, gamma, beta, axis=-1, epsilon=_EPSILON)

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _weight(self, name: str) -> str:
        return self._constant(f"weight.{name}", self._weights[name])  # `gap` is an input as well

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        return self._raw(name, value.astype(np.float32))

    def _integer(self, name: str, value: int) -> str:
        return self._raw(name, np.array(value, np.int64))

    def _integers(self, name: str, values: list[int]) -> str:
        return self._raw(name, np.array(values, np.int64))

    def _raw(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = self._onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name
