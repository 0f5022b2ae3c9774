"""Flower's grid inside this process: clients are asked one after the other, without a network or its simulation engine.

What they are sent and send back goes through Flower's own bytes, so a client here sees nothing that one elsewhere would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from models.arrays import F8
from stream.analysis.federated.aggregation import ARRAYS, EXAMPLES, METRICS, NAME, to_numpy, to_record

SERVER_NODE: Final = 1 << 40
"""No client's number."""


class Client(Protocol):
    """Whoever learns from events of their own."""

    def train(self, given: Mapping[str, F8], config: Mapping[str, Any]) -> tuple[dict[str, F8], int]:
        """A round: what the given model becomes, and of how many examples."""
        ...


def local_grid(clients: Mapping[str, Client]) -> Any:
    """A `flwr.serverapp.Grid` of these clients by name, of which node i + 1 is the i-th."""
    from flwr.app import Message, MessageType
    from flwr.serverapp import Grid
    from flwr.supercore.task_identity import TaskIdentity

    # Messages say whose they are; where Flower runs a server it says so itself.
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, SERVER_NODE
    names = list(clients)

    class LocalGrid(Grid):  # type: ignore[misc]
        """Answers at once."""

        def set_run(self, run: Any) -> None:
            raise NotImplementedError("there is one run, this one")

        @property
        def run(self) -> Any:
            raise NotImplementedError("there is one run, this one")

        def create_message(self, *_: Any, **__: Any) -> Message:
            raise NotImplementedError("strategies make their own")

        def get_node_ids(self) -> Sequence[int]:
            return range(1, len(names) + 1)

        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            raise NotImplementedError("what is sent is answered: send_and_receive")

        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            raise NotImplementedError("what is sent is answered: send_and_receive")

        def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:  # noqa: ARG002  (they answer at once)
            return [_answer(message) for message in messages if message.metadata.message_type == MessageType.TRAIN]

    def _answer(message: Message) -> Message:
        from flwr.app import Error

        name = names[message.metadata.dst_node_id - 1]
        given = to_numpy(message.content[ARRAYS])
        try:
            arrays, examples = clients[name].train(given, dict(message.content["config"]))
        except Exception as error:  # noqa: BLE001  (a client that fails is one that does not answer)
            return Message(Error(code=0, reason=f"{name}: {type(error).__name__}: {error}"), reply_to=message)
        return Message(content=reply(name, arrays, examples), reply_to=message)

    return LocalGrid()


def reply(name: str, arrays: Mapping[str, F8], examples: float) -> Any:
    """What a client sends back."""
    from flwr.app import ConfigRecord, MetricRecord, RecordDict

    return RecordDict(
        {
            ARRAYS: to_record(arrays),
            METRICS: MetricRecord({EXAMPLES: float(examples)}),
            NAME: ConfigRecord({"name": name}),
        }
    )
