"""Texts of a worker: from its start, or from when the encoder answers. Lists are made without text until then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from stream.errors import EncoderAwayError
from stream.metrics import TextMetrics
from stream.texts.encoder_thread import DOWN_WAIT_MAX_S, DOWN_WAIT_S
from stream.texts.serving import Texts
from stream.worker.tracker import Tracker

logger = logging.getLogger(__name__)


class AwaitedTexts:
    """`open` once, `run` until cancelled, then `close`."""

    def __init__(
        self, open_: Callable[[], Awaitable[Texts]], tracker: Tracker, metrics: TextMetrics, on_late: Callable[[], None]
    ) -> None:
        """`open_` raises EncoderAwayError while nobody answers; `on_late` is called when there are texts after lists were made
        without."""
        self._open, self._tracker, self._metrics, self._on_late = open_, tracker, metrics, on_late
        self._texts: Texts | None = None

    async def open(self) -> Texts | None:
        """They serve from now on; None: the encoder is away.

        Raises:
            ModelUnusableError: the encoder cannot be had as the settings say.
        """
        try:
            self._texts = await self._open()
        except EncoderAwayError as error:
            logger.error("lists are made without text until the encoder answers: %s", error)
            self._metrics.encoder_alive.set(0)
        else:
            self._tracker.use_texts(self._texts)
        return self._texts

    async def run(self) -> None:
        """Keep them up to date; while there are none, try again, for as long as it takes."""
        texts, wait_s = self._texts, DOWN_WAIT_S
        while texts is None:
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, DOWN_WAIT_MAX_S)
            texts = await self.open()
            if texts is not None:
                texts.changed(range(len(self._tracker.knowledge.index)))  # the catalogue was read before
                self._on_late()
        await texts.run()

    async def close(self) -> None:
        """What is open."""
        if self._texts is not None:
            await self._texts.close()
