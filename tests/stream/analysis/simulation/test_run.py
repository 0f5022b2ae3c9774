"""A recorded worker's lists made again byte for byte, and beside a candidate's; where they differ nothing is compared."""

from __future__ import annotations

import json

import msgspec
import pytest
from kafka_records import event_record
from recorded_shop import recorded_shop
from tracker_harness import replicated
from typer.testing import CliRunner

from models.hashing import item_hash
from models.ranking.weights import default_weights, make_weights, to_json
from stream.analysis.simulation.replay import Candidate, Replay, settings_of
from stream.analysis.simulation.run import rules_in, simulate
from stream.cli.main import app
from stream.errors import InputFileError, UsageError
from stream.rules.rule import rule_of
from stream.settings.experiments import ExperimentSettings
from stream.settings.placements import PlacementSettings
from stream.state.standing import Standing
from stream.worker.journal.entries import Applied, Followed, Refreshed, SequenceServes
from stream.worker.journal.reader import read_journal
from stream.worker.journal.writer import JournalWriter

HOME = {
    "slots": 8,
    "fatigue": 0.5,
    "diversity": 0.2,
    "explore": {"slots": 2, "rate": 0.7, "min_history": 1, "from_place": 2},
}
ARMS = {"arms": {"a": 0.5, "b": 0.5}, "changes": {"b": {"home": {"diversity": 0.6}}}}


def placements(**given):
    return {"placements": {name: PlacementSettings.model_validate(each) for name, each in given.items()}}


VARIANTS = {
    "nothing": {},
    "placement": placements(home=HOME) | {"learn_clicks": True},
    "several": placements(home=HOME, cart={"slots": 3, "rows": True}),
    "arms": placements(home=HOME) | {"experiments": {"x": ExperimentSettings.model_validate(ARMS)}},
}


def recorded(path, seed=0, steps=150, texts=True, live_placements=True, **given):
    """The journal of a shop's day, and the lists that went out."""
    with recorded_shop(path, seed, **given) as shop:
        if "experiments" in given:
            served = default_weights()
            shop.tracker.use_for_arm("x", "b", make_weights(1.3 * served.table, served.cold, served.calibration))
        shop.catalogue(*(f"i{n}" for n in range(50)), price=20.0, categories=["c1"])
        shop.live(steps // 3, live_placements=live_placements)
        if texts:
            shop.use_texts()
        shop.live(steps, live_placements=live_placements)
        lists = list(shop.lists)
    return shop.journal.path, lists


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("day"), 3, 300, **VARIANTS["placement"])


