"""What a worker was told, as messages of a journal. `now`: a monotonic clock, s; `now_ms`: the wall clock."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stream.kafka.replica import Replicated
from stream.refresh.queue import Due

FORMAT: Final = 1
"""Another one where a message changes its meaning."""


class Begin(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="begin"):
    """The first message of every journal."""

    format: int
    release: str
    at_ms: int
    settings: dict[str, Any]
    """Those that lists are made with, as JSON."""


class Followed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="followed"):
    """Records of a topic that every worker follows."""

    topic: str
    """`items`, `statistics`, `rules` or `strategies`."""
    records: list[Replicated]
    now: float
    now_ms: int


class Ranker(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="ranker"):
    """Other ranking weights: of the models topic, None = withdrawn, or of the settings."""

    weights: bytes | None
    """JSON."""
    is_own: bool
    now: float


class ArmRanker(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="arm"):
    """Ranking weights of an experiment's arm."""

    experiment: str
    arm: str
    weights: bytes
    """JSON."""


class SequenceServes(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="sequence"):
    """Another sequence model; None = none."""

    model_version: str | None
    now: float


class Weighed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="weighed"):
    """What strategies earned was added up."""


class LookedAtRules(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="rules"):
    """Rules were looked at."""

    slices: int
    now: float
    now_ms: int


class Compiled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="compiled"):
    """What makes lists of placements can be used from here on."""


class Stored(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="stored"):
    """What the disk had of a partition of users when it was asked; with a prefix all that begins with it."""

    partition: int
    values: list[tuple[bytes, bytes | None]]
    prefix: bytes | None = None


class Opened(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="opened"):
    """A partition of users is this worker's."""

    partition: int
    epoch: int
    """How many logs there were before."""


class Forgotten(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="forgotten"):
    """Partitions of users are others'."""

    partitions: list[int]


class EventRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record of the events topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes | None]] = []
    partition: int = 0


class Read(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="read"):
    """A chunk of events was read."""

    partition: int
    records: list[EventRecord]
    now_ms: int


class Applied(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="applied"):
    """The chunk that was read last was applied."""

    partition: int
    offsets: list[int] | None
    """Of the events that were applied; None: of all that were accepted."""
    now: float
    now_ms: int


class Refreshed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="refreshed"):
    """Lists were made."""

    partition: int
    due: list[Due]
    digests: list[bytes | None]
    """Of all bytes that were made for each user, `digest_of`; None: nothing could be made."""
    now_ms: int
    now: float


class Taken(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="taken"):
    """A commit took what a partition has to write."""

    partition: int


class Erased(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="erased"):
    """A person was erased."""

    partition: int
    key: bytes


class Rectified(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="rectified"):
    """An item was struck out of what is known of a person."""

    partition: int
    key: bytes
    item: int


class ListDropped(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="dropped"):
    """The last list of a user was forgotten."""

    partition: int
    key: bytes


class ListRestored(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="restored"):
    """The last list of a user is known from the disk."""

    partition: int
    key: bytes
    items: list[int]
    made_at: float


class TextsOpened(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="texts"):
    """Vectors of texts serve from here on, or those of another model; none is there yet."""

    model_version: str
    dims: int


class VectorsPut(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="vectors"):
    """Items have vectors, or none any more."""

    indices: bytes
    """int32, little-endian."""
    vectors: bytes | None
    """float16 rows; None: removed."""


class QueryKnown(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="query"):
    """A query has a vector."""

    hash: int
    text: str
    vector: bytes
    """float32."""


Entry = (
    Begin
    | Followed
    | Ranker
    | ArmRanker
    | SequenceServes
    | Weighed
    | LookedAtRules
    | Compiled
    | Stored
    | Opened
    | Forgotten
    | Erased
    | Rectified
    | Read
    | Applied
    | Refreshed
    | Taken
    | ListDropped
    | ListRestored
    | TextsOpened
    | VectorsPut
    | QueryKnown
)
