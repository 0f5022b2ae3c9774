"""The federation between places: Flower's server and client, as processes that Flower starts, connected by its SuperLink.

`penchant train federated --app DIRECTORY` writes the Flower app that names these two; who runs what stands in
deploy/docs/federated.md. Events never leave a place: a client reads its own files, and what it sends are weights and a number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.arrays import F8
from models.learning.choices import Choices
from models.ranking.weights import to_json
from models.strict_json import strict_json
from stream.analysis.data import read_data
from stream.analysis.federated.aggregation import ARRAYS, to_numpy, to_record
from stream.analysis.federated.grid import reply
from stream.analysis.federated.learning import Learned, learn_together
from stream.analysis.federated.run import FederationOptions
from stream.analysis.federated.weights import ClientOptions, WeightsClient, train_round
from stream.errors import UsageError
from stream.files.mapping import parse_mapping
from stream.params import decode_limits
from stream.settings import Settings, load_settings

CHOICES: Final = "choices"
"""In the state that Flower keeps for a client between rounds, at its place: reading the events again would take longer than to
learn from them."""


logger = logging.getLogger(__name__)


class PlaceError(Exception):
    """A place could not learn; what others are told of it."""


def client_app() -> Any:
    """A `flwr.clientapp.ClientApp`. Its node's configuration has `name` and `events`, and may have `items`, `map`, `items-map`,
    `timezone`, `choices`."""
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.train()  # type: ignore[untyped-decorator]
    def train(message: Any, context: Any) -> Any:
        from flwr.app import Message

        name = str(context.node_config.get("name", "a place without a name"))
        try:
            if CHOICES not in context.state:
                context.state[CHOICES] = to_record(_as_arrays(choices_of(context.node_config)))
            choices = _as_choices(to_numpy(context.state[CHOICES]))
            arrays, examples = train_round(choices, to_numpy(message.content[ARRAYS]), dict(message.content["config"]))
        except Exception as error:
            # What went wrong may name files, people or items: it stays here, in this place's log.
            logger.exception("no update of %s. Fix: what the error says", name)
            raise PlaceError(f"{name}: {type(error).__name__}, see the log of that place") from None
        return Message(content=reply(name, arrays, examples), reply_to=message)

    return app


def server_app() -> Any:
    """A `flwr.serverapp.ServerApp`. Its run's configuration has `out`, `clients`, `rounds`, `how`, `norm-max`, `steps`."""
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()  # type: ignore[untyped-decorator]
    def main(grid: Any, context: Any) -> None:
        run = context.run_config
        options = FederationOptions(
            rounds=int(run["rounds"]),
            how=run["how"],
            norm_max=float(run["norm-max"]) or None,
            config={"steps": int(run["steps"])},
            clients_min=int(run["clients"]),
        )
        began = time.monotonic()
        found = learn_together(grid, options)
        out = Path(str(run["out"]))
        out.write_bytes(to_json(found.weights) + b"\n")
        report = report_of(found) | {"took_s": time.monotonic() - began}
        out.with_suffix(".report.json").write_text(strict_json(report, indent=1) + "\n", encoding="utf-8")

    return app


def choices_of(config: Mapping[str, Any], settings: Settings | None = None) -> Choices:
    """What a client learns from, by its node's configuration.

    Raises:
        UsageError, InputFileError: a file is not named, or cannot be used.
        TooFewError: there is too little in it.
    """
    for name in ("name", "events"):
        if not config.get(name):
            raise UsageError(f"the node's configuration has no `{name}`.", f"--node-config '{name}=\"...\" ...'")
    settings = load_settings() if settings is None else settings
    data = read_data(
        Path(str(config["events"])),
        parse_mapping(str(config.get("map", ""))),
        Path(str(config["items"])) if config.get("items") else None,
        parse_mapping(str(config.get("items-map", "")), "item"),
        strengths=settings.strengths(),
        limits=decode_limits(settings),
        now_ms=time.time_ns() // 1_000_000,
        reading={"timezone": str(config.get("timezone", "UTC")), "time_unit": "auto", "time_pattern": None},
    )
    options = ClientOptions(choices=int(config.get("choices", ClientOptions().choices)))
    return WeightsClient(settings, data, options).choices


def report_of(learned: Learned) -> dict[str, Any]:
    """As plain JSON values."""
    found = learned.federated
    return {
        "parts": learned.parts,
        "rounds": [[each._asdict() for each in verdicts] for verdicts in found.verdicts],
        "bytes": found.bytes,
        "refused": found.refused(),
        "version": learned.weights.version,
    }


def _as_arrays(choices: Choices) -> dict[str, Any]:
    return {name: np.ascontiguousarray(value) for name, value in choices._asdict().items()}


def _as_choices(arrays: Mapping[str, F8]) -> Choices:
    return Choices(**arrays)  # type: ignore[arg-type]