@pytest.fixture(scope="module")
def still_day(tmp_path_factory):
    """On which nobody changed the placement while the worker ran."""
    return recorded(tmp_path_factory.mktemp("still"), 4, 300, live_placements=False, **VARIANTS["placement"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_what_was_recorded_comes_out_byte_for_byte(tmp_path, variant, seed):
    path, lists = recorded(tmp_path, seed, **VARIANTS[variant])

    proof, found = simulate(path, None, None, 10)

    assert (proof.lists, proof.same, proof.first_difference) == (len(lists), len(lists), None)
    assert len(lists) > 40
    assert found is None


def rewritten(path, into, change):
    """The journal with each message as `change` has it; None: left out."""
    writer = JournalWriter(into, 1 << 30)
    for n, entry in enumerate(read_journal(path)):
        changed = change(n, entry)
        if changed is not None:
            writer.add(changed)
    writer.close()
    return into


def without_last_events(path, into):
    at = [n for n, entry in enumerate(read_journal(path)) if isinstance(entry, Applied)][-30]
    return rewritten(path, into, lambda n, entry: None if n == at else entry)


def test_lists_around_what_people_asked_for_come_out_byte_for_byte(tmp_path):
    with recorded_shop(tmp_path, 4) as shop:
        shop.catalogue(*(f"i{n}" for n in range(50)))
        for user in (b"u1", b"u2", b"u1"):
            shop.live(60, live_placements=False)
            shop.tracker.erase(shop.users, user)
            shop.users.standing.set(b"u5", Standing("restricted", 0, 0))
            shop.tracker.rectify(shop.users, b"u3", item_hash("i1"))
        shop.live(60, live_placements=False)
        lists = list(shop.lists)
    proof, _ = simulate(shop.journal.path, None, None, 10)
    assert (proof.lists, proof.same, proof.first_difference) == (len(lists), len(lists), None)


def test_what_does_not_come_out_the_same_is_told_and_nothing_is_compared(day, tmp_path):
    path = without_last_events(day[0], tmp_path / "other")

    proof, _ = simulate(path, None, None, 10)
    assert proof.same < proof.lists
    assert proof.first_difference is not None
    result = CliRunner().invoke(app, ["simulate", str(path), "--json", str(tmp_path / "found.json")])
    assert result.exit_code == 1
    assert "do not come out as they went out" in result.output
    assert set(json.loads((tmp_path / "found.json").read_text())) == {"proof", "command"}


def test_a_list_that_differs_in_one_byte_is_another_one(day, tmp_path):
    def change(n, entry):
        if isinstance(entry, Refreshed) and not changed:
            changed.append(n)
            first, *others = entry.digests
            return msgspec.structs.replace(entry, digests=[bytes(16), *others] if first else entry.digests)
        return entry

    changed: list[int] = []
    proof, _ = simulate(rewritten(day[0], tmp_path / "other", change), None, None, 10)
    assert proof.lists - proof.same == 1


def test_a_candidate_that_changes_nothing_changes_nothing(day):
    _, found = simulate(day[0], Candidate({"draws_seed": ""}), None, 5)

    assert found["changed"] == 0
    assert found["overlap"] == 1.0
    assert all(row["same"] == row["lists"] for row in found["places"])
    assert found["more_often"] == found["less_often"] == []
    assert found["expected_clicks"]["recorded"] == found["expected_clicks"]["simulated"] > 0
    assert found["explored_places"]["mean_weight"] == pytest.approx(1.0)
    assert found["outcomes"]["click"]["lost"] == 0 < found["outcomes"]["click"]["kept"]


def test_a_candidate_s_rules_and_placements_count(day):
    deny = {"no": rule_of("no", {"kind": "deny", "where": "array_contains(categories, 'c1')"})}
    _, found = simulate(day[0], Candidate({"placements": {"home": {"slots": 4}}}, deny), None, 10)

    assert found["changed"] == found["lists"] == len(day[1])
    rules = {row["name"]: row for row in found["moved_by"]}
    assert all(row["simulated"] == 0 for name, row in rules.items() if name.startswith("rule:r"))
    assert [row["same"] for row in found["places"][4:]] == [0] * (len(found["places"]) - 4)
    assert {row["name"]: row["simulated"] for row in found["strategies"]}["explore"] == 0


def test_what_a_rule_cost_is_what_is_better_without_it(tmp_path):
    with recorded_shop(tmp_path, 5) as shop:
        shop.catalogue(*(f"i{n}" for n in range(40)), price=20.0)
        for _ in range(40):
            shop.events(4)
            shop.refresh()
        shop.commit()
        rules = {"best": {"kind": "deny", "items": [item.item_id for item in shop.lists[-1].items[:3]]}}
        shop.say(**rules, nothing={"kind": "deny", "items": ["none"]})
        if not shop.tracker.refresher.pages.is_compiled:
            shop.tracker.compile_placement()
            shop.tracker.use_placements()
        shop.tracker.look_at_rules(shop.now_s, 10)
        for _ in range(60):
            shop.events(4)
            shop.refresh()

    assert rules_in(shop.journal.path) == ["best", "nothing"]
    result = CliRunner().invoke(
        app, ["rules", "price", str(shop.journal.path), "--first", "5", "--json", str(tmp_path / "found.json")]
    )
    assert result.exit_code == 0, result.output
    prices = {row["rule_id"]: row for row in json.loads((tmp_path / "found.json").read_text())["rules"]}
    assert prices["best"]["expected_clicks_given_up"] > 0
    assert 0 < prices["best"]["lists_changed"] < prices["best"]["lists"]
    assert prices["nothing"]["lists_changed"] == prices["nothing"]["clicks_only_with_rule"] == 0
    refused = CliRunner().invoke(app, ["rules", "price", str(shop.journal.path), "--rule", "other"])
    assert refused.exit_code == 2
    assert "there are: best, nothing" in refused.stderr


def test_probabilities_of_what_was_drawn_are_those_of_the_candidate(still_day):
    """Another rate changes them by rate' / rate of what was drawn, (1 - rate') / (1 - rate) of what was kept."""
    home = HOME | {"explore": HOME["explore"] | {"rate": 0.35}}
    _, found = simulate(still_day[0], Candidate({"placements": {"home": home}}), None, 10)
    _, same = simulate(still_day[0], Candidate({"placements": {"home": HOME}}), None, 10)

    assert same["changed"] == 0
    drawn = found["explored_places"]["places"]
    assert drawn == same["explored_places"]["places"] > 3
    # All weights are one of two, so their mean says how many were drawn.
    share = (found["explored_places"]["mean_weight"] - 0.65 / 0.3) / (0.5 - 0.65 / 0.3)
    assert share * drawn == pytest.approx(round(share * drawn), abs=1e-4)
    assert 0 <= round(share * drawn) <= drawn


def test_what_the_machine_s_own_settings_say_counts_nothing(still_day, tmp_path, monkeypatch):
    """Those of the journal and the candidate do, tables as a whole."""
    (tmp_path / "penchant.toml").write_text("[placements.home]\nfatigue = 9.0\nslots = 3\n[placements.shelf]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENCHANT_TOP_K", "3")
    proof, found = simulate(still_day[0], Candidate({"placements": {"home": {"slots": 8}}}), None, 8)
    assert proof.same == proof.lists
    assert {row["name"]: row["simulated"] for row in found["moved_by"]}.get("fatigue", 0) == 0
    assert len(found["places"]) == 8


def test_a_candidate_s_rules_count_from_the_first_list_and_followed_ones_without_its_placement(tmp_path):
    with recorded_shop(tmp_path, 6, **VARIANTS["placement"]) as shop:
        shop.catalogue(*(f"i{n}" for n in range(30)))
        shop.say(old={"kind": "deny", "items": ["i0", "i1"]})
        shop.tracker.look_at_rules(shop.now_s, 5)
        for _ in range(40):
            shop.events(4)
            shop.refresh()
    rules = {f"no{n}": rule_of("no", {"kind": "deny", "items": [f"i{n}"]}) for n in range(2, 12)}
    shown = shown_by(shop.journal.path, Candidate({}, rules))
    assert shown.isdisjoint({f"i{n}" for n in range(2, 12)})
    assert "i0" in shown
    assert shown_by(shop.journal.path, Candidate({"placements": {}})).isdisjoint({"i0", "i1"})


def shown_by(path, candidate):
    """All items of the candidate's lists."""
    begin, *entries = read_journal(path)
    replay = Replay(settings_of(begin, candidate, path), candidate, None, was_configured=True)
    made = [each for entry in entries for each in replay.feed(entry) or () if each is not None]
    return {item.item_id for each in made for item in each.list.record.items}


def test_what_placements_were_changed_to_does_not_count_beside_the_candidate_s(tmp_path):
    with recorded_shop(tmp_path, 7, **VARIANTS["placement"]) as shop:
        shop.catalogue(*(f"i{n}" for n in range(30)))
        shop.tracker.replicate_rules([replicated(b"placement/home", b'{"slots": 3}')], shop.now_s)
        for _ in range(20):
            shop.events(4)
            shop.refresh()
    _, found = simulate(shop.journal.path, Candidate({"placements": {"home": {"slots": 6}}}), None, 6)
    assert len(found["places"]) == 6


def test_an_arm_s_weights_may_be_the_candidate_s(tmp_path):
    path, _ = recorded(tmp_path, 2, 60, **VARIANTS["arms"])
    served = default_weights()
    (tmp_path / "w.json").write_bytes(to_json(make_weights(-served.table, served.cold, served.calibration)))
    arms = ARMS | {"weights": {"b": str(tmp_path / "w.json")}}
    _, found = simulate(path, Candidate({"experiments": {"x": arms}}), None, 10)
    assert 0 < found["changed"] < found["lists"]


def test_people_who_expire_headers_without_a_value_and_stale_lists_come_out_too(tmp_path):
    """What a worker does beside lists: looks through stored ones, forgets people, and Kafka's headers may be null."""
    with recorded_shop(tmp_path, 8, user_ttl_days=1) as shop:
        shop.catalogue(*(f"i{n}" for n in range(30)), categories=["c1"])
        shop.say(up={"kind": "boost", "where": "popularity >= 0", "add": 0.5})
        shop.tracker.compile_placement()
        shop.tracker.use_placements()
        shop.tracker.look_at_rules(shop.now_s, 5)
        pages = shop.tracker.refresher.pages
        pages.home.allowed(b"u1", pages.seen(shop.now_ms))  # as the look through stored lists asks
        for n in range(60):
            shop.events(4, headers=(("trace", None),))
            shop.refresh()
            if n % 10 == 9:
                shop.commit()
            if n == 30:
                shop.commit()
                for user in range(12):
                    shop.users.expire(f"u{user}".encode())
                shop.commit()
        lists = len(shop.lists)
    proof, _ = simulate(shop.journal.path, None, None, 10)
    assert (proof.same, proof.lists) == (lists, lists)


def test_a_click_counts_once_and_only_if_it_was_taken(tmp_path):
    with recorded_shop(tmp_path, 9) as shop:
        shop.catalogue(*(f"i{n}" for n in range(30)))
        shop.events(6)
        shop.refresh()
        made = shop.lists[-1]
        click = {"action": "click", "item_id": made.items[0].item_id, "recommendation_id": made.recommendation_id}
        click |= {"event_id": "e1", "event_time": shop.now_ms}
        user, at = made.user_id, shop.next_offset
        records = [event_record(at + n, user, **click) for n in range(2)]
        records.append(event_record(at + 2, user, **(click | {"event_id": "e2", "event_time": -5})))
        records.append(event_record(at + 3, user, key=None, **click))
        intake = shop.tracker.read(shop.users, records, shop.now_ms)
        shop.tracker.apply(shop.users, intake, shop.now_s, shop.now_ms)
        shop.users.next_offset = at + 4
        shop.refresh()
    _, found = simulate(shop.journal.path, Candidate({"top_k": 20}), None, 10)
    assert found["outcomes"] == {"click": {"kept": 1, "lost": 0}}


# --- files ---


def test_a_journal_that_a_kill_cut_off_is_used_up_to_there(day, tmp_path):
    whole = day[0].read_bytes()
    cut = tmp_path / "cut"
    writer = JournalWriter(cut, 1 << 30)
    entries = list(read_journal(day[0]))
    for n, entry in enumerate(entries):
        writer.add(entry)
        if n % 50 == 0:
            writer.flush()
    writer.close()
    cut.write_bytes(cut.read_bytes()[: -len(whole) // 3])

    proof, _ = simulate(cut, None, None, 10)
    assert 0 < proof.lists < len(day[1])
    assert proof.same == proof.lists


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no journal"),
        (b"hello, this is something else", "is no journal"),
        (b"penchant journal\n", "holds nothing"),
        (b"penchant journal\n\x04\x00\x00\x00abcd", "is damaged"),
        (b"penchant journal\n\xff\xff\xff\xff", "is damaged"),
    ],
)
def test_what_is_no_journal_is_one_line(tmp_path, content, says):
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["simulate", str(path)])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert says in line
    with pytest.raises(InputFileError, match="cannot be read"):
        simulate(tmp_path / "none", None, None, 10)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[placements.home\n", "not valid TOML"),
        ("bootstrap_servers = 'x'\n", "makes no list with a setting `bootstrap_servers`"),
        ("sasl_password = 'x'\n", "makes no list with a setting `sasl_password`"),
        ("placement = 3\n", "makes no list with a setting `placement`"),
        ("[placements.home]\nslots = 0\n", "placements.home.slots"),
        ("ranking_weights = '/x'\n", "--weights"),
        ("sequence_model = '/x'\n", "--sequence"),
        ("metrics_port = 3\n", "makes no list with a setting `metrics_port`"),
        ("[rules.a]\nkind = 'deny'\nitems = ['i1']\narm = 'x/b'\n", "there is no arm x/b"),
        ("[rules.a]\nkind = 'deny'\nitems = ['i1']\nplacement = 'cart'\n", "there is no placement cart"),
        ("[placements.home]\nslots = 3\nexplore = { slots = 1 }\n", "do not fit"),
        ("rules = 3\n", "tables"),
        ("[rules.a]\nkind = 'deny'\nwhere = 'nonsense > 1'\n", "nonsense"),
    ],
)
def test_a_candidate_that_cannot_be_is_one_line(day, tmp_path, text, says):
    (tmp_path / "c.toml").write_text(text)
    result = CliRunner().invoke(app, ["simulate", str(day[0]), "--candidate", str(tmp_path / "c.toml")])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert any(each in line for each in says.split("|")), line


