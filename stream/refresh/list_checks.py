"""Whether what was made for a user may go out: scores that are numbers, and reasons that add up to them.

What may not is quarantined, with what reproduces it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from msgspec.json import encode
from numpy.typing import NDArray

from models.arrays import I8
from models.ranking.rank import RankedBatch
from models.reasons.contributions import COMPLETENESS_GAP_MAX
from stream.metrics import Metrics
from stream.partitions.users import UserPartition
from stream.refresh.publish import Published
from stream.refresh.quarantine import Quarantine, Quarantined
from stream.refresh.serving import Serving


class ListChecks:
    """Looks at the lists of a batch of u users of a partition, before anybody gets one."""

    def __init__(self, quarantine: Quarantine, metrics: Metrics, serving: Serving) -> None:
        self._quarantine, self._gap, self._serving = quarantine, metrics.output.completeness_gap, serving

    def sound(self, users: UserPartition, rows: I8, keys: Sequence[bytes], ranked: RankedBatch) -> NDArray[np.bool_]:
        """(u,): whether all scores of a list are numbers; else there is no order that means anything."""
        numbers = np.isfinite(ranked.scores) & np.isfinite(ranked.probability)
        sound: NDArray[np.bool_] = np.all(numbers | (ranked.items < 0), axis=1)
        for i in np.flatnonzero(~sound).tolist():
            self.cannot_be_made(users, rows[i], keys[i], "a score is not a number", _list_json(ranked, i))
        return sound

    def complete(
        self,
        users: UserPartition,
        rows: I8,
        keys: Sequence[bytes],
        ranked: RankedBatch,
        published: Sequence[Published],
        sound: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """(u,): whether the reasons of each list add up to its scores; where they do not, they are none."""
        gaps = np.array([0.0 if each.reasons is None else each.reasons.gap for each in published])
        self._gap.observe(float(gaps[sound].max(initial=0.0)))
        complete: NDArray[np.bool_] = (gaps <= COMPLETENESS_GAP_MAX) | ~sound  # not the other way round: NaN is a gap
        for i in np.flatnonzero(~complete).tolist():
            detail = f"contributions and score of a list are {gaps[i]:g} of the score apart"
            evidence = self._evidence(users, rows[i], keys[i], _list_json(ranked, i))
            self._quarantine.add(Quarantined(keys[i], "reasons", detail, evidence))
        return complete

    def cannot_be_made(
        self, users: UserPartition, row: int, key: bytes, detail: str, listed: dict[str, object] | None = None
    ) -> None:
        """This user has no list this time."""
        self._quarantine.add(Quarantined(key, "list", detail, self._evidence(users, row, key, listed or {})))

    def _evidence(self, users: UserPartition, row: int, key: bytes, listed: dict[str, object]) -> bytes:
        """What the list was made of: the user's state as it is stored, and the versions of what ranked."""
        (state,) = users.overlay.states.pack(np.array([row]))
        return encode(
            {
                "user_id": key.decode(errors="replace"),
                "state": b64encode(state).decode(),
                "ranker": self._serving.params.weights.version,
                "sequence": self._serving.sequences.model_version,
                **listed,
            }
        )


def _list_json(ranked: RankedBatch, user: int) -> dict[str, object]:
    """What was ranked for one user of a batch, with every number in full; what is none is null."""
    return {
        "items": ranked.items[user].tolist(),
        "scores": ranked.scores[user].tolist(),
        "parts": {name: values[user].tolist() for name, values in ranked.parts.items()},
        "contributions": ranked.contributions[user].tolist(),
    }
