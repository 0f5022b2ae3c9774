"""What a worker can go on with, and what it says where it cannot: never to destroy what it knows."""

from __future__ import annotations

import pytest

from stream.errors import StuckError, TopicsError, UsageError
from stream.kafka.log_rules import Changed, Log, Logs, what_changed, what_is_wrong
from stream.kafka.specs import topic_specs
from stream.settings import Settings

SETTINGS = Settings()
GOOD: Logs = {spec.name: Log(4, f"id-{n}", frozenset(spec.policy)) for n, spec in enumerate(topic_specs(SETTINGS))}


def with_(**changes: Log) -> Logs:
    return dict(GOOD) | {getattr(SETTINGS, name): log for name, log in changes.items()}


def log(topic: str, **changes: object) -> Log:
    return GOOD[getattr(SETTINGS, topic)]._replace(**changes)  # type: ignore[arg-type]


def test_topics_as_they_are_made_are_gone_on_with() -> None:
    assert what_is_wrong(SETTINGS, GOOD) is None
    assert what_changed(SETTINGS, GOOD, GOOD) == Changed()


def test_what_the_broker_does_not_tell_is_not_held_against_it() -> None:
    silent = {name: Log(4) for name in GOOD}
    assert what_is_wrong(SETTINGS, silent) is None
    assert what_changed(SETTINGS, silent, GOOD) == Changed()
    assert what_changed(SETTINGS, GOOD, silent) == Changed()


@pytest.mark.parametrize("name", list(GOOD))
def test_a_missing_topic_is_named(name: str) -> None:
    wrong = what_is_wrong(SETTINGS, {other: log for other, log in GOOD.items() if other != name})
    assert wrong is not None
    assert name in wrong.message
    assert "penchant topics create" in wrong.fix


@pytest.mark.parametrize("spec", topic_specs(SETTINGS), ids=lambda spec: spec.name)
@pytest.mark.parametrize("policy", [{"compact"}, {"delete"}, {"compact", "delete"}, set()])
def test_every_topic_has_its_policy_and_the_command_that_mends_it(spec, policy: set[str]) -> None:
    wrong = what_is_wrong(SETTINGS, dict(GOOD) | {spec.name: GOOD[spec.name]._replace(policy=frozenset(policy))})
    if policy == spec.policy:
        assert wrong is None
        return
    assert isinstance(wrong, UsageError)
    assert spec.name in wrong.message
    assert f"--topic {spec.name} --add-config cleanup.policy={''.join(spec.policy)}" in wrong.fix


@pytest.mark.parametrize("topic", ["topic_events", "changelog_topic", "topic_item_deltas", "topic_item_stats"])
def test_partitions_of_one_topic_alone_are_refused_without_advice_that_destroys(topic: str) -> None:
    wrong = what_is_wrong(SETTINGS, with_(**{topic: log(topic, partitions=6)}))
    assert isinstance(wrong, TopicsError)
    assert getattr(SETTINGS, topic) in wrong.message
    assert "delete" not in wrong.fix


def test_partitions_raised_on_all_topics_together_are_refused_since_people_would_move() -> None:
    raised = {name: log._replace(partitions=6) for name, log in GOOD.items()}
    assert what_is_wrong(SETTINGS, raised) is None, "nothing in itself"
    why = what_changed(SETTINGS, GOOD, raised).why_stop
    assert isinstance(why, TopicsError)
    assert why.message.startswith("topic interest.events has 6 partitions, but what is known was made with 4")
    assert "new --group-id" in why.fix


@pytest.mark.parametrize(
    ("topic", "kind", "said"),
    [
        ("topic_events", TopicsError, "penchant topics new-events-log"),
        ("changelog_topic", TopicsError, "data directories of the workers"),
        ("topic_item_stats", TopicsError, "data directories of the workers"),
        ("topic_item_deltas", StuckError, "read from its beginning"),
    ],
)
def test_a_topic_that_was_made_again_under_a_worker_stops_it(topic: str, kind: type[Exception], said: str) -> None:
    why = what_changed(SETTINGS, GOOD, with_(**{topic: log(topic, topic_id="another")})).why_stop
    assert isinstance(why, kind)
    assert said in str(why)


@pytest.mark.parametrize(
    "topic", ["topic_recommendations", "topic_attributions", "topic_strategy_stats", "topic_dead_letter"]
)
def test_an_output_that_was_made_again_is_told(topic: str) -> None:
    changed = what_changed(SETTINGS, GOOD, with_(**{topic: log(topic, topic_id="another")}))
    assert changed.why_stop is None
    assert getattr(SETTINGS, topic) in changed.told[0]


@pytest.mark.parametrize("topic", ["topic_items", "topic_models", "topic_strategy_stats"])
def test_a_topic_that_every_worker_reads_whole_is_read_anew(topic: str) -> None:
    changed = what_changed(SETTINGS, GOOD, with_(**{topic: log(topic, topic_id="another")}))
    assert (changed.why_stop, changed.anew) == (None, {getattr(SETTINGS, topic)})


def test_partitions_of_an_output_that_were_raised_are_told() -> None:
    topic = "topic_recommendations"
    changed = what_changed(SETTINGS, GOOD, with_(**{topic: log(topic, partitions=6)}))
    assert changed.why_stop is None
    assert "6 partitions, not 4" in changed.told[0]
