"""Languages as bytes hold everything that their sentences are made of."""

from __future__ import annotations

import json

from models.vocabulary import ACTIONS
from stream.reasons.ago import CODES
from stream.reasons.language import ACTIONS_OWN, ACTIONS_TOLD, CLAIMS, languages
from stream.reasons.phrases import phrases_of

ALL = tuple(languages().values())


def text(phrases, number):
    start, end = phrases.ends[number : number + 2].tolist()
    assert end - start <= phrases.longest_bytes
    return json.loads(b'"%b"' % bytes(phrases.data[start:end]))


def test_every_piece_of_every_language_is_there():
    phrases = phrases_of(ALL)
    for n, language in enumerate(ALL):
        key = bytes(phrases.data[phrases.ends[phrases.key[n]] : phrases.ends[phrases.key[n] + 1]])
        assert json.loads(b'{%b""}' % key) == {language.code: ""}
        for action in ACTIONS_TOLD:
            told = [(text(phrases, b), text(phrases, a)) for b, a in zip(
                phrases.before[n, ACTIONS.index(action)], phrases.after[n, ACTIONS.index(action)], strict=True
            )]  # fmt: skip
            assert told == list(language.causes[action])
        for row, pieces in zip(phrases.because[n], language.because, strict=True):
            assert [text(phrases, number) for number in row[: len(pieces)]] == list(pieces)
        assert [text(phrases, number) for number in phrases.claims[n]] == [language.claims[claim] for claim in CLAIMS]
        for row, pieces in zip(phrases.joins[n], language.joins, strict=True):
            assert [text(phrases, number) for number in row[1 : len(pieces) + 1]] == list(pieces)
        for action in ACTIONS_OWN:
            assert [text(phrases, each) for each in phrases.own[n, ACTIONS.index(action)]] == list(language.own[action])
        assert phrases.same_time[n].tolist() == list(language.same_time)
        assert len(language.same_time) == CODES


def test_no_language_is_possible():
    assert phrases_of(()).before.size == 0
