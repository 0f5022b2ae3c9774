"""What the demo's observer counts from raw records."""

from __future__ import annotations

import msgspec
import pytest
from reason_records import reasons_record

from stream.demo.tally import Purchase, Tally, percentile
from stream.wire.decode import DecodeLimits
from stream.wire.reasons import Explanation, RecommendationAttribution
from stream.wire.records import (
    Credit,
    EventSource,
    ModelVersions,
    OutcomeAttribution,
    Recommendation,
    RecommendedItem,
    encode,
)

LIMITS = DecodeLimits(1_000_000, 0, 86_400_000)
HOUR_MS = 3_600_000


@pytest.fixture
def tally() -> Tally:
    return Tally(LIMITS)


def bought(user: str, item: str) -> bytes:
    return f'{{"user_id":"{user}","action":"purchase","item_id":"{item}","event_time":{HOUR_MS}}}'.encode()


def a_list(user: str, offset: int, items: tuple[str, ...], *, trigger: str = "event", list_id: str = "") -> bytes:
    places = tuple(RecommendedItem(item, n, 1.0, 0.1, "interest", 1.0, {}) for n, item in enumerate(items, 1))
    source = EventSource("interest.events", 0, offset)
    model = ModelVersions(None, None, "additive-1")
    list_id = list_id or f"{user}-{offset}"
    return encode(Recommendation(list_id, user, 0, HOUR_MS, source, trigger, model, places))  # type: ignore[arg-type]


def a_reason(user: str, list_id: str, item: str) -> bytes:
    why = Explanation("Because.", "因为。")
    return encode(RecommendationAttribution(list_id, user, item, 1, 1.0, (), 0.0, "exact", why, 0.0))


def test_freshness_runs_from_the_newest_event_in_a_list_to_the_list(tally: Tally):
    for offset, at_ms in enumerate((1_000, 1_010, 1_050)):
        tally.event(0, offset, at_ms, b"ann", bought("ann", f"i{offset}"))
    tally.recommendation(1_040, b"ann", a_list("ann", 1, ("x",)))
    tally.recommendation(1_150, b"ann", a_list("ann", 2, ("x",)))
    tally.advance(2_000)

    figures = tally.figures()

    assert (figures.freshness_n, figures.freshness_p50_ms, figures.freshness_p99_ms) == (2, 30, 100)


def test_a_list_published_twice_or_for_another_reason_than_an_event_is_not_measured_again(tally: Tally):
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    for at_ms in (1_040, 9_000):
        tally.recommendation(at_ms, b"ann", a_list("ann", 0, ("x",)))
    tally.recommendation(9_500, b"ann", a_list("ann", 0, ("y",), trigger="catalog", list_id="other"))
    tally.advance(10_000)

    assert (tally.figures().freshness_n, tally.figures().recommendations) == (1, 3)


def test_hit_rates_follow_kafka_timestamps_whatever_the_order_of_arrival(tally: Tally):
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    tally.event(0, 1, 1_100, b"ann", bought("ann", "early"))  # at the same time as the list: not before it
    tally.event(0, 2, 1_200, b"ann", bought("ann", "late"))
    tally.recommendation(1_100, b"ann", a_list("ann", 0, ("early", "late")))
    tally.advance(2_000)

    at_10 = tally.figures().hit_rates[0]

    assert (at_10.questions, at_10.with_list, at_10.list_hits) == (3, 1, 1)


def test_what_may_still_be_preceded_by_something_older_is_not_judged_yet(tally: Tally):
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    tally.advance(1_000)
    assert tally.figures().hit_rates[0].questions == 0

    tally.advance(1_001)
    assert tally.figures().hit_rates[0].questions == 1


def test_something_older_than_what_was_judged_is_counted_as_late(tally: Tally):
    tally.advance(5_000)
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    tally.advance(5_001)

    assert (tally.figures().late, tally.figures().hit_rates[0].questions) == (1, 1)


def test_a_user_waits_until_a_list_reflects_the_newest_event(tally: Tally):
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    tally.event(0, 1, 1_001, b"ann", bought("ann", "b"))
    tally.recommendation(1_002, b"ann", a_list("ann", 0, ()))
    assert tally.figures().waiting_users == 1

    tally.recommendation(1_003, b"ann", a_list("ann", 1, ()))
    assert tally.figures().waiting_users == 0


