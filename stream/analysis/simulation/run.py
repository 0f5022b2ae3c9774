"""A journal through the code that served it: first as it was, which has to come out the same, then beside a candidate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from models.arrays import I4
from models.hashing import item_hash
from models.sequence.model import SequenceModel
from stream.analysis.simulation.compare import Both, Comparison
from stream.analysis.simulation.replay import Candidate, Replay, settings_of
from stream.analysis.simulation.value import value_of
from stream.refresh.publish import Published
from stream.rules.book import RULE
from stream.wire.records import event_decoder
from stream.worker.journal.entries import Applied, Begin, Followed, Read, Refreshed
from stream.worker.journal.reader import read_journal
from stream.worker.journal.recording import digest_of


class Difference(NamedTuple):
    """A list that did not come out as it went out."""

    user_id: str
    at_ms: int


class Proof(NamedTuple):
    """What came of making all lists again."""

    release: str
    lists: int
    same: int
    """Byte for byte, with reasons and those of all placements."""
    not_made: int
    """Of users who had no list then and have none now."""
    first_difference: Difference | None


def simulate(
    path: Path,
    candidate: Candidate | None,
    sequence: SequenceModel | None,
    first: int,
    on_lists: Callable[[int], None] = lambda _: None,
) -> tuple[Proof, dict[str, Any] | None]:
    """`simulate_all` with one candidate, or none."""
    candidates = {} if candidate is None else {"": candidate}
    proof, found = simulate_all(path, candidates, sequence, first, on_lists)
    return proof, found.get("")


def simulate_all(
    path: Path,
    candidates: Mapping[str, Candidate],
    sequence: SequenceModel | None,
    first: int,
    on_lists: Callable[[int], None] = lambda _: None,
) -> tuple[Proof, dict[str, dict[str, Any]]]:
    """Make all lists of a journal again.

    Args:
        path: of the journal.
        candidates: what else is asked, by name; each takes as much memory as a worker.
        sequence: the model that served.
        first: places that count where lists are compared as sets.
        on_lists: hears how many lists were made.

    Returns:
        Whether they are the same, and what each candidate changes.

    Raises:
        InputFileError: the journal cannot be read.
        UsageError: the candidate cannot be.
    """
    entries = read_journal(path)
    begin = next(entries)
    assert isinstance(begin, Begin), "read_journal looks at that"
    as_it_was = Replay(settings_of(begin, Candidate(), path), Candidate(), sequence)
    was = as_it_was.tracker.refresher.pages.is_configured
    others = [
        (Replay(settings_of(begin, each, path), each, sequence, was_configured=was), Comparison(first))
        for each in candidates.values()
    ]
    lists = same = not_made = 0
    difference: Difference | None = None
    read: Read | None = None
    for entry in entries:
        made = as_it_was.feed(entry)
        if not isinstance(entry, Refreshed) or made is None:
            for other, comparison in others:
                other.feed(entry)
                if isinstance(entry, Applied) and read is not None:
                    _tell(comparison, read, as_it_was.applied)
            read = entry if isinstance(entry, Read) else read
            continue
        for due, digest, each in zip(entry.due, entry.digests, made, strict=True):
            is_same = digest_of(each) == digest
            not_made += is_same and digest is None
            lists, same = lists + (digest is not None), same + (is_same and digest is not None)
            if not is_same and difference is None:
                difference = Difference(due.key.decode(errors="replace"), entry.now_ms)
        for other, comparison in others:
            _compare(comparison, other, entry, made)
        on_lists(lists)
    proof = Proof(begin.release, lists, same, not_made, difference)
    figures = [each.figures() | {"explored_places": value_of(*each.seen_places())} for _, each in others]
    return proof, dict(zip(candidates, figures, strict=True))


def rules_in(path: Path) -> list[str]:
    """Ids of the rules that workers followed at any time of a journal, in order.

    Raises:
        InputFileError: it cannot be read.
    """
    prefix = RULE.encode()
    keys = {
        record.key
        for entry in read_journal(path)
        if isinstance(entry, Followed) and entry.topic == "rules"
        for record in entry.records
        if record.key is not None and record.value is not None and record.key.startswith(prefix)
    }
    return sorted(key.decode(errors="replace").removeprefix(RULE) for key in keys)


def _compare(comparison: Comparison, other: Replay, entry: Refreshed, made: Sequence[Published | None]) -> None:
    keys = [due.key for due in entry.due]
    recorded = [None if each is None else each.list.record for each in made]
    page, index = other.tracker.refresher.pages.home, other.tracker.knowledge.index
    page.asked = {
        key: _indices(index.lookup, [item.item_id for item in record.items])
        for key, record in zip(keys, recorded, strict=True)
        if record is not None
    }
    page.answers = {}
    simulated = other.feed(entry)
    history = other.history_of(entry.partition, keys)
    for key, was, now, behaviours in zip(keys, recorded, simulated or (), history, strict=True):
        if was is None or now is None:
            continue
        record = now.list.record
        answers = page.answers.get(key)
        if answers is None:  # the candidate composes nothing: its list is certain
            listed = [item.item_id for item in record.items]
            same = [item.item_id == at for item, at in zip(was.items, listed, strict=False)]
            answers = np.array(same, np.float32)
        comparison.add(Both(was, record, behaviours, answers))


def _indices(lookup: Callable[[Any], I4], item_ids: Sequence[str]) -> I4:
    return lookup(np.array([item_hash(each) for each in item_ids], np.uint64)).astype(np.int32)


def _tell(comparison: Comparison, entry: Read, applied: Collection[int]) -> None:
    for record in entry.records:
        if record.offset in applied and record.value is not None and b'"recommendation_id"' in record.value:
            try:
                comparison.happened(event_decoder.decode(record.value))
            except msgspec.DecodeError:
                continue  # of an earlier release's format, say; it names no list that is known
