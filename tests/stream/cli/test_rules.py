"""`penchant rules` against an embedded broker: apply, list, lint, remove, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from tracker_harness import item_value
from typer.testing import CliRunner

from models.items.catalog import Catalog
from models.items.index import ItemIndex
from stream.cli.main import app
from stream.rules.lint import lint
from stream.rules.rule import rule_of
from stream.rules.topic import read_book
from stream.settings import Settings

TOPICS = ("rules", "items", "events", "item-stats", "models", "strategy-stats")
RULES = """
[rules.cheap]
kind = "filter"
where = "price < 10"

[rules.up]
kind = "boost"
items = ["i3"]
add = 1.0
"""


@pytest.fixture
def shop(embedded, clean_place, monkeypatch):
    broker = embedded(dict.fromkeys((f"interest.{name}" for name in TOPICS), 1))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for n in range(30):
        producer.produce(
            "interest.items", item_value(f"i{n}", price=float(n), categories=[f"c{n % 3}"]), f"i{n}".encode()
        )
    event = {"user_id": "ann", "item_id": "i2", "action": "click", "event_time": 1_700_000_000_000}
    producer.produce("interest.events", json.dumps(event).encode(), b"ann")
    producer.flush(10)
    return Settings(bootstrap_servers=broker.bootstrap_servers)


def rules(*arguments, text=None):
    if text is not None:
        Path("rules.toml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["rules", *arguments])


def test_apply_list_remove(shop):
    assert "2 changed, 0 removed" in rules("apply", "rules.toml", text=RULES).output
    assert set(read_book(shop).rules) == {"cheap", "up"}
    listed = [json.loads(line) for line in rules("list", "--json").stdout.splitlines()]
    assert listed[0] == {"rule_id": "cheap", "kind": "filter", "where": "price < 10"}
    assert "price < 10" in rules("list").output

    again = rules("apply", "rules.toml", text=RULES.replace("< 10", "< 20"))
    assert "1 changed, 0 removed, 1 as before" in again.output
    pruned = rules("apply", "rules.toml", "--prune", text=RULES.partition("[rules.up]")[0])
    assert "1 changed, 1 removed" in pruned.output
    assert rules("remove", "cheap").exit_code == 0
    assert read_book(shop).rules == {}
    assert "no rules" in rules("list").output


def test_placements_are_changed_listed_and_removed_like_rules(shop):
    text = "[placements.home]\nslots = 5\ndiversity = 0.3\n" + RULES
    assert "3 changed, 0 removed" in rules("apply", "rules.toml", text=text).output
    assert "0 changed, 0 removed, 3 as before" in rules("apply", "rules.toml").output
    listed = [json.loads(line) for line in rules("list", "--json").stdout.splitlines()]
    assert listed[-1] == {"placement": "home", "slots": 5, "diversity": 0.3}
    assert "placement/home" in rules("list").output
    # Places of a list are those of now, and a filter that leaves 10 of them is no fault.
    assert rules("lint").exit_code == 0
    places = rules("test", "rules.toml", "--user", "ann", "--only", "--json", text="[placements.home]\nslots = 3")
    assert [json.loads(line)["after"] is None for line in places.stdout.splitlines()] == [False] * 3 + [True] * 2

    assert rules("remove", "placement/home").exit_code == 0
    assert read_book(shop).placements == {}
    assert rules("remove", "placement/home").exit_code == 2


def test_what_is_on_the_topic_and_does_not_count_can_be_taken_away(shop):
    producer = Producer({"bootstrap.servers": shop.bootstrap_servers})
    for key in ("placement/cart", "rule/odd", "rule/odder"):
        producer.produce("interest.rules", b'{"slots": 3}', key.encode())
    producer.flush(10)
    assert "not used: there is no placement 'cart'" in rules("list").stderr
    assert rules("remove", "placement/cart", "odd").exit_code == 0
    assert (
        "1 changed, 1 removed" in rules("apply", "rules.toml", "--prune", text=RULES.partition("[rules.up]")[0]).output
    )
    assert read_book(shop).refused_keys == set()


def test_a_rule_is_tried_in_the_placement_that_is_asked(shop, monkeypatch):
    monkeypatch.setenv("PENCHANT_PLACEMENTS", '{"cart": {"slots": 3}}')
    text = '[rules.first]\nkind = "pin"\nitems = ["i9"]\nplace = 1\nplacement = "cart"'
    found = {}
    for placement in ("home", "cart"):
        result = rules("test", "rules.toml", "--user", "ann", "--placement", placement, "--json", text=text)
        assert result.exit_code == 0, result.output
        found[placement] = [json.loads(line) for line in result.stdout.splitlines()]
    assert [place["after"] for place in found["home"]] == [place["before"] for place in found["home"]]
    assert len(found["cart"]) == 3
    assert (found["cart"][0]["after"], found["cart"][0]["moved_by"]) == ("i9", "rule:first")
    refused = rules("test", "rules.toml", "--user", "ann", "--placement", "shelf", text=text)
    assert refused.exit_code == 2
    assert "there are: home, cart" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        (("apply", "none.toml"), None, "none.toml"),
        (("apply", "rules.toml"), "[rules.a]\nkind='deny'\nwhere='titel > 1'", "column `titel`"),
        (("apply", "rules.toml"), "[rules.a]\nkind='deny'", "needs `where` or `items`"),
        (("lint", "rules.toml"), "[rules.a", "not valid TOML"),
        (("apply", "rules.toml"), "[placements.cart]\nslots = 5", "no placement 'cart' in penchant.toml"),
        (("apply", "rules.toml"), "[placements.home]\nslot = 5", "`slot`: no such setting"),
        (("apply", "rules.toml"), "[placements.home]\ntopic = 'x'", "`topic` cannot be changed"),
        (("apply", "rules.toml"), "[placements.home]\naudience = 'everybody'", "`audience` cannot be changed"),
        (("apply", "rules.toml"), "[placements.home]\nslots = 3\nexplore.slots = 1", "do not fit from place 4"),
        (("apply", "rules.toml"), "[rules.a]\nkind='deny'\nitems=['i1']\narm='x/b'", "there is no arm x/b"),
        (("apply", "rules.toml"), "[shop]\nslots = 3", "and nothing else"),
        (("apply", "rules.toml"), "placements = 3", "and nothing else"),
        (("remove", "nobody"), None, "no rule 'nobody'"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(shop, arguments, text, says):
    result = rules(*arguments, text=text)

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("penchant: ")
    assert says in line
    assert read_book(shop).rules == {}


def test_lint_says_how_many_items_each_means_and_what_is_wrong(shop):
    caps = '[rules.a]\nkind = "deny"\nwhere = "price > 25"\n[rules.c]\nkind = "cap"\nby = "category"\nmost = 9'
    good = rules("lint", "rules.toml", text=caps)
    assert good.exit_code == 0
    assert "ok" in good.output

    bad = rules("lint", "rules.toml", "--json", "found.json", text=RULES + """
