"""What a backup holds, and of which moment: written last, so a place without it holds no backup.

A file of two lines: JSON, and the SHA-256 of the first line.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from stream.backup.places import Place
from stream.errors import InputFileError

NAME: Final = "manifest.json"
FORMAT_VERSION: Final = 1


class Where(msgspec.Struct, frozen=True):
    """One record of the events topic, by which its place is found in a copy that has other offsets."""

    offset: int
    timestamp_ms: int
    sha256: str
    """Of its key and value."""


class Position(msgspec.Struct, frozen=True):
    """How far the states of one partition include the events topic."""

    partition: int
    epoch: int
    """How many logs the topic was before; offsets in states begin at `epoch * EPOCH_OFFSETS`."""
    reached: int
    """Everything before this offset of the events topic is in the states."""
    answered: int
    """Of everything before this offset lists had been made; of the events up to `reached` they are owed."""
    end: int
    """Where the partition of the events topic ended, once its states had been read."""
    last_events: list[Where]
    """The last before `reached`, oldest first."""


class File(msgspec.Struct, frozen=True):
    """One partition of one topic."""

    name: str
    role: str
    """Which topic it is of, whatever its name: see `stream.backup.roles`."""
    partition: int
    records: int
    n_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """A whole backup."""

    format_version: int
    penchant_version: str
    made_at: str
    """RFC 3339."""
    group_id: str
    partitioner: str
    events_topic: str
    events_topic_id: str | None
    topics: dict[str, str]
    """Name of the topic by role."""
    partitions: dict[str, int]
    """Partitions by role."""
    positions: list[Position]
    files: list[File]


def files_of(manifest: Manifest, role: str) -> list[File]:
    """Those of one topic, by partition."""
    return sorted((file for file in manifest.files if file.role == role), key=lambda file: file.partition)


def write_manifest(manifest: Manifest, place: Place, work_dir: Path) -> None:
    """Makes a backup of the files that are there."""
    line = msgspec.json.encode(manifest)
    path = work_dir / NAME
    path.write_bytes(line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n")
    place.put(NAME, path)


def read_manifest(place: Place) -> Manifest:
    """What the place holds.

    Raises:
        InputFileError: no backup, one that was changed, or one that this release does not know.
    """
    if not place.has(NAME):
        raise InputFileError(
            f"{place.name} holds no backup: there is no {NAME}, which is written last.",
            "name a place where `penchant backup` came to its end",
        )
    line, _, digest = b"".join(place.read(NAME)).partition(b"\n")
    if hashlib.sha256(line).hexdigest().encode() != digest.strip():
        raise InputFileError(
            f"{NAME} of {place.name} was cut or changed since it was written.", "restore an older backup"
        )
    version = msgspec.json.decode(line, type=_Version).format_version
    if version != FORMAT_VERSION:
        raise InputFileError(
            f"{place.name} is a backup of format {version}; this release reads {FORMAT_VERSION}.",
            "restore it with the release that wrote it",
        )
    return msgspec.json.decode(line, type=Manifest)


class _Version(msgspec.Struct):
    format_version: int
