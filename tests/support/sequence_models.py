"""Sequence models without torch: random weights under the network's names, exported for real, and the network in NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from models.sequence.export import Trained, export
from models.sequence.features import HOURS, NO_GAP, WEEKDAYS, times_of
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
        sizes |= {f"blocks.{n}.norm": (d,), f"blocks.{n}.qkv": (3 * d, d), f"blocks.{n}.out": (d, d)}
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
    size = shape.dims // shape.heads
    for n in range(shape.layers):
        three = linear(norm(hidden, weights, f"blocks.{n}.norm"), weights, f"blocks.{n}.qkv")
        query, key, value = (three[:, i * shape.dims : (i + 1) * shape.dims] for i in range(3))
        mixed = np.zeros_like(hidden)
        for place in range(t + 1):
            for head in range(shape.heads):
                part = slice(head * size, (head + 1) * size)
                scores = np.array([query[place, part] @ key[s, part] / math.sqrt(size) for s in range(place + 1)])
                share = np.exp(scores - scores.max())
                mixed[place, part] = share / share.sum() @ value[: place + 1, part]
        hidden = hidden + linear(mixed, weights, f"blocks.{n}.out")
        up = linear(norm(hidden, weights, f"feed.{n}.norm"), weights, f"feed.{n}.up")
        gelu = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        hidden = hidden + linear(gelu, weights, f"feed.{n}.down")
    return norm(hidden, weights, "norm")[-1]


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
    trained = Trained("sasrec", shape, weights, items, "texts@1" if text else None, 1_700_000_000_000, {"ndcg": 0.1})
    return export(trained, directory, ("numpy", reference(weights, shape, items.vectors)))
