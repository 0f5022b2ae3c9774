"""`popularity`: how many users have had an item."""

from __future__ import annotations

from models.evaluation.contract import Answer, Known, Setup, Stream
from models.evaluation.history import UserPrefix


class Popularity:
    """The score is the number of first engagements so far."""

    name = "popularity"

    def __init__(self, setup: Setup) -> None:
        del setup

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        self._past = UserPrefix(stream, known, end)

    def ask(self, at: int) -> Answer:
        del at
        return Answer(self._past.count.astype("f8"))

    def learn(self, at: int) -> None:
        self._past.learn(at)
