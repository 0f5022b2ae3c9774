"""Names of items by their hashes."""

from __future__ import annotations

from models.items.names import ItemNames


def test_asking_for_the_hash_of_an_id_does_not_keep_it():
    names = ItemNames()
    hashed = names.hash_for("asked")
    assert names.id_of(hashed) is None
    assert names.hash_of("asked") == hashed == names.hash_for("asked")
    assert names.id_of(hashed) == "asked"
