"""Every `raise` that data can reach has a class, and with it a radius: one record, one user or item, one part, the worker.

The list is made from the sources: a raise that is not in the table fails the test, and so does a line of the table that is not
in the sources. What each class means is in deploy/docs/faults.md, "One record, one user, one part".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from places import ROOT

ROOMS = (
    "stream/worker", "stream/state", "stream/partitions", "stream/refresh", "stream/outcomes", "stream/wire", "stream/storage",
    "stream/texts", "stream/reasons", "stream/kafka", "models/items", "models/ranking", "models/reasons", "models/credit",
    "models/learning", "models/sequence", "models/encoder", "models/experiments", "stream/serve", "stream/dead_letters",
    "stream/backup",
)  # fmt: skip

START = "start"
"""Of settings, files, topics, before the worker serves, or a command's: one line, exit code 2."""
CALLER = "caller"
"""A mistake in the program; no data leads there. Where lists are made it is one user's (`Refresher`)."""
RECORD = "record"
"""Told as a dead letter, or passed over and counted."""
KEPT = "user or item"
"""What is stored for one user or item: left as it is, quarantined or told of."""
PART = "part"
"""The encoder, the sequence model, a published version, clicks, a rewriter: done without, and said."""
WORKER = "worker"
"""What is written would be wrong, or nothing could be: nothing more is committed."""
QUESTION = "question"
"""Of one request to `penchant serve`: told as a problem with its status; no other request is touched."""
SERVE = "serve"
"""`penchant serve` ends, or does not begin: it keeps nothing that is not on the topics."""
COMMAND = "command"
"""What a person asked for ends: one line, exit code 1; asked again it goes on. Or one letter, which is told of."""
AGAIN = "passes on"
"""Raises what it got."""

CLASS = {
    "models/credit/": CALLER,
    "models/experiments/": CALLER,
    "models/encoder/remote_encoder.py": PART,
    "models/encoder/onnx_encoder.py:OnnxEncoder.run": PART,
    "models/encoder/": START,
    "models/items/record.py": KEPT,
    "models/items/": CALLER,
    "models/learning/click_model.py": PART,
    "models/learning/click_examples.py": CALLER,
    "models/learning/fatigue_fit.py": CALLER,
    "models/ranking/rank.py": START,
    "models/ranking/weights.py": PART,
    "models/sequence/export.py": START,
    "models/sequence/parity.py": START,
    "models/sequence/": PART,
    "stream/backup/": START,
    "stream/backup/restore.py:Restore": COMMAND,
    "stream/backup/target.py:commit_offsets": COMMAND,
    "stream/backup/writing.py": COMMAND,
    "stream/dead_letters/purge.py": START,
    "stream/dead_letters/topic.py": START,
    "stream/dead_letters/returned.py": START,
    "stream/dead_letters/writer.py": COMMAND,
    "stream/kafka/embedded.py": START,
    "stream/kafka/engine/bounded_batches.py": RECORD,
    "stream/kafka/engine/table.py": WORKER,
    "stream/kafka/engine/tokens.py": WORKER,
    "stream/kafka/follower.py": SERVE,
    "stream/kafka/log_ends.py": WORKER,
    "stream/kafka/logs.py": WORKER,
    "stream/kafka/noting.py": START,
    "stream/kafka/rights.py": START,
    "stream/kafka/security.py": START,
    "stream/kafka/producer.py": WORKER,
    "stream/kafka/reach.py": START,
    "stream/kafka/read_to_end.py": START,
    "stream/kafka/replica.py": WORKER,
    "stream/kafka/retention.py": START,
    "stream/kafka/topics.py": WORKER,
    "stream/kafka/transactions.py": WORKER,
    "stream/outcomes/strategy_totals.py": KEPT,
    "stream/reasons/rewriting/": PART,
    "stream/reasons/": START,
    "stream/refresh/refresher.py": AGAIN,
    "stream/refresh/sequence.py": PART,
    "stream/refresh/versions.py:decode_model": PART,
    "stream/refresh/versions.py": START,
    "stream/serve/app.py": SERVE,
    "stream/serve/http/server.py": SERVE,
    "stream/serve/": QUESTION,
    "stream/state/record.py:States.__getattr__": CALLER,
    "stream/state/record.py:<module>": START,
    "stream/partitions/users.py": RECORD,
    "stream/state/log_mark.py": WORKER,
    "stream/state/": KEPT,
    "stream/storage/disk.py": START,
    "stream/storage/rocks.py:_lock": START,
    "stream/storage/rocks.py": WORKER,
    "stream/texts/batch.py": PART,
    "stream/texts/": PART,
    "stream/wire/reasons.py": RECORD,
    "stream/wire/pseudonyms.py": START,
    "stream/wire/times.py": START,
    "stream/worker/journal/": START,
    "stream/worker/app.py": AGAIN,
    "stream/worker/lifecycle.py": AGAIN,
    "stream/worker/vitals.py": AGAIN,
    "stream/worker/chunks.py": WORKER,
    "stream/worker/commit.py": WORKER,
    "stream/worker/which_log.py": WORKER,
}
"""By file, or folder, or `file:function`; the longest that fits counts."""


def raises() -> Iterator[str]:
    """`file:function` of each raise in those rooms."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield from _in(ast.parse(path.read_text()), path.relative_to(ROOT).as_posix(), ())


def _in(node: ast.AST, path: str, inside: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = (*inside, node.name)
    if isinstance(node, ast.Raise):
        yield f"{path}:{'.'.join(inside) or '<module>'}"
    for child in ast.iter_child_nodes(node):
        yield from _in(child, path, inside)


def key_of(place: str) -> str | None:
    """The line of the table that says what a raise is."""
    return max((key for key in CLASS if place.startswith(key)), key=len, default=None)


def test_every_raise_has_a_class() -> None:
    assert [place for place in raises() if key_of(place) is None] == []


def test_every_line_of_the_table_is_about_a_raise() -> None:
    assert set(CLASS) - {key_of(place) for place in raises()} == set()


@pytest.mark.parametrize(
    "room", ["stream/wire", "stream/refresh", "stream/outcomes", "stream/partitions", "stream/state"]
)
def test_no_record_user_or_part_stops_the_worker_in_the_rooms_of_data(room: str) -> None:
    """Only the store, Kafka and the commit may, and the mark of the log that all states of a partition are of."""
    found = {place for place in raises() if place.startswith(room) and CLASS[str(key_of(place))] == WORKER}
    assert {place.partition(":")[0] for place in found} <= {"stream/state/log_mark.py"}
