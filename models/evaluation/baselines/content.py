"""`content`: items whose text is like that of what the user had; knows nothing of other users."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.baselines.chosen import Chosen
from models.evaluation.contract import Answer, Known, Setup, Stream, UnavailableError
from models.evaluation.history import UserPrefix
from models.items.vectors import centred

NAME: Final = "content"


class Window(NamedTuple):
    """How the history is averaged."""

    decay: float
    length: int


WINDOWS: Final = (Window(0.9, 20), Window(0.5, 8), Window(0.8, 8), Window(0.98, 64))


def content(setup: Setup) -> Chosen[Window]:
    """The contender."""
    del setup
    return Chosen(NAME, TextMean, {f"{each.decay} over {each.length}": each for each in WINDOWS})


class TextMean:
    """Cosine to the decayed mean of the centred text vectors of the newest items. Without history: popularity."""

    name = NAME

    def __init__(self, window: Window) -> None:
        self._window = window

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        if known.text_vectors is None:
            raise UnavailableError("needs texts of items: --items, and an encoder (extra encoder-cpu or encoder-gpu)")
        self._stream = stream
        self._past = UserPrefix(stream, known, end)
        vectors = known.text_vectors
        has: NDArray[np.bool_] = np.any(vectors != 0, axis=1)
        self._vectors = np.where(has[:, None], centred(vectors, vectors[has].mean(axis=0)), np.float32(0))
        self._weight = (self._window.decay ** np.arange(self._window.length)).astype(np.float32)

    def ask(self, at: int) -> Answer:
        newest = self._past.newest(int(self._stream.user[at]), self._window.length)
        if not newest.size:
            return Answer(self._past.count.astype(np.float64))
        wanted = self._weight[: newest.size] @ self._vectors[newest]
        return Answer((self._vectors @ wanted).astype(np.float64))

    def learn(self, at: int) -> None:
        self._past.learn(at)
