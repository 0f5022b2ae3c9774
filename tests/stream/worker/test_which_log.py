"""Which log a partition's states are of: never silently another one."""

from __future__ import annotations

import pytest

from stream.errors import TopicsError
from stream.settings import Settings
from stream.state.log_mark import RESTORING, LogMark
from stream.wire.codes import EPOCH_OFFSETS
from stream.worker.which_log import Found, Verdict, judge

SETTINGS = Settings()
MARK = LogMark("a", 0, 100, 4, 4)
NOW = Found("a", 4, 4, 0, 120)


def judged(mark: LogMark | None = MARK, committed: int | None = 100, meant=None, **now: object) -> Verdict:
    return judge(SETTINGS, mark, committed, meant, NOW._replace(**now))  # type: ignore[arg-type]


def test_the_same_log_is_gone_on_with_where_it_was() -> None:
    assert judged() == Verdict(MARK)
    assert judged(committed=90) == Verdict(MARK), "lists of events that the states include may still be owed"
    assert judged(committed=110) == Verdict(MARK._replace(reached=110)), (
        "of what changes no state only the offset moves"
    )
    assert judged(committed=None) == Verdict(MARK), "offsets of a group expire"


def test_a_partition_that_nobody_has_read_is_of_the_log_that_is_there() -> None:
    assert judged(None, None) == Verdict(LogMark("a", 0, 0, 4, 4))
    assert judged(None, None, low=50) == Verdict(LogMark("a", 0, 0, 4, 4)), (
        "what is gone before the first start is not lost"
    )


def test_a_state_of_an_older_release_is_of_the_log_that_is_there_unless_its_offset_is_beyond_the_end() -> None:
    assert judged(None, 100) == Verdict(LogMark("a", 0, 100, 4, 4))
    with pytest.raises(TopicsError, match="penchant topics new-events-log"):
        judged(None, 121)


@pytest.mark.parametrize(
    "now",
    [{"topic_id": "b"}, {"topic_id": "b", "high": 7}, {"high": 99}, {"topic_id": None, "high": 99}],
    ids=["made again and longer by now", "made again", "lost its end", "shorter, of a broker without ids"],
)
def test_another_log_is_refused_with_the_command_that_goes_on(now: dict[str, object]) -> None:
    with pytest.raises(TopicsError) as refused:
        judged(committed=None, **now)
    assert "interest.events" in refused.value.message
    assert "penchant topics new-events-log" in refused.value.fix


@pytest.mark.parametrize("now", [{"topic_id": "b"}, {"topic_id": "b", "high": 7, "low": 3}, {"high": 99}])
def test_one_that_was_meant_is_read_from_its_beginning_as_the_next_epoch(now: dict[str, object]) -> None:
    topic_id = now.get("topic_id", "a")
    verdict = judged(meant=(topic_id,), **now)
    assert verdict == Verdict(LogMark(topic_id, 1, now.get("low", 0), 4, 4), is_anew=True)  # type: ignore[arg-type]
    assert verdict.mark.base_offset == EPOCH_OFFSETS > MARK.reached


def test_what_was_meant_once_is_meant_of_that_log_alone() -> None:
    with pytest.raises(TopicsError):
        judged(meant=("b",), topic_id="c")
    assert not judged(meant=("a",)).is_anew, "it is the one already"


def test_an_id_that_was_not_told_is_learned() -> None:
    assert judged(MARK._replace(topic_id=None)).mark.topic_id == "a"
    assert judged(topic_id=None).mark.reached == 100


@pytest.mark.parametrize("now", [{"partitions": 6}, {"item_partitions": 6}, {"partitions": 6, "topic_id": "b"}])
def test_other_partitions_are_refused(now: dict[str, object]) -> None:
    with pytest.raises(TopicsError, match="has 6 partitions, but what is known was made with 4"):
        judged(meant=("b",), **now)


def test_what_the_broker_dropped_before_it_was_read_is_counted() -> None:
    assert judged(low=120).lost == 20
    assert judged(low=100).lost == 0
    assert judged(committed=None, low=120).lost == 20, "the states know how far they are"


def test_a_partition_that_is_half_restored_is_refused_whatever_else_is_said() -> None:
    for topic_id in ("a", None):
        with pytest.raises(TopicsError, match=r"did not come to its end.*--replace"):
            judged(LogMark(RESTORING, 0, 0, 4, 4), None, meant=(topic_id,), topic_id=topic_id)