[rules.none]
kind = "deny"
where = "price > 1000"
[rules.p1]
kind = "pin"
items = ["i1"]
place = 1
[rules.p2]
kind = "pin"
items = ["i25"]
place = 1
[rules.out]
kind = "deny"
items = ["i25"]
[rules.past]
kind = "deny"
items = ["i2"]
valid_until = "2020-01-01T00:00:00Z"
""")  # fmt: skip
    assert bad.exit_code == 1
    found = json.loads(Path("found.json").read_text())
    assert found["means"] == {"cheap": 10, "up": 1, "none": 0, "p1": 1, "p2": 1, "out": 1, "past": 1}
    says = [(each["rule_id"], each["says"]) for each in found["findings"]]
    for rule_id, part in (
        ("cheap", "fewer than 20 items"), ("none", "means no item"), ("p2", "filtered out or denied"),
        ("p2", "wants place 1, which p1 has"), ("past", "since 2020"),
    ):  # fmt: skip
        assert any(of == rule_id and part in text for of, text in says), part


def test_rules_of_different_arms_are_not_in_each_other_s_way(shop, monkeypatch):
    monkeypatch.setenv("PENCHANT_EXPERIMENTS", '{"x": {"arms": {"a": 0.5, "b": 0.5}}}')
    pins = "".join(
        f'[rules.{arm}]\nkind = "pin"\nitems = ["i{n}"]\nplace = 1\narm = "x/{arm}"\n' for n, arm in enumerate("ab")
    )
    assert rules("lint", "rules.toml", text=pins).exit_code == 0
    third = '[rules.c]\nkind = "pin"\nitems = ["i5"]\nplace = 1\n'
    bad = rules("lint", "rules.toml", "--json", "found.json", text=pins + third)
    assert bad.exit_code == 1
    says = [each["says"] for each in json.loads(Path("found.json").read_text())["findings"]]
    assert says == ["wants place 1, which a has (arm x/a)", "wants place 1, which b has (arm x/b)"]
    monkeypatch.delenv("PENCHANT_EXPERIMENTS")
    told = lint(
        {"a": rule_of("a", {"kind": "pin", "items": ["i1"], "place": 1, "arm": "x/a"})}, _nothing(), {"home": 5}, 0
    )
    assert "counts for nobody: there is no arm x/a" in [each.says for each in told.findings]


def test_a_deny_that_empties_lists_is_said(shop):
    text = '[rules.a]\nkind = "deny"\nwhere = "price >= 5"'
    assert "places: what is denied stays denied" in rules("lint", "rules.toml", text=text).output
    assert lint({}, _nothing(), {"home": 5}, 0).findings == []


def test_a_file_is_tried_on_one_person_beside_what_is_there(shop):
    rules("apply", "rules.toml", text='[rules.first]\nkind = "pin"\nitems = ["i9"]\nplace = 1')
    text = '[rules.second]\nkind = "pin"\nitems = ["i8"]\nplace = 2\n[rules.dear]\nkind = "deny"\nwhere = "price > 20"'

    result = rules("test", "rules.toml", "--user", "ann", "--json", text=text)

    assert result.exit_code == 0, result.output
    places = [json.loads(line) for line in result.stdout.splitlines()]
    assert places[0] == {"rank": 1, "before": "i9", "after": "i9", "moved_by": "rule:first"}
    assert (places[1]["after"], places[1]["moved_by"]) == ("i8", "rule:second")
    assert all(int(place["after"][1:]) <= 20 for place in places)
    assert any(int(place["before"][1:]) > 20 for place in places)
    alone = rules("test", "rules.toml", "--user", "ann", "--only", "--json", text=text)
    assert json.loads(alone.stdout.splitlines()[0])["before"] == "i9"
    assert json.loads(alone.stdout.splitlines()[0])["after"] != "i9"
    assert "moved by" in rules("test", "rules.toml", "--user", "ann", "--top", "3", text=text).output
    assert set(read_book(shop).rules) == {"first"}  # nothing was published
    assert "no event of user" in rules("test", "rules.toml", "--user", "nobody", text=text).stderr


def test_explain_makes_lists_by_the_rules_too(shop):
    rules("apply", "rules.toml", text='[rules.first]\nkind = "pin"\nitems = ["i9"]\nplace = 1')
    result = CliRunner().invoke(app, ["explain", "ann", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["items"][0]["item_id"] == "i9"


def _nothing():
    return Catalog.empty(ItemIndex())
