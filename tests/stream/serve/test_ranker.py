"""What is told of a person while they are asked about, where some categories are sensitive."""

from __future__ import annotations

import numpy as np
import pytest
from tracker_harness import opened

from stream.refresh.refresher import Request
from stream.serve.person import person_answer
from stream.serve.ranker import Ranker
from stream.settings.placements import HOME, PlacementSettings

HEALTH = ("Health*",)
KIDS = {"kids": PlacementSettings.model_validate({"audience": "minors"})}


class CommittedPeople:
    """The states of a harness as they were committed last."""

    def __init__(self, harness) -> None:
        self.values = dict(zip(*harness.commit(), strict=True))

    def load(self, user, states):
        states.clear(0)
        states.unpack(np.zeros(1, np.int64), [self.values[user]])
        return True


@pytest.fixture
def asked(tmp_path):
    with opened(tmp_path, encoder_model="none", sensitive_categories=HEALTH, placements=KIDS) as harness:
        for item, kind in (("pill", "Health"), ("test", "Health"), ("hat", "toys"), ("car", "toys"), ("bike", "toys")):
            harness.catalogue(item, categories=[kind])
        for n in range(6):
            harness.events((f"v{n}", "click", "pill"), (f"v{n}", "click", "car"))
            harness.events(*((f"w{n}-{k}", "click", "bike") for k in range(3)))
        harness.events(*(("ann", "click", f"old{n}") for n in range(70)))  # the ring holds 64
        harness.events(("ann", "purchase", "pill"))
        harness.share_statistics()
        ranker = Ranker(harness.settings, harness.tracker, CommittedPeople(harness))
        ranker.load("ann")
        yield harness, ranker


def test_what_minors_may_not_be_shown_is_neither_ranked_nor_left_in_a_published_list(asked):
    harness, ranker = asked
    harness.tracker.compile_placement()
    made = {name: ranker.list_for("ann", 0, Request(), name, known=True) for name in (HOME, "kids")}

    assert "test" in [each.item_id for each in made[HOME].answer.items]
    kids = [each.item_id for each in made["kids"].answer.items]
    assert kids
    assert "test" not in kids
    ids = ["test", "hat"]
    assert ranker.is_allowed(ranker.page("kids"), "ann", ids) == [False, True]
    assert ranker.is_allowed(ranker.page(HOME), "ann", ids) == [True, True]


def test_causes_and_what_would_change_the_list_do_not_name_it(asked):
    harness, ranker = asked
    made = ranker.list_for("ann", 0, Request(), HOME, known=True)
    assert made.answer.items[0].item_id == "car"  # because of the pill

    assert [cause.item_id for cause in made.answer.items[0].causes] == []
    assert ranker.counterfactual(made.requested, "ann") is None
    harness.tracker.knowledge.sensitive = None
    assert ranker.counterfactual(made.requested, "ann").removed == ("pill",)


def test_what_is_older_is_told_as_an_interest_unless_it_is_sensitive(asked):
    harness, ranker = asked
    harness.events(*(("ann", "click", f"new{n}") for n in range(64)))
    ranker = Ranker(harness.settings, harness.tracker, CommittedPeople(harness))
    ranker.load("ann")
    made = ranker.list_for("ann", 0, Request(), HOME, known=True)

    def older():
        answer = person_answer("ann", 0, made.requested.asking, ranker, [], known=True)
        return {each.item_id for each in answer.older}

    told = older()
    harness.tracker.knowledge.sensitive = None
    assert older() - told == {"pill"}
    assert told
