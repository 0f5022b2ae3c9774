"""stream/wire/pseudonyms.py: the same id and key give the same pseudonym everywhere."""

from __future__ import annotations

import base64

import pytest
from places import ROOT

from stream.wire.pseudonyms import KeyRing, new_key, pseudonym

KEY = bytes(range(32))
DOCS = ROOT / "deploy" / "docs"

VECTORS = {
    "17850": "qpy2e2hmaexuh23hun66qo47zm",
    "u1": "72i3c4yt4nzm5oagyyaecgjs4i",
    "Zoë/中文 x": "uaskglbu54j4weot3csp4v47pa",
}
"""As deploy/docs/privacy.md has them for other languages."""


def test_the_vectors_of_the_docs_hold() -> None:
    text = (DOCS / "privacy.md").read_text()
    for user_id, expected in VECTORS.items():
        assert pseudonym(user_id, KEY) == expected
        assert expected in text


def test_a_pseudonym_is_26_characters_that_every_system_takes() -> None:
    made = {pseudonym(f"user-{n}", KEY) for n in range(1000)}
    assert len(made) == 1000
    assert all(len(each) == 26 and each.isalnum() and each == each.lower() for each in made)


def test_another_key_gives_other_pseudonyms_and_old_ones_stay_findable() -> None:
    ring = KeyRing.parse(f"{new_key('new')},{new_key('old')}")
    newest, oldest = ring.all_of("u1")
    assert newest != oldest
    assert ring.pseudonym("u1") == newest


@pytest.mark.parametrize(
    "text",
    ["", "name", ":AAAA", "a:!!!", f"a:{base64.b64encode(b'short').decode()}", f"{new_key('a')},{new_key('a')}"],
)
def test_what_is_no_key_ring_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        KeyRing.parse(text)
