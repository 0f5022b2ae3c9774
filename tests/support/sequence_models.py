"""Sequence models without torch: random weights under the network's names, exported for real, and the network in NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from models.sequence.export import Trained, export
from models.sequence.features import HOURS, NO_GAP, START_PAIR, WEEKDAYS, pair_buckets, times_of
from models.sequence.graph import Shape
from models.sequence.items import ItemFile
from models.sequence.manifest import SequenceManifest

SHAPE = Shape(layers=2, heads=2, dims=8, length=6)
TEXT_DIMS = 5
IDS = [f"i{n}" for n in range(12)]


def random_weights(shape=SHAPE, *, calendar=True, hidden=12, seed=0):
    """Weights of a network of this shape, biases and norms too: as 0 and 1 they would hide a missing one."""
    rng = np.random.default_rng(seed)

    def array(*sizes):
        return rng.normal(0.1, 0.4, sizes).astype(np.float32)

    d = shape.dims
    weights = {"start": array(d), "position": array(shape.length + 1, d), "gap": array(NO_GAP + 1, d)}
    if calendar:
        weights |= {"hour": array(HOURS, d), "weekday": array(WEEKDAYS, d)}
    sizes = {"norm": (d,)}
    for n in range(shape.layers):
        sizes |= {f"blocks.{n}.norm": (d,), f"blocks.{n}.out": (d, d)}
        if shape.kind == "hstu":
            sizes |= {f"blocks.{n}.uvqk": (4 * d, d), f"blocks.{n}.mixed_norm": (d,)}
            weights |= {f"blocks.{n}.place": array(shape.length + 1)}
            weights |= {f"blocks.{n}.time": array(START_PAIR + 1, shape.heads)}
        elif shape.kind == "lru":
            sizes |= {f"blocks.{n}.into": (4 * d, d), f"blocks.{n}.out": (d, 4 * d)}
            weights |= {f"blocks.{n}.{name}": array(2 * d) for name in ("nu", "theta", "gamma")}
        else:
            sizes |= {f"blocks.{n}.qkv": (3 * d, d)}
        sizes |= {f"feed.{n}.norm": (d,), f"feed.{n}.up": (hidden, d), f"feed.{n}.down": (d, hidden)}
    for name, size in sizes.items():
        weights |= {f"{name}.weight": array(*size), f"{name}.bias": array(size[0])}
    return weights


def random_items(shape=SHAPE, *, text=True, seed=1):
    """Vectors of `IDS`."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=size).astype(np.float32) for size in ((len(IDS), shape.dims), (len(IDS),))]
    project = rng.normal(size=(TEXT_DIMS if text else 0, shape.dims)).astype(np.float32)
    rest = rng.normal(size=(2, shape.dims)).astype(np.float32)
    return ItemFile(IDS, *arrays, project, rest[0], rest[1], cold_bias=-1.0)


def network_alone(weights, shape, vectors, times_ms, now_ms):
    """(d,) the query of one history (t, d), as the papers write the network: one position after another."""
    t = len(vectors)
    times = times_of(np.array([times_ms], np.int64).reshape(1, t), np.array([t]), np.array([now_ms]))
    hidden = np.concatenate((weights["start"][None], vectors)) + weights["position"][: t + 1]
    for name in ("gap", "hour", "weekday"):
        if name in weights:
            hidden = hidden + weights[name][getattr(times, name)[0]]
    for n in range(shape.layers):
        mixing = {"sasrec": attended, "hstu": transduced, "lru": remembered}[shape.kind]
        hidden = hidden + mixing(hidden, weights, shape, f"blocks.{n}", pair_buckets(times)[0])
        up = linear(norm(hidden, weights, f"feed.{n}.norm"), weights, f"feed.{n}.up")
        gelu = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        hidden = hidden + linear(gelu, weights, f"feed.{n}.down")
    return norm(hidden, weights, "norm")[-1]


def attended(hidden, weights, shape, block, _):
    size = shape.dims // shape.heads
    three = linear(norm(hidden, weights, f"{block}.norm"), weights, f"{block}.qkv")
    query, key, value = (three[:, i * shape.dims : (i + 1) * shape.dims] for i in range(3))
    mixed = np.zeros_like(hidden)
    for place in range(len(hidden)):
        for head in range(shape.heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.array([query[place, part] @ key[s, part] / math.sqrt(size) for s in range(place + 1)])
            share = np.exp(scores - scores.max())
            mixed[place, part] = share / share.sum() @ value[: place + 1, part]
    return linear(mixed, weights, f"{block}.out")


def transduced(hidden, weights, shape, block, pair):
    """Zhai et al. 2024, eq. 1 to 3."""
    size = shape.dims // shape.heads
    four = silu(linear(norm(hidden, weights, f"{block}.norm"), weights, f"{block}.uvqk"))
    gate, value, query, key = (four[:, i * shape.dims : (i + 1) * shape.dims] for i in range(4))
    mixed = np.zeros_like(hidden)
    for place in range(len(hidden)):
        for head in range(shape.heads):
            part = slice(head * size, (head + 1) * size)
            for s in range(place + 1):
                bias = weights[f"{block}.place"][place - s] + weights[f"{block}.time"][pair[place, s], head]
                mixed[place, part] += silu(query[place, part] @ key[s, part] + bias) * value[s, part] / (place + 1)
    return linear(gate * norm(mixed, weights, f"{block}.mixed_norm"), weights, f"{block}.out")


def remembered(hidden, weights, shape, block, _):
    """Orvieto et al. 2023: one place after another."""
    d = 2 * shape.dims
    given = linear(norm(hidden, weights, f"{block}.norm"), weights, f"{block}.into")
    given = np.exp(weights[f"{block}.gamma"]) * (given[:, :d] + 1j * given[:, d:])
    step = np.exp(-np.exp(weights[f"{block}.nu"]) + 1j * np.exp(weights[f"{block}.theta"]))
    state, states = np.zeros(d, complex), []
    for place in given:
        state = step * state + place
        states.append(np.concatenate((state.real, state.imag)))
    return linear(np.array(states), weights, f"{block}.out")


def silu(value):
    return value / (1 + np.exp(-value))


def linear(value, weights, name):
    return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(value, weights, name):
    centred = value - value.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def reference(weights, shape, vectors):
    """`network_alone` for the export's questions."""

    def answer(asked):
        return np.stack(
            [
                network_alone(weights, shape, vectors[asked.rows[i, :n]], asked.times_ms[i, :n], asked.now_ms[i])
                for i, n in enumerate(asked.lengths.tolist())
            ]
        ).astype(np.float32)

    return answer


def exported(directory: Path, *, seed=0, text=True, calendar=True, shape=SHAPE) -> SequenceManifest:
    """Write a small random model."""
    weights, items = random_weights(shape, calendar=calendar, seed=seed), random_items(shape, text=text, seed=seed + 1)
    trained = Trained(shape, weights, items, "texts@1" if text else None, 1_700_000_000_000, {"ndcg": 0.1})
    return export(trained, directory, ("numpy", reference(weights, shape, items.vectors)))
