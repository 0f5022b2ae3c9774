"""Records of reasons as they stand on the topic, of made-up lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.wire.reasons import CitedBehaviour, PlaceCause, PlaceReason, Reasons


def reasons_record(
    list_id: str,
    user_id: str,
    items: Sequence[str],
    said: Sequence[dict[str, str]] | None = None,
    strategies: Sequence[Any] | None = None,
    propensity: float = 1.0,
    cited: tuple[CitedBehaviour, ...] = (),
) -> Reasons:
    """Each item with a sentence of its own (`said`), wholly because of the behaviours that are `cited`."""
    sentences = [{"en": f"Because {item}.", "zh": f"因为{item}。"} for item in items] if said is None else said
    places = tuple(
        PlaceReason(
            item,
            1.0 / rank,
            (1.0 / rank,),
            tuple(PlaceCause(n, 1.0 / rank) for n in range(len(cited))),
            0.0,
            rank - 1,
            "interest" if strategies is None else strategies[rank - 1],
            propensity,
        )
        for rank, item in enumerate(items, 1)
    )
    return Reasons(list_id, user_id, "exact-additive", ("co_occurrence",), cited, places, tuple(sentences), 0.0)
