"""Parts of the questions that are looked at on their own: where a model is strong in the mean it may be weak."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import Stream
from models.evaluation.questions import Questions

SESSION_GAP_MS: Final = 30 * 60_000
FEW: Final = 5

MONTH: Final = "month:"


def slices(asked: Questions, stream: Stream, end: int) -> dict[str, NDArray[np.bool_]]:
    """`(q,)` masks by name; months (UTC) as `month:2011-10`. Empty ones are there, too: that there are none says something."""
    months = asked.time_ms.astype("datetime64[ms]").astype("datetime64[M]")
    starts = asked.user_gap_ms >= SESSION_GAP_MS
    found: dict[str, NDArray[np.bool_]] = {
        "users_under_5": asked.history < FEW,
        "users_without_history": asked.history == 0,
        "users_not_in_warm_up": ~np.isin(asked.user, stream.user[:end]),
        "items_under_5": asked.engaged < FEW,
        "items_1_to_4": (asked.engaged >= 1) & (asked.engaged < FEW),
        "items_unseen": ~asked.seen & asked.known,
        "items_unknown": ~asked.known,
        "session_start": starts,
        "session_start_returning": starts & (asked.history > 0),
        "session_within": ~starts,
    }
    return found | {f"{MONTH}{month}": months == month for month in np.unique(months)}
