"""A federation from its first round to its last, wherever the clients are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from models.arrays import F8
from models.learning.federation import Verdict
from stream.analysis.federated.aggregation import How, strategy, to_numpy, to_record
from stream.analysis.federated.grid import Client, local_grid


class FederationOptions(NamedTuple):
    """How the clients' updates become one model."""

    rounds: int = 10
    how: How = "mean"
    norm_max: float | None = None
    config: Mapping[str, float | str] = {}
    """What clients are told with the model."""
    clients_min: int = 2


class Federated(NamedTuple):
    """What came of it."""

    arrays: dict[str, F8]
    verdicts: tuple[tuple[Verdict, ...], ...]
    """By round, on each client that was asked."""
    bytes: int
    """Of arrays that were sent, both ways."""

    def refused(self) -> dict[str, str]:
        """By client: why its updates did not count, or were shortened; the last round in which that was so."""
        found = {}
        for number, verdicts in enumerate(self.verdicts, 1):
            for each in verdicts:
                if each.refused:
                    found[each.client] = f"refused in round {number}: {each.refused}"
                elif each.scale < 1.0:
                    found.setdefault(
                        each.client, f"shortened to {each.scale:.2g} of its length {each.norm:.3g} in round {number}"
                    )
        return found


class FederationError(Exception):
    """No update of a round could be used."""


def federate(grid: Any, initial: Mapping[str, F8], options: FederationOptions) -> Federated:
    """Rounds over a grid of Flower's.

    Raises:
        FederationError: in some round no client sent an update that counts.
    """
    from flwr.app import ConfigRecord

    # Flower tells of everything by its own handler; what matters is in the result.
    logging.getLogger("flwr").setLevel(logging.ERROR)
    chosen = strategy(options.how, norm_max=options.norm_max, clients_min=options.clients_min)
    arrays = to_record(initial)
    for number in range(1, options.rounds + 1):
        config = ConfigRecord({**options.config, "round": number, "rounds": options.rounds})
        messages = chosen.configure_train(number, arrays, config, grid)
        aggregated, _ = chosen.aggregate_train(number, grid.send_and_receive(messages, timeout=3600.0))
        if aggregated is None:
            whys = "; ".join(f"{each.client}: {each.refused}" for each in chosen.verdicts[-1])
            raise FederationError(f"no client's update counts in round {number} ({whys or 'nobody answered'})")
        arrays = aggregated
    return Federated(to_numpy(arrays), tuple(map(tuple, chosen.verdicts)), chosen.bytes)


def federate_here(clients: Mapping[str, Client], initial: Mapping[str, F8], options: FederationOptions) -> Federated:
    """The same with clients in this process: a simulation, or shops whose files lie on one machine.

    Raises: FederationError: as `federate`.
    """
    return federate(local_grid(clients), initial, options._replace(clients_min=len(clients)))
