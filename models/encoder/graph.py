"""A BERT-family sentence encoder as an ONNX graph, written from its weights: no torch, no tracer, no pattern matching.

`fused` emits ONNX Runtime's own nodes (Attention, SkipLayerNormalization, BiasGelu), so a fusion cannot silently be missed;
`portable` emits standard ONNX only, for TensorRT and other runtimes. Pooling and normalisation are part of the graph and are
computed in fp32 in both.

    inputs   input_ids (n, s) int32, padded at the right with anything; lengths (n,) int32 >= 1
    output   vectors (n, dims) float32, rows of length 1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.manifest import Pooling

Attention = Literal["fused", "portable"]
Weights = Mapping[str, NDArray[Any]]

OPSET = 20  # the first with Gelu
_MICROSOFT = "com.microsoft"
_SMALLEST_NORM = 1e-12


class Shape(NamedTuple):
    """What the graph needs to know beside the weights."""

    layers: int
    heads: int
    hidden: int
    position_offset: int
    """First row of the position table that is used: padding_idx + 1 in RoBERTa, else 0."""
    epsilon: float
    pooling: Pooling
    prefix: str
    """Before every weight's name, such as `bert.`."""
    naming: Literal["bert", "distilbert"]


class _Layer(NamedTuple):
    """Names of one layer's weights, without `.weight` and `.bias`."""

    query: str
    key: str
    value: str
    output: str
    attention_norm: str
    up: str
    down: str
    output_norm: str


def build_graph(weights: Weights, shape: Shape, attention: Attention, dtype: type[np.floating[Any]]) -> Any:
    """The model, an `onnx.ModelProto`. `dtype` (float32 or float16) holds for everything before the pooling.

    Raises:
        KeyError: a weight that the family has is missing.
    """
    return _Builder(weights, shape, attention, dtype).model()


