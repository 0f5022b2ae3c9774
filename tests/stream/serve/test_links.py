"""Signed links: whose page they open, until when, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.serve import links
from stream.serve.errors import GoneError, NotAllowedError
from stream.serve.links import Links


@given(st.text(min_size=1, max_size=30).filter(lambda text: text.encode("utf-8", "ignore").decode() == text))
def test_a_link_opens_the_page_that_it_was_made_for(user_id):
    ours = Links(b"key", 1)
    token, until_ms = ours.make(user_id)
    assert ours.user_of(token) == user_id
    assert until_ms > 0


def test_a_link_of_another_key_or_a_changed_one_opens_nothing():
    token, _ = Links(b"key", 1).make("mei")
    with pytest.raises(NotAllowedError):
        Links(b"other", 1).user_of(token)
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        if changed[-1] == token[-1] or at < len(token) - 1:
            with pytest.raises(NotAllowedError):
                Links(b"key", 1).user_of(changed)


@pytest.mark.parametrize("token", ["", "A", "not base64!", "é", "QUFB", "A" * 500])
def test_what_is_no_link_is_refused(token):
    with pytest.raises(NotAllowedError):
        Links(b"key", 1).user_of(token)


def test_a_link_ends(monkeypatch):
    ours = Links(b"key", 1)
    token, until_ms = ours.make("mei")
    monkeypatch.setattr(links.time, "time", lambda: until_ms / 1000 + 1)
    with pytest.raises(GoneError):
        ours.user_of(token)
