"""Items of sensitive categories: of them nothing is told, they are no interest, and minors are not shown them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from text_source import InstantTexts
from tracker_harness import item_value, lists_of, opened, replicated

from models.items.catalog import CatalogItem
from stream.reasons.language import CLAIMS, languages
from stream.refresh.sensitive_items import SensitiveItems
from stream.rules.rule import rule_of, to_json
from stream.settings.placements import PlacementSettings

HEALTH = ("Health*",)
NAMED = "Folic acid"
KINDS = {"i0": "Health/Pregnancy", "i1": "health", "i2": "toys", "i3": "toys", "i4": "toys", "i5": "Health"}


def fill(harness):
    """i0, i1 and i5 are sensitive; who takes i0 or i2 takes i1 and i3, too. ann has i0 and i2."""
    for item, kind in KINDS.items():
        harness.catalogue(item, categories=[kind], title=f"{NAMED} {item}" if kind != "toys" else f"Toy {item}")
    for n in range(6):
        harness.events(*((f"v{n}", "click", item) for item in ("i0", "i1", "i3")))
        harness.events(*((f"w{n}", "click", item) for item in ("i2", "i3", "i4", "i1")))
    harness.events(("ann", "purchase", "i0"), ("ann", "click", "i2"))
    harness.share_statistics()
    harness.waiting()


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path, encoder_model="none", sensitive_categories=HEALTH) as harness:
        fill(harness)
        yield harness


def test_an_item_is_sensitive_as_its_categories_are_and_stays_so_when_it_is_gone():
    items = SensitiveItems(("Health*",))
    of = {0: ("toys",), 1: ("toys", "HEALTH care"), 4: ("mental health",)}
    items.note(np.array(list(of)), [CatalogItem(str(row), "t", kinds) for row, kinds in of.items()])
    items.note(np.array([1, -1]), [None, None])

    assert items.are(np.array([[-1, 0, 1], [4, 5, 99]])).tolist() == [[False, False, True], [False] * 3]
    assert items.others(6).tolist() == [True, False, True, True, True, True]
    items.note(np.array([1]), [CatalogItem("1", "t", ("toys",))])
    assert not items.are(np.array([1])).any()


def test_no_reason_names_one_or_says_why_somebody_wants_one_in_any_language(shop):
    (made,) = lists_of(shop, "ann")
    record = made.reasons.record

    listed = [place.item_id for place in record.places]
    assert {"i1", "i5"} < set(listed)
    assert [behaviour.item_id for behaviour in record.behaviours] == ["i2"]
    text = made.reasons.value.decode()
    assert NAMED not in text
    for place in record.places:
        sentences = record.reasons[place.reason]
        is_sensitive = not KINDS[place.item_id].startswith("toys")
        for code, language in languages().items():
            assert (sentences[code] == language.claims["withheld"]) == is_sensitive
    assert any("Toy i2" in sentences["en"] for sentences in record.reasons)


def test_what_is_not_told_is_in_the_sum_of_the_others_so_that_scores_add_up(tmp_path, shop):
    (made,) = lists_of(shop, "ann")
    with opened(tmp_path / "plain", encoder_model="none") as plain:
        fill(plain)
        (told,) = lists_of(plain, "ann")

    assert [i.item_id for i in made.list.record.items] == [i.item_id for i in told.list.record.items]
    assert made.reasons.record.gap < 1e-9
    behaviours = [each.item_id for each in told.reasons.record.behaviours]
    assert behaviours == ["i0", "i2"]
    for mine, theirs in zip(made.reasons.record.places, told.reasons.record.places, strict=True):
        own = {behaviours[cause.behaviour]: cause.contribution for cause in theirs.causes}
        assert mine.others == pytest.approx(theirs.others + own.get("i0", 0.0), abs=2e-6)
        assert [cause.contribution for cause in mine.causes] == [own[item] for item in own if item == "i2"]


def test_words_of_queries_and_what_the_catalogue_does_not_have_are_not_spoken_either(tmp_path):
    for patterns, is_spoken in (((), True), (HEALTH, False)):
        with opened(tmp_path / str(is_spoken), encoder_model="none", sensitive_categories=patterns) as harness:
            fill(harness)
            harness.events(*((f"x{n}", "click", item) for n in range(6) for item in ("unlisted", "i4")))
            harness.events(("eve", "click", "unlisted"))
            harness.share_statistics()
            harness.waiting()
            (made,) = lists_of(harness, "eve")

        said = json.dumps(made.reasons.record.reasons)
        assert ("unlisted" in said) == is_spoken


def test_they_are_no_interest_points_and_propose_nothing(tmp_path):
    for patterns in ((), HEALTH):
        with opened(tmp_path / str(len(patterns)), sensitive_categories=patterns) as harness:
            InstantTexts(harness.tracker.knowledge)
            fill(harness)
            rows = harness.users.overlay.rows([b"ann"])
            asking = harness.tracker.refresher.ask(harness.users.overlay.states, rows, harness.now_ms)
            graph, names = asking.text.graph, harness.tracker.knowledge.name_of
            points = {names(int(asking.recent.items[0, place])) for place in graph.medoid[0] if place >= 0}
            has_weight = {names(int(asking.recent.items[0, h])) for h in np.flatnonzero(asking.text.weights[0])}

        told = {"i2"} if patterns else {"i0", "i2"}
        assert points <= told
        assert has_weight == told


def minors(**given):
    kids = PlacementSettings.model_validate({"audience": "minors"} | given)
    return {"placements": {"kids": kids}, "encoder_model": "none", "sensitive_categories": HEALTH}


def listed(harness, user):
    """By placement; what does not go out again is as it was."""
    (made,) = lists_of(harness, user)
    return {each.placement: [i.item_id for i in each.list.record.items] for each in made.others} | {
        "home": [i.item_id for i in made.list.record.items]
    }


def rule(harness, name, **given):
    harness.tracker.replicate_rules([replicated(f"rule/{name}".encode(), to_json(rule_of(name, given)))], 0.0)
    harness.tracker.look_at_all_rules(0.0)


def test_minors_are_not_shown_them_whoever_they_are_and_whatever_rules_say(tmp_path):
    with opened(tmp_path, **minors(explore={"slots": 2, "from_place": 2})) as harness:
        harness.tracker.compile_placement()
        harness.tracker.use_placements()
        fill(harness)
        for user in ("ann", "newcomer", "v1"):
            harness.events((user, "impression", "i4"))
            found = listed(harness, user)
            assert found["kids"]
            assert all(KINDS[item] == "toys" for item in found["kids"])
        assert any(KINDS[item] != "toys" for item in listed(harness, "ann")["home"])
        rule(harness, "pinned", kind="pin", items=["i1"], place=1)
        rule(harness, "lifted", kind="promote", items=["i5"], least=2)
        rule(harness, "boosted", kind="boost", items=["i1"], add=20.0)
        harness.events(("ann", "view", "i4"))
        found = listed(harness, "ann")
        assert found["home"][0] == "i1"
        assert found["kids"]
        assert all(KINDS[item] == "toys" for item in found["kids"])


def test_lists_of_minors_are_made_again_when_an_item_becomes_sensitive(tmp_path):
    with opened(tmp_path, **minors()) as harness:
        harness.tracker.compile_placement()
        harness.tracker.use_placements()
        fill(harness)
        harness.events(("ann", "view", "i2"))
        assert "i3" in listed(harness, "ann")["kids"]
        harness.waiting()
        withdrawals = harness.tracker.renewal.withdrawals
        harness.catalogue("i2", categories=["toys"], title="Toy i2")
        assert harness.tracker.renewal.withdrawals == withdrawals
        value = item_value("i3", title="Toy i3", categories=["Health/Games"])
        harness.tracker.replicate_items([replicated(b"i3", value)], 0.0)

        assert harness.tracker.renewal.withdrawals == withdrawals + 1  # so that lists in ledgers are looked through
        assert ("ann", "catalog") in harness.waiting()
        assert "i3" not in listed(harness, "ann")["kids"]


def test_without_the_setting_nothing_is_looked_up(tmp_path):
    with opened(tmp_path, encoder_model="none") as harness:
        assert harness.tracker.knowledge.sensitive is None
        assert harness.tracker.knowledge.naming.are_sensitive(np.zeros(3, np.uint64)) is None
        assert "withheld" in CLAIMS
