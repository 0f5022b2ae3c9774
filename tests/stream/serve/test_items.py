"""Who gets an item: one look through the lists for all who ask."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from followed_records import list_record, tables

from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.serve import items as items_module
from stream.serve.followed.lists import LastLists
from stream.serve.items import ItemDesk, look_through
from stream.serve.rules import moved_places
from stream.serve.shelf import Shelf
from stream.settings import load_settings
from stream.worker.tracker import Tracker


def test_it_is_looked_who_gets_what_and_a_list_that_cannot_be_read_is_passed_over(tmp_path: Path):
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], lambda _: None)
        garbage = Replicated(b"tom", b'{"item_id":"a","moved_by":"rule:x"', 0, 2, 0)
        lists.take(0, [list_record("mei", 3, ["a", "b"], 0), list_record("ann", 4, ["b"], 1), garbage])
        found = look_through(lists)
        assert found.looked_at == 3
        assert [each.user_id for each in found.of["b"]] == ["ann", "mei"]
        assert [each.rank for each in found.of["a"]] == [1]
        assert moved_places(lists) == {}


async def test_lists_are_looked_through_once_for_all_who_ask_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tracker, looks = Tracker(load_settings(encoder_model="none"), Metrics()), []
    ids = [f"i{n}" for n in range(40)]
    records = [Replicated(i.encode(), f'{{"item_id":"{i}","title":"T"}}'.encode(), 0, 0, 0) for i in ids]
    tracker.replicate_items(records, 0.0)

    def looking(lists: LastLists) -> items_module.Looked:
        looks.append(lists)
        return look_through(lists)

    monkeypatch.setattr(items_module, "look_through", looking)
    with tables(tmp_path) as made:
        lists = LastLists(made["lists"], lambda _: None)
        lists.take(0, [list_record("mei", 3, ids[:20], 0)])
        desk = ItemDesk(tracker, Shelf(tracker.knowledge), lists)
        answers = await asyncio.gather(*(desk.item(i) for i in ids))
        assert [each.lists for each in answers] == [1] * 20 + [0] * 20
        assert answers[4].places[4] == 1
        assert answers[4].followers[0].user_id == "mei"
    assert len(looks) == 1