class _Builder:
    def __init__(self, weights: Weights, shape: Shape, attention: Attention, dtype: type[np.floating[Any]]) -> None:
        import onnx  # noqa: PLC0415  (only an export needs it)

        self._onnx = onnx
        self._weights, self._shape, self._fused, self._dtype = weights, shape, attention == "fused", dtype
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> Any:
        onnx, helper = self._onnx, self._onnx.helper
        hidden = self._embeddings()
        for number in range(self._shape.layers):
            hidden = self._layer(hidden, _layer_names(self._shape, number), f"layer{number}")
        vectors = self._unit(self._pooled(hidden))
        self._nodes.append(helper.make_node("Identity", [vectors], ["vectors"]))
        graph = helper.make_graph(
            self._nodes,
            "sentence_encoder",
            [
                helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT32, ["n", "s"]),
                helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["n"]),
            ],
            [helper.make_tensor_value_info("vectors", onnx.TensorProto.FLOAT, ["n", self._shape.hidden])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if self._fused:
            opsets.append(helper.make_opsetid(_MICROSOFT, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="penchant")

    # --- the parts of the network ---

    def _embeddings(self) -> str:
        names = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
        words, positions = (self._weight(name) for name in names)
        positions = positions[self._shape.position_offset :].astype(np.float32)
        types = self._shape.prefix + "embeddings.token_type_embeddings.weight"
        if types in self._weights:  # always type 0, so it is a part of the position
            positions = positions + self._weights[types][0].astype(np.float32)
        ids = self._op("Gather", self._constant("words", words), "input_ids", axis=0)
        sequence = self._op("Gather", self._op("Shape", "input_ids"), self._integer("one", 1), axis=0)
        rows = self._op("Range", self._integer("zero", 0), sequence, self._integer("one", 1))
        self._positions = rows
        place = self._op("Gather", self._constant("positions", positions), rows, axis=0)
        return self._norm(self._op("Add", ids, place), "embeddings.LayerNorm")

    def _layer(self, hidden: str, names: _Layer, label: str) -> str:
        attended = self._attention(hidden, names, label)
        attended = self._op("MatMul", attended, self._matrix(names.output))
        hidden = self._add_and_norm(attended, hidden, names.output, names.attention_norm)
        up = self._op("MatMul", hidden, self._matrix(names.up))
        bias = self._bias(names.up)
        up = self._own("BiasGelu", up, bias) if self._fused else self._op("Gelu", self._op("Add", up, bias))
        down = self._op("MatMul", up, self._matrix(names.down))
        return self._add_and_norm(down, hidden, names.down, names.output_norm)

    def _attention(self, hidden: str, names: _Layer, label: str) -> str:
        three = (names.query, names.key, names.value)
        matrix = np.concatenate([self._weight(f"{name}.weight").T for name in three], axis=1)
        bias = np.concatenate([self._weight(f"{name}.bias") for name in three])
        matrix_name, bias_name = self._constant(f"{label}.qkv", matrix), self._constant(f"{label}.qkv.bias", bias)
        if self._fused:
            return self._own("Attention", hidden, matrix_name, bias_name, "lengths", num_heads=self._shape.heads)
        heads, size = self._shape.heads, self._shape.hidden // self._shape.heads
        joined = self._op("Add", self._op("MatMul", hidden, matrix_name), bias_name)
        split = self._op("Reshape", joined, self._integers("split", [0, -1, 3, heads, size]))
        apart = self._op("Transpose", split, perm=[2, 0, 3, 1, 4])  # (3, n, heads, s, size)
        query, key, value = (self._op("Gather", apart, self._integer(f"take{i}", i), axis=0) for i in range(3))
        scores = self._op("MatMul", query, self._op("Transpose", key, perm=[0, 1, 3, 2]))
        scale = self._constant("scale", np.array(1 / math.sqrt(size)))
        masked = self._op("Add", self._op("Mul", scores, scale), self._penalty())
        mixed = self._op("MatMul", self._op("Softmax", masked, axis=-1), value)
        together = self._op("Transpose", mixed, perm=[0, 2, 1, 3])
        return self._op("Reshape", together, self._integers("join", [0, -1, self._shape.hidden]))

    def _penalty(self) -> str:
        """(n, 1, 1, s): 0 for a token, a very negative number for padding. Made once."""
        if not hasattr(self, "_penalty_name"):
            zero, low = (self._constant(n, np.array(v)) for n, v in (("no_penalty", 0.0), ("penalty", -10_000.0)))
            chosen = self._op("Where", self._is_token(), zero, low)
            self._penalty_name = self._op("Unsqueeze", chosen, self._integers("axes12", [1, 2]))
        return self._penalty_name

    def _is_token(self) -> str:
        """(n, s) bool. Made once."""
        if not hasattr(self, "_is_token_name"):
            rows = self._op("Cast", self._positions, to=self._onnx.TensorProto.INT32)
            ends = self._op("Unsqueeze", "lengths", self._integers("axis1", [1]))
            self._is_token_name = self._op("Less", rows, ends)
        return self._is_token_name

    def _pooled(self, hidden: str) -> str:
        """(n, hidden) float32."""
        to_float = {"to": self._onnx.TensorProto.FLOAT}
        if self._shape.pooling == "cls":
            return self._op("Cast", self._op("Gather", hidden, self._integer("zero", 0), axis=1), **to_float)
        hidden = self._op("Cast", hidden, **to_float)
        mask = self._op("Unsqueeze", self._is_token(), self._integers("axis2", [2]))
        name, padding = ("pad_sum", 0.0) if self._shape.pooling == "mean" else ("pad_max", -1e30)
        kept = self._op("Where", mask, hidden, self._raw(name, np.array(padding, np.float32)))
        if self._shape.pooling == "max":
            return self._op("ReduceMax", kept, self._integers("axis1", [1]), keepdims=0)
        # The sum is enough: the mean differs by a factor that the normalisation takes out again.
        return self._op("ReduceSum", kept, self._integers("axis1", [1]), keepdims=0)

    def _unit(self, pooled: str) -> str:
        length = self._op("ReduceL2", pooled, self._integers("axis_last", [-1]), keepdims=1)
        least = self._raw("smallest_norm", np.array(_SMALLEST_NORM, np.float32))
        return self._op("Div", pooled, self._op("Max", length, least))

    def _add_and_norm(self, value: str, skip: str, bias: str, norm: str) -> str:
        if not self._fused:
            return self._norm(self._op("Add", self._op("Add", value, self._bias(bias)), skip), norm)
        gamma, beta = self._gamma_beta(norm)
        return self._own(
            "SkipLayerNormalization", value, skip, gamma, beta, self._bias(bias), epsilon=self._shape.epsilon
        )

    def _norm(self, value: str, norm: str) -> str:
        return self._op("LayerNormalization", value, *self._gamma_beta(norm), axis=-1, epsilon=self._shape.epsilon)

    # --- nodes and constants ---

    def _op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        node = self._onnx.helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def _own(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self._op(kind, *inputs, domain=_MICROSOFT, **attributes)

    def _weight(self, name: str) -> NDArray[Any]:
        return self._weights[self._shape.prefix + name]

    def _matrix(self, name: str) -> str:
        return self._constant(name, self._weight(f"{name}.weight").T)  # torch keeps (out, in)

    def _bias(self, name: str) -> str:
        return self._constant(f"{name}.bias", self._weight(f"{name}.bias"))

    def _gamma_beta(self, norm: str) -> tuple[str, str]:
        gamma, beta = (self._constant(f"{norm}.{end}", self._weight(f"{norm}.{end}")) for end in ("weight", "bias"))
        return gamma, beta

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        return self._raw(name, value.astype(self._dtype))

    def _integer(self, name: str, value: int) -> str:
        return self._raw(name, np.array(value, np.int64))

    def _integers(self, name: str, values: list[int]) -> str:
        return self._raw(name, np.array(values, np.int64))

    def _raw(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = self._onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name


def _layer_names(shape: Shape, number: int) -> _Layer:
    if shape.naming == "distilbert":
        base = f"transformer.layer.{number}."
        names = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm",
                 "ffn.lin1", "ffn.lin2", "output_layer_norm")  # fmt: skip
    else:
        base = f"encoder.layer.{number}."
        names = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                 "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")  # fmt: skip
    return _Layer(*(base + name for name in names))
