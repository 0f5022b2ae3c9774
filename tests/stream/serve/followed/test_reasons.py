"""Reasons of last lists and what lists earned."""

from __future__ import annotations

from pathlib import Path

from followed_records import tables
from reason_records import reasons_record

from stream.kafka.replica import Replicated
from stream.serve.followed.people import FollowedPeople
from stream.serve.followed.reasons import LISTS_KEPT, OUTCOMES_KEPT, LastReasons
from stream.wire.records import OutcomeAttribution, encode


def reasons(user: str, number: int) -> bytes:
    return encode(reasons_record(f"{number:032x}", user, ["a", "b"]))


def outcome(user: str, number: int) -> bytes:
    return encode(OutcomeAttribution(f"{number:032x}", user, "a", "click", number, None, (), "last_touch", 1.0))


def take(kept: LastReasons, values: list[bytes | None], first: int = 0) -> None:
    kept.take(0, [Replicated(b"mei", value, 0, first + at, 0) for at, value in enumerate(values)])


def test_the_reasons_of_the_last_lists_are_kept_and_older_ones_forgotten(tmp_path: Path):
    with tables(tmp_path) as made:
        kept = LastReasons(made["reasons"])
        take(kept, [reasons("mei", n) for n in range(3)])
        take(kept, [reasons("mei", n) for n in range(3, 7)], 3)
        there = [kept.of_list(f"{n:032x}") is not None for n in range(7)]
        assert there == [False] * (7 - LISTS_KEPT) + [True] * LISTS_KEPT
        found = kept.of_list(f"{6:032x}")
        assert found is not None
        assert [place.item_id for place in found.places] == ["a", "b"]
        assert kept.position(0) == 7
        assert made["reasons"].get(b"umei") == b"".join(n.to_bytes(16, "big") for n in range(3, 7))


def test_the_same_list_again_takes_no_other_ones_place(tmp_path: Path):
    with tables(tmp_path) as made:
        kept = LastReasons(made["reasons"])
        take(kept, [reasons("mei", 1), reasons("mei", 2), *[reasons("mei", 3)] * 5])
        assert all(kept.of_list(f"{n:032x}") is not None for n in (1, 2, 3))


def test_the_newest_outcomes_come_first(tmp_path: Path):
    with tables(tmp_path) as made:
        kept = LastReasons(made["reasons"])
        take(kept, [outcome("mei", n) for n in range(OUTCOMES_KEPT + 5)])
        take(kept, [outcome("mei", 99)], OUTCOMES_KEPT + 5)
        times = [each.event_time for each in kept.earned(b"mei")]
        assert times[:2] == [99, OUTCOMES_KEPT + 4]
        assert len(times) == OUTCOMES_KEPT
        assert kept.earned(b"tom") == []


def test_what_is_no_record_is_passed_over(tmp_path: Path):
    with tables(tmp_path) as made:
        kept = LastReasons(made["reasons"])
        take(
            kept,
            [b"garbage", None, b"{}", b'{"kind":"later"}', reasons("mei", 1).replace(f"{1:032x}".encode(), b"not-hex")],
        )
        assert kept.position(0) == 5
        assert kept.of_list("not-hex") is None
        assert kept.of_list("ab") is None
        take(kept, [reasons("mei", 1)], 5)
        assert kept.of_list(f"{1:032x}") is not None


def test_of_who_is_forgotten_nothing_is_kept(tmp_path: Path):
    with tables(tmp_path) as made:
        kept = LastReasons(made["reasons"])
        people = FollowedPeople(made["people"], kept.forget)
        take(kept, [reasons("mei", 1), reasons("mei", 2), outcome("mei", 3), reasons("tom", 4), outcome("tom", 5)])
        people.take(0, [Replicated(b"mei", None, 0, 0, 0)])  # as after `user_ttl_days`
        assert [kept.of_list(f"{n:032x}") for n in (1, 2)] == [None, None]
        assert kept.earned(b"mei") == []
        assert made["reasons"].get(b"umei") is None
        assert kept.of_list(f"{4:032x}") is not None
        assert len(kept.earned(b"tom")) == 1
