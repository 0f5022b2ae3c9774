"""Rules as people write them: files, JSON, and what is none."""

from __future__ import annotations

import pytest

from stream.errors import InputFileError, UsageError
from stream.rules.book import RuleBook
from stream.rules.rule import from_json, read_tables, rule_of, to_json

DENY = {"kind": "deny", "where": "price > 1"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "forbid"}, "`kind`"),
        ({"kind": "deny"}, "needs `where` or `items`"),
        ({"kind": "boost", "where": "price > 1"}, "a boost needs `add`"),
        (DENY | {"add": 1.0}, "a deny has no `add`"),
        (DENY | {"colour": 1}, "`colour`: no such field"),
        ({"kind": "pin", "items": ["a", "b"], "place": 1}, "a pin names one item"),
        ({"kind": "pin", "items": ["a"], "place": 0}, "`place`"),
        ({"kind": "cap", "by": "colour", "most": 2}, "`by`"),
        ({"kind": "cap", "by": "category", "most": 2, "where": "price > 1"}, "a cap is of all items"),
        (DENY | {"valid_from": "tomorrow"}, "must be a time"),
        (DENY | {"valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"}, "not after"),
        (DENY | {"hours": [25, 3]}, "hours"),
        (DENY | {"share": 0}, "share"),
        (DENY | {"placement": "Cart!"}, "placement"),
        ({"kind": "boost", "where": "price > 1", "add": float("nan")}, "add"),
        (3, "rule 'r'"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_line(given, says):
    with pytest.raises(UsageError) as refused:
        rule_of("r", given)
    assert says in refused.value.message
    assert "\n" not in str(refused.value)


def test_a_rule_is_the_same_after_the_topic():
    rule = rule_of("r", DENY | {"hours": [22, 6], "share": 0.5, "note": "nights"})
    assert from_json("r", to_json(rule)) == rule
    assert b"placement" not in to_json(rule)


@pytest.mark.parametrize(
    ("hours", "hour", "counts"),
    [([9, 17], 9, True), ([9, 17], 17, False), ([22, 6], 23, True), ([22, 6], 5, True), ([22, 6], 6, False),
     ([0, 24], 23, True)],
)  # fmt: skip
def test_hours(hours, hour, counts):
    assert rule_of("r", DENY | {"hours": hours}).is_valid_at(hour * 3_600_000) == counts


def test_validity():
    rule = rule_of("r", DENY | {"valid_from": "1970-01-01T00:00:01Z", "valid_until": "1970-01-01T00:00:02Z"})
    assert [rule.is_valid_at(ms) for ms in (999, 1000, 1999, 2000)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "tables [rules.ID]"),
        ("[rules]", "tables [rules.ID]"),
        ("x = 1\n[rules.a]\nkind = 'deny'", "tables [rules.ID]"),
        ("[rules.a", "not valid TOML"),
        ("[rules.'A b']\nkind = 'deny'\nwhere = 'price > 1'", "an id is"),
        ("[rules.a]\nkind = 'deny'", "rule 'a'"),
    ],
)
def test_files_that_hold_no_rules(tmp_path, text, says):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_tables(path)
    assert says in refused.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputFileError):
        read_tables(tmp_path / "none.toml")


def test_the_book_keeps_what_was_there_when_a_record_is_none():
    book = RuleBook()
    book.add(b"rule/a", to_json(rule_of("a", DENY)))
    before = dict(book.rules)
    for value in (b"{", b"[]", b'{"kind":"deny","where":"nonsense > 1"}', b"[" * 100_000):
        book.add(b"rule/a", value)
    book.add(b"something/later", b"{}")
    book.add(None, b"{}")

    assert book.rules == before
    assert len(book.refused) == 4
    assert book.version == 1
    book.add(b"rule/a", None)
    assert book.rules == {}
    assert book.version == 2
