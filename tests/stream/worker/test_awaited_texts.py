"""A worker whose encoder is away at the start makes lists without text, and has them from when it answers."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import EncoderAwayError, ModelUnusableError
from stream.metrics import Metrics
from stream.worker import awaited_texts
from stream.worker.awaited_texts import AwaitedTexts


class FakeTexts:
    def __init__(self) -> None:
        self.happened: list[str] = []

    def changed(self, indices: range) -> None:
        self.happened.append(f"{len(indices)} items changed")

    async def run(self) -> None:
        self.happened.append("runs")

    async def close(self) -> None:
        self.happened.append("closed")


class Scene:
    """An encoder that answers at the n-th time."""

    def __init__(self, answers_at: int) -> None:
        self.texts, self.tries, self.late, self.answers_at = FakeTexts(), 0, 0, answers_at
        knowledge = SimpleNamespace(texts=None, index=range(3))
        self.tracker: Any = SimpleNamespace(knowledge=knowledge, use_texts=partial(setattr, knowledge, "texts"))
        self.awaited = AwaitedTexts(self._open, self.tracker, Metrics().texts, self._note_late)

    async def _open(self) -> Any:
        self.tries += 1
        if self.tries < self.answers_at:
            raise EncoderAwayError("nobody answers.", "start it")
        return self.texts

    def _note_late(self) -> None:
        self.late += 1


async def test_an_encoder_that_is_there_serves_from_the_start() -> None:
    scene = Scene(1)
    assert await scene.awaited.open() is scene.texts is scene.tracker.knowledge.texts
    await scene.awaited.run()
    await scene.awaited.close()
    assert (scene.texts.happened, scene.late) == (["runs", "closed"], 0)


async def test_one_that_is_away_is_tried_again_until_it_answers_and_then_has_all_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(awaited_texts, "DOWN_WAIT_S", 0.001)
    scene = Scene(4)
    assert await scene.awaited.open() is None
    assert scene.tracker.knowledge.texts is None
    async with asyncio.timeout(30):
        await scene.awaited.run()
    assert scene.tracker.knowledge.texts is scene.texts
    assert (scene.tries, scene.texts.happened, scene.late) == (4, ["3 items changed", "runs"], 1)


async def test_one_that_cannot_be_had_at_all_is_an_error() -> None:
    async def refuse() -> Any:
        raise ModelUnusableError("no such model.", "name another")

    scene = Scene(1)
    with pytest.raises(ModelUnusableError):
        await AwaitedTexts(refuse, scene.tracker, Metrics().texts, lambda: None).open()


async def test_what_was_never_opened_is_closed_as_well() -> None:
    await Scene(9).awaited.close()
