"""Which categories a pattern means."""

from __future__ import annotations

from models.items.category_patterns import category_pattern


def test_a_pattern_means_whole_categories_of_either_case_and_nothing_without_one():
    means = category_pattern(("Health*", "book?", "100 %"))

    assert [means(each) for each in ("HEALTH", "health & beauty", "Books", "100 %")] == [True] * 4
    assert [means(each) for each in ("mental health", "booklets", "", "100")] == [False] * 4
    assert not category_pattern(())("health")
