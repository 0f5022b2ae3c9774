"""Flower's strategies, with a look at every update before it counts; what is refused or shortened is remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

import numpy as np

from models.arrays import F8
from models.learning.federation import Update, Verdict, judged

How = Literal["mean", "median", "trimmed_mean"]
HOWS: Final[tuple[How, ...]] = get_args(How)

TRIMMED: Final = 0.2
"""Share of the clients that a trimmed mean leaves out at each end, coordinate by coordinate."""

ARRAYS, METRICS, EXAMPLES, NAME = "arrays", "metrics", "num-examples", "client"
"""Of a reply, as Flower's strategies read it; and, in a record of its own, what the client is called."""


def strategy(how: How, *, norm_max: float | None, clients_min: int) -> Any:
    """A strategy of Flower's that is also a `Watched`.

    Args:
        how: `mean` is federated averaging, weighted by examples; the others withstand clients that lie, and weigh all alike.
        norm_max: longest update; None: as `models.learning.federation.judged`.
        clients_min: to wait for, and to go on with.
    """
    from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg

    base: Any = {"mean": FedAvg, "median": FedMedian, "trimmed_mean": FedTrimmedAvg}[how]

    class Watched(base):  # type: ignore[misc]
        """Refuses and shortens updates, then does what its base does with the others."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.sent: dict[str, F8] = {}
            self.verdicts: list[list[Verdict]] = []
            """By round."""
            self.bytes = 0
            """Of arrays, to clients and back."""

        def summary(self) -> None:
            """Flower would log its settings."""

        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            self.sent = to_numpy(arrays)
            messages = list(super().configure_train(server_round, arrays, config, grid))
            self.bytes += len(messages) * size_bytes(self.sent)
            return messages

        def aggregate_train(self, server_round: int, replies: Iterable[Any]) -> tuple[Any, Any]:
            came = list(replies)
            failed = [
                Verdict(f"node {m.metadata.src_node_id}", f"it failed: {first_line(m.error.reason)}", np.nan, 1.0, 0.0)
                for m in came
                if m.has_error()
            ]
            answered = [m for m in came if not m.has_error()]
            updates = [_update(m) for m in answered]
            self.bytes += sum(size_bytes(u.arrays) for u in updates)
            kept, verdicts = judged(self.sent, updates, norm_max)
            self.verdicts.append(sorted([*verdicts, *failed], key=lambda each: each.client))
            if not kept:
                return None, None
            by_name = {update.client: update for update in kept}
            chosen = [m for m, u in zip(answered, updates, strict=True) if u.client in by_name]
            for message, update in zip(answered, updates, strict=True):
                if update.client in by_name:
                    _put(message, by_name[update.client])
            aggregated: tuple[Any, Any] = super().aggregate_train(server_round, chosen)
            return aggregated

    options = {"beta": TRIMMED} if how == "trimmed_mean" else {}
    return Watched(fraction_evaluate=0.0, min_train_nodes=clients_min, min_available_nodes=clients_min, **options)


def to_numpy(record: Any) -> dict[str, F8]:
    """Arrays of a record of Flower's."""
    return {name: np.asarray(value.numpy()) for name, value in record.items()}


def to_record(arrays: Mapping[str, F8]) -> Any:
    """The same back."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(np.asarray(value, order="C")) for name, value in arrays.items()})


def size_bytes(arrays: Mapping[str, F8]) -> int:
    """Of the numbers alone."""
    return sum(value.nbytes for value in arrays.values())


def first_line(text: str) -> str:
    """Short enough for a line."""
    return next(iter(text.strip().splitlines()), "")[:120]


def _update(message: Any) -> Update:
    """A reply that is none is an update without arrays, which is refused."""
    content = message.content
    name = content.config_records.get(NAME, {}).get("name", f"node {message.metadata.src_node_id}")
    record = content.array_records.get(ARRAYS)
    examples = content.metric_records.get(METRICS, {}).get(EXAMPLES, float("nan"))
    number = float(examples) if isinstance(examples, int | float) else float("nan")
    return Update(str(name)[:64], {} if record is None else to_numpy(record), number)


def _put(message: Any, update: Update) -> None:
    from flwr.app import MetricRecord

    message.content[ARRAYS] = to_record(update.arrays)
    message.content[METRICS] = MetricRecord({EXAMPLES: update.examples})
