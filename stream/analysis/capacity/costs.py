"""What things cost on the machine where `make bench NAME=costs` was last run; shipped with the release."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from stream.errors import UsageError

FILE = "costs.json"


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each figure is of one worker and one broker; CPU is of one core of that machine."""

    version: str
    commit: str
    machine: str
    measured_on: str
    cpu_s_per_event: float
    """State alone, of a worker."""
    cpu_s_per_list: float
    """A list, its reasons, and what its event does to item statistics and outcomes."""
    broker_cpu_s_per_event: float
    broker_cpu_s_per_list: float
    event_bytes: float
    """Key and value of a record of events; those that follow are of all records that come of one event or list."""
    changelog_bytes_per_event: float
    delta_bytes_per_event: float
    list_bytes: float
    reasons_bytes_per_list: float
    state_bytes_per_user: float
    """Changelog and RocksDB: state and ledger of somebody with `behaviours_per_user` behaviours."""
    behaviours_per_user: float
    worker_base_bytes: float
    """Memory of a worker that has read an empty catalogue."""
    worker_bytes_per_item: float
    """Memory beside, by item with statistics."""
    serve_cpu_s_per_request: float
    """A published list, with its titles."""
    serve_base_bytes: float
    serve_disk_bytes_per_user: float


def shipped() -> Costs:
    """The table of this release."""
    return read((files("stream.analysis.capacity") / FILE).read_bytes(), FILE)


def read(content: bytes, name: str) -> Costs:
    """A table that a benchmark wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        return msgspec.json.decode(content, type=Costs)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} is no table of costs: {error}.", "make one with `make bench NAME=costs`") from None
