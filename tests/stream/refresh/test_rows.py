"""Rows of a page: each item once, and titles that are true of every item under them."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import UNSET
from tracker_harness import lists_of, opened, shop_with_history

from stream.reasons.language import languages_named
from stream.refresh.rows import _by_part
from stream.settings.placements import PlacementSettings
from stream.wire.reasons import PlaceReason

ROWS = {"placements": {"home": PlacementSettings(rows=True, slots=12)}, "encoder_model": "none"}
LANGUAGES = languages_named("en,zh")


def made_for(shop, *users):
    return [(made.list.record, made.reasons) for made in lists_of(shop, *users)]


def test_rows_part_the_list_and_say_what_they_are_because_of(tmp_path):
    with opened(tmp_path, **ROWS, explained_users=0.0) as shop:
        shop_with_history(shop)
        ((record, _),) = made_for(shop, "ann")

    assert sorted(item for row in record.rows for item in row.items) == sorted(item.item_id for item in record.items)
    first = record.rows[0]
    assert first.because == "i0"
    assert first.title == {"en": "Because you bought “Title of i0”", "zh": "因为您购买了“Title of i0”"}
    assert record.rows[-1].because is UNSET


def test_without_the_setting_there_are_none(tmp_path):
    with opened(tmp_path, encoder_model="none") as shop:
        shop_with_history(shop)
        ((record, _),) = made_for(shop, "ann")
    assert record.rows is UNSET


@pytest.mark.parametrize("seed", range(8))
def test_titles_are_true_of_each_item(tmp_path, seed):
    """Against reasons as they are published: causes in their order, sentences, parts."""
    rng = np.random.default_rng(seed)
    with opened(tmp_path, **ROWS) as shop:
        ids = [f"i{n}" for n in range(30)]
        # Titles that are alike, stand in each other, and are words of the sentences.
        for n, item_id in enumerate(ids):
            shop.catalogue(item_id, title=["a", "you", "Because", f"“T{n}”", "T", f"T{n % 5}"][n % 6])
        actions = ["view", "click", "like", "cart", "purchase", "dislike"]
        for _ in range(40):
            shop.events(
                *(
                    (f"u{rng.integers(12)}", actions[rng.integers(6)], ids[int(30 * rng.random() ** 2)])
                    for _ in range(8)
                )
            )
        shop.share_statistics()
        found = made_for(shop, *(f"u{n}" for n in range(12)), "nobody")

    says, titles = set(), {"rows": LANGUAGES[0].rows, "claims": LANGUAGES[0].claims}
    for record, written in found:
        reasons = written.record
        disliked = {each.item_id for each in reasons.behaviours if each.action == "dislike"}
        listed = [item for row in record.rows for item in row.items]
        assert sorted(listed) == sorted(item.item_id for item in record.items)
        places = {place.item_id: place for place in reasons.places}
        for row in record.rows:
            english = row.title["en"]
            for item in row.items:
                place = places[item]
                sentence = reasons.reasons[place.reason]["en"]
                parts = dict(zip(reasons.part_names, place.parts, strict=True))
                if row.because is not UNSET:
                    # The strongest of those that may be told: nobody is told of what they dislike.
                    told = [reasons.behaviours[cause.behaviour] for cause in place.causes if cause.contribution > 0]
                    strongest = next(each for each in told if each.item_id not in disliked)
                    assert row.because == strongest.item_id
                    assert len(row.items) > 1
                    assert english.partition("“")[0] == sentence.partition("“")[0]
                elif english == titles["rows"]["people"]:
                    assert parts["co_occurrence"] > 0
                    assert parts["co_occurrence"] >= parts["interest"]
                elif english == titles["rows"]["again"]:
                    assert sentence in {text for texts in LANGUAGES[0].own.values() for text in texts}
                elif english in (titles["rows"]["more"], titles["rows"]["new"], titles["rows"]["explore"]):
                    assert english != titles["rows"]["new"] or sentence == titles["claims"]["new"]
                else:
                    assert sentence == f"{english}."
            says.add(english.partition("“")[0])
    assert len(says) > 2, says


def test_what_is_alone_goes_where_it_owes_most():
    def place(others, text):
        return PlaceReason("i", 1.0, (others, text, 3.0), (), 0.0, 0)

    names = ("co_occurrence", "interest", "popularity")
    says = [_by_part(place(*parts), names).says for parts in ((2.0, 1.0), (1.0, 2.0), (0.0, 0.0), (-1.0, 0.0))]
    assert says == ["people", "interests", "more", "more"]


def test_rows_stand_in_the_order_of_expected_clicks_and_what_says_nothing_last(tmp_path):
    with opened(tmp_path, **ROWS) as shop:
        shop_with_history(shop)
        ((record, _),) = made_for(shop, "ann")
    clicks = {item.item_id: item.probability for item in record.items}
    sums = [sum(clicks[item] for item in row.items) for row in record.rows if row.title["en"] != "More for you"]
    assert sums == sorted(sums, reverse=True)
