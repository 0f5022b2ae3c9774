"""The baseline `two_tower` of `penchant evaluate`: a user tower over the history, an item tower, trained at the warm-up mark.

In-batch softmax with correction for how often items are drawn (Yi et al., "Sampling-bias-corrected neural modeling for large
corpus item recommendations", RecSys 2019). Needs torch.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.baselines.chosen import Chosen
from models.evaluation.contract import Answer, Known, Setup, Stream, UnavailableError
from models.evaluation.history import UserPrefix
from models.evaluation.questions import Histories

NAME: Final = "two_tower"
HISTORY: Final = 20
DECAY: Final = 0.8
DIMS: Final = 64
BATCH: Final = 512
LEARNING_RATE: Final = 2e-3
WEIGHT_DECAY: Final = 1e-3
_NEVER_SAME: Final = -1e4


class Fit(NamedTuple):
    """Hyper-parameters."""

    epochs: int
    temperature: float
    """Cosines are divided by it."""


FITS: Final = (Fit(10, 0.1), Fit(5, 0.1), Fit(10, 0.05))


def two_tower(setup: Setup) -> Chosen[Fit]:
    """The contender.

    Raises:
        UnavailableError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise UnavailableError("needs torch: pip install 'penchant[train]'")
    options = {f"{fit.epochs} epochs, temperature {fit.temperature:g}": fit for fit in FITS}
    return Chosen(NAME, lambda fit: TwoTower(fit, setup.seed), options)


class Examples(NamedTuple):
    """m engagements and what their users had before."""

    history: NDArray[np.int64]
    """(m, HISTORY) newest first, padded with n_items."""
    target: NDArray[np.int64]


class TwoTower:
    """Items that came after the fit stand below all others. Without a fitted item in the history: popularity."""

    name = NAME

    def __init__(self, fit: Fit, seed: int) -> None:
        self._fit, self._seed = fit, seed

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        import torch

        self._stream, self._n = stream, known.n_items
        self._past = UserPrefix(stream, known, end)
        self._fitted = self._past.count > 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._towers = _towers(known.n_items, known.text_vectors)
            _train(
                self._towers,
                examples(self._past.by_user, self._past.length, known.n_items),
                self._past.count,
                self._fit,
            )
        with torch.no_grad():
            self._items = _item_vectors(self._towers).numpy()

    def ask(self, at: int) -> Answer:
        import torch

        newest = self._past.newest(int(self._stream.user[at]), HISTORY)
        newest = newest[self._fitted[newest]]
        if not newest.size:
            return Answer(self._past.count.astype(np.float64))
        history = np.full((1, HISTORY), self._n, np.int64)
        history[0, : newest.size] = newest
        with torch.no_grad():
            user = _user_vectors(self._towers, torch.from_numpy(history))[0].numpy()
        return Answer(np.where(self._fitted, self._items @ user, -np.inf).astype(np.float64))

    def learn(self, at: int) -> None:
        self._past.learn(at)


def examples(by_user: Histories, length: NDArray[np.int64], n_items: int) -> Examples:
    """Every engagement that is not its user's first, of the first `length` of each row."""
    row = np.repeat(np.arange(length.size), np.maximum(length - 1, 0))
    ends = np.cumsum(np.maximum(length - 1, 0))
    place = np.arange(row.size) - np.repeat(ends - np.maximum(length - 1, 0), np.maximum(length - 1, 0)) + 1
    before = place[:, None] - 1 - np.arange(HISTORY)
    at = by_user.starts[row][:, None] + np.maximum(before, 0)
    history = np.where(before >= 0, by_user.values[at], n_items)
    return Examples(history.astype(np.int64), by_user.values[by_user.starts[row] + place].astype(np.int64))


def _towers(n_items: int, texts: NDArray[np.float32] | None) -> Any:
    """Modules: `ids` (n_items + 1 rows, the last for padding), `text` if there are texts, `item` and `user`."""
    import torch
    from torch import nn

    def tower() -> Any:
        return nn.Sequential(nn.Linear(DIMS, DIMS), nn.GELU(), nn.Linear(DIMS, DIMS))

    towers = nn.ModuleDict(
        {"ids": nn.Embedding(n_items + 1, DIMS, padding_idx=n_items), "item": tower(), "user": tower()}
    )
    nn.init.normal_(towers["ids"].weight, std=0.1)
    with torch.no_grad():
        towers["ids"].weight[n_items] = 0
    if texts is not None:
        towers["text"] = nn.Linear(texts.shape[1], DIMS, bias=False)
        padded = np.vstack((texts, np.zeros((1, texts.shape[1]), np.float32)))
        towers.register_buffer("texts", torch.from_numpy(padded), persistent=False)
    return towers


def _embedded(towers: Any, items: Any) -> Any:
    found = towers["ids"](items)
    return found + towers["text"](towers.texts[items]) if "text" in towers else found


def _item_vectors(towers: Any, items: Any = None) -> Any:
    import torch
    from torch.nn.functional import normalize

    items = torch.arange(towers["ids"].num_embeddings - 1) if items is None else items
    embedded = _embedded(towers, items)
    return normalize(embedded + towers["item"](embedded), dim=-1)


def _user_vectors(towers: Any, history: Any) -> Any:
    import torch
    from torch.nn.functional import normalize

    real = (history != towers["ids"].num_embeddings - 1).float()
    weight = real * DECAY ** torch.arange(history.shape[1])
    mean = (_embedded(towers, history) * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1e-6)
    return normalize(mean + towers["user"](mean), dim=-1)


def _train(towers: Any, given: Examples, count: NDArray[np.int64], fit: Fit) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    history, target = torch.from_numpy(given.history), torch.from_numpy(given.target)
    often = torch.from_numpy(np.log(np.maximum(count, 1) / max(1, int(count.sum()))).astype(np.float32))
    optimiser = torch.optim.AdamW(towers.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(fit.epochs):
        for rows in torch.randperm(len(target)).split(BATCH):
            if len(rows) < 2:
                continue
            wanted = target[rows]
            logits = _user_vectors(towers, history[rows]) @ _item_vectors(towers, wanted).T / fit.temperature
            logits = logits - often[wanted]
            same = (wanted[:, None] == wanted[None, :]) & ~torch.eye(len(rows), dtype=torch.bool)
            loss = cross_entropy(logits.masked_fill(same, _NEVER_SAME), torch.arange(len(rows)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
