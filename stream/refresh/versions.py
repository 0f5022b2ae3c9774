"""Versions of what ranks, on the compacted topic `interest.models`: every worker uses the current
one, the others stay for a rollback.

Key `ranker` holds the current ranking weights whole, key `sequence` says which sequence model is current; under
`ranker/VERSION` and `sequence/VERSION` each version that was ever current stays. A sequence model is too large for a record:
it is a directory that every worker can read, named with the hash of its manifest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from confluent_kafka import Producer

from models.ranking.weights import RankingWeights, from_json, to_json
from stream.errors import (
    CorruptStateError,
    DeliveryError,
    InputFileError,
    UsageError,
)
from stream.kafka.producer import producer_config
from stream.kafka.read_to_end import read_to_end
from stream.settings import Settings

Kind = Literal["ranker", "sequence"]
KINDS: Final[tuple[Kind, ...]] = ("ranker", "sequence")


class RankerModel(msgspec.Struct, frozen=True, tag_field="kind", tag="ranker"):
    """Ranking weights."""

    version: str
    created_at: int
    """When it was made, ms: of two versions the one made later is the newer one."""
    weights: msgspec.Raw
    """JSON as `models.ranking.weights.to_json` writes it."""
    trained_until: int | None = None
    """Event time of the newest event it was learned from, ms."""
    metrics: dict[str, float] = {}
    """What was measured on the window that it was kept for."""
    schema_version: int = 1


class SequenceVersion(msgspec.Struct, frozen=True, tag_field="kind", tag="sequence"):
    """Where a sequence model lies."""

    version: str
    created_at: int
    directory: str
    manifest_sha256: str
    trained_until: int | None = None
    metrics: dict[str, float] = {}
    schema_version: int = 1


ModelRecord = RankerModel | SequenceVersion

_decoder = msgspec.json.Decoder(ModelRecord)


def ranker_model(
    weights: RankingWeights,
    created_at: int,
    *,
    trained_until: int | None = None,
    metrics: dict[str, float] | None = None,
) -> RankerModel:
    """The record of ranking weights."""
    return RankerModel(weights.version, created_at, msgspec.Raw(to_json(weights)), trained_until, metrics or {})


def weights_of(model: RankerModel) -> RankingWeights:
    """The weights in a record.

    Raises:
        ValueError: they are none that this release knows.
    """
    return from_json(bytes(model.weights))


def read_weights(path: Path) -> RankingWeights:
    """Weights in a file.

    Raises:
        InputFileError: it cannot be read, or is no such file.
    """
    try:
        return from_json(path.read_bytes())
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}.", "name an existing file") from None
    except ValueError as error:
        raise InputFileError(f"{path}: {error}.", "make one with `penchant train weights`") from None


def decode_model(value: bytes) -> ModelRecord:
    """A record of the topic.

    Raises:
        CorruptStateError: it is none, or of a later release.
    """
    try:
        model: ModelRecord = _decoder.decode(value)
        if isinstance(model, RankerModel):
            weights_of(model)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptStateError(f"topic of models: {error}") from error
    return model


def kind_of(model: ModelRecord) -> Kind:
    """`ranker` or `sequence`."""
    return "ranker" if isinstance(model, RankerModel) else "sequence"


class ModelsTopic:
    """What the topic says, record by record in its order.

    A record that this release cannot use (of a later one, with a feature more) is refused and changes nothing: the last usable
    version goes on. Where none was current before, because this worker has just begun to read, that is the newest one that the
    topic still knows.
    """

    def __init__(self) -> None:
        self.current: dict[Kind, ModelRecord | None] = {}
        """None: withdrawn. A kind of which nothing was said is not in it."""
        self.known: dict[Kind, dict[str, ModelRecord]] = {kind: {} for kind in KINDS}
        """By version."""
        self.refused: list[str] = []
        """Why each current version that was refused was."""
        self._instead: set[Kind] = set()

    def add(self, key: bytes | None, value: bytes | None) -> Kind | None:
        """One record; the kind whose current version is another one now."""
        name, _, version = (key or b"").decode(errors="replace").partition("/")
        kind = next((kind for kind in KINDS if kind == name), None)
        if kind is None:
            return None
        if version:
            return self._learn(kind, version, value)
        return self._make_current(kind, value)

    def _make_current(self, kind: Kind, value: bytes | None) -> Kind | None:
        try:
            model = None if value is None else decode_model(value)
        except CorruptStateError as error:
            self.refused.append(f"{kind}: {error}")
            if kind in self.current and kind not in self._instead:
                return None
            self._instead.add(kind)
            return self._newest_instead(kind)
        self._instead.discard(kind)
        self.current[kind] = model
        return kind

    def _learn(self, kind: Kind, version: str, value: bytes | None) -> Kind | None:
        if value is None:
            self.known[kind].pop(version, None)
            return None
        try:
            self.known[kind][version] = decode_model(value)
        except CorruptStateError:
            return None  # told of when it is made current
        return self._newest_instead(kind) if kind in self._instead else None

    def _newest_instead(self, kind: Kind) -> Kind | None:
        newest = max(self.known[kind].values(), key=lambda model: model.created_at, default=None)
        if newest is None or newest is self.current.get(kind):
            return None
        self.current[kind] = newest
        return kind


def publish_model(settings: Settings, model: ModelRecord) -> None:
    """Make it the current one of its kind; returns when the broker has it.

    Raises:
        DeliveryError: the broker did not take it.
    """
    producer = Producer(producer_config(settings, "models"))
    refused: list[str] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            refused.append(error.str())

    value, kind = msgspec.json.encode(model), kind_of(model)
    for key in (f"{kind}/{model.version}", kind):  # what is current is also there to go back to
        producer.produce(settings.topic_models, value, key.encode(), on_delivery=delivered)
    if producer.flush(settings.delivery_timeout_s) or refused:
        raise DeliveryError(f"topic {settings.topic_models}: {refused[0] if refused else 'timed out'}")


class Versions(msgspec.Struct, frozen=True):
    """Of one kind of model."""

    current: ModelRecord | None
    known: tuple[ModelRecord, ...]
    """Oldest first."""

    def before_current(self) -> ModelRecord | None:
        """The newest version that is older than the current one."""
        if self.current is None:
            return self.known[-1] if self.known else None
        older = [model for model in self.known if model.created_at < self.current.created_at]
        return older[-1] if older else None


def read_versions(settings: Settings) -> dict[Kind, Versions]:
    """Everything on the topic by now that this release can use.

    Raises:
        BrokerUnreachableError, TopicsError: no broker answers, or it has no such topic.
    """
    read = read_to_end(settings, settings.topic_models)
    topic = ModelsTopic()
    for batch in read:
        for record in batch:
            topic.add(record.key, record.value)
    return {
        kind: Versions(
            topic.current.get(kind), tuple(sorted(topic.known[kind].values(), key=lambda model: model.created_at))
        )
        for kind in KINDS
    }


def roll_back(settings: Settings, kind: Kind) -> ModelRecord:
    """Make the version before the current one current.

    Raises:
        UsageError: there is none.
    """
    before = read_versions(settings)[kind].before_current()
    if before is None:
        raise UsageError(f"there is no {kind} older than the current one.", "see `penchant models list`")
    publish_model(settings, before)
    return before