def test_a_journal_with_a_sequence_model_needs_it(day, tmp_path):
    def change(n, entry):
        return entry if n != 1 else SequenceServes("s-1", 0.0)

    path = rewritten(day[0], tmp_path / "other", change)
    with pytest.raises(UsageError, match="ranks with the sequence model s-1"):
        simulate(path, None, None, 10)


def test_the_command_shows_what_would_have_been(day, tmp_path):
    (tmp_path / "c.toml").write_text("[placements.home]\nslots = 4\n")
    found = tmp_path / "found.json"
    result = CliRunner().invoke(
        app, ["simulate", str(day[0]), "--candidate", str(tmp_path / "c.toml"), "--json", str(found)]
    )
    assert result.exit_code == 0, result.output
    assert "all byte for byte as they went out" in result.output
    assert "explore" in result.output
    written = json.loads(found.read_text())
    assert written["proof"]["same"] == written["proof"]["lists"] == written["comparison"]["lists"]


def test_secrets_and_addresses_are_not_in_a_journal(tmp_path):
    secret = {"sasl_password": "hush-hush", "bootstrap_servers": "secret-host:1", "sasl_username": "me-myself"}
    secret |= {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    path, _ = recorded(tmp_path, 0, 30, **secret)
    told = b"".join(msgspec.msgpack.encode(entry) for entry in read_journal(path))
    for word in (b"hush", b"secret-host", b"me-myself", str(tmp_path).encode()):
        assert word not in told
    assert any(isinstance(entry, Followed) for entry in read_journal(path))