def test_who_waits_for_longest_waits_since_the_oldest_event_that_no_list_of_theirs_reflects(tally: Tally):
    assert tally.waiting_since_ms() is None
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    tally.event(0, 1, 1_100, b"bob", bought("bob", "a"))
    tally.event(0, 2, 1_200, b"ann", bought("ann", "b"))
    assert tally.waiting_since_ms() == 1_000
    tally.recommendation(1_300, b"ann", a_list("ann", 0, ()))
    assert tally.waiting_since_ms() == 1_100
    tally.recommendation(1_300, b"bob", a_list("bob", 1, ()))
    assert tally.waiting_since_ms() == 1_200
    tally.recommendation(1_300, b"ann", a_list("ann", 2, ()))
    assert tally.waiting_since_ms() is None


def test_every_purchase_is_owed_an_outcome(tally: Tally):
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))
    tally.event(0, 1, 1_001, b"ann", bought("ann", "b").replace(b"purchase", b"view"))
    assert tally.figures().missing_outcomes == 1

    tally.attribution(encode(OutcomeAttribution("o", "ann", "a", "purchase", 0, None, (), "last_touch", 1.0)))
    assert tally.figures().missing_outcomes == 0


def test_a_list_that_is_read_before_its_event_leaves_nobody_waiting(tally: Tally):
    tally.recommendation(1_003, b"ann", a_list("ann", 0, ()))
    tally.event(0, 0, 1_000, b"ann", bought("ann", "a"))

    assert tally.figures().waiting_users == 0


def test_every_place_of_a_list_is_owed_a_reason(tally: Tally):
    tally.recommendation(1_000, b"ann", a_list("ann", 0, ("x", "y")))
    tally.recommendation(1_001, b"ann", a_list("ann", 1, ("z",)))
    tally.attribution(encode(reasons_record("ann-0", "ann", ["x", "y"])))

    assert (tally.figures().missing_reasons, tally.figures().reasons) == (1, 2)


def test_a_reason_of_before_0_3_is_that_of_one_place(tally: Tally):
    tally.recommendation(1_000, b"ann", a_list("ann", 0, ("x", "y")))
    tally.attribution(a_reason("ann", "ann-0", "x"))

    assert (tally.figures().missing_reasons, tally.figures().reasons) == (1, 1)


@pytest.mark.parametrize("rest", [b"", b"}", b',"places":7}'])
def test_reasons_that_cannot_be_read_are_missing(tally: Tally, rest: bytes):
    tally.recommendation(1_000, b"ann", a_list("ann", 0, ("x",)))
    tally.attribution(b'{"kind":"reasons"' + rest)

    assert (tally.figures().missing_reasons, tally.figures().outcomes) == (1, 0)


def test_a_record_that_breaks_the_rules_is_no_event_but_is_owed_a_dead_letter(tally: Tally):
    assert tally.event(0, 0, 1_000, b"ann", b"\xff") is None
    assert tally.event(0, 1, 1_000, b"ann", bought("bob", "a")) is None
    tally.dead_letter("not_json")

    figures = tally.figures()

    assert (figures.events, figures.users, figures.missing_refusals, figures.refused) == (0, 0, 1, {"not_json": 1})


def test_a_record_without_a_key_counts_only_as_the_copy_that_the_worker_makes(tally: Tally):
    assert tally.event(0, 0, 1_000, None, bought("ann", "a")) is None
    assert tally.event(0, 1, 1_000, b"ann", bought("ann", "a")) == Purchase("ann", "a", HOUR_MS)

    assert tally.figures().events == 1


def test_an_erased_list_is_none(tally: Tally):
    tally.recommendation(1_000, b"ann", a_list("ann", 0, ("a",)))
    tally.recommendation(1_001, b"ann", None)
    tally.event(0, 0, 1_002, b"ann", bought("ann", "a"))
    tally.advance(2_000)

    assert tally.figures().hit_rates[0].with_list == 0


def test_percentiles_are_values_that_occurred():
    assert [percentile([1, 2, 3, 4], p) for p in (25, 50, 51, 99, 100)] == [1, 2, 3, 4, 4]
    assert percentile([], 50) is None


def test_outcomes_are_counted_apart_from_reasons_with_how_many_were_earned(tally: Tally):
    outcome = OutcomeAttribution("o", "ann", "a", "purchase", 0, None, (), "last_touch", 1.0)
    earned = msgspec.structs.replace(outcome, credits=(Credit("r", 1, "interest", 0, 1.0),), unattributed=0.0)
    for record in (outcome, earned, outcome):
        tally.attribution(encode(record))

    found = tally.figures()
    assert (found.reasons, found.outcomes, found.outcomes_attributed) == (0, 3, 1)
