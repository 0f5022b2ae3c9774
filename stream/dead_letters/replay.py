"""Which letters are sent again, and in which parts. Pure but for the writer, the clock and the sleep that it is given."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream.dead_letters.letter import Letter, why_no_record
from stream.dead_letters.selection import Selection
from stream.dead_letters.writer import Landed, RecordsRefusedError, Timestamps, Writer

BATCH_MAX_RECORDS: Final = 500
BATCH_MAX_BYTES: Final = 8 << 20
"""Of a transaction."""

EXAMPLES_MAX: Final = 10

SENT_BEFORE: Final = "sent before"
NO_TIMESTAMP: Final = "its record has no Kafka timestamp, and would get today's: --timestamp now allows that"


class Refusal(NamedTuple):
    """A letter whose record the broker did not take."""

    letter: Letter
    why: str


@dataclass
class ReplayReport:
    """What became of the selected letters."""

    sent: Counter[str] = field(default_factory=Counter)
    """By topic."""
    passed: Counter[str] = field(default_factory=Counter)
    """Not sent, by why."""
    refused: int = 0
    """Not taken by the broker."""
    examples: list[Refusal] = field(default_factory=list)
    interrupted: bool = False

    @property
    def done(self) -> int:
        """Letters that were decided about."""
        return self.sent.total() + self.passed.total() + self.refused


class Pacer:
    """Keeps what is sent at a rate."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate`: records a second; None: as fast as they are taken."""
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._began = clock()
        self._sent = 0

    @property
    def batch_max_records(self) -> int:
        """A tenth of a second's, so that they do not come in lumps."""
        return BATCH_MAX_RECORDS if self._rate is None else min(BATCH_MAX_RECORDS, max(1, int(self._rate / 10)))

    def sent(self, records: int, check: Callable[[], None]) -> None:
        """Waits until the next may be sent; `check` is called a few times a second."""
        if self._rate is None:
            return
        self._sent += records
        while (left_s := self._began + self._sent / self._rate - self._clock()) > 0:
            check()
            self._sleep(min(left_s, 0.2))


class Chooser:
    """Says of each letter whether it is sent; remembers what was."""

    def __init__(
        self,
        selection: Selection,
        replayed: set[bytes],
        topics: Collection[str],
        timestamps: Timestamps,
        is_outdated: Callable[[Letter], bool] = lambda _: False,
    ) -> None:
        """`replayed`: identities of what was sent before. `topics`: where records may be sent to, those that there are."""
        self._selection, self._replayed, self._topics = selection, replayed, topics
        self._timestamps, self._is_outdated = timestamps, is_outdated

    def takes(self, letter: Letter) -> bool:
        """Whether it is meant at all."""
        return self._selection.takes(letter)

    def why_not(self, letter: Letter) -> str | None:
        """None: it is to be sent, and counts as sent from now on."""
        if (why := why_no_record(letter)) is not None:
            return why
        if letter.source.topic not in self._topics:
            return f"{letter.source.topic} is no topic that Penchant reads, or does not exist"
        if self._timestamps == "original" and letter.source.timestamp_ms < 1:
            return NO_TIMESTAMP
        identity = letter.identity
        if identity in self._replayed:
            return SENT_BEFORE
        if self._is_outdated(letter):
            return "a newer record of its key is there"
        self._replayed.add(identity)
        return None

    def refused(self, letter: Letter) -> None:
        """It was not sent."""
        self._replayed.discard(letter.identity)


def _nothing(*_: object) -> None:
    """What is called where nobody asks."""


def replay(
    letters: Iterable[Letter],
    chooser: Chooser,
    writer: Writer | None,
    report: ReplayReport,
    *,
    pacer: Pacer,
    check: Callable[[], None] = _nothing,
    on_progress: Callable[[ReplayReport], None] = _nothing,
    on_landed: Callable[[Landed], None] = _nothing,
) -> None:
    """Send those that `chooser` takes, in parts; `report` always says what is certain. Without a writer nothing is sent.

    `check` may raise between parts: what is in `report` then was sent, and nothing else.

    Raises:
        InvariantError, DeliveryError: as `Writer.send`.
    """
    batch: list[Letter] = []
    n_bytes = 0

    def flush() -> None:
        nonlocal batch, n_bytes
        waiting, batch, n_bytes = batch, [], 0
        if not waiting:
            return
        check()
        _send(waiting, chooser, writer, report, on_landed)
        on_progress(report)
        if writer is not None:
            pacer.sent(len(waiting), check)

    for letter in letters:
        check()
        if not chooser.takes(letter):
            continue
        why = chooser.why_not(letter)
        if why is not None:
            report.passed[why] += 1
            on_progress(report)
            continue
        if batch and n_bytes + letter.n_bytes > BATCH_MAX_BYTES:
            flush()
        batch.append(letter)
        n_bytes += letter.n_bytes
        if len(batch) >= pacer.batch_max_records:
            flush()
    flush()


def _send(
    letters: Sequence[Letter],
    chooser: Chooser,
    writer: Writer | None,
    report: ReplayReport,
    on_landed: Callable[[Landed], None],
) -> None:
    """Where one of them is refused, the halves apart, down to that one."""
    try:
        landed = [] if writer is None else writer.send(letters)
    except RecordsRefusedError as error:
        if len(letters) == 1:
            chooser.refused(letters[0])
            report.refused += 1
            if len(report.examples) < EXAMPLES_MAX:
                report.examples.append(Refusal(letters[0], str(error)))
            return
        middle = len(letters) // 2
        for half in (letters[:middle], letters[middle:]):
            _send(half, chooser, writer, report, on_landed)
        return
    report.sent.update(letter.source.topic for letter in letters)
    for each in landed:
        on_landed(each)
