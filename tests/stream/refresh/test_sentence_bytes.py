"""Sentences by the compiled writer are those that `stream.reasons.sentence.say` says, as msgspec writes them."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.vocabulary import ACTIONS
from stream.reasons.ago import CODES
from stream.reasons.choice import NAMED, OWN_ITEM
from stream.reasons.language import ACTIONS_TOLD, CLAIMS, languages
from stream.reasons.phrases import phrases_of
from stream.reasons.sentence import MAX_CAUSES, OWN, Cause, say, title_of
from stream.refresh.json_bytes import blob
from stream.refresh.sentence_bytes import SaidOf, sentences_json

ALL = tuple(languages().values())
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=70).map(title_of)
BEHAVIOURS = st.lists(
    st.tuples(TEXTS, st.sampled_from(ACTIONS_TOLD), st.integers(0, CODES - 1) | st.sampled_from([0, 1, 30])),
    min_size=MAX_CAUSES,
    max_size=6,
)


def claim_of(sentence):
    if isinstance(sentence, int):  # a behaviour with the item itself
        return OWN_ITEM
    return CLAIMS.index(sentence) if isinstance(sentence, str) else NAMED


def written(behaviours, sentences, starts, speaks=ALL):
    """JSON of each list; a sentence is a claim or some behaviours."""
    titles = blob([msgspec.json.encode(title)[1:-1] for title, _, _ in behaviours])
    said = SaidOf(
        titles.data.copy(),
        titles.ends[:-1],
        titles.ends[1:],
        np.array([ACTIONS.index(action) for _, action, _ in behaviours], np.uint8),
        np.array([when for _, _, when in behaviours]),
    )
    claim = np.array([claim_of(each) for each in sentences], np.int64)
    named = np.full((len(sentences), MAX_CAUSES), -1)
    for row, each in zip(named, sentences, strict=True):
        if isinstance(each, int):
            row[0] = each
        elif not isinstance(each, str):
            row[: len(each)] = each
    slices = sentences_json(phrases_of(speaks), said, claim, named, np.array(starts))
    return [b"[%b]" % slices.of(u) for u in range(len(starts) - 1)]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(BEHAVIOURS, st.data())
def test_the_same_bytes_as_by_msgspec(behaviours, data):
    causes = st.lists(st.integers(0, len(behaviours) - 1), min_size=1, max_size=MAX_CAUSES)
    alike = st.permutations([n for n, each in enumerate(behaviours) if each[1:] == behaviours[0][1:]])
    own = st.sampled_from([n for n, (_, action, _) in enumerate(behaviours) if action != "query"] or [None])
    several = causes | alike.map(lambda few: few[:MAX_CAUSES])
    sentences = data.draw(st.lists(several | st.sampled_from(CLAIMS) | own, max_size=5))
    sentences = [each for each in sentences if each is not None]
    cut = data.draw(st.integers(0, len(sentences)))

    def cause(b):
        return Cause(behaviours[b][1], behaviours[b][0], 1.0, behaviours[b][2])

    def expected(each):
        if isinstance(each, str):
            return {language.code: say(language, (), each) for language in ALL}
        if isinstance(each, int):
            return {language.code: say(language, [cause(each)], OWN) for language in ALL}
        told = [cause(b) for b in each]
        return {language.code: say(language, told, "") for language in ALL}

    found = written(behaviours, sentences, [0, cut, len(sentences)])
    assert found == [
        msgspec.json.encode([expected(each) for each in part]) for part in (sentences[:cut], sentences[cut:])
    ]


def test_everything_that_can_be_said_fits():
    longest = [("\u0085" * 10 + "𐍈" * 50, action, when) for action in ACTIONS_TOLD for when in range(CODES)]
    behaviours = [(title_of(title), action, when) for title, action, when in longest]
    sentences = [[i, (i + 7) % len(behaviours), (i + 11) % len(behaviours)] for i in range(len(behaviours))]
    (found,) = written(behaviours, sentences, [0, len(sentences)])
    assert len(msgspec.json.decode(found)) == len(sentences)


def test_no_language_is_none():
    assert written([("a", "view", 0)], ["none"], [0, 1], ()) == [b"[{}]"]
