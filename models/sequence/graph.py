"""The network as an ONNX graph, written from its weights: no torch, no tracer.

    inputs   items (b, t, d) float32, vectors of what each user had, oldest first, anything beyond a row's length
             gap, hour, weekday (b, t + 1) int64, of the start token and the items (models.sequence.features)
             lengths (b,) int64, 0 .. t
             pair (b, t + 1, t + 1) int64, for `hstu` only (models.sequence.features.pair_buckets)
    output   queries (b, d) float32

Items come as vectors and not as numbers, so that one that was placed after training can be in a history. Of the last layer
only the newest place of each history is computed: that is where is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I8
from models.encoder.graph import OPSET
from models.sequence.features import Times, pair_buckets

Weights = Mapping[str, NDArray[np.float32]]
Kind = Literal["sasrec", "hstu", "lru"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_EPSILON = 1e-5
_NEVER = -1e30


class Shape(NamedTuple):
    """What the graph needs to know beside the weights."""

    layers: int
    heads: int
    dims: int
    length: int
    kind: Kind = "sasrec"


def inputs_of(kind: str, items: F4, times: Times, lengths: I8) -> dict[str, Any]:
    """What a graph of this kind is given, by name."""
    given = {"items": items, "gap": times.gap, "hour": times.hour, "weekday": times.weekday, "lengths": lengths}
    return given | ({"pair": pair_buckets(times)} if kind == "hstu" else {})


def build_graph(weights: Weights, shape: Shape) -> Any:
    """The model, an `onnx.ModelProto`.

    Raises:
        KeyError: a weight is missing.
    """
    return _Builder(weights, shape).model()


def powers_of(weights: Weights, block: str, exponents: NDArray[np.int64]) -> NDArray[np.complex128]:
    """(.., h) complex128: lambda = exp(-exp(nu) + i exp(theta)) of a recurrent block to these powers (Orvieto et al. 2023)."""
    nu, theta = (np.exp(weights[f"{block}.{name}"].astype(np.float64)) for name in ("nu", "theta"))
    return np.exp(exponents[..., None] * (-nu + 1j * theta))


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
            mixed = {"sasrec": self._attended, "hstu": self._transduced, "lru": self._remembered}[self._shape.kind]
            hidden = mixed(hidden, f"blocks.{number}", is_last=is_last)
            hidden = self._op("Add", hidden, self._fed(hidden, f"feed.{number}"))
        queries = self._op("Squeeze", self._norm(hidden, "norm"), self._integers("axis1", [1]))
        self._nodes.append(helper.make_node("Identity", [queries], ["queries"]))
        integers = [
            helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["b", "t1"])
            for name in ("gap", "hour", "weekday")
        ]
        if self._shape.kind == "hstu":
            integers.append(helper.make_tensor_value_info("pair", onnx.TensorProto.INT64, ["b", "t1", "t1"]))
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

    def _transduced(self, hidden: str, block: str, *, is_last: bool) -> str:
        """HSTU's block: every pair of places weighs by itself, nothing is shared out among them."""
        heads, size = self._shape.heads, self._shape.dims // self._shape.heads
        normed = self._norm(hidden, f"{block}.norm")
        asking, pair = normed, "pair"
        if is_last:
            hidden, asking, pair = self._newest(hidden), self._newest(normed), self._newest(pair)
        query, key, value = (
            self._silu(self._heads(source, f"{block}.uvqk", part, heads, size))
            for part, source in ((2, asking), (3, normed), (1, normed))
        )
        scores = self._op("MatMul", query, self._op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self._op(
            "Add", scores, self._op("Gather", self._weight(f"{block}.place"), self._back(is_last=is_last))
        )
        by_time = self._op("Gather", self._weight(f"{block}.time"), pair, axis=0)
        scores = self._op("Add", scores, self._op("Transpose", by_time, perm=[0, 3, 1, 2]))
        weight = self._op("Mul", self._silu(scores), self._share(is_last=is_last))
        mixed = self._op("Transpose", self._op("MatMul", weight, value), perm=[0, 2, 1, 3])
        mixed = self._op("Reshape", mixed, self._integers("join", [0, -1, self._shape.dims]))
        gate = self._silu(self._part(asking, f"{block}.uvqk", 0))
        gated = self._op("Mul", gate, self._norm(mixed, f"{block}.mixed_norm"))
        return self._op("Add", hidden, self._linear(gated, f"{block}.out"))

    def _remembered(self, hidden: str, block: str, *, is_last: bool) -> str:
        """A linear recurrence: of every place what came before, fading and turning by a power of lambda a place."""
        gain = np.tile(np.exp(self._weights[f"{block}.gamma"]), 2)
        given = self._op("Mul", self._linear(self._norm(hidden, f"{block}.norm"), f"{block}.into"),
                         self._constant(f"{block}.gain", gain))  # fmt: skip
        real, imaginary = self._halves(given, gain.size // 2)
        if is_last:
            hidden = self._newest(hidden)
            real, imaginary = self._summed(real, imaginary, block)
        else:
            real, imaginary = self._scanned(real, imaginary, block)
        return self._op("Add", hidden, self._linear(self._op("Concat", real, imaginary, axis=-1), f"{block}.out"))

    def _halves(self, value: str, width: int) -> tuple[str, str]:
        """(b, t, 2 h) as two of (b, t, h)."""
        ends, axis = [self._integers(f"at{n}", [n]) for n in (0, width, 2 * width)], self._integers("axis2", [2])
        return self._op("Slice", value, *ends[:2], axis), self._op("Slice", value, *ends[1:], axis)

    def _summed(self, real: str, imaginary: str, block: str) -> tuple[str, str]:
        """(b, 1, h) twice, at the newest place: the sum of all places before it, each times its power."""
        powers = powers_of(self._weights, block, np.arange(self._shape.length + 1))
        back = self._op("Squeeze", self._back(is_last=True), self._integers("axes12", [1, 2]))
        is_later = self._op("Greater", self._places, self._op("Unsqueeze", "lengths", self._integers("axis1", [1])))
        is_later = self._op("Unsqueeze", is_later, self._integers("axis2", [2]))
        cosine, sine = (
            self._op("Where", is_later, self._constant("0", np.array(0)),
                     self._op("Gather", self._constant(f"{block}.{name}", part), back, axis=0))
            for name, part in (("cosine", powers.real), ("sine", powers.imag))
        )  # fmt: skip
        turned = self._turned(real, imaginary, cosine, sine)
        first, second = (self._op("ReduceSum", each, self._integers("axis1", [1])) for each in turned)
        return first, second

    def _scanned(self, real: str, imaginary: str, block: str) -> tuple[str, str]:
        """(b, t, h) twice, at every place: after the step of `back` each holds what the last 2 back places say."""
        back, length = 1, self._op("Shape", self._places)
        while back <= self._shape.length:
            power = powers_of(self._weights, block, np.array(back))
            cosine, sine = (
                self._constant(f"{block}.{name}.{back}", part)
                for name, part in (("cosine", power.real), ("sine", power.imag))
            )
            earlier, other = (
                self._op("Slice", self._op("Pad", each, self._integers(f"pad{back}", [0, back, 0, 0, 0, 0])),
                         self._integers("at0", [0]), length, self._integers("axis1", [1]))
                for each in (real, imaginary)
            )  # fmt: skip
            turned = self._turned(earlier, other, cosine, sine)
            real, imaginary = self._op("Add", real, turned[0]), self._op("Add", imaginary, turned[1])
            back *= 2
        return real, imaginary

    def _turned(self, real: str, imaginary: str, cosine: str, sine: str) -> tuple[str, str]:
        """The product of two complex numbers."""
        return (
            self._op("Sub", self._op("Mul", real, cosine), self._op("Mul", imaginary, sine)),
            self._op("Add", self._op("Mul", imaginary, cosine), self._op("Mul", real, sine)),
        )

    def _silu(self, value: str) -> str:
        return self._op("Mul", value, self._op("Sigmoid", value))

    def _asking(self, *, is_last: bool) -> str:
        """The place that asks: (b, 1, 1, 1) of each history's newest, or (t, 1) of all."""
        if is_last:
            return self._op("Unsqueeze", "lengths", self._integers("axes123", [1, 2, 3]))
        return self._op("Unsqueeze", self._places, self._integers("axis1", [1]))

    def _back(self, *, is_last: bool) -> str:
        """How many places before the one that asks; 0 for later ones."""
        return self._op("Max", self._op("Sub", self._asking(is_last=is_last), self._places), self._integer("zero", 0))

    def _share(self, *, is_last: bool) -> str:
        """1 / how many places may be looked at, 0 for those that are later than the one that asks."""
        asking = self._asking(is_last=is_last)
        seen = self._op("Cast", self._op("Add", asking, self._integer("one", 1)), to=self._onnx.TensorProto.FLOAT)
        is_later = self._op("Greater", self._places, asking)
        return self._op("Where", is_later, self._constant("0", np.array(0)), self._op("Reciprocal", seen))

    def _part(self, hidden: str, name: str, part: int) -> str:
        """(b, t, d): one of the maps that stand below one another in a weight."""
        rows = slice(part * self._shape.dims, (part + 1) * self._shape.dims)
        matrix = self._constant(f"{name}.{part}", self._weights[f"{name}.weight"][rows].T)
        bias = self._constant(f"{name}.{part}.bias", self._weights[f"{name}.bias"][rows])
        return self._op("Add", self._op("MatMul", hidden, matrix), bias)

    def _heads(self, hidden: str, name: str, part: int, heads: int, size: int) -> str:
        """(b, heads, t, size) of a part: of attention the query (0), key (1) or value (2)."""
        split = self._op("Reshape", self._part(hidden, name, part), self._integers("split", [0, -1, heads, size]))
        return self._op("Transpose", split, perm=[0, 2, 1, 3])

    def _newest(self, hidden: str) -> str:
        """(b, 1, d): at the last place of each history."""
        at = self._op("Unsqueeze", "lengths", self._integers("axes12", [1, 2]))
        return self._op("GatherND", hidden, at, batch_dims=1)

    def _future(self, *, is_last: bool) -> str:
        """What is added to a score: 0, or a very negative number where the place is later than the one that asks."""
        is_later = self._op("Greater", self._places, self._asking(is_last=is_last))
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
