"""Faust seen from outside: topics and tables go in, whole chunks come out, and somebody hears of a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stream.errors import InvariantError
from stream.kafka.engine.faust_app import make_faust_app
from stream.kafka.engine.fetching import Chunk
from stream.kafka.engine.table import StoreOptions
from stream.kafka.engine.transport import ChunkConsumer
from stream.kafka.types import TopicPartition
from stream.settings import Settings

HandleChunk = Callable[[TopicPartition, Chunk, int], Awaitable[None]]
"""Called with the partition, a chunk of it, and the generation of the consumer group in which it was fetched."""

RECOVERY_BUFFER_CHUNKS = 2
"""Chunks of changelog applied together; 1 means something else to Faust (it never pauses the changelog again)."""

NOISY_LOGGERS = ("faust", "mode", "aiokafka", "stream.kafka.engine")
"""Faust's and below; the services of ours that it runs log under our modules' names."""


class Engine:
    """One member of the consumer group. Everything is added before `start`."""

    def __init__(self, settings: Settings) -> None:
        self.faust = make_faust_app(settings)
        self._tables: list[Any] = []

    # --- before it starts ---

    def add_agent(self, name: str, topic: str, handle: HandleChunk) -> None:
        """`handle` is awaited for each chunk of the topic, one after another; what it raises crashes the worker."""

        async def agent(stream: Any) -> None:
            async for chunk in stream:
                message = stream.current_event.message
                await handle(TopicPartition(*message.tp), chunk, message.generation_id)

        self.faust.agent(self.faust.topic(topic, value_type=bytes, key_type=bytes), name=name, concurrency=1)(agent)

    def add_table(self, name: str, changelog: str, options: StoreOptions) -> None:
        """State that is recovered from this changelog before chunks come, with standbys on other workers."""
        table = self.faust.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            changelog_topic=self.faust.topic(changelog, key_type=bytes, value_type=bytes),
            recovery_buffer_size=RECOVERY_BUFFER_CHUNKS,
            standby_buffer_size=1,
            options={"penchant": options},
        )
        self._tables.append(table)

    def add_task(self, task: Callable[[], Awaitable[None]]) -> None:
        """Runs from the end of the first recovery on; what it raises crashes the worker."""
        self.faust.task(task)

    def configure(self, *, partitions: int, check_crcs: bool) -> None:
        """What only the broker knows."""
        self.faust.conf.topic_partitions = partitions
        self.faust.conf.broker_check_crcs = check_crcs

    # --- while it runs ---

    async def start(self) -> None:
        """Join the group, recover; returns when everything runs."""
        await self.faust.start()

    async def stop(self) -> None:
        """Leave the group; `ChunkConsumer.on_revoke` is called first."""
        await self.faust.stop()

    async def crashed(self) -> None:
        """Waits until something in it has raised; `crash` says what."""
        await self.faust._crashed.wait()

    @property
    def crash(self) -> BaseException | None:
        """What something in it has raised; None as long as nothing has."""
        if not self.faust._crashed.is_set():
            return None
        reason: BaseException = self.faust.crash_reason or InvariantError("Faust stopped without giving a reason")
        if isinstance(reason, asyncio.CancelledError):  # what aiokafka makes of a commit when it loses its membership
            return InvariantError("a commit was cancelled: this worker is no longer a member of its group")
        return reason

    @property
    def consumer(self) -> ChunkConsumer:
        """The consumer of the group."""
        consumer: ChunkConsumer = self.faust.consumer
        return consumer

    @property
    def generation(self) -> int:
        """Of the consumer group."""
        return int(self.faust.consumer_generation_id)

    @property
    def rebalances(self) -> int:
        """So far."""
        return int(self.faust.rebalancing_count)

    @property
    def is_recovering(self) -> bool:
        """Between an assignment and the end of its recovery; to Faust that belongs to the rebalance."""
        return bool(self.faust.rebalancing) and not self.consumer.joining

    @property
    def recovered_chunks(self) -> int:
        """Chunks of changelogs read so far."""
        return sum(table.data.recovered_chunks for table in self._tables)
