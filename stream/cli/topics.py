"""`penchant topics`: what a person sees of `stream.kafka.topics`."""

from __future__ import annotations

from typing import Final

from stream.display.terminal import Cell, say, show_table, stderr, stdout
from stream.kafka.topics import cleanup_policies, create_topics, list_topics, topic_specs
from stream.settings import Settings

POLICIES_WAIT_S: Final = 3.0
"""The embedded broker never answers the question for policies; nobody should wait long for a column."""


def create(settings: Settings) -> None:
    """Create what is missing and say what was done.

    Raises:
        BrokerUnreachableError, TopicsError: as `create_topics`.
    """
    console = stdout()
    created = create_topics(settings)
    for name in created:
        say(console, f"created {name}")
    if not created:
        say(console, f"all {len(topic_specs(settings))} topics are there already")
    say(stderr(), "Next: penchant items load FILE, then penchant worker.", "dim")


def show(settings: Settings) -> None:
    """Every topic that Penchant needs, in the order of the data's way.

    Raises:
        BrokerUnreachableError: as `list_topics`.
    """
    existing = list_topics(settings)
    specs = topic_specs(settings)
    patient = min(POLICIES_WAIT_S, settings.connect_timeout_s)
    bounded = settings.model_copy(update={"connect_timeout_s": patient})
    policies = cleanup_policies(bounded, [spec.name for spec in specs if spec.name in existing])
    rows = []
    for spec in specs:
        topic = existing.get(spec.name)
        facts = (
            (Cell("missing", "fail"), Cell("–"), Cell("–"))
            if topic is None
            else (Cell(str(topic.partitions)), Cell(str(topic.replicas)), Cell(policies.get(spec.name, "not told")))
        )
        rows.append((Cell(spec.name), *facts, Cell(spec.purpose, "skip")))
    show_table(stdout(), ("topic", "partitions", "replicas", "clean-up", "holds"), rows)
    if any(spec.name not in existing for spec in specs):
        say(stderr(), "Next: penchant topics create.", "dim")
