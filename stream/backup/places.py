"""Where the files of a backup lie: a directory, or a bucket that speaks S3.

A file is there whole or not at all: a directory has it under another name until it is on the disk, and an object store shows an
object once all of it has arrived.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from stream.errors import InputFileError, UsageError

CHUNK_BYTES: Final = 1 << 20
_UNFINISHED: Final = ".unfinished"
OBJECT_STORES: Final = ("s3://", "gs://", "az://")


class Place(Protocol):
    """Files by name. Every method blocks, and raises InputFileError where the place cannot be read or written."""

    name: str
    """For people."""

    def put(self, name: str, file: Path) -> None:
        """Copy a local file there; it appears under `name` once it is whole."""

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, in chunks of about a megabyte."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""


def place_of(text: str) -> Place:
    """The place that a person names: a directory, or `s3://BUCKET/PREFIX`.

    Raises:
        UsageError: an object store, and the extra `backup` is not installed.
    """
    if not text.startswith(OBJECT_STORES):
        return DirectoryPlace(Path(text))
    try:
        stores = import_module("obstore.store")
    except ImportError:
        raise UsageError(
            f"{text[:200]}: object stores need the extra `backup`.",
            'pip install "penchant[backup]", or name a directory',
        ) from None
    try:
        # Keys, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, ...): never from a command line.
        return ObjectPlace(stores.from_url(text), text)
    except import_module("obstore.exceptions").BaseError as error:
        raise UsageError(f"{text[:200]} is no place that can be reached: {_first_line(error)}.", _S3_FIX) from None


_S3_FIX: Final = "see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL in the environment"


class DirectoryPlace:
    """A directory; made where it is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory, self.name = directory, str(directory)

    def put(self, name: str, file: Path) -> None:
        """See `Place`."""
        unfinished = self._directory / f"{name}{_UNFINISHED}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as source, unfinished.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            unfinished.replace(self._directory / name)
            self._sync()
        except OSError as error:
            raise _cannot("written", self._directory / name, error.strerror or str(error)) from None

    def _sync(self) -> None:
        """The name, too, survives a power cut."""
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def read(self, name: str) -> Iterator[bytes]:
        """See `Place`."""
        try:
            with (self._directory / name).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise _cannot("read", self._directory / name, error.strerror or str(error)) from None

    def has(self, name: str) -> bool:
        """See `Place`."""
        return (self._directory / name).exists()


class ObjectPlace:
    """Objects below a prefix, by the library obstore."""

    def __init__(self, store: Any, name: str) -> None:
        """`store`: one of `obstore.store`."""
        self._obstore, self._store, self.name = import_module("obstore"), store, name
        self._errors = (import_module("obstore.exceptions").BaseError, OSError)

    def put(self, name: str, file: Path) -> None:
        """See `Place`. Large files go in parts, some megabytes of memory at a time."""
        try:
            self._obstore.put(self._store, name, file)
        except self._errors as error:
            raise _cannot("written", f"{self.name}/{name}", _first_line(error), _S3_FIX) from None

    def read(self, name: str) -> Iterator[bytes]:
        """See `Place`."""
        try:
            for chunk in self._obstore.get(self._store, name).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except self._errors as error:
            raise _cannot("read", f"{self.name}/{name}", _first_line(error), _S3_FIX) from None

    def has(self, name: str) -> bool:
        """See `Place`."""
        try:
            self._obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        except self._errors as error:
            raise _cannot("read", f"{self.name}/{name}", _first_line(error), _S3_FIX) from None
        return True


def _cannot(
    done: str, what: object, why: str, fix: str = "see whether it is there, and whom it belongs to"
) -> InputFileError:
    return InputFileError(f"{what} cannot be {done}: {why}.", fix)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
